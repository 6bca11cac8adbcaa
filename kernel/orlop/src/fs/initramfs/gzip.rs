//! Compressed parts of an initramfs: one gzip member, RFC 1952.
//!
//! The member is inflated twice: once into a window to learn its size, once into a buffer of exactly that size. So the largest block
//! that memory must hold is the archive itself.

use alloc::boxed::Box;
use alloc::vec::Vec;

use miniz_oxide::inflate::TINFLStatus;
use miniz_oxide::inflate::core::{DecompressorOxide, decompress as inflate, inflate_flags};

/// Bytes of a deflate window.
const WINDOW: usize = 32768;

/// Bytes behind the compressed data: check sum and size.
const TRAILER: usize = 8;

/// Unpacks the member at the start of `part`; also returns how many bytes it took.
pub fn decompress(part: &[u8]) -> Result<(Vec<u8>, usize), &'static str> {
    let header = header_length(part).ok_or("invalid magic at start of compressed archive")?;
    let data = part.get(header..).unwrap_or_default();
    let (length, compressed) = measure(data).ok_or("junk within compressed archive")?;
    let mut bytes = Vec::new();
    bytes.try_reserve_exact(length).map_err(|_| "out of memory")?;
    bytes.resize(length, 0);
    let mut state = Box::<DecompressorOxide>::default();
    let flags = inflate_flags::TINFL_FLAG_USING_NON_WRAPPING_OUTPUT_BUF;
    let (status, _, written) = inflate(&mut state, data, &mut bytes, 0, flags);
    if status != TINFLStatus::Done || written != length {
        return Err("junk within compressed archive");
    }
    let trailer = data.get(compressed..compressed + TRAILER).ok_or("compressed data is cut off")?;
    let (sum, size) = (word(trailer, 0), word(trailer, 4));
    if sum != checksum(&bytes) {
        return Err("crc error");
    }
    if size != length as u32 {
        return Err("length error");
    }
    Ok((bytes, header + compressed + TRAILER))
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

/// The inflated size of deflated data, and how many bytes of it were used.
fn measure(data: &[u8]) -> Option<(usize, usize)> {
    let mut state = Box::<DecompressorOxide>::default();
    let mut window = Vec::new();
    window.try_reserve_exact(WINDOW).ok()?;
    window.resize(WINDOW, 0);
    let (mut total, mut used, mut position) = (0usize, 0, 0);
    loop {
        let (status, read, written) = inflate(&mut state, data.get(used..)?, &mut window, position, 0);
        used += read;
        total = total.checked_add(written)?;
        position = (position + written) % WINDOW;
        match status {
            TINFLStatus::Done => return Some((total, used)),
            TINFLStatus::HasMoreOutput => {}
            _ => return None,
        }
    }
}

fn word(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..at + 4).and_then(|word| word.try_into().ok()).map_or(0, u32::from_le_bytes)
}

/// CRC-32 as gzip has it, four bits at a step.
fn checksum(bytes: &[u8]) -> u32 {
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
    !bytes.iter().fold(u32::MAX, |sum, &byte| step(step(sum, byte), byte >> 4))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksum_is_the_published_one() {
        assert_eq!(checksum(b"123456789"), 0xcbf4_3926);
    }

    #[test]
    fn a_stored_member_unpacks_and_says_its_length() {
        let mut member = [0x1f, 0x8b, 8, 8, 0, 0, 0, 0, 0, 3].to_vec();
        member.extend_from_slice(b"name\0");
        member.extend_from_slice(&[1, 9, 0, !9, 0xff]);
        member.extend_from_slice(b"123456789");
        member.extend_from_slice(&0xcbf4_3926u32.to_le_bytes());
        member.extend_from_slice(&9u32.to_le_bytes());
        let length = member.len();
        member.extend_from_slice(b"what follows");
        assert_eq!(decompress(&member), Ok((b"123456789".to_vec(), length)));
        member[20] ^= 1;
        assert_eq!(decompress(&member), Err("crc error"));
    }
}
