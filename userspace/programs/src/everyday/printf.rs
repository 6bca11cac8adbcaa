//! `printf FORMAT [ARGUMENTS…]`

use alloc::string::String;
use alloc::vec::Vec;

/// Replaces backslash sequences, where octal numbers may have a zero in front as for `echo`; `true` if `\c` ended the
/// text.
pub fn unescape(text: &[u8]) -> (Vec<u8>, bool) {
    replace_escapes(text, 4)
}

/// The same, where octal numbers that begin with zero have so many digits.
fn replace_escapes(text: &[u8], zero_digits: usize) -> (Vec<u8>, bool) {
    let mut output = Vec::new();
    let mut rest = text;
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        if byte != b'\\' {
            output.push(byte);
            continue;
        }
        let Some((&escape, after)) = rest.split_first() else {
            output.push(b'\\');
            break;
        };
        rest = after;
        match escape {
            b'a' => output.push(7),
            b'b' => output.push(8),
            b'c' => return (output, true),
            b'e' => output.push(0x1b),
            b'f' => output.push(12),
            b'n' => output.push(b'\n'),
            b'r' => output.push(b'\r'),
            b't' => output.push(b'\t'),
            b'v' => output.push(11),
            b'\\' => output.push(b'\\'),
            b'x' => rest = number(rest, 16, 2, &mut output),
            b'0'..=b'7' => {
                let most = if escape == b'0' { zero_digits } else { 3 };
                rest = number(&text[text.len() - rest.len() - 1..], 8, most, &mut output);
            }
            other => output.extend([b'\\', other]),
        }
    }
    (output, false)
}

/// Takes up to `most` digits as one byte; returns what follows.
fn number<'a>(text: &'a [u8], radix: u32, most: usize, output: &mut Vec<u8>) -> &'a [u8] {
    let is_digit = |byte: &&u8| char::from(**byte).is_digit(radix);
    let length = text.iter().take(most).take_while(is_digit).count();
    let value = text[..length]
        .iter()
        .fold(0, |value, &byte| value * radix + char::from(byte).to_digit(radix).unwrap_or(0));
    output.push(value as u8);
    &text[length..]
}

/// A conversion: `%-08.3d` and the like.
struct Conversion {
    left: bool,
    zeros: bool,
    /// What a number that is not negative begins with: `+`, a blank or nothing.
    sign: &'static [u8],
    /// `#`: what tells the base stands in front.
    alternative: bool,
    width: usize,
    precision: Option<usize>,
    kind: u8,
}

/// Widest output of one conversion: beyond it, a mistake is likelier than a wish.
const MAX_WIDTH: usize = 4096;

/// What `printf` prints, with the first argument that was no number, which counts as far as it is one; or what is wrong
/// with the format. That is used again while arguments are left.
pub fn printf(format: &[u8], arguments: &[&[u8]]) -> Result<(Vec<u8>, Option<String>), String> {
    let mut output = Output::default();
    let mut left = arguments;
    loop {
        let before = left.len();
        let end = format_once(format, &mut left, &mut output)?;
        if end || left.is_empty() || left.len() == before {
            return Ok((output.bytes, output.mistake));
        }
    }
}

/// What has been made.
#[derive(Default)]
struct Output {
    bytes: Vec<u8>,
    mistake: Option<String>,
}

/// The next argument; nothing where there is none.
fn next<'a>(arguments: &mut &[&'a [u8]]) -> &'a [u8] {
    let Some((first, others)) = arguments.split_first() else { return b"" };
    *arguments = others;
    first
}

