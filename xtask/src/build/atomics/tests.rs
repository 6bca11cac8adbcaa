//! Loops and their replacements, by encodings.

use super::*;

/// `ldxr` or `ldaxr`, `stxr` or `stlxr`, and the way back, of 32 bits: T = 9, V = 8, N = 22, S = 10.
const LDXR: u32 = 0x885f_7ec9;
const LDAXR: u32 = 0x885f_fec9;
const STXR: u32 = 0x880a_7ec8;
const STLXR: u32 = 0x880a_fec8;
const MOV_S_WZR: u32 = 0x2a1f_03ea;

/// CBNZ S, so many words back.
fn back(words: u32) -> u32 {
    0x3500_000a | (words.wrapping_neg() & 0x7_ffff) << 5
}

fn of_64_bits(word: u32) -> u32 {
    word | 1 << 30
}

#[test]
fn a_swap_is_one_instruction() {
    // ldaxrb w9, [x22]; stxrb w10, w8, [x22] → swpab w8, w9, [x22]
    assert_eq!(
        replace(&[0x085f_fec9, 0x080a_7ec8, back(2)]),
        Some(vec![0x38a8_82c9, MOV_S_WZR, 0xd503_201f])
    );
    // Another register is the address, or the branch leads elsewhere.
    assert_eq!(replace(&[0x085f_fec9, 0x080a_7ea8, back(2)]), None);
    assert_eq!(replace(&[0x085f_fec9, 0x080a_7ec8, back(1)]), None);
    assert_eq!(replace(&[0x085f_fec9, 0x080a_7ec8]), None);
}

/// A loop around `middle`, and what comes out of it: the preparation and the atomic instruction.
fn update_of(middle: u32) -> Option<[u32; 2]> {
    let wide = middle & 1 << 31 != 0;
    let (load, store) = if wide { (of_64_bits(LDAXR), of_64_bits(STLXR)) } else { (LDXR, STXR) };
    let code = replace(&[load, middle, store, back(3)])?;
    assert_eq!(code[2..], [middle, MOV_S_WZR]);
    Some([code[0], code[1]])
}

#[test]
fn updates_by_numbers_and_masks_are_one_instruction() {
    // add w8, w9, #1 → mov w10, #1; ldadd w10, w9, [x22]
    assert_eq!(update_of(0x1100_0528), Some([0x5280_002a, 0xb82a_02c9]));
    // subs x8, x9, #2 → mov x10, #-2; ldaddal x10, x9, [x22]
    assert_eq!(update_of(0xf100_0928), Some([0x9280_002a, 0xf8ea_02c9]));
    // sub x8, x9, #1, lsl #12 → mov x10, #-4096
    assert_eq!(update_of(0xd140_0528), Some([0x9281_ffea, 0xf8ea_02c9]));
    // add x8, x9, #16, lsl #12: the number takes two instructions.
    assert_eq!(update_of(0x9140_4128), None);
    // orr w8, w9, #0x400 → mov w10, #0x400; ldset
    assert_eq!(update_of(0x3216_0128), Some([0x3216_03ea, 0xb82a_32c9]));
    // eor w8, w9, #1 → ldeor
    assert_eq!(update_of(0x5200_0128), Some([0x3200_03ea, 0xb82a_22c9]));
    // and w8, w9, #0xfffffbff → mov w10, #0x400; ldclr
    assert_eq!(update_of(0x1215_7928), Some([0x3216_03ea, 0xb82a_12c9]));
    // and x8, x9, #0xfffffffffffffffe → mov x10, #1
    assert_eq!(update_of(0x927f_f928), Some([0xb240_03ea, 0xf8ea_12c9]));
}

#[test]
fn updates_by_registers_are_one_instruction() {
    // add w8, w9, w11 → mov w10, w11; ldadd
    assert_eq!(update_of(0x0b0b_0128), Some([0x2a0b_03ea, 0xb82a_02c9]));
    // sub x8, x9, x11 → neg x10, x11
    assert_eq!(update_of(0xcb0b_0128), Some([0xcb0b_03ea, 0xf8ea_02c9]));
    // orr w8, w9, w11 → ldset; and w8, w9, w11 → mvn w10, w11; ldclr; bic w8, w9, w11 → mov; ldclr
    assert_eq!(update_of(0x2a0b_0128), Some([0x2a0b_03ea, 0xb82a_32c9]));
    assert_eq!(update_of(0x0a0b_0128), Some([0x2a2b_03ea, 0xb82a_12c9]));
    assert_eq!(update_of(0x0a2b_0128), Some([0x2a0b_03ea, 0xb82a_12c9]));
    // add w8, w9, w10: the answer is an operand; add w8, w9, w9; add w8, w11, w9: the operands change places.
    assert_eq!([0x0b0a_0128, 0x0b09_0128, 0x0b09_0168].map(update_of), [None; 3]);
    // add w8, w9, w11, uxtb: not known. add x8, x9, x11 about 32 bits.
    assert_eq!(update_of(0x0b2b_0128), None);
    assert_eq!(replace(&[LDXR, 0x8b0b_0128, STXR, back(3)]), None);
}

