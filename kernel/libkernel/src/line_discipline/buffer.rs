//! Unread input: a ring of 4096 bytes in which some end a line.

use alloc::boxed::Box;
use alloc::vec;

use super::ReadOutcome;

/// Bytes of input that a terminal holds, as on Linux (`N_TTY_BUF_SIZE`).
pub const CAPACITY: usize = 4096;

#[derive(Debug)]
pub struct InputBuffer {
    /// On the heap: a terminal is made on the stack first.
    bytes: Box<[u8]>,
    /// Bit n is set when `bytes[n]` ends a line. A line-ending zero byte is an end of file: it is never read itself.
    ends: [u64; CAPACITY / 64],
    /// Counts of bytes ever read, ended by a line end, and received: they only grow, and wrap in theory alone.
    read: usize,
    line: usize,
    received: usize,
}

/// The byte that stands for VEOF. A received zero byte never ends a line, so the two cannot be confused.
pub const END_OF_FILE: u8 = 0;

impl InputBuffer {
    pub fn new() -> Self {
        Self {
            bytes: vec![0; CAPACITY].into_boxed_slice(),
            ends: [0; CAPACITY / 64],
            read: 0,
            line: 0,
            received: 0,
        }
    }

    pub const fn len(&self) -> usize {
        self.received - self.read
    }

    pub const fn has_line(&self) -> bool {
        self.line != self.read
    }

    /// Length of the line that is being edited.
    pub const fn edited_len(&self) -> usize {
        self.received - self.line
    }

    pub const fn clear(&mut self) {
        self.read = self.received;
        self.line = self.received;
    }

    /// Whether another byte finds a place, whatever it is.
    pub const fn has_room(&self) -> bool {
        self.len() < CAPACITY - 1
    }

    /// Adds a byte that ends no line. One place is kept free for a line end; false when there is no other.
    pub fn push(&mut self, byte: u8) -> bool {
        if !self.has_room() {
            return false;
        }
        self.put(byte, false);
        true
    }

    /// Adds a byte that ends the line; false when the buffer is full.
    pub fn push_line_end(&mut self, byte: u8) -> bool {
        if self.len() >= CAPACITY {
            return false;
        }
        self.put(byte, true);
        self.line = self.received;
        true
    }

    fn put(&mut self, byte: u8, is_end: bool) {
        let place = self.received % CAPACITY;
        self.bytes[place] = byte;
        let bit = 1 << (place % 64);
        if is_end {
            self.ends[place / 64] |= bit;
        } else {
            self.ends[place / 64] &= !bit;
        }
        self.received += 1;
    }

    /// Makes everything received so far readable as a line, when the mode changes.
    pub const fn end_line_here(&mut self) {
        if self.received != self.read {
            let place = (self.received - 1) % CAPACITY;
            self.ends[place / 64] |= 1 << (place % 64);
        }
        self.line = self.received;
    }

    /// The byte of the edited line that came last.
    pub fn last_edited(&self) -> Option<u8> {
        if self.edited_len() == 0 { None } else { Some(self.bytes[(self.received - 1) % CAPACITY]) }
    }

    /// Takes back the byte of the edited line that came last.
    pub fn pop_edited(&mut self) -> Option<u8> {
        let last = self.last_edited();
        if last.is_some() {
            self.received -= 1;
        }
        last
    }

    /// The byte at `index` of the line that is being edited.
    pub fn edited_byte(&self, index: usize) -> Option<u8> {
        if index < self.edited_len() { Some(self.bytes[(self.line + index) % CAPACITY]) } else { None }
    }

    const fn ends_line(&self, count: usize) -> bool {
        let place = count % CAPACITY;
        self.ends[place / 64] >> (place % 64) & 1 != 0
    }

    fn is_end_of_file(&self, count: usize) -> bool {
        self.ends_line(count) && self.bytes[count % CAPACITY] == END_OF_FILE
    }

    /// Bytes in finished lines, ends of file not counted.
    pub fn bytes_in_lines(&self) -> usize {
        (self.read..self.line).filter(|&count| !self.is_end_of_file(count)).count()
    }

    /// Reads up to the end of the first line.
    pub fn take_line(&mut self, target: &mut [u8]) -> ReadOutcome {
        if !self.has_line() {
            return ReadOutcome::Nothing;
        }
        let mut length = 0;
        while self.read != self.line {
            let count = self.read;
            if self.is_end_of_file(count) {
                self.read += 1;
                break;
            }
            let Some(place) = target.get_mut(length) else { break };
            *place = self.bytes[count % CAPACITY];
            self.read += 1;
            length += 1;
            if self.ends_line(count) {
                break;
            }
        }
        if length == 0 && !target.is_empty() { ReadOutcome::EndOfFile } else { ReadOutcome::Bytes(length) }
    }

    /// Reads whatever there is.
    pub fn take_bytes(&mut self, target: &mut [u8]) -> ReadOutcome {
        let length = self.len().min(target.len());
        for place in &mut target[..length] {
            *place = self.bytes[self.read % CAPACITY];
            self.read += 1;
        }
        self.line = self.line.max(self.read);
        if length == 0 { ReadOutcome::Nothing } else { ReadOutcome::Bytes(length) }
    }
}
