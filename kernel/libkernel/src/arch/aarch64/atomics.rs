//! The table of atomic updates that one instruction does where the CPU has FEAT_LSE, in place of a loop that loads and
//! stores exclusively.
//!
//! The compiler makes loops, which every CPU runs. The build finds them in the linked text and writes what replaces
//! them into this table (`xtask`: `build/atomics.rs`), behind the symbol table in the image; the boot CPU writes it
//! over the loops.
//!
//! ```text
//!   0  magic "OLSE"   4  count of codes, below 4096   8  count of loops            (all little-endian u32)
//!  12  for each code: count of its words (u32), five words, of which the last may be unused
//!      for each loop: the code's number << 20 | offset of the loop from the image's start in words
//! ```
/// First word of a table.
pub const MAGIC: u32 = 0x4553_4c4f;
/// Most words of a loop.
pub const WORDS_MAX: usize = 5;
/// Where a loop's word has its code's number.
pub const CODE_SHIFT: u32 = 20;
/// The table begins at the next multiple of this many bytes behind the symbol table.
pub const ALIGNMENT: usize = 4;
const HEADER_BYTES: usize = 12;
const CODE_BYTES: usize = 4 * (1 + WORDS_MAX);

/// Calls `write` with each loop's offset in bytes and its new instructions. A table that is cut off is none.
pub fn for_each(table: &[u8], mut write: impl FnMut(u64, &[[u8; 4]])) {
    let header = || Some((word(table, 0)? == MAGIC, word(table, 4)? as usize, word(table, 8)? as usize));
    let Some((true, codes, loops)) = header() else { return };
    let bytes = |start: usize, bytes: usize| table.get(start..start.checked_add(bytes)?);
    let Some(code_bytes) = codes.checked_mul(CODE_BYTES) else { return };
    let Some(loop_bytes) = loops.checked_mul(4) else { return };
    let (Some(codes), Some(loops)) =
        (bytes(HEADER_BYTES, code_bytes), bytes(HEADER_BYTES + code_bytes, loop_bytes))
    else {
        return;
    };
    let codes = codes.as_chunks::<CODE_BYTES>().0;
    for place in loops.as_chunks::<4>().0 {
        let place = u32::from_le_bytes(*place);
        let Some(code) = codes.get((place >> CODE_SHIFT) as usize) else { return };
        let words = code.as_chunks::<4>().0;
        let Some((count, words)) = words.split_first() else { return };
        let count = u32::from_le_bytes(*count) as usize;
        let offset = u64::from(place & ((1 << CODE_SHIFT) - 1)) * 4;
        write(offset, &words[..count.min(WORDS_MAX)]);
    }
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().map(|bytes| u32::from_le_bytes(*bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    fn table(codes: &[[u32; 6]], loops: &[u32]) -> Vec<u8> {
        let words = [MAGIC, codes.len() as u32, loops.len() as u32];
        let words = words.iter().chain(codes.iter().flatten()).chain(loops);
        words.flat_map(|word| word.to_le_bytes()).collect()
    }

    fn read(table: &[u8]) -> Vec<(u64, Vec<u32>)> {
        let mut found = Vec::new();
        for_each(table, |offset, words| {
            found.push((offset, words.iter().map(|word| u32::from_le_bytes(*word)).collect()));
        });
        found
    }

    #[test]
    fn loops_get_their_codes() {
        let table = table(&[[3, 1, 2, 3, 0, 0], [5, 4, 5, 6, 7, 8]], &[1 << 20 | 2, 0x1000]);
        assert_eq!(read(&table), [(8, [4, 5, 6, 7, 8].to_vec()), (0x4000, [1, 2, 3].to_vec())]);
    }

    #[test]
    fn what_is_no_table_has_no_loops() {
        let good = table(&[[3, 1, 2, 3, 0, 0]], &[0]);
        assert!(read(&good[..good.len() - 1]).is_empty());
        assert!(read(&[]).is_empty() && read(&[0; 64]).is_empty());
        assert!(read(&table(&[], &[0])).is_empty());
        let mut long = good;
        long[4..12].fill(0xff);
        assert!(read(&long).is_empty());
    }
}
