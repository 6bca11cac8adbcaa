//! `echo [-n] [-e] WORDS…`

use super::printf::unescape;
use alloc::vec::Vec;

/// What `echo` prints for its arguments.
pub fn echo(arguments: &[&[u8]]) -> Vec<u8> {
    let (mut newline, mut escapes) = (true, false);
    let mut words = arguments;
    while let Some((option, rest)) = words.split_first() {
        match *option {
            b"-n" => newline = false,
            b"-e" => escapes = true,
            b"-ne" | b"-en" => (newline, escapes) = (false, true),
            _ => break,
        }
        words = rest;
    }
    let mut output = words.join(&b' ');
    if escapes {
        let (text, end) = unescape(&output);
        output = text;
        newline &= !end;
    }
    if newline {
        output.push(b'\n');
    }
    output
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_options_and_escapes() {
        assert_eq!(echo(&[]), b"\n");
        assert_eq!(echo(&[b"a", b"b  c"]), b"a b  c\n");
        assert_eq!(echo(&[b"-n", b"a"]), b"a");
        assert_eq!(echo(&[b"-x", b"a\\n"]), b"-x a\\n\n");
        assert_eq!(echo(&[b"-e", b"a\\tb\\c", b"d"]), b"a\tb");
    }
}
