//! Keys, out of the bytes that terminals send for them.

use alloc::vec::Vec;

/// Bytes of a control sequence that is looked at; a longer one is no key.
const MAX_SEQUENCE: usize = 16;

/// What a person wants with a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Key {
    /// To write it.
    Character(char),
    /// One character back.
    Left,
    /// One character on.
    Right,
    /// One word back.
    WordLeft,
    /// One word on.
    WordRight,
    /// To the line's start.
    Home,
    /// To the line's end.
    End,
    /// The line before.
    Up,
    /// The line after.
    Down,
    /// To take back the character before the cursor.
    Backspace,
    /// To take away the character at the cursor.
    Delete,
    /// To cut all before the cursor.
    CutToStart,
    /// To cut all from the cursor on.
    CutToEnd,
    /// To cut the word before the cursor.
    CutWord,
    /// To put in what was cut.
    Paste,
    /// To end the input, or else as [`Key::Delete`].
    EndOfInput,
    /// To give the line up.
    Interrupt,
    /// To clear the screen.
    Clear,
    /// To complete the line.
    Enter,
    /// Nothing that is known here.
    Other,
}

/// What has come of a key that is sent as several bytes.
#[derive(Default)]
enum State {
    #[default]
    Start,
    /// Some bytes of a character of UTF-8.
    Character(Vec<u8>),
    /// Behind ESC.
    Escape,
    /// Behind ESC O: one letter follows.
    Letter,
    /// Behind ESC [: parameters and a letter follow.
    Sequence(Vec<u8>),
}

/// Puts bytes together.
#[derive(Default)]
pub struct Keys(State);

impl Keys {
    /// The key that `byte` completes.
    pub fn take(&mut self, byte: u8) -> Option<Key> {
        match core::mem::take(&mut self.0) {
            State::Start => self.first(byte),
            State::Character(bytes) => self.character(bytes, byte),
            State::Escape => self.escape(byte),
            State::Letter => Some(letter(byte, &[])),
            State::Sequence(parameters) => self.sequence(parameters, byte),
        }
    }

    fn first(&mut self, byte: u8) -> Option<Key> {
        match byte {
            0x1b => self.0 = State::Escape,
            0x80.. => return self.character(Vec::new(), byte),
            byte => return Some(single(byte)),
        }
        None
    }

    /// A byte of a character; one that cannot be is dropped with those before it.
    fn character(&mut self, mut bytes: Vec<u8>, byte: u8) -> Option<Key> {
        if !bytes.is_empty() && byte & 0xc0 != 0x80 {
            return self.first(byte);
        }
        bytes.push(byte);
        match core::str::from_utf8(&bytes) {
            Ok(text) => text.chars().next().map(Key::Character),
            Err(error) => {
                if error.error_len().is_none() {
                    self.0 = State::Character(bytes);
                }
                None
            }
        }
    }

    fn escape(&mut self, byte: u8) -> Option<Key> {
        match byte {
            b'[' => self.0 = State::Sequence(Vec::new()),
            b'O' => self.0 = State::Letter,
            0x1b => self.0 = State::Escape,
            b'b' => return Some(Key::WordLeft),
            b'f' => return Some(Key::WordRight),
            0x7f => return Some(Key::CutWord),
            _ => return Some(Key::Other),
        }
        None
    }

    fn sequence(&mut self, mut parameters: Vec<u8>, byte: u8) -> Option<Key> {
        match byte {
            b' '..=b'?' if parameters.len() < MAX_SEQUENCE => {
                parameters.push(byte);
                self.0 = State::Sequence(parameters);
                None
            }
            byte => Some(letter(byte, &parameters)),
        }
    }
}

/// A key of one byte.
const fn single(byte: u8) -> Key {
    match byte {
        1 => Key::Home,
        2 => Key::Left,
        3 => Key::Interrupt,
        4 => Key::EndOfInput,
        5 => Key::End,
        6 => Key::Right,
        8 | 0x7f => Key::Backspace,
        b'\n' | b'\r' => Key::Enter,
        0x0b => Key::CutToEnd,
        0x0c => Key::Clear,
        0x0e => Key::Down,
        0x10 => Key::Up,
        0x15 => Key::CutToStart,
        0x17 => Key::CutWord,
        0x19 => Key::Paste,
        b' '.. => Key::Character(byte as char),
        _ => Key::Other,
    }
}

/// A control sequence by its last byte and its parameters: `ESC [ 1 ; 5 C` is Ctrl and the right arrow.
fn letter(last: u8, parameters: &[u8]) -> Key {
    let with_modifier = parameters.contains(&b';');
    match (last, parameters) {
        (b'A', _) => Key::Up,
        (b'B', _) => Key::Down,
        (b'C', _) if with_modifier => Key::WordRight,
        (b'D', _) if with_modifier => Key::WordLeft,
        (b'C', _) => Key::Right,
        (b'D', _) => Key::Left,
        (b'H', _) | (b'~', b"1" | b"7") => Key::Home,
        (b'F', _) | (b'~', b"4" | b"8") => Key::End,
        (b'~', b"3") => Key::Delete,
        _ => Key::Other,
    }
}
