//! Patterns: `*`, `?`, `[…]`.

use super::syntax::Quoting;
use alloc::vec::Vec;

/// A byte of a pattern; a quoted one stands for itself.
pub type Glyph = (u8, Quoting);

/// Whether a pattern has anything special in it.
pub fn is_special(pattern: &[Glyph]) -> bool {
    pattern.iter().any(|glyph| matches!(glyph, (b'*' | b'?' | b'[', Quoting::Bare)))
}

/// The bytes of a pattern, taken as plain text.
pub fn to_bytes(pattern: &[Glyph]) -> Vec<u8> {
    pattern.iter().map(|glyph| glyph.0).collect()
}

/// Whether `text` as a whole is what `pattern` describes.
///
/// Of several stars only the last can need another try, so the time is at most the product of the lengths.
pub fn matches(pattern: &[Glyph], text: &[u8]) -> bool {
    let (mut at, mut position) = (0, 0);
    let mut retry = None;
    loop {
        if let Some((b'*', Quoting::Bare)) = pattern.get(at) {
            retry = Some((at + 1, position));
            at += 1;
            continue;
        }
        if position == text.len() && at == pattern.len() {
            return true;
        }
        if let Some(length) = text.get(position).and_then(|&byte| match_one(&pattern[at..], byte)) {
            at += length;
            position += 1;
            continue;
        }
        match retry {
            Some((after_star, start)) if start < text.len() => {
                retry = Some((after_star, start + 1));
                (at, position) = (after_star, start + 1);
            }
            _ => return false,
        }
    }
}

/// How many glyphs of `pattern` describe `byte`, if they do.
fn match_one(pattern: &[Glyph], byte: u8) -> Option<usize> {
    match *pattern.first()? {
        (b'?', Quoting::Bare) => Some(1),
        (b'[', Quoting::Bare) => match match_set(&pattern[1..], byte) {
            Some((true, length)) => Some(length + 1),
            Some((false, _)) => None,
            None => (byte == b'[').then_some(1),
        },
        (literal, _) => (literal == byte).then_some(1),
    }
}

/// Whether the set after `[` holds `byte`, and the set's length with its `]`; `None` if it is not a set.
fn match_set(set: &[Glyph], byte: u8) -> Option<(bool, usize)> {
    let inverted = matches!(set.first(), Some((b'!' | b'^', Quoting::Bare)));
    let first = usize::from(inverted);
    let mut at = first;
    let mut found = false;
    loop {
        let (low, quoting) = *set.get(at)?;
        if low == b']' && quoting == Quoting::Bare && at > first {
            return Some((found != inverted, at + 1));
        }
        if let Some((holds, length)) = match_class(&set[at..], byte) {
            found |= holds;
            at += length;
            continue;
        }
        match (set.get(at + 1), set.get(at + 2)) {
            (Some((b'-', Quoting::Bare)), Some(&(high, quoting)))
                if (high, quoting) != (b']', Quoting::Bare) =>
            {
                found |= (low..=high).contains(&byte);
                at += 3;
            }
            _ => {
                found |= low == byte;
                at += 1;
            }
        }
    }
}

/// Whether `[:name:]` at the start of a set's rest holds `byte`, and its length; `None` where no class stands.
fn match_class(set: &[Glyph], byte: u8) -> Option<(bool, usize)> {
    if !matches!(set, [(b'[', Quoting::Bare), (b':', _), ..]) {
        return None;
    }
    let length = set[2..].windows(2).position(|pair| matches!(pair, [(b':', _), (b']', _)]))?;
    let name = to_bytes(&set[2..2 + length]);
    let holds = match name.as_slice() {
        b"alnum" => byte.is_ascii_alphanumeric(),
        b"alpha" => byte.is_ascii_alphabetic(),
        b"blank" => matches!(byte, b' ' | b'\t'),
        b"cntrl" => byte.is_ascii_control(),
        b"digit" => byte.is_ascii_digit(),
        b"graph" => byte.is_ascii_graphic(),
        b"lower" => byte.is_ascii_lowercase(),
        b"print" => byte.is_ascii_graphic() || byte == b' ',
        b"punct" => byte.is_ascii_punctuation(),
        b"space" => byte.is_ascii_whitespace() || byte == 0x0b,
        b"upper" => byte.is_ascii_uppercase(),
        b"xdigit" => byte.is_ascii_hexdigit(),
        _ => return None,
    };
    Some((holds, length + 4))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(pattern: &str, text: &str) -> bool {
        let pattern: Vec<Glyph> = pattern.bytes().map(|byte| (byte, Quoting::Bare)).collect();
        matches(&pattern, text.as_bytes())
    }

    #[test]
    fn stars_and_question_marks() {
        assert!(check("*", "") && check("*", "abc") && check("a*c", "abbc") && check("a?c", "abc"));
        assert!(check("*.rs", "main.rs") && check("*a*b*", "xaxbx") && check("", ""));
        assert!(!check("a?c", "ac") && !check("*.rs", "main.c") && !check("a", "ab") && !check("", "a"));
    }

    #[test]
    fn sets() {
        assert!(check("[abc]x", "bx") && check("[a-c]", "b") && check("[!a-c]", "d") && check("[]]", "]"));
        assert!(!check("[a-c]", "d") && !check("[!a-c]", "b"));
        assert!(check("[a-]", "-") && check("[", "[") && check("[ab", "[ab"));
    }

    #[test]
    fn classes() {
        assert!(check("[[:digit:]]", "5") && check("[x[:alpha:]_]*", "_a") && check("[![:space:]]", "a"));
        assert!(!check("[[:digit:]]", "a") && !check("[![:upper:]]", "A") && check("[[:none:]", ":"));
    }

    #[test]
    fn quoted_glyphs_are_plain() {
        assert!(matches(&[(b'*', Quoting::Quoted)], b"*") && !matches(&[(b'*', Quoting::Quoted)], b"a"));
    }

    #[test]
    fn many_stars_end_soon() {
        assert!(!check(&"a*".repeat(40), &"a".repeat(39)));
        assert!(check(&"a*".repeat(40), &"a".repeat(400)));
    }
}
