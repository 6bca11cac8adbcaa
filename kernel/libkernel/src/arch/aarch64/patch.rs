//! AArch64 instructions that fill a site, and branches that are bent when code moves.
use crate::patch::Encoding;

/// How code is put in its place.
pub const ENCODING: Encoding = Encoding { fill, relocate };

/// NOP (C6.2.238).
const NO_OPERATION: [u8; 4] = 0xd503_201f_u32.to_le_bytes();

fn fill(bytes: &mut [u8]) -> bool {
    let (words, rest) = bytes.as_chunks_mut();
    words.fill(NO_OPERATION);
    rest.is_empty()
}

/// An instruction whose meaning depends on its place: mask and value of its fixed bits, and where its distance in words
/// lies.
struct Relative {
    mask: u32,
    value: u32,
    shift: u32,
    bits: u32,
}

/// Branches (C4.1.66): B and BL, B.cond and BC.cond, CBZ and CBNZ, TBZ and TBNZ.
const BRANCHES: [Relative; 4] = [
    Relative { mask: 0x7c00_0000, value: 0x1400_0000, shift: 0, bits: 26 },
    Relative { mask: 0xff00_0000, value: 0x5400_0000, shift: 5, bits: 19 },
    Relative { mask: 0x7e00_0000, value: 0x3400_0000, shift: 5, bits: 19 },
    Relative { mask: 0x7e00_0000, value: 0x3600_0000, shift: 5, bits: 14 },
];

/// ADR and ADRP (C4.1.65), and loads of literals (C4.1.67): not moved.
const ADDRESSES: [(u32, u32); 2] = [(0x1f00_0000, 0x1000_0000), (0x3b00_0000, 0x1800_0000)];

fn relocate(code: &mut [u8], from: u64, to: u64) -> Option<()> {
    let length = code.len() as u64;
    for (index, bytes) in code.as_chunks_mut().0.iter_mut().enumerate() {
        let word = u32::from_le_bytes(*bytes);
        if ADDRESSES.iter().any(|(mask, value)| word & mask == *value) {
            return None;
        }
        if let Some(branch) = BRANCHES.iter().find(|branch| word & branch.mask == branch.value) {
            *bytes = branch.moved(word, index as u64 * 4, length, from.wrapping_sub(to))?.to_le_bytes();
        }
    }
    Some(())
}

impl Relative {
    /// The branch at `offset` of code that moves by `distance` towards lower addresses; one inside the code stays.
    fn moved(&self, word: u32, offset: u64, length: u64, distance: u64) -> Option<u32> {
        let field = ((1_u64 << self.bits) - 1) as u32;
        let unused = 64 - self.bits;
        let words = (u64::from(word >> self.shift & field) << unused) as i64 >> unused;
        if offset.wrapping_add_signed(words * 4) < length {
            return Some(word);
        }
        let moved = words.checked_add(distance as i64 / 4)?;
        let limit = 1_i64 << (self.bits - 1);
        let fits = distance.is_multiple_of(4) && (-limit..limit).contains(&moved);
        fits.then(|| word & !(field << self.shift) | (moved as u32 & field) << self.shift)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    fn moved(words: &[u32], from: u64, to: u64) -> Option<Vec<u32>> {
        let mut bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        relocate(&mut bytes, from, to)?;
        Some(bytes.as_chunks().0.iter().map(|bytes| u32::from_le_bytes(*bytes)).collect())
    }

    #[test]
    fn every_kind_of_branch_keeps_its_target() {
        // b, bl, b.eq, cbz x0, cbnz w3, tbz x1 #33, tbnz w2 #1; each eight words on, moved four words down.
        for (before, after) in [
            (0x1400_0008, 0x1400_000c),
            (0x9400_0008, 0x9400_000c),
            (0x5400_0100, 0x5400_0180),
            (0xb400_0100, 0xb400_0180),
            (0x3500_0103, 0x3500_0183),
            (0xb608_0101, 0xb608_0181),
            (0x3708_0102, 0x3708_0182),
        ] {
            assert_eq!(moved(&[before], 0x1010, 0x1000), Some([after].to_vec()), "{before:#x}");
        }
        // Backwards: b . - 4, moved up.
        assert_eq!(moved(&[0x17ff_ffff], 0x1000, 0x1010), Some([0x17ff_fffb].to_vec()));
    }

    #[test]
    fn branches_inside_the_code_stay() {
        // nop; b . - 4; b . + 4 (behind the code).
        let code = [0xd503_201f, 0x17ff_ffff, 0x1400_0001];
        let bent = moved(&code, 0x2000, 0x1000).unwrap();
        assert_eq!(bent, [0xd503_201f, 0x17ff_ffff, 0x1400_0401]);
    }

    #[test]
    fn addresses_and_distant_targets_are_refused() {
        // adr, adrp, ldr x0 literal, ldrsw literal, prfm literal, ldr q0 literal.
        for word in [0x1000_0000, 0x9000_0000, 0x5800_0000, 0x9800_0000, 0xd800_0000, 0x9c00_0000] {
            assert_eq!(moved(&[word], 0x1010, 0x1000), None, "{word:#x}");
        }
        // tbz reaches 32 KiB.
        assert_eq!(moved(&[0x3600_0100], 0x10_0000, 0x1000), None);
        assert_eq!(moved(&[0x1400_0008], 0x1002, 0x1000), None);
    }

    #[test]
    fn other_instructions_stay() {
        // stp x29, x30, [sp, #-16]!; ldxr w0, [x1]; br x3; blr x3; ret.
        let code = [0xa9bf_7bfd, 0x885f_7c20, 0xd61f_0060, 0xd63f_0060, 0xd65f_03c0];
        assert_eq!(moved(&code, 0x2000, 0x1000), Some(code.to_vec()));
    }
}
