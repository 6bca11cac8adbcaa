//! `read`: a line of input, split into variables.

use crate::execute::{Leave, Outcome};
use crate::state::Shell;
use alloc::vec::Vec;
use programs::shell::arithmetic::Variables;
use programs::shell::pattern::Glyph;
use programs::shell::syntax::Quoting;
use ulib::libsyscall::file;
use ulib::{Errno, eprint, io};

/// `read [-r] [-p PROMPT] NAMES…`: one line, split at `IFS`; the last name gets the rest. Without `-r` a backslash
/// protects what follows it, and joins lines.
pub fn read(shell: &mut Shell, arguments: &[Vec<u8>]) -> Outcome {
    let (mut is_raw, mut words) = (false, &arguments[1..]);
    while let Some((option, rest)) = words.split_first().filter(|(word, _)| word.starts_with(b"-")) {
        words = rest;
        match option.as_slice() {
            b"-r" => is_raw = true,
            b"-p" => {
                let Some((prompt, rest)) = words.split_first() else { break };
                eprint!("{}", alloc::string::String::from_utf8_lossy(prompt));
                words = rest;
            }
            b"--" => break,
            _ => return Err(shell.fault(2, format_args!("read: {}: unknown", option.escape_ascii()))),
        }
    }
    if words.is_empty() {
        return Ok(shell.fail(2, format_args!("read: variable expected")));
    }
    let (line, status) = read_line(shell, is_raw)?;
    split(shell, &line, words)?;
    Ok(status)
}

/// The bytes of a line, those that a backslash protected marked as quoted.
fn read_line(shell: &Shell, is_raw: bool) -> Result<(Vec<Glyph>, u8), Leave> {
    let mut line = Vec::new();
    let mut is_escaped = false;
    let mut byte = [0];
    loop {
        match file::read(io::STDIN, &mut byte) {
            Ok(0) => return Ok((line, 1)),
            Ok(_) if is_escaped => {
                is_escaped = false;
                if byte[0] != b'\n' {
                    line.push((byte[0], Quoting::Quoted));
                }
            }
            Ok(_) if byte[0] == b'\n' => return Ok((line, 0)),
            Ok(_) if byte[0] == b'\\' && !is_raw => is_escaped = true,
            Ok(_) => line.push((byte[0], Quoting::Bare)),
            Err(_) if shell.takes_interrupt() => return Err(Leave::Interrupt),
            Err(Errno::EINTR) if shell.due_trap().is_none() => {}
            Err(error) => return Ok((line, shell.fail(1, format_args!("read: {}", error.message())))),
        }
    }
}

fn split(shell: &mut Shell, line: &[Glyph], names: &[Vec<u8>]) -> Result<(), Leave> {
    let separators = shell.get(b"IFS").unwrap_or_else(|| b" \t\n".to_vec());
    let separates = |glyph: &Glyph| glyph.1 == Quoting::Bare && separators.contains(&glyph.0);
    let is_blank = |glyph: &Glyph| separates(glyph) && glyph.0.is_ascii_whitespace();
    let blanks = |text: &[Glyph]| text.iter().take_while(|glyph| is_blank(glyph)).count();
    let mut rest = &line[blanks(line)..];
    for (index, name) in names.iter().enumerate() {
        let is_last = index + 1 == names.len();
        let mut end = rest.iter().position(separates).unwrap_or(rest.len());
        // Blanks around one other separator belong to it.
        let mut next = end + blanks(&rest[end..]);
        next += usize::from(rest.get(next).is_some_and(|glyph| separates(glyph) && !is_blank(glyph)));
        next += blanks(&rest[next..]);
        if is_last && next < rest.len() {
            let trailing = rest.iter().rev().take_while(|glyph| is_blank(glyph)).count();
            (end, next) = (rest.len() - trailing, rest.len());
        }
        shell.set_variable(name, rest[..end].iter().map(|glyph| glyph.0).collect())?;
        rest = &rest[next..];
    }
    Ok(())
}
