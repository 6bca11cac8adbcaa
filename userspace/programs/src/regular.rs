//! Simple regular expressions: `^ $ . * [set]` and backslashes.

use alloc::vec::Vec;

/// What one byte of the text may be.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Class {
    Any,
    Byte(u8),
    Set { ranges: Vec<(u8, u8)>, inverted: bool },
}

impl Class {
    fn holds(&self, byte: u8) -> bool {
        match self {
            Class::Any => true,
            Class::Byte(own) => *own == byte,
            Class::Set { ranges, inverted } => {
                ranges.iter().any(|(low, high)| (*low..=*high).contains(&byte)) != *inverted
            }
        }
    }
}

/// How often a byte may come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Count {
    Once,
    AnyNumber,
}

/// An expression.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expression {
    items: Vec<(Class, Count)>,
    at_start: bool,
    at_end: bool,
}

impl Expression {
    /// Text that stands for itself.
    pub fn literal(text: &[u8]) -> Expression {
        let items = text.iter().map(|&byte| (Class::Byte(byte), Count::Once)).collect();
        Expression { items, at_start: false, at_end: false }
    }

    /// Reads an expression. What is not special where it stands is itself.
    pub fn parse(text: &[u8]) -> Expression {
        let at_start = text.first() == Some(&b'^');
        let mut rest = &text[usize::from(at_start)..];
        let at_end = rest.last() == Some(&b'$') && !rest.ends_with(b"\\$");
        rest = &rest[..rest.len() - usize::from(at_end)];
        let mut items: Vec<(Class, Count)> = Vec::new();
        while let Some((&byte, after)) = rest.split_first() {
            rest = after;
            let class = match byte {
                b'*' if !items.is_empty() => {
                    if let Some(last) = items.last_mut() {
                        last.1 = Count::AnyNumber;
                    }
                    continue;
                }
                b'.' => Class::Any,
                b'\\' if !rest.is_empty() => {
                    let escaped = rest[0];
                    rest = &rest[1..];
                    Class::Byte(escaped)
                }
                b'[' => match parse_set(rest) {
                    Some((set, after)) => {
                        rest = after;
                        set
                    }
                    None => Class::Byte(b'['),
                },
                byte => Class::Byte(byte),
            };
            items.push((class, Count::Once));
        }
        Expression { items, at_start, at_end }
    }

    /// Whether the expression fits somewhere in `text`.
    ///
    /// All positions in the expression are followed at once, so the time is at most the product of the lengths.
    pub fn is_in(&self, text: &[u8]) -> bool {
        let mut states = Vec::from_iter(core::iter::repeat_n(false, self.items.len() + 1));
        self.enter(&mut states, 0);
        for &byte in text {
            if self.accepts(&states) && !self.at_end {
                return true;
            }
            let mut next = Vec::from_iter(core::iter::repeat_n(false, states.len()));
            for (index, (class, count)) in self.items.iter().enumerate() {
                if states[index] && class.holds(byte) {
                    self.enter(&mut next, if *count == Count::AnyNumber { index } else { index + 1 });
                }
            }
            if !self.at_start {
                self.enter(&mut next, 0);
            }
            states = next;
        }
        self.accepts(&states)
    }

    /// Marks a position and those reachable from it by items that may be absent.
    fn enter(&self, states: &mut [bool], mut index: usize) {
        states[index] = true;
        while self.items.get(index).is_some_and(|item| item.1 == Count::AnyNumber) {
            index += 1;
            states[index] = true;
        }
    }

    fn accepts(&self, states: &[bool]) -> bool {
        states.last() == Some(&true)
    }
}

/// The set after `[`, and what follows its `]`.
fn parse_set(text: &[u8]) -> Option<(Class, &[u8])> {
    let inverted = text.first() == Some(&b'^');
    let mut rest = &text[usize::from(inverted)..];
    let mut ranges = Vec::new();
    loop {
        let (&low, after) = rest.split_first()?;
        if low == b']' && !ranges.is_empty() {
            return Some((Class::Set { ranges, inverted }, after));
        }
        match after {
            [b'-', high, ..] if *high != b']' => {
                ranges.push((low, *high));
                rest = &after[2..];
            }
            _ => {
                ranges.push((low, low));
                rest = after;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(expression: &str, text: &str) -> bool {
        Expression::parse(expression.as_bytes()).is_in(text.as_bytes())
    }

    #[test]
    fn everything_special() {
        assert!(check("b.d", "abcde") && check("^a", "abc") && check("c$", "abc") && check("^$", ""));
        assert!(
            check("ab*c", "ac") && check("ab*c", "abbbc") && check("x*", "abc") && check("a.*z", "a...z")
        );
        assert!(
            check("[b-d]x", "cx") && check("[^b-d]x", "ax") && check("[]]", "]") && check("a\\.b", "a.b")
        );
        assert!(
            !check("^b", "abc") && !check("b$", "abc") && !check("a\\.b", "axb") && !check("[^b-d]x", "cx")
        );
        assert!(!check("^a$", "ab") && !check("b.d", "bd"));
    }

    #[test]
    fn what_is_not_special_is_itself() {
        assert!(
            check("*a", "*a")
                && check("[a", "[a")
                && check("a^b", "a^b")
                && check("\\$", "a$")
                && check("a$b", "a$b")
        );
        assert!(Expression::literal(b".*").is_in(b"a.*b") && !Expression::literal(b".*").is_in(b"ab"));
    }

    #[test]
    fn repetition_ends_soon() {
        assert!(!check(&("a*".repeat(30) + "b"), &"a".repeat(2000)));
    }
}
