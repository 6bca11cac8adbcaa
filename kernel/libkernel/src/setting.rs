//! What is written to a setting: numbers and words, read as Linux reads them (`kernel/sysctl.c`).

/// The bytes make no number, or none that is allowed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Invalid;

/// Linux copies no longer number (`TMPBUFLEN - 1`).
const LONGEST: usize = 21;

fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t'..=b'\r')
}

fn skip_spaces(bytes: &[u8]) -> &[u8] {
    let count = bytes.iter().take_while(|&&byte| is_space(byte)).count();
    bytes.get(count..).unwrap_or_default()
}

/// The base that a number's first digits tell, as C reads them, and the digits behind that.
fn base_of(bytes: &[u8]) -> (u32, &[u8]) {
    match bytes {
        [b'0', b'x' | b'X', rest @ ..] if rest.first().is_some_and(u8::is_ascii_hexdigit) => (16, rest),
        [b'0', ..] => (8, bytes),
        _ => (10, bytes),
    }
}

/// The number that the bytes begin with, and what follows it: a blank or nothing.
fn number(bytes: &[u8]) -> Result<(i128, &[u8]), Invalid> {
    let is_negative = bytes.len() > 1 && bytes.first() == Some(&b'-');
    let digits = bytes.get(usize::from(is_negative)..).unwrap_or_default();
    if !digits.first().is_some_and(u8::is_ascii_digit) {
        return Err(Invalid);
    }
    let (base, digits) = base_of(digits);
    let length = digits.iter().take_while(|&&digit| char::from(digit).is_digit(base)).count();
    let rest = digits.get(length..).unwrap_or_default();
    if bytes.len() - rest.len() >= LONGEST {
        return Err(Invalid);
    }
    if rest.first().is_some_and(|byte| !matches!(byte, b' ' | b'\t' | b'\n')) {
        return Err(Invalid);
    }
    let text = digits.get(..length).and_then(|digits| core::str::from_utf8(digits).ok()).unwrap_or_default();
    let value = u64::from_str_radix(text, base).map_err(|_| Invalid)?;
    Ok((if is_negative { -i128::from(value) } else { i128::from(value) }, rest))
}

/// Hands up to `count` numbers to `store`, each with its place, until one is refused; returns how many bytes were used.
/// What follows the last number is left, as Linux leaves it. Numbers before a bad one stay stored; without any the
/// bytes are invalid.
pub fn numbers(
    bytes: &[u8],
    count: usize,
    mut store: impl FnMut(usize, i128) -> Result<(), Invalid>,
) -> Result<usize, Invalid> {
    let mut rest = bytes;
    for index in 0..count {
        rest = skip_spaces(rest);
        if rest.is_empty() && index > 0 {
            break;
        }
        let (value, after) = number(rest)?;
        store(index, value)?;
        rest = after;
    }
    Ok(bytes.len() - skip_spaces(rest).len())
}

/// The word that a write at `position` makes of `old`: up to a line feed or zero, cut at `most` bytes, behind what
/// stands before the position. `None` if that lies behind the end: nothing changes then.
pub fn word<'a>(old: &'a [u8], position: u64, bytes: &'a [u8], most: usize) -> Option<[&'a [u8]; 2]> {
    let kept = old.get(..usize::try_from(position).ok()?)?;
    let new = bytes.split(|&byte| matches!(byte, 0 | b'\n')).next().unwrap_or_default();
    let room = most.saturating_sub(kept.len());
    Some([kept, new.get(..room).unwrap_or(new)])
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    fn read(bytes: &[u8], count: usize) -> Result<(usize, Vec<i128>), Invalid> {
        let mut values = Vec::new();
        let used = numbers(bytes, count, |_, value| {
            values.push(value);
            Ok(())
        })?;
        Ok((used, values))
    }

    #[test]
    fn numbers_are_read_as_linux_reads_them() {
        for (text, used, value) in [
            (&b"40000"[..], 5, 40000),
            (b"40000\n", 6, 40000),
            (b" \t12 \n", 6, 12),
            (b"0x1F", 4, 31),
            (b"010", 3, 8),
            (b"0", 1, 0),
            (b"-1\n", 3, -1),
            (b"12 abc", 3, 12),
        ] {
            assert_eq!(read(text, 1), Ok((used, alloc::vec![value])), "{text:?}");
        }
        for text in [&b"abc"[..], b"", b"\n", b"12a", b"-", b"--1", b"0xg", b"08", b"123456789012345678901"] {
            assert_eq!(read(text, 1), Err(Invalid), "{text:?}");
        }
    }

    #[test]
    fn several_numbers_are_taken_as_far_as_they_go() {
        assert_eq!(read(b"1 2\t3\n", 4), Ok((6, alloc::vec![1, 2, 3])));
        assert_eq!(read(b"1 2 3 4", 2), Ok((4, alloc::vec![1, 2])));
        assert_eq!(read(b"1 x", 2), Err(Invalid));
        assert_eq!(numbers(b"5", 1, |_, _| Err(Invalid)), Err(Invalid));
    }

    #[test]
    fn words_end_with_the_line() {
        assert_eq!(word(b"old", 0, b"new\nrest", 8), Some([&b""[..], b"new"]));
        assert_eq!(word(b"old", 2, b"d age", 64), Some([&b"ol"[..], b"d age"]));
        assert_eq!(word(b"old", 4, b"x", 64), None);
        assert_eq!(word(b"", 0, b"abcdef", 4), Some([&b""[..], b"abcd"]));
    }
}
