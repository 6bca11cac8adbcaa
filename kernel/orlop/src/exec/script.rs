//! The first line of a script: `#!interpreter argument`.
//!
//! Pure. Linux looks at the first 256 bytes only and passes everything behind the interpreter's path as one
//! argument (`fs/binfmt_script.c`, execve(2) "Interpreter scripts").

/// How much of a file is looked at.
pub const HEAD_SIZE: usize = 256;

/// What the first line says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Interpreter<'a> {
    /// Path of the interpreter.
    pub path: &'a [u8],
    /// The one argument, if there is any.
    pub argument: Option<&'a [u8]>,
}

/// Whether a file is a script.
pub fn is_script(head: &[u8]) -> bool {
    head.starts_with(b"#!")
}

/// Reads the line from the first bytes of a file, at most [`HEAD_SIZE`]; `None` where it names no interpreter or the
/// path may be cut off.
pub fn parse(head: &[u8]) -> Option<Interpreter<'_>> {
    let line = head.strip_prefix(b"#!")?;
    let line = match line.iter().position(|byte| *byte == b'\n') {
        Some(end) => line.get(..end)?,
        None if is_cut_off(head, line) => return None,
        None => line,
    };
    let line = line.split(|byte| *byte == 0).next()?;
    let line = trim(line);
    let end = line.iter().position(|byte| is_blank(*byte)).unwrap_or(line.len());
    let (path, rest) = line.split_at(end);
    let argument = trim(rest);
    if path.is_empty() {
        return None;
    }
    Some(Interpreter { path, argument: (!argument.is_empty()).then_some(argument) })
}

/// Without an end of line, the path is whole only if something ends it in what was read.
fn is_cut_off(head: &[u8], line: &[u8]) -> bool {
    let ends = |byte: &u8| is_blank(*byte) || *byte == 0;
    let path = line.iter().skip_while(|byte| is_blank(**byte));
    head.len() >= HEAD_SIZE && !path.clone().any(ends)
}

fn is_blank(byte: u8) -> bool {
    byte == b' ' || byte == b'\t'
}

fn trim(bytes: &[u8]) -> &[u8] {
    let start = bytes.iter().position(|byte| !is_blank(*byte)).unwrap_or(bytes.len());
    let end = bytes.iter().rposition(|byte| !is_blank(*byte)).map_or(start, |last| last + 1);
    bytes.get(start..end).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(head: &[u8]) -> Option<(&[u8], Option<&[u8]>)> {
        parse(head).map(|interpreter| (interpreter.path, interpreter.argument))
    }

    #[test]
    fn everything_behind_the_path_is_one_argument() {
        assert_eq!(parsed(b"#!/bin/sh\necho"), Some((&b"/bin/sh"[..], None)));
        assert_eq!(parsed(b"#! \t/bin/awk -f  x \t\n"), Some((&b"/bin/awk"[..], Some(&b"-f  x"[..]))));
        assert_eq!(parsed(b"#!/bin/sh"), Some((&b"/bin/sh"[..], None)));
    }

    #[test]
    fn a_line_without_a_path_names_nothing() {
        assert_eq!(parsed(b"#!\n"), None);
        assert_eq!(parsed(b"#!   \t\nx"), None);
        assert_eq!(parsed(b"x"), None);
    }

    #[test]
    fn a_path_that_may_be_cut_off_is_refused() {
        let mut head = [b'a'; HEAD_SIZE];
        head[..2].copy_from_slice(b"#!");
        assert_eq!(parsed(&head), None);
        head[200] = b' ';
        assert!(parsed(&head).is_some());
    }
}
