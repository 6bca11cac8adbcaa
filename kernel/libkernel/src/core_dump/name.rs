//! The name of a core dump: what `/proc/sys/kernel/core_pattern` makes of a process. Source: core(5), "Naming of core
//! dump files"; Linux 6.1, `fs/coredump.c`.

use alloc::vec::Vec;
use core::fmt::{self, Write};

/// The longest name (`PATH_MAX` without the end).
const LONGEST: usize = 4095;

/// What a pattern can name of a process that is dumped.
pub struct Facts<'a> {
    /// The process's number, `%p` and `%P`.
    pub process: u32,
    /// The thread's, `%i` and `%I`.
    pub thread: u32,
    /// Real user, `%u`.
    pub user: u32,
    /// Real group, `%g`.
    pub group: u32,
    /// `PR_GET_DUMPABLE`'s answer, `%d`.
    pub dumpable: u32,
    /// The signal, `%s`.
    pub signal: u32,
    /// Seconds since 1970, `%t`.
    pub seconds: i64,
    /// The soft limit of dumps, `%c`.
    pub limit: u64,
    /// The host's name, `%h`.
    pub host: &'a [u8],
    /// The thread's name, `%e`.
    pub name: &'a [u8],
    /// The program's path, `%E`; its last part is `%f`. `None` where it is not known.
    pub program: Option<&'a [u8]>,
}

/// The name is too long, or there is no memory for it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NoName;

/// A name in the making.
struct Name(Vec<u8>);

impl Name {
    fn put(&mut self, bytes: &[u8]) -> Result<(), NoName> {
        if self.0.len() + bytes.len() > LONGEST {
            return Err(NoName);
        }
        self.0.try_reserve(bytes.len()).map_err(|_| NoName)?;
        self.0.extend_from_slice(bytes);
        Ok(())
    }

    fn number(&mut self, number: impl fmt::Display) -> Result<(), NoName> {
        write!(self, "{number}").map_err(|_| NoName)
    }

    /// What a program chose: it can neither lead to another directory nor be empty.
    fn put_foreign(&mut self, bytes: &[u8]) -> Result<(), NoName> {
        match bytes {
            b"" | b"." => return self.put(b"!"),
            b".." => return self.put(b"!."),
            _ => {}
        }
        for &byte in bytes {
            self.put(&[if byte == b'/' { b'!' } else { byte }])?;
        }
        Ok(())
    }
}

impl Write for Name {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.put(text.as_bytes()).map_err(|_| fmt::Error)
    }
}

/// The name that `pattern` makes. With `uses_number` the process's number is appended, unless the pattern has it
/// (`core_uses_pid`).
pub fn expand(pattern: &[u8], uses_number: bool, facts: &Facts<'_>) -> Result<Vec<u8>, NoName> {
    let mut name = Name(Vec::new());
    let mut has_number = false;
    let mut rest = pattern.iter();
    while let Some(&byte) = rest.next() {
        if byte != b'%' {
            name.put(&[byte])?;
            continue;
        }
        let Some(&letter) = rest.next() else { break };
        has_number |= letter == b'p';
        put_fact(&mut name, letter, facts)?;
    }
    if uses_number && !has_number {
        name.put(b".")?;
        name.number(facts.process)?;
    }
    Ok(name.0)
}

/// The program and its arguments that a pattern behind `|` names. It is divided at white space before anything is put
/// in, so what a program is called divides nothing.
pub fn arguments(pattern: &[u8], facts: &Facts<'_>) -> Result<Vec<Vec<u8>>, NoName> {
    let mut arguments = Vec::new();
    let mut left = LONGEST;
    let words = pattern.split(|byte| byte.is_ascii_whitespace() || *byte == 0x0b);
    for word in words.filter(|word| !word.is_empty()) {
        let argument = expand(word, false, facts)?;
        left = left.checked_sub(argument.len() + 1).ok_or(NoName)?;
        arguments.try_reserve(1).map_err(|_| NoName)?;
        arguments.push(argument);
    }
    if arguments.is_empty() { Err(NoName) } else { Ok(arguments) }
}