/// Goes through the format once; `true` if `\c` ended it.
fn format_once(format: &[u8], arguments: &mut &[&[u8]], output: &mut Output) -> Result<bool, String> {
    let mut rest = format;
    while let Some(at) = rest.iter().position(|&byte| byte == b'%') {
        let (text, end) = replace_escapes(&rest[..at], 3);
        output.bytes.extend(text);
        if end {
            return Ok(true);
        }
        let (conversion, after) = parse_conversion(&rest[at + 1..], arguments, output)?;
        rest = after;
        if conversion.kind == b'%' {
            output.bytes.push(b'%');
            continue;
        }
        if convert(&conversion, next(arguments), output)? {
            return Ok(true);
        }
    }
    let (text, end) = replace_escapes(rest, 3);
    output.bytes.extend(text);
    Ok(end)
}

fn parse_conversion<'a>(
    text: &'a [u8],
    arguments: &mut &[&[u8]],
    output: &mut Output,
) -> Result<(Conversion, &'a [u8]), String> {
    let mut rest = text;
    let (width, precision) = (0, None);
    let mut conversion =
        Conversion { left: false, zeros: false, sign: b"", alternative: false, width, precision, kind: 0 };
    while let Some((flag @ (b'-' | b'0' | b'+' | b' ' | b'#'), after)) = rest.split_first() {
        match flag {
            b'-' => conversion.left = true,
            b'0' => conversion.zeros = true,
            b'+' => conversion.sign = b"+",
            b' ' if conversion.sign.is_empty() => conversion.sign = b" ",
            b' ' => {}
            _ => conversion.alternative = true,
        }
        rest = after;
    }
    let mut number = |rest: &mut &[u8]| {
        if let Some(after) = rest.strip_prefix(b"*") {
            *rest = after;
            return output.integer(next(arguments));
        }
        let length = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let digits = core::str::from_utf8(&rest[..length]).unwrap_or("");
        *rest = &rest[length..];
        if digits.is_empty() { 0 } else { digits.parse().unwrap_or(i64::MAX) }
    };
    let bounded = |number: i64| MAX_WIDTH.min(usize::try_from(number.unsigned_abs()).unwrap_or(MAX_WIDTH));
    let width = number(&mut rest);
    conversion.left |= width < 0;
    conversion.width = bounded(width);
    if let Some(after) = rest.strip_prefix(b".") {
        rest = after;
        let precision = number(&mut rest);
        conversion.precision = (precision >= 0).then(|| bounded(precision));
    }
    let (&kind, rest) =
        rest.split_first().ok_or_else(|| String::from("printf: format ends in a conversion"))?;
    conversion.kind = kind;
    Ok((conversion, rest))
}

impl Output {
    /// An argument as a number, as far as it is one.
    fn integer(&mut self, argument: &[u8]) -> i64 {
        let (value, is_whole) = parse_integer(argument);
        self.note(argument, is_whole);
        value
    }

    fn real(&mut self, argument: &[u8]) -> f64 {
        let text = core::str::from_utf8(argument.trim_ascii()).unwrap_or("?");
        let value = if text.is_empty() { Ok(0.0) } else { text.parse() };
        self.note(argument, value.is_ok());
        value.unwrap_or(0.0)
    }

    fn note(&mut self, argument: &[u8], is_number: bool) {
        if !is_number {
            let message = || alloc::format!("printf: {}: not a number", argument.escape_ascii());
            self.mistake.get_or_insert_with(message);
        }
    }
}

/// Adds one argument; `true` if `\c` in it ended everything.
fn convert(conversion: &Conversion, argument: &[u8], output: &mut Output) -> Result<bool, String> {
    let mut ended = false;
    let mut text = match conversion.kind {
        b's' => argument.to_vec(),
        b'b' => {
            let (text, end) = unescape(argument);
            ended = end;
            text
        }
        b'c' => argument.iter().take(1).copied().collect(),
        b'e' | b'E' | b'f' | b'F' | b'g' | b'G' => real(conversion, output.real(argument)),
        _ => whole(conversion, output.integer(argument))?,
    };
    let is_whole = matches!(conversion.kind, b'd' | b'i' | b'u' | b'x' | b'X' | b'o');
    let is_text = matches!(conversion.kind, b's' | b'b' | b'c');
    match conversion.precision {
        Some(precision) if is_text => text.truncate(precision),
        Some(precision) if is_whole => pad(&mut text, precision),
        None if is_whole && conversion.zeros && !conversion.left => pad(&mut text, conversion.width),
        _ if !is_text && !is_whole && conversion.zeros && !conversion.left => {
            pad(&mut text, conversion.width)
        }
        _ => {}
    }
    let blanks = conversion.width.saturating_sub(text.len());
    if conversion.left {
        output.bytes.extend(&text);
    }
    output.bytes.extend(core::iter::repeat_n(b' ', blanks));
    if !conversion.left {
        output.bytes.extend(&text);
    }
    Ok(ended)
}

