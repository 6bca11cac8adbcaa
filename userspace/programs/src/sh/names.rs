//! What a name stands for where a command begins: `command`, `type`, `hash`.

use crate::builtins::{self, names, print};
use crate::execute::Outcome;
use crate::simple::quoted_always;
use crate::state::Shell;
use alloc::vec::Vec;
use ulib::{io, println};

/// The words of the language.
const KEYWORDS: &[&[u8]] = &[
    b"!", b"{", b"}", b"case", b"do", b"done", b"elif", b"else", b"esac", b"fi", b"for", b"if", b"in",
    b"then", b"until", b"while",
];

/// `command NAME …` runs a builtin or a program, and no function; `command -v NAMES` says what names stand for.
pub fn command(shell: &mut Shell, arguments: &[Vec<u8>]) -> Outcome {
    match arguments.get(1).map(Vec::as_slice) {
        None => Ok(0),
        Some(b"-v") => {
            let mut status = 0;
            for name in &arguments[2..] {
                if let Some(value) = shell.aliases.get(name) {
                    io::stdout().write(&[b"alias ", &name[..], b"=", &quoted_always(value), b"\n"].concat());
                    continue;
                }
                let is_own = shell.functions.contains_key(name)
                    || names().contains(&name.as_slice())
                    || KEYWORDS.contains(&name.as_slice());
                match if is_own { Some(name.clone()) } else { shell.find_program(name) } {
                    Some(path) => io::stdout().write(&[&path, &b"\n"[..]].concat()),
                    None => status = 127,
                }
            }
            print(b"")?;
            Ok(status)
        }
        Some(b"-V") => describe(shell, &arguments[1..]),
        Some(b"-p" | b"--") => shell.run_without_functions(&arguments[2..]),
        Some(option) if option.starts_with(b"-") => {
            Err(shell
                .fault(2, format_args!("command: {}: this shell does not have it", option.escape_ascii())))
        }
        Some(_) => shell.run_without_functions(&arguments[1..]),
    }
}

/// `type NAMES…`: what names stand for, in words.
pub fn describe(shell: &mut Shell, arguments: &[Vec<u8>]) -> Outcome {
    let mut status = 0;
    for name in &arguments[1..] {
        let shown = name.escape_ascii();
        if KEYWORDS.contains(&name.as_slice()) {
            println!("{shown} is a shell keyword");
        } else if let Some(value) = shell.aliases.get(name) {
            println!("{shown} is an alias for {}", value.escape_ascii());
        } else if shell.functions.contains_key(name) {
            println!("{shown} is a shell function");
        } else if builtins::find(name).is_some() || name == b"exec" {
            println!("{shown} is a shell builtin");
        } else if let Some(path) = shell.find_program(name) {
            println!("{shown} is {}", path.escape_ascii());
        } else {
            status = shell.fail(127, format_args!("type: {shown}: not found"));
        }
    }
    print(b"")?;
    Ok(status)
}

/// `hash [-r] [NAMES…]`: where programs are is looked for anew each time, so there is only to say whether they are.
pub fn hash(shell: &mut Shell, arguments: &[Vec<u8>]) -> Outcome {
    let mut status = 0;
    for name in arguments[1..].iter().filter(|name| *name != b"-r") {
        let is_own = shell.functions.contains_key(name) || builtins::find(name).is_some();
        if !is_own && shell.find_program(name).is_none() {
            status = shell.fail(1, format_args!("hash: {}: not found", name.escape_ascii()));
        }
    }
    Ok(status)
}
