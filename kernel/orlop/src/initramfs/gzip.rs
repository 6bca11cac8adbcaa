//! One gzip member: RFC 1952. Its window is 32 KiB.

use alloc::boxed::Box;
use alloc::vec::Vec;

use libkernel::cpio::{Input, Problem};
use miniz_oxide::inflate::TINFLStatus;
use miniz_oxide::inflate::core::{DecompressorOxide, decompress as inflate};

use super::compressed::Part;

/// Bytes of a deflate window.
const WINDOW: usize = 32768;

/// Bytes behind the compressed data: check sum and size.
const TRAILER: usize = 8;

/// A member while it is read.
pub struct Gzip<'a> {
    rest: &'a [u8],
    state: Box<DecompressorOxide>,
    window: Vec<u8>,
    /// What of `window` was inflated and not consumed yet.
    start: usize,
    end: usize,
    /// Check sum and number of all bytes that were inflated.
    sum: u32,
    total: u32,
    is_over: bool,
}

impl<'a> Gzip<'a> {
    /// The member at the start of `bytes`.
    #[inline(never)]
    pub fn new(bytes: &'a [u8]) -> Result<Box<Gzip<'a>>, Problem> {
        let header = header_length(bytes).ok_or("invalid magic at start of compressed archive")?;
        let mut window = Vec::new();
        window.try_reserve_exact(WINDOW).map_err(|_| "out of memory")?;
        window.resize(WINDOW, 0);
        let rest = bytes.get(header..).unwrap_or_default();
        let state = Box::default();
        Ok(Box::new(Gzip { rest, state, window, start: 0, end: 0, sum: 0, total: 0, is_over: false }))
    }

    /// Inflates what fits between the last piece and the window's end.
    #[inline(never)]
    fn inflate_more(&mut self) -> Result<(), Problem> {
        let position = self.end % WINDOW;
        let (status, read, written) = inflate(&mut self.state, self.rest, &mut self.window, position, 0);
        self.rest = self.rest.get(read..).unwrap_or_default();
        (self.start, self.end) = (position, position + written);
        let piece = self.window.get(self.start..self.end).unwrap_or_default();
        self.sum = checksum(self.sum, piece);
        self.total = self.total.wrapping_add(written as u32);
        match status {
            TINFLStatus::Done => self.finish(),
            TINFLStatus::HasMoreOutput => Ok(()),
            TINFLStatus::FailedCannotMakeProgress | TINFLStatus::NeedsMoreInput => {
                Err("compressed data is cut off")
            }
            _ => Err("invalid compressed format (err=1)"),
        }
    }

    /// At the end of the deflated data: whether it is what the member says.
    fn finish(&mut self) -> Result<(), Problem> {
        self.is_over = true;
        let (trailer, rest) = self.rest.split_at_checked(TRAILER).ok_or("compressed data is cut off")?;
        self.rest = rest;
        if word(trailer, 0) != self.sum {
            return Err("crc error");
        }
        if word(trailer, 4) != self.total { Err("length error") } else { Ok(()) }
    }
}

impl Input for Gzip<'_> {
    fn ready(&mut self) -> Result<&[u8], Problem> {
        while self.start == self.end && !self.is_over {
            self.inflate_more()?;
        }
        Ok(self.window.get(self.start..self.end).unwrap_or_default())
    }

    fn consume(&mut self, count: usize) {
        self.start = (self.start + count).min(self.end);
    }
}

impl<'a> Part<'a> for Gzip<'a> {
    fn rest(&self) -> &'a [u8] {
        self.rest
    }
}

/// How long the member's header is; `None` if it is none, or not of deflate.
fn header_length(part: &[u8]) -> Option<usize> {
    const FIXED: usize = 10;
    const HAS_CHECKSUM: u8 = 2;
    const HAS_EXTRA: u8 = 4;
    const HAS_NAME: u8 = 8;
    const HAS_COMMENT: u8 = 16;
    let fixed = part.get(..FIXED)?;
    if !fixed.starts_with(&[0x1f, 0x8b, 8]) {
        return None;
    }
    let flags = *fixed.get(3)?;
    let mut length = FIXED;
    if flags & HAS_EXTRA != 0 {
        let extra = part.get(length..length + 2)?;
        length += 2 + usize::from(u16::from_le_bytes(extra.try_into().ok()?));
    }
    for text in [HAS_NAME, HAS_COMMENT] {
        if flags & text != 0 {
            length += part.get(length..)?.iter().position(|&byte| byte == 0)? + 1;
        }
    }
    if flags & HAS_CHECKSUM != 0 {
        length += 2;
    }
    Some(length)
}

fn word(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..at + 4).and_then(|word| word.try_into().ok()).map_or(0, u32::from_le_bytes)
}

/// CRC-32 as gzip has it, four bits at a step: of what `sum` is of, and these bytes behind it.
fn checksum(sum: u32, bytes: &[u8]) -> u32 {
    const POLYNOMIAL: u32 = 0xedb8_8320;
    const TABLE: [u32; 16] = {
        let mut table = [0; 16];
        let mut index = 0;
        while index < 16 {
            let mut value = index as u32;
            let mut bit = 0;
            while bit < 4 {
                value = if value & 1 != 0 { value >> 1 ^ POLYNOMIAL } else { value >> 1 };
                bit += 1;
            }
            table[index] = value;
            index += 1;
        }
        table
    };
    let step = |sum: u32, nibble: u8| sum >> 4 ^ TABLE[((sum as u8 ^ nibble) & 15) as usize];
    !bytes.iter().fold(!sum, |sum, &byte| step(step(sum, byte), byte >> 4))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksum_is_the_published_one() {
        assert_eq!(checksum(0, b"123456789"), 0xcbf4_3926);
        assert_eq!(checksum(checksum(0, b"1234"), b"56789"), 0xcbf4_3926);
    }
}
