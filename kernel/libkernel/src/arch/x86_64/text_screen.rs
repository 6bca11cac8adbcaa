//! The screen of a VGA in text mode, as far as a kernel's last words need one: rows of characters, begun anew at the
//! top when it is full.
//!
//! Nothing is read from the screen, as each read leaves a virtual machine: it is cleared first, and the row behind the
//! last one is kept empty, by which people see where the text ends. Source: IBM VGA, mode 3; a cell is a byte of text
//! and one of colour.

/// Cells of a row, and rows.
pub const COLUMNS: usize = 80;
/// Rows.
pub const ROWS: usize = 25;
/// Grey on black.
const COLOUR: u16 = 0x0700;

/// Where the next byte goes.
#[derive(Clone, Copy, Debug)]
pub struct Screen {
    row: usize,
    column: usize,
    is_clear: bool,
}

/// In the number that stands for a screen: something was written.
const WRITTEN: u32 = 1 << 31;

impl Screen {
    /// The screen for which a number stands; zero is a new one.
    pub const fn from_number(number: u32) -> Self {
        let place = (number & !WRITTEN) as usize;
        Self { row: place >> 8, column: place & 0xff, is_clear: number & WRITTEN != 0 }
    }

    /// The number that stands for it.
    pub const fn number(self) -> u32 {
        (self.row << 8 | self.column) as u32 | if self.is_clear { WRITTEN } else { 0 }
    }

    /// Writes bytes, each cell by `set`, which is given its number and what it is to hold.
    pub fn write(&mut self, bytes: &[u8], mut set: impl FnMut(usize, u16)) {
        if !self.is_clear {
            self.is_clear = true;
            (0..ROWS).for_each(|row| clear(row, &mut set));
        }
        for &byte in bytes {
            match byte {
                b'\r' => self.column = 0,
                b'\n' => self.next_row(&mut set),
                _ => self.put(byte, &mut set),
            }
        }
    }

    fn put(&mut self, byte: u8, set: &mut impl FnMut(usize, u16)) {
        if self.column == COLUMNS {
            self.next_row(set);
        }
        let shown = if byte.is_ascii_graphic() || byte == b' ' { byte } else { b'?' };
        set(self.row * COLUMNS + self.column, COLOUR | u16::from(shown));
        self.column += 1;
    }

    fn next_row(&mut self, set: &mut impl FnMut(usize, u16)) {
        self.row = (self.row + 1) % ROWS;
        self.column = 0;
        clear(self.row, set);
        clear((self.row + 1) % ROWS, set);
    }
}

fn clear(row: usize, set: &mut impl FnMut(usize, u16)) {
    (row * COLUMNS..(row + 1) * COLUMNS).for_each(|cell| set(cell, COLOUR | u16::from(b' ')));
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::String;
    use alloc::vec::Vec;

    fn shown(texts: &[&[u8]]) -> Vec<String> {
        let mut cells = [0u16; COLUMNS * ROWS];
        let mut number = 0;
        for text in texts {
            let mut screen = Screen::from_number(number);
            screen.write(text, |cell, value| cells[cell] = value);
            number = screen.number();
        }
        let row = |row: &[u16]| row.iter().map(|&cell| char::from(cell as u8)).collect::<String>();
        cells.chunks(COLUMNS).map(|cells| String::from(row(cells).trim_end())).collect()
    }

    #[test]
    fn lines_go_below_each_other() {
        let rows = shown(&[b"one\r\ntwo", b" and\x07 more\n", b"end"]);
        assert_eq!(rows[..4], ["one", "two and? more", "end", ""]);
    }

    #[test]
    fn a_long_line_goes_on_in_the_next_row() {
        let rows = shown(&[&[b'x'; COLUMNS + 2], b"\nnext"]);
        assert_eq!((rows[0].len(), &rows[1][..], &rows[2][..]), (COLUMNS, "xx", "next"));
    }

    #[test]
    fn a_full_screen_begins_anew_with_an_empty_row_behind_the_end() {
        let lines: Vec<String> = (0..ROWS + 2).map(|line| alloc::format!("{line}\n")).collect();
        let rows = shown(&lines.iter().map(|line| line.as_bytes()).collect::<Vec<_>>());
        assert_eq!(rows[..5], ["25", "26", "", "", "4"]);
    }
}
