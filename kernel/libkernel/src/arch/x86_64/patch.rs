//! x86_64 instructions that fill a site, and branches that are bent when code moves.
use crate::patch::Encoding;

/// How code is put in its place.
pub const ENCODING: Encoding = Encoding { fill, relocate };

/// The no-operations of one to nine bytes that all CPUs decode as one instruction (SDM volume 2, NOP, table 4-12).
const NO_OPERATIONS: [&[u8]; 9] = [
    &[0x90],
    &[0x66, 0x90],
    &[0x0f, 0x1f, 0x00],
    &[0x0f, 0x1f, 0x40, 0x00],
    &[0x0f, 0x1f, 0x44, 0x00, 0x00],
    &[0x66, 0x0f, 0x1f, 0x44, 0x00, 0x00],
    &[0x0f, 0x1f, 0x80, 0x00, 0x00, 0x00, 0x00],
    &[0x0f, 0x1f, 0x84, 0x00, 0x00, 0x00, 0x00, 0x00],
    &[0x66, 0x0f, 0x1f, 0x84, 0x00, 0x00, 0x00, 0x00, 0x00],
];

fn fill(bytes: &mut [u8]) -> bool {
    for part in bytes.chunks_mut(NO_OPERATIONS.len()) {
        part.copy_from_slice(NO_OPERATIONS[part.len() - 1]);
    }
    true
}

const CALL: u8 = 0xe8;
const JUMP: u8 = 0xe9;

/// Where the displacement of a branch begins, if the code is one single branch with a displacement of 32 bits. Other
/// code may not depend on its place; that the build sees to, as it needs a decoder.
pub fn displacement(code: &[u8]) -> Option<usize> {
    match code {
        [CALL | JUMP, _, _, _, _] => Some(1),
        [0x0f, 0x80..=0x8f, _, _, _, _] => Some(2),
        _ => None,
    }
}

fn relocate(code: &mut [u8], from: u64, to: u64) -> Option<()> {
    let Some(start) = displacement(code) else { return Some(()) };
    let field = code[start..].first_chunk_mut::<4>()?;
    let moved = i64::from(i32::from_le_bytes(*field)).checked_add(from.wrapping_sub(to) as i64)?;
    *field = i32::try_from(moved).ok()?.to_le_bytes();
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_rests_take_long_instructions() {
        let mut bytes = [0; 20];
        assert!(fill(&mut bytes));
        assert_eq!(bytes[..9], *NO_OPERATIONS[8]);
        assert_eq!(bytes[9..18], *NO_OPERATIONS[8]);
        assert_eq!(bytes[18..], *NO_OPERATIONS[1]);
        assert!(fill(&mut []));
    }

    #[test]
    fn branches_keep_their_targets() {
        let target = |code: &[u8], at: u64| {
            let start = displacement(code).unwrap();
            let field = i32::from_le_bytes(code[start..].try_into().unwrap());
            at.wrapping_add(code.len() as u64).wrapping_add_signed(field.into())
        };
        let from = 0xffff_ffff_8030_0000_u64;
        for mut code in [
            std::vec![0xe8, 1, 2, 3, 0],
            std::vec![0xe9, 0xf0, 0xff, 0xff, 0xff],
            std::vec![0x0f, 0x84, 9, 0, 0, 0],
        ] {
            let before = target(&code, from);
            relocate(&mut code, from, 0xffff_ffff_8010_0123).unwrap();
            assert_eq!(target(&code, 0xffff_ffff_8010_0123), before);
        }
    }

    #[test]
    fn targets_out_of_reach_are_refused() {
        assert_eq!(relocate(&mut [0xe9, 0, 0, 0, 0x7f], 0x9000_0000, 0x1000), None);
    }

    #[test]
    fn other_code_stays_as_it_is() {
        let mut code = [0x0f, 0xae, 0xe8, 0xe8, 0, 0, 0, 0];
        relocate(&mut code, 0x9000, 0x1000).unwrap();
        assert_eq!(code, [0x0f, 0xae, 0xe8, 0xe8, 0, 0, 0, 0]);
    }
}
