//! `printf FORMAT [ARGUMENTS…]`

use alloc::string::String;
use alloc::vec::Vec;

/// Replaces backslash sequences; `true` if `\c` ended the text.
pub fn unescape(text: &[u8]) -> (Vec<u8>, bool) {
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
            b'0'..=b'7' => rest = number(&text[text.len() - rest.len() - 1..], 8, 4, &mut output),
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
    width: usize,
    precision: Option<usize>,
    kind: u8,
}

/// Widest output of one conversion: beyond it, a mistake is likelier than a wish.
const MAX_WIDTH: usize = 4096;

/// What `printf` prints, or what is wrong with its arguments. The format is used again while arguments are left.
pub fn printf(format: &[u8], arguments: &[&[u8]]) -> Result<Vec<u8>, String> {
    let mut output = Vec::new();
    let mut left = arguments;
    loop {
        let before = left.len();
        let end = format_once(format, &mut left, &mut output)?;
        if end || left.is_empty() || left.len() == before {
            return Ok(output);
        }
    }
}

/// Goes through the format once; `true` if `\c` ended it.
fn format_once(format: &[u8], arguments: &mut &[&[u8]], output: &mut Vec<u8>) -> Result<bool, String> {
    let mut rest = format;
    while let Some(at) = rest.iter().position(|&byte| byte == b'%') {
        let (text, end) = unescape(&rest[..at]);
        output.extend(text);
        if end {
            return Ok(true);
        }
        let (conversion, after) = parse_conversion(&rest[at + 1..])?;
        rest = after;
        if conversion.kind == b'%' {
            output.push(b'%');
            continue;
        }
        let argument = match arguments.split_first() {
            Some((first, others)) => {
                *arguments = others;
                *first
            }
            None => b"",
        };
        convert(&conversion, argument, output)?;
    }
    let (text, end) = unescape(rest);
    output.extend(text);
    Ok(end)
}

fn parse_conversion(text: &[u8]) -> Result<(Conversion, &[u8]), String> {
    let mut rest = text;
    let mut conversion = Conversion { left: false, zeros: false, width: 0, precision: None, kind: 0 };
    while let Some((flag @ (b'-' | b'0'), after)) = rest.split_first() {
        conversion.left |= *flag == b'-';
        conversion.zeros |= *flag == b'0';
        rest = after;
    }
    let digits = |rest: &mut &[u8]| {
        let length = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let value =
            core::str::from_utf8(&rest[..length]).ok().and_then(|text| text.parse().ok()).unwrap_or(0);
        *rest = &rest[length..];
        MAX_WIDTH.min(value)
    };
    conversion.width = digits(&mut rest);
    if let Some(after) = rest.strip_prefix(b".") {
        rest = after;
        conversion.precision = Some(digits(&mut rest));
    }
    let (&kind, rest) =
        rest.split_first().ok_or_else(|| String::from("printf: format ends in a conversion"))?;
    conversion.kind = kind;
    Ok((conversion, rest))
}

fn convert(conversion: &Conversion, argument: &[u8], output: &mut Vec<u8>) -> Result<(), String> {
    let mut text = match conversion.kind {
        b's' => argument.to_vec(),
        b'b' => unescape(argument).0,
        b'c' => argument.iter().take(1).copied().collect(),
        b'd' | b'i' => alloc::format!("{}", parse_integer(argument)?).into_bytes(),
        b'u' => alloc::format!("{}", parse_integer(argument)? as u64).into_bytes(),
        b'x' => alloc::format!("{:x}", parse_integer(argument)?).into_bytes(),
        b'X' => alloc::format!("{:X}", parse_integer(argument)?).into_bytes(),
        b'o' => alloc::format!("{:o}", parse_integer(argument)?).into_bytes(),
        other => {
            return Err(alloc::format!("printf: unknown conversion %{}", char::from(other).escape_default()));
        }
    };
    let numeric = !matches!(conversion.kind, b's' | b'b' | b'c');
    match conversion.precision {
        Some(precision) if !numeric => text.truncate(precision),
        Some(precision) => pad(&mut text, precision, b'0'),
        None if numeric && conversion.zeros && !conversion.left => pad(&mut text, conversion.width, b'0'),
        None => {}
    }
    let blanks = conversion.width.saturating_sub(text.len());
    if conversion.left {
        output.extend(&text);
    }
    output.extend(core::iter::repeat_n(b' ', blanks));
    if !conversion.left {
        output.extend(&text);
    }
    Ok(())
}

/// Fills a number up to `width`, behind its sign.
fn pad(text: &mut Vec<u8>, width: usize, fill: u8) {
    let at = usize::from(text.first() == Some(&b'-'));
    let missing = width.saturating_sub(text.len());
    text.splice(at..at, core::iter::repeat_n(fill, missing));
}

/// A decimal, octal or hexadecimal integer, or the code of a character behind a quote; nothing is 0.
fn parse_integer(argument: &[u8]) -> Result<i64, String> {
    if let [b'\'' | b'"', byte, ..] = argument {
        return Ok(i64::from(*byte));
    }
    let text = core::str::from_utf8(argument.trim_ascii()).unwrap_or("?");
    let (sign, digits) = text.strip_prefix('-').map_or((1, text), |digits| (-1, digits));
    let value = if digits.is_empty() {
        Ok(0)
    } else if let Some(digits) = digits.strip_prefix("0x") {
        i64::from_str_radix(digits, 16)
    } else if digits.len() > 1 && digits.starts_with('0') {
        i64::from_str_radix(digits, 8)
    } else {
        digits.parse()
    };
    value.map(|value| sign * value).map_err(|_| alloc::format!("printf: {text}: not a number"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(format: &str, arguments: &[&str]) -> String {
        let arguments: Vec<&[u8]> = arguments.iter().map(|argument| argument.as_bytes()).collect();
        String::from_utf8(printf(format.as_bytes(), &arguments).unwrap()).unwrap()
    }

    #[test]
    fn conversions() {
        assert_eq!(check("%s-%5s-%-5s|%.2s\\n", &["a", "b", "c", "def"]), "a-    b-c    |de\n");
        assert_eq!(check("%d %05d %x %o %c %%", &["42", "-42", "255", "8", "xyz"]), "42 -0042 ff 10 x %");
        assert_eq!(check("%i %d %d", &["0x10", "'A", ""]), "16 65 0");
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
        assert!(printf(b"%d", &[b"x"]).is_err() && printf(b"%y", &[]).is_err() && printf(b"%", &[]).is_err());
        assert_eq!(check("%99999999999999999999d", &["1"]).len(), 1);
    }
}
