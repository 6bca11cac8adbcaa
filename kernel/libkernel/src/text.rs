//! Text for programs: lines that grow fallibly, in which no name forges another line.
//!
//! Everything that `/proc` and its like show is written into a [`Text`]. Names that a program chose (of threads, files,
//! mounts) go through [`Text::name`] alone, which takes the characters apart that the reader of that very file splits
//! lines or fields by.

use alloc::vec::Vec;
use core::fmt;

/// What a name stands in, and so which of its characters are shown as numbers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Within {
    /// A line that ends with it: `maps` (Linux: `seq_file_path(m, file, "\n")`).
    Line,
    /// A field of a table of mounts, fstab(5) (Linux: `seq_path(m, path, " \t\n\\")`).
    Field,
    /// The first field of such a table, where a `#` would begin a comment (Linux: `mangle` in `fs/proc_namespace.c`).
    FirstField,
    /// The name of a thread in `status` (Linux: `proc_task_name`): as C writes it.
    Status,
}

/// A text that is being written. Running out of memory is remembered, and asked for at the end.
#[derive(Default)]
pub struct Text {
    bytes: Vec<u8>,
    out_of_memory: bool,
}

/// There was no memory for the text.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct OutOfMemory;

impl Text {
    /// An empty text.
    pub const fn new() -> Text {
        Text { bytes: Vec::new(), out_of_memory: false }
    }

    /// What was written.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Forgets what was written, and keeps the memory.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.out_of_memory = false;
    }

    /// Whether all that was written is there.
    pub fn check(&self) -> Result<(), OutOfMemory> {
        if self.out_of_memory { Err(OutOfMemory) } else { Ok(()) }
    }

    /// Adds bytes as they are.
    #[inline]
    pub fn put(&mut self, bytes: &[u8]) {
        if bytes.len() <= self.bytes.capacity() - self.bytes.len() || self.grow(bytes.len()) {
            self.bytes.extend_from_slice(bytes);
        }
    }

    /// Makes room for so many bytes more, and for what will follow; whether there is.
    #[cold]
    fn grow(&mut self, length: usize) -> bool {
        /// Most texts need no more.
        const FIRST: usize = 256;
        let has_grown = self.bytes.try_reserve(length.max(FIRST)).is_ok();
        self.out_of_memory |= !has_grown;
        has_grown
    }

    /// Adds what `write!` formats.
    pub fn write_fmt(&mut self, arguments: fmt::Arguments<'_>) {
        // Adding to it never fails; a value that does not want to be formatted is left out.
        let _ = fmt::Write::write_fmt(self, arguments);
    }

    /// Adds a number in decimal.
    pub fn decimal(&mut self, value: u64) {
        let mut digits = [0; 24];
        let first = write_decimal(&mut digits, 24, value);
        self.put(&digits[first..]);
    }

    /// Adds a number of 64 bits, signed or not, in decimal and a blank: one of the fields of a line.
    pub fn field(&mut self, value: impl Into<i128>) {
        let value = value.into();
        self.signed_field(value < 0, value.unsigned_abs() as u64);
    }

    fn signed_field(&mut self, is_negative: bool, magnitude: u64) {
        let mut digits = [b' '; 24];
        let mut first = write_decimal(&mut digits, 23, magnitude);
        if is_negative {
            first -= 1;
            digits[first] = b'-';
        }
        self.put(&digits[first..]);
    }

    /// Adds a number in hexadecimal, with zeroes in front up to `least` digits.
    pub fn hexadecimal(&mut self, value: u64, least: usize) {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let needed = (u64::BITS - value.leading_zeros()).div_ceil(4) as usize;
        let mut digits = [0; 16];
        for (index, digit) in digits.iter_mut().enumerate() {
            *digit = DIGITS[(value >> (4 * (15 - index)) & 15) as usize];
        }
        self.put(&digits[16 - needed.max(least).clamp(1, 16)..]);
    }

    /// Adds blanks up to a column of a line that began at `start`, in bytes; none if it is that long.
    pub fn pad(&mut self, start: usize, column: usize) {
        let missing = (start + column).saturating_sub(self.bytes.len());
        if missing <= self.bytes.capacity() - self.bytes.len() || self.grow(missing) {
            self.bytes.resize(self.bytes.len() + missing, b' ');
        }
    }

    /// Adds a name that a program chose.
    pub fn name(&mut self, name: &[u8], within: Within) {
        let mut rest = name;
        while let Some(index) = rest.iter().position(|&byte| within.escapes(byte)) {
            self.put(&rest[..index]);
            match (within, rest[index]) {
                (Within::Status, b'\n') => self.put(b"\\n"),
                (Within::Status, byte) => self.put(&[b'\\', byte]),
                (_, byte) => write!(self, "\\{byte:03o}"),
            }
            rest = &rest[index + 1..];
        }
        self.put(rest);
    }
}

/// Writes a number that ends before `end`; where it begins.
#[inline]
fn write_decimal(digits: &mut [u8; 24], end: usize, mut value: u64) -> usize {
    let mut first = end;
    loop {
        first -= 1;
        digits[first] = b'0' + (value % 10) as u8;
        value /= 10;
        if value == 0 {
            return first;
        }
    }
}

impl fmt::Write for Text {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.put(text.as_bytes());
        Ok(())
    }
}

impl Within {
    fn escapes(self, byte: u8) -> bool {
        match self {
            Within::Line => byte == b'\n',
            Within::Status => matches!(byte, b'\n' | b'\\'),
            Within::Field => matches!(byte, b' ' | b'\t' | b'\n' | b'\\'),
            Within::FirstField => matches!(byte, b' ' | b'\t' | b'\n' | b'\\' | b'#'),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;

    fn shown(name: &str, within: Within) -> alloc::string::String {
        let mut text = Text::new();
        text.name(name.as_bytes(), within);
        alloc::string::String::from_utf8(text.bytes().to_vec()).expect("ASCII")
    }

    #[test]
    fn names_are_escaped_by_where_they_stand() {
        let name = "a b\tc\nd\\e#f";
        assert_eq!(shown(name, Within::Line), "a b\tc\\012d\\e#f");
        assert_eq!(shown(name, Within::Field), "a\\040b\\011c\\012d\\134e#f");
        assert_eq!(shown(name, Within::FirstField), "a\\040b\\011c\\012d\\134e\\043f");
        assert_eq!(shown(name, Within::Status), "a b\tc\\nd\\\\e#f");
    }

    #[test]
    fn numbers_are_those_of_the_formatter() {
        for value in [0, 9, 10, 15, 16, 255, 256, 1 << 32, u64::MAX] {
            for least in [0, 1, 2, 8, 16] {
                let mut text = Text::new();
                text.decimal(value);
                text.put(b" ");
                text.hexadecimal(value, least);
                assert_eq!(text.bytes(), format!("{value} {value:0least$x}").as_bytes());
            }
        }
        for value in [0, 7, 12_345, -1, -10, i64::MIN, i64::MAX] {
            let mut text = Text::new();
            text.field(value);
            text.field(u64::MAX);
            assert_eq!(text.bytes(), format!("{value} {} ", u64::MAX).as_bytes());
        }
    }

    #[test]
    fn padding_stops_at_the_column() {
        let mut text = Text::new();
        text.put(b"abc\nde");
        text.pad(4, 4);
        text.pad(4, 1);
        assert_eq!(text.bytes(), b"abc\nde  ");
    }
}
