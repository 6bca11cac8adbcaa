//! A compact table of function names, looked up when the kernel prints a backtrace.
//!
//! `xtask` makes the table with [`encode`] from the linked kernel; the kernel reads it with [`Table`]. Nothing here
//! allocates or panics while it reads: it runs when everything else has gone wrong.
//!
//! ```text
//!   0  magic "OSYM"   4  version   8  length of everything   12  count of symbols        (all little-endian u32)
//!  16  address of the first symbol (u64)
//!  24  for each symbol: offset from that address (u32), ascending
//!      for each symbol: offset of its name in the names (u32)
//!      128 pairs of bytes: what the bytes 0x80 to 0xff of a name stand for; a pair may hold such bytes again
//!      names, each ended by a zero byte
//! ```

mod encode;
#[cfg(test)]
mod tests;

pub use encode::encode;

use core::fmt;

/// First word of a table, "OSYM".
pub const MAGIC: u32 = 0x4d59_534f;
/// Version of the layout above.
pub const VERSION: u32 = 1;
/// Bytes of the header that a linked kernel reserves; zeroes mean that there is no table.
pub const HEADER_LENGTH: usize = 16;

const ADDRESSES: usize = 24;
/// First byte of a name that stands for a pair.
const FIRST_TOKEN: u8 = 0x80;
const TOKENS: usize = 128;
/// How deep pairs may stand for pairs: bounds the stack that printing a name takes.
const MAX_DEPTH: u8 = 12;

/// A table in memory.
#[derive(Clone, Copy)]
pub struct Table<'a> {
    base: u64,
    addresses: &'a [[u8; 4]],
    name_offsets: &'a [[u8; 4]],
    pairs: &'a [[u8; 2]],
    names: &'a [u8],
}

/// A name in a table. `Display` writes it out.
#[derive(Clone, Copy)]
pub struct Name<'a> {
    pairs: &'a [[u8; 2]],
    encoded: &'a [u8],
}

impl<'a> Table<'a> {
    /// Reads the header; `None` when there is no table or it makes no sense. Bytes behind the table are ignored.
    pub fn parse(bytes: &'a [u8]) -> Option<Self> {
        if word(bytes, 0)? != MAGIC || word(bytes, 4)? != VERSION {
            return None;
        }
        let bytes = bytes.get(..word(bytes, 8)? as usize)?;
        let count = word(bytes, 12)? as usize;
        let base = u64::from_le_bytes(*bytes.get(HEADER_LENGTH..)?.first_chunk()?);
        let column = count.checked_mul(4)?;
        let (addresses, rest) = bytes.get(ADDRESSES..)?.split_at_checked(column)?;
        let (name_offsets, rest) = rest.split_at_checked(column)?;
        let (pairs, names) = rest.split_at_checked(TOKENS * 2)?;
        Some(Self {
            base,
            addresses: addresses.as_chunks().0,
            name_offsets: name_offsets.as_chunks().0,
            pairs: pairs.as_chunks().0,
            names,
        })
    }

    /// The function that holds `address`, and how far into it the address lies.
    pub fn lookup(&self, address: u64) -> Option<(Name<'a>, u64)> {
        let (start, name) = self.get(self.count_to(address)?.checked_sub(1)?)?;
        Some((name, address - start))
    }

    /// Bytes from the start of the function that holds `address` to that of the next one; the last ends behind
    /// `address`.
    pub fn size(&self, address: u64) -> Option<u64> {
        let after = self.count_to(address)?;
        let (start, _) = self.get(after.checked_sub(1)?)?;
        Some(self.get(after).map_or(address + 1, |(next, _)| next) - start)
    }

    /// How many functions begin at `address` or below.
    fn count_to(&self, address: u64) -> Option<usize> {
        let offset = u32::try_from(address.checked_sub(self.base)?).ok()?;
        Some(self.addresses.partition_point(|start| u32::from_le_bytes(*start) <= offset))
    }

    /// The address and the name of the function with this index, in ascending order of address.
    pub fn get(&self, index: usize) -> Option<(u64, Name<'a>)> {
        let start = u32::from_le_bytes(*self.addresses.get(index)?);
        let name = u32::from_le_bytes(*self.name_offsets.get(index)?) as usize;
        let encoded = self.names.get(name..)?.split(|&byte| byte == 0).next()?;
        Some((self.base.wrapping_add(start.into()), Name { pairs: self.pairs, encoded }))
    }
}

/// Bytes of the table that begins with `header`; none if it is no table.
pub fn length(header: &[u8]) -> usize {
    let length = (word(header, 0) == Some(MAGIC)).then(|| word(header, 8)).flatten();
    length.map_or(0, |length| length as usize)
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

impl Name<'_> {
    fn write_byte(&self, formatter: &mut fmt::Formatter<'_>, byte: u8, depth: u8) -> fmt::Result {
        let pair = byte.checked_sub(FIRST_TOKEN).and_then(|token| self.pairs.get(usize::from(token)));
        match pair {
            None => fmt::Write::write_char(formatter, char::from(byte)),
            Some(_) if depth == 0 => Ok(()),
            Some(&[first, second]) => {
                self.write_byte(formatter, first, depth - 1)?;
                self.write_byte(formatter, second, depth - 1)
            }
        }
    }
}

impl fmt::Display for Name<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.encoded.iter().try_for_each(|&byte| self.write_byte(formatter, byte, MAX_DEPTH))
    }
}