#[test]
fn comparisons_are_one_instruction() {
    let cas = 0x88e9_fec8;
    // cmp w9, #4; b.ne . + 40 → mov w9, #4; casal w9, w8, [x22]; cmp; b.ne . + 36
    let code = replace(&[LDAXR, 0x7100_113f, 0x5400_0141, STLXR, back(4)]);
    assert_eq!(code, Some(vec![0x5280_0089, cas, 0x7100_113f, 0x5400_0121, MOV_S_WZR]));
    // cmp w9, w11 → mov w9, w11
    let code = replace(&[LDAXR, 0x6b0b_013f, 0x5400_0141, STLXR, back(4)]);
    assert_eq!(code.map(|code| code[0]), Some(0x2a0b_03e9));
    // cmn w9, #1, b.ne backwards → mov w9, #-1
    let code = replace(&[LDAXR, 0x3100_053f, 0x54ff_ffe1, STLXR, back(4)]);
    assert_eq!(code.map(|code| (code[0], code[3])), Some((0x1280_0009, 0x54ff_ffc1)));
    // A byte against a whole register, and against its lowest byte.
    let of_bytes = |compare| replace(&[0x085f_fec9, compare, 0x5400_0141, 0x080a_fec8, back(4)]);
    assert_eq!(of_bytes(0x6b0b_013f), None);
    assert_eq!(of_bytes(0x6b2b_013f).map(|code| code[1]), Some(0x08e9_fec8));
    // b.eq; cmp w8, #4; cmp w9, w10 (the answer).
    assert_eq!(replace(&[LDAXR, 0x7100_113f, 0x5400_0140, STLXR, back(4)]), None);
    assert_eq!(replace(&[LDAXR, 0x7100_111f, 0x5400_0141, STLXR, back(4)]), None);
    assert_eq!(replace(&[LDAXR, 0x6b0a_013f, 0x5400_0141, STLXR, back(4)]), None);
    // cbnz w9, . + 40 → mov w9, wzr; casa w9, w8, [x22]; cbnz w9, . + 36
    let code = replace(&[LDAXR, 0x3500_0149, STXR, back(2)]);
    assert_eq!(code, None, "the loop begins elsewhere");
    let code = replace(&[LDAXR, 0x3500_0149, STXR, back(3)]);
    assert_eq!(code, Some(vec![0x2a1f_03e9, 0x88e9_7ec8, 0x3500_0129, MOV_S_WZR]));
    // 64 bits are loaded, and the lower 32 looked at; all 64.
    let of_64 = |look| replace(&[of_64_bits(LDAXR), look, of_64_bits(STXR), back(3)]);
    assert_eq!(of_64(0x3500_0149), None);
    assert_eq!(of_64(0xb500_0149).map(|code| code[1..3].to_vec()), Some(vec![0xc8e9_7ec8, 0xb500_0129]));
}

#[test]
fn a_mask_turned_twice_is_the_same() {
    for wide in [false, true] {
        for fields in 0..1 << 13 {
            let (n, rotation, ones) = (fields >> 12, fields >> 6 & 63, fields & 63);
            let mask = n << 22 | rotation << 16 | ones << 10;
            let (Some(value), Some(turned)) = (value(mask, wide), complement(mask, wide)) else { continue };
            assert_eq!(self::value(turned, wide), Some(!value), "{mask:#x}");
        }
    }
}

/// The mask by the manual's pseudocode (`DecodeBitMasks`), repeated to 64 bits.
fn value(fields: u32, wide: bool) -> Option<u64> {
    let (n, rotation, ones) = (fields >> 22 & 1, fields >> 16 & 63, fields >> 10 & 63);
    let size = 1u32 << (n << 6 | !ones & 63).checked_ilog2()?;
    let (rotation, count) = (rotation & (size - 1), (ones & (size - 1)) + 1);
    if count == size || !wide && n == 1 || size == 1 {
        return None;
    }
    let bit = |place: u32| (place + rotation) % size < count;
    Some((0..64).filter(|place| bit(place % size)).fold(0, |value, place| value | 1 << place))
}

#[test]
fn a_loop_into_which_something_branches_stays() {
    let swap = [0x085f_fec9, 0x080a_7ec8, back(2)];
    assert_eq!(find(&swap).0.len(), 1);
    // b . - 8, to the store.
    assert_eq!(find(&[&swap[..], &[0x17ff_fffe]].concat()), (vec![], 1));
    // To the loop's start is well.
    assert_eq!(find(&[&swap[..], &[0x17ff_fffd]].concat()).0.len(), 1);
}

#[test]
fn a_wait_is_no_loop() {
    // ldaxrb w8, [x0]; cmp w8, w9; b.ne past; wfe.
    let wait = [0x085f_fc08, 0x6b09_011f, 0x5400_0041, 0xd503_205f];
    assert!(waits(&wait));
    assert_eq!(find(&wait), (vec![], 0));
    assert!(!waits(&wait[..3]));
    assert_eq!(find(&wait[..3]), (vec![], 1));
}

#[test]
fn equal_codes_are_kept_once() {
    let code = vec![1, 2, 3];
    let table = encode(&[(7, code.clone()), (9, vec![4; 5]), (20, code)]).unwrap();
    let mut found = Vec::new();
    libkernel::arch::aarch64::atomics::for_each(&table, |offset, words| found.push((offset, words.len())));
    assert_eq!(found, [(28, 3), (36, 5), (80, 3)]);
    assert_eq!(table.len(), 12 + 2 * 24 + 3 * 4);
}
