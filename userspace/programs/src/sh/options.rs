//! The shell's options: `sh -e`, `set -e`, `set -o errexit`.

use alloc::string::String;
use alloc::vec::Vec;

/// What can be switched on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Choice {
    /// Every variable that is assigned is exported.
    AllExport,
    /// A command that fails ends the shell.
    ErrExit,
    /// Ctrl-D does not end an interactive shell.
    IgnoreEof,
    /// `>` does not overwrite a file.
    NoClobber,
    /// Commands are read and not run.
    NoExec,
    /// Patterns stand for themselves.
    NoGlob,
    /// A variable that is not set is an error.
    NoUnset,
    /// A pipeline fails if any of its commands does.
    PipeFail,
    /// Text is shown as it is read.
    Verbose,
    /// Commands are shown before they run.
    XTrace,
}

/// Choices with their letters, 0 for none, and their names.
const ALL: &[(Choice, u8, &str)] = &[
    (Choice::AllExport, b'a', "allexport"),
    (Choice::ErrExit, b'e', "errexit"),
    (Choice::IgnoreEof, 0, "ignoreeof"),
    (Choice::NoClobber, b'C', "noclobber"),
    (Choice::NoExec, b'n', "noexec"),
    (Choice::NoGlob, b'f', "noglob"),
    (Choice::NoUnset, b'u', "nounset"),
    (Choice::PipeFail, 0, "pipefail"),
    (Choice::Verbose, b'v', "verbose"),
    (Choice::XTrace, b'x', "xtrace"),
];

/// Where a choice is switched to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Switch {
    /// `-`
    On,
    /// `+`
    Off,
}

/// Which choices are on.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options(u16);

/// What options stood before the operands.
#[derive(Debug, Default)]
pub struct Taken {
    /// So many words.
    pub words: usize,
    /// Those of the further letters that were there.
    pub letters: Vec<u8>,
    /// Whether `--` ended them.
    pub ended: bool,
    /// `-o` or `+o` without a name: all options are to be shown.
    pub show: Option<Switch>,
}

impl Options {
    /// Whether a choice is on.
    pub const fn has(self, choice: Choice) -> bool {
        self.0 & 1 << choice as u16 != 0
    }

    /// Switches a choice.
    pub const fn switch(&mut self, choice: Choice, to: Switch) {
        match to {
            Switch::On => self.0 |= 1 << choice as u16,
            Switch::Off => self.0 &= !(1 << choice as u16),
        }
    }

    /// Takes the options at the start of `words`, among which `letters` are the caller's own. The error names one that
    /// is none.
    pub fn take(&mut self, words: &[Vec<u8>], letters: &[u8]) -> Result<Taken, String> {
        let mut taken = Taken::default();
        let mut words = words.iter();
        while let Some(word) = words.next() {
            let (sign, rest) = word.split_first().unwrap_or((&0, &[]));
            let to = match sign {
                b'-' => Switch::On,
                b'+' => Switch::Off,
                _ => break,
            };
            if rest.is_empty() {
                break;
            }
            taken.words += 1;
            if word == b"--" {
                taken.ended = true;
                break;
            }
            for &letter in rest {
                if letter == b'o' {
                    let Some(name) = words.next() else {
                        taken.show = Some(to);
                        continue;
                    };
                    taken.words += 1;
                    let known = ALL.iter().find(|(_, _, known)| known.as_bytes() == name);
                    let known = known.ok_or_else(|| alloc::format!("-o {}", name.escape_ascii()))?;
                    self.switch(known.0, to);
                } else if let Some((choice, ..)) = ALL.iter().find(|(_, known, _)| *known == letter) {
                    self.switch(*choice, to);
                } else if letters.contains(&letter) && to == Switch::On {
                    taken.letters.push(letter);
                } else {
                    return Err(alloc::format!("{}{}", *sign as char, letter.escape_ascii()));
                }
            }
        }
        Ok(taken)
    }

    /// The letters of what is on, for `$-`.
    pub fn letters(self) -> Vec<u8> {
        let on = ALL.iter().filter(|(choice, letter, _)| *letter != 0 && self.has(*choice));
        on.map(|(_, letter, _)| *letter).collect()
    }

    /// All options: for a reader, or (`+o`) as commands that set them again.
    pub fn show(self, form: Switch) -> String {
        let line = |&(choice, _, name): &(Choice, u8, &str)| match (form, self.has(choice)) {
            (Switch::On, on) => alloc::format!("{name:<15} {}\n", if on { "on" } else { "off" }),
            (Switch::Off, on) => alloc::format!("set {}o {name}\n", if on { '-' } else { '+' }),
        };
        ALL.iter().map(line).collect()
    }
}