fn whole(conversion: &Conversion, value: i64) -> Result<Vec<u8>, String> {
    let base = |prefix: &'static [u8]| if conversion.alternative { prefix } else { b"" };
    let (prefix, digits) = match conversion.kind {
        b'd' | b'i' if value >= 0 => (conversion.sign, alloc::format!("{value}")),
        b'd' | b'i' => (base(b""), alloc::format!("{value}")),
        b'u' => (base(b""), alloc::format!("{}", value.cast_unsigned())),
        b'x' => (base(b"0x"), alloc::format!("{value:x}")),
        b'X' => (base(b"0X"), alloc::format!("{value:X}")),
        b'o' => (base(b"0"), alloc::format!("{value:o}")),
        other => {
            return Err(alloc::format!("printf: unknown conversion %{}", char::from(other).escape_default()));
        }
    };
    Ok([prefix, digits.as_bytes()].concat())
}

/// A real number as C writes it.
fn real(conversion: &Conversion, value: f64) -> Vec<u8> {
    let precision = conversion.precision.unwrap_or(6);
    let text = match conversion.kind.to_ascii_lowercase() {
        _ if !value.is_finite() => alloc::format!("{value}").to_ascii_lowercase(),
        b'f' => alloc::format!("{value:.precision$}"),
        b'e' => exponential(value, precision),
        _ => {
            let precision = precision.max(1);
            let shown = exponential(value, precision - 1);
            let exponent: i64 = shown.split_once('e').and_then(|(_, power)| power.parse().ok()).unwrap_or(0);
            let text = if exponent < -4 || exponent >= precision as i64 {
                shown
            } else {
                alloc::format!("{value:.*}", (precision as i64 - 1 - exponent) as usize)
            };
            if conversion.alternative { text } else { without_zeros(&text) }
        }
    };
    let text = if conversion.kind.is_ascii_uppercase() { text.to_ascii_uppercase() } else { text };
    if value.is_sign_negative() { text.into_bytes() } else { [conversion.sign, text.as_bytes()].concat() }
}

/// `d.ddde+dd`
fn exponential(value: f64, precision: usize) -> String {
    let text = alloc::format!("{value:.precision$e}");
    let (digits, power) = text.split_once('e').unwrap_or((&text, "0"));
    let (sign, power) = power.strip_prefix('-').map_or(('+', power), |power| ('-', power));
    alloc::format!("{digits}e{sign}{power:0>2}")
}

/// `%g` writes no zeros at the end of a fraction.
fn without_zeros(text: &str) -> String {
    let (digits, power) = text.split_at(text.find('e').unwrap_or(text.len()));
    let digits =
        if digits.contains('.') { digits.trim_end_matches('0').trim_end_matches('.') } else { digits };
    alloc::format!("{digits}{power}")
}

/// Fills a number up to `width`, behind its sign.
fn pad(text: &mut Vec<u8>, width: usize) {
    let at = usize::from(matches!(text.first(), Some(b'-' | b'+' | b' ')));
    let missing = width.saturating_sub(text.len());
    text.splice(at..at, core::iter::repeat_n(b'0', missing));
}