/// What stands for a letter behind `%`; nothing for an unknown one.
fn put_fact(name: &mut Name, letter: u8, facts: &Facts<'_>) -> Result<(), NoName> {
    match letter {
        b'%' => name.put(b"%"),
        b'p' | b'P' => name.number(facts.process),
        b'i' | b'I' => name.number(facts.thread),
        b'u' => name.number(facts.user),
        b'g' => name.number(facts.group),
        b'd' => name.number(facts.dumpable),
        b's' => name.number(facts.signal),
        b't' => name.number(facts.seconds),
        b'c' => name.number(facts.limit),
        b'h' => name.put_foreign(facts.host),
        b'e' => name.put_foreign(facts.name),
        b'E' | b'f' => put_program(name, letter, facts),
        _ => Ok(()),
    }
}

fn put_program(name: &mut Name, letter: u8, facts: &Facts<'_>) -> Result<(), NoName> {
    let Some(path) = facts.program else {
        name.put_foreign(facts.name)?;
        return name.put(b" (path unknown)");
    };
    let last = path.rsplit(|&byte| byte == b'/').next().unwrap_or_default();
    name.put_foreign(if letter == b'f' { last } else { path })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const FACTS: Facts<'_> = Facts {
        process: 12,
        thread: 34,
        user: 1000,
        group: 100,
        dumpable: 1,
        signal: 11,
        seconds: 1_700_000_000,
        limit: u64::MAX,
        host: b"orlop",
        name: b"a/b",
        program: Some(b"/usr/bin/prog"),
    };

    fn name(pattern: &[u8]) -> Vec<u8> {
        expand(pattern, false, &FACTS).expect("short")
    }

    #[test]
    fn letters_stand_for_facts() {
        assert_eq!(name(b"core.%p-%i-%u-%g-%d-%s"), b"core.12-34-1000-100-1-11");
        assert_eq!(name(b"/tmp/%e.%h.%t"), b"/tmp/a!b.orlop.1700000000");
        assert_eq!(name(b"%E-%f-%c"), b"!usr!bin!prog-prog-18446744073709551615");
        assert_eq!(name(b"100%%%q%"), b"100%");
    }

    #[test]
    fn a_pipe_has_arguments() {
        let facts = Facts { name: b"a b", ..FACTS };
        let made = arguments(b" /bin/take  %p\t'%e x'%q %q", &facts).expect("short");
        assert_eq!(made, [&b"/bin/take"[..], b"12", b"'a b", b"x'", b""]);
        assert_eq!(arguments(b" ", &facts), Err(NoName));
    }

    #[test]
    fn a_number_is_appended_once() {
        assert_eq!(expand(b"core", true, &FACTS), Ok(b"core.12".to_vec()));
        assert_eq!(expand(b"core-%p", true, &FACTS), Ok(b"core-12".to_vec()));
        assert_eq!(expand(b"core-%P", true, &FACTS), Ok(b"core-12.12".to_vec()));
    }

    #[test]
    fn foreign_names_lead_nowhere() {
        for (given, made) in [(&b".."[..], &b"!."[..]), (b".", b"!"), (b"", b"!"), (b"../x", b"..!x")] {
            assert_eq!(expand(b"%e", false, &Facts { name: given, ..FACTS }), Ok(made.to_vec()));
        }
        let unknown = Facts { program: None, ..FACTS };
        assert_eq!(expand(b"%E", false, &unknown), Ok(b"a!b (path unknown)".to_vec()));
    }

    proptest! {
        #[test]
        fn names_are_bounded(pattern in proptest::collection::vec(any::<u8>(), 0..128), path: Vec<u8>) {
            let facts = Facts { program: Some(&path), ..FACTS };
            if let Ok(name) = expand(&pattern, true, &facts) {
                prop_assert!(name.len() <= LONGEST);
            }
        }
    }
}
