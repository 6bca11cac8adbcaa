//! The kernel's command line: words, quotes, `--`, and what of it is for init. The rules are Linux's.
//!
//! Words are separated by white space outside double quotes. `name=value` is an option; quotes around the value or the
//! whole word are dropped. Options that the kernel does not know become init's environment, other words its arguments,
//! and everything behind `--` its arguments as well. Words before `rdinit=` or `init=` are no arguments: boot loaders
//! put words of their own there.

#[cfg(test)]
mod tests;

/// Most arguments and most variables that init gets; further ones are dropped.
pub const INIT_LIMIT: usize = 32;

/// What to try when `rdinit=` leads to no program and there is no `init=`.
pub const FALLBACKS: [&[u8]; 4] = [b"/sbin/init", b"/etc/init", b"/bin/init", b"/bin/sh"];

/// One word, split at its first `=`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Word<'a> {
    /// What stands before the `=`, or the whole word.
    pub name: &'a [u8],
    /// What stands behind the `=`.
    pub value: Option<&'a [u8]>,
}

impl<'a> Word<'a> {
    /// The bytes of the word with its quotes dropped, as init receives it.
    pub fn bytes(self) -> impl Iterator<Item = u8> + use<'a> {
        let value = self.value.into_iter().flat_map(|value| core::iter::once(&b'=').chain(value));
        self.name.iter().chain(value).copied()
    }

    /// True when this is the option `name`; `-` and `_` are the same letter in names.
    pub fn is_named(self, name: &[u8]) -> bool {
        let plain = |byte: &u8| if *byte == b'-' { b'_' } else { *byte };
        self.name.len() == name.len() && self.name.iter().map(plain).eq(name.iter().map(plain))
    }
}

/// The words of a command line.
#[derive(Clone, Debug)]
pub struct Words<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Words<'a> {
    type Item = Word<'a>;

    fn next(&mut self) -> Option<Word<'a>> {
        let text = self.rest.trim_ascii_start();
        if matches!(text.first(), None | Some(0)) {
            return None;
        }
        let (text, mut in_quotes) = match text.strip_prefix(b"\"") {
            Some(inside) => (inside, true),
            None => (text, false),
        };
        let is_quoted = in_quotes;
        let end = text.iter().position(|byte| {
            in_quotes ^= *byte == b'"';
            *byte == 0 || byte.is_ascii_whitespace() && !in_quotes
        });
        let (word, rest) = text.split_at(end.unwrap_or(text.len()));
        self.rest = rest;
        let word = if is_quoted { word.strip_suffix(b"\"").unwrap_or(word) } else { word };
        Some(match word.iter().position(|&byte| byte == b'=') {
            // As on Linux, a word that begins with `=` has no name to split off.
            None | Some(0) => Word { name: word, value: None },
            Some(equals) => Word { name: &word[..equals], value: Some(unquoted(&word[equals + 1..])) },
        })
    }
}

fn unquoted(value: &[u8]) -> &[u8] {
    match value.strip_prefix(b"\"") {
        Some(inside) => inside.strip_suffix(b"\"").unwrap_or(inside),
        None => value,
    }
}

/// A command line.
#[derive(Clone, Copy, Debug)]
pub struct CommandLine<'a> {
    text: &'a [u8],
}

impl<'a> CommandLine<'a> {
    /// The command line `text`, up to its first zero byte.
    pub const fn new(text: &'a [u8]) -> Self {
        Self { text }
    }

    /// The words before `--`.
    pub fn words(self) -> impl Iterator<Item = Word<'a>> + Clone {
        Words { rest: self.text }.take_while(|word| !is_separator(word))
    }

    /// The words behind `--`.
    fn trailing_words(self) -> Words<'a> {
        let mut words = Words { rest: self.text };
        words.by_ref().find(is_separator);
        words
    }

    /// The value of the last option `name`; of `name` without a value the empty string.
    pub fn option(self, name: &str) -> Option<&'a [u8]> {
        self.words()
            .filter(|word| word.is_named(name.as_bytes()))
            .last()
            .map(|word| word.value.unwrap_or_default())
    }

    /// The values of all options `name`, in order (`console=` may be given more than once).
    pub fn options(self, name: &'static str) -> impl Iterator<Item = &'a [u8]> {
        self.words().filter(|word| word.is_named(name.as_bytes())).filter_map(|word| word.value)
    }

    /// The program to try first, which belongs to the initramfs, and whether it was asked for: `rdinit=`.
    pub fn initramfs_init(self) -> (&'a [u8], bool) {
        self.option("rdinit").filter(|path| !path.is_empty()).map_or((b"/init", false), |path| (path, true))
    }

    /// The program that is wanted where that is absent: `init=`.
    pub fn requested_init(self) -> Option<&'a [u8]> {
        self.option("init").filter(|path| !path.is_empty())
    }

    /// Init's arguments behind its own name. `is_known` tells the kernel's own words.
    pub fn init_arguments(self, is_known: impl Fn(&[u8]) -> bool) -> impl Iterator<Item = Word<'a>> {
        let choice = self.words().enumerate().filter(|(_, word)| is_init_choice(word)).last();
        let first = choice.map_or(0, |(index, _)| index + 1);
        let plain = self.words().skip(first).filter(move |word| word.value.is_none() && !is_known(word.name));
        plain.chain(self.trailing_words()).take(INIT_LIMIT)
    }

    /// Init's environment, as far as it is given here. Names with a dot are options of modules and left out.
    pub fn init_environment(self, is_known: impl Fn(&[u8]) -> bool) -> impl Iterator<Item = Word<'a>> {
        self.words()
            .filter(move |word| word.value.is_some() && !is_known(word.name) && !is_init_choice(word))
            .filter(|word| !word.name.contains(&b'.'))
            .take(INIT_LIMIT)
    }
}

/// A size in bytes: a decimal or, behind `0x`, hexadecimal number with a letter for its unit, as Linux's `memparse`
/// reads it.
pub fn size(text: &[u8]) -> Option<u64> {
    let (digits, radix) = match text.strip_prefix(b"0x") {
        Some(digits) => (digits, 16),
        None => (text, 10),
    };
    let end = digits.iter().position(|&digit| !char::from(digit).is_digit(radix)).unwrap_or(digits.len());
    let (digits, unit) = digits.split_at(end);
    let number = u64::from_str_radix(core::str::from_utf8(digits).ok()?, radix).ok()?;
    let shift = match unit.first().map(u8::to_ascii_lowercase) {
        Some(b'k') => 10,
        Some(b'm') => 20,
        Some(b'g') => 30,
        Some(b't') => 40,
        _ => 0,
    };
    number.checked_mul(1 << shift)
}

fn is_separator(word: &Word<'_>) -> bool {
    word.name == b"--" && word.value.is_none()
}

fn is_init_choice(word: &Word<'_>) -> bool {
    word.value.is_some() && (word.is_named(b"rdinit") || word.is_named(b"init"))
}