/// A decimal, octal or hexadecimal integer, or the code of a character behind a quote; nothing is 0. Of other text what
/// it begins with counts, and it is said that it is no number.
fn parse_integer(argument: &[u8]) -> (i64, bool) {
    if let [b'\'' | b'"', byte, ..] = argument {
        return (i64::from(*byte), true);
    }
    let text = argument.trim_ascii_start();
    let (is_negative, digits) = match text {
        [b'-', digits @ ..] => (true, digits),
        [b'+', digits @ ..] => (false, digits),
        digits => (false, digits),
    };
    let (radix, digits) = match digits {
        [b'0', b'x' | b'X', digits @ ..] => (16, digits),
        [b'0', digits @ ..] if !digits.is_empty() => (8, digits),
        digits => (10, digits),
    };
    let length = digits.iter().take_while(|byte| char::from(**byte).is_digit(radix)).count();
    let value = digits[..length].iter().try_fold(0_u64, |value, byte| {
        value.checked_mul(radix.into())?.checked_add(char::from(*byte).to_digit(radix)?.into())
    });
    let is_whole = value.is_some() && length == digits.len() && (length > 0 || argument.is_empty());
    let value = value.unwrap_or(i64::MAX as u64).cast_signed();
    (if is_negative { value.wrapping_neg() } else { value }, is_whole)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(format: &str, arguments: &[&str]) -> String {
        let arguments: Vec<&[u8]> = arguments.iter().map(|argument| argument.as_bytes()).collect();
        String::from_utf8(printf(format.as_bytes(), &arguments).unwrap().0).unwrap()
    }

    #[test]
    fn conversions() {
        assert_eq!(check("%s-%5s-%-5s|%.2s\\n", &["a", "b", "c", "def"]), "a-    b-c    |de\n");
        assert_eq!(check("%d %05d %x %o %c %%", &["42", "-42", "255", "8", "xyz"]), "42 -0042 ff 10 x %");
        assert_eq!(check("%i %d %d", &["0x10", "'A", ""]), "16 65 0");
    }

    #[test]
    fn flags_and_widths() {
        assert_eq!(
            check("%+d|% d|%#x|%#o|%*d|%-*d|%.3d", &["5", "6", "255", "8", "4", "1", "3", "2", "7"]),
            "+5| 6|0xff|010|   1|2  |007"
        );
        assert_eq!(check("%.*s|%08.2f|%5c", &["2", "abc", "-3.14159", "x"]), "ab|-0003.14|    x");
    }

    #[test]
    fn real_numbers() {
        assert_eq!(
            check("%e %f %g %g %G", &["1.5", "2.25", "3.125", "1e-7", "1e30"]),
            "1.500000e+00 2.250000 3.125 1e-07 1E+30"
        );
        assert_eq!(check("%.0f %g %g %.3e", &["2.5", "100000", "1000000", "0"]), "2 100000 1e+06 0.000e+00");
    }

    #[test]
    fn the_format_is_used_again() {
        assert_eq!(check("%s,", &["a", "b", "c"]), "a,b,c,");
        assert_eq!(check("x", &["a", "b"]), "x");
        assert_eq!(check("%s %s;", &["a", "b", "c"]), "a b;c ;");
    }

    #[test]
    fn escapes() {
        assert_eq!(check("a\\tb\\101\\x42\\\\", &[]), "a\tbAB\\");
        assert_eq!(check("a\\cb", &[]), "a");
        assert_eq!(check("%b", &["x\\ny"]), "x\ny");
    }

    #[test]
    fn mistakes_are_errors() {
        assert!(printf(b"%y", &[]).is_err() && printf(b"%", &[]).is_err());
        assert_eq!(check("%99999999999999999999d", &["1"]).len(), MAX_WIDTH);
        let (output, mistake) = printf(b"%d %d\n", &[b"12x", b"y"]).unwrap();
        assert_eq!(output, b"12 0\n");
        assert!(mistake.is_some_and(|mistake| mistake.contains("12x")));
    }
}
