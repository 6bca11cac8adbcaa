//! Atomic updates in a linked AArch64 kernel: loops that load and store exclusively, and the single instructions that
//! do the same where the CPU has FEAT_LSE (DDI 0487, C6.2: LDADD and its kin, SWP, CAS).
//!
//! A loop is replaced only if it has one of the forms below to the last bit, and nothing branches into its midst. The
//! new code leaves every register as a loop does that came through at the first try, the register of STXR's answer
//! (zero) included, and is no longer. Loops of other forms stay as they are. Names below: T is loaded, V stored, N the
//! address, S the answer.

use std::collections::{BTreeSet, HashMap};

use anyhow::{Result, ensure};
use libkernel::arch::aarch64::atomics::{CODE_SHIFT, MAGIC, WORDS_MAX};

use super::elf_image::ElfImage;
use super::symbols;

/// The zero register.
const ZERO: u32 = 31;
/// Of a hundred loops at least so many are replaced, or the compiler's forms have changed.
const SHARE: usize = 90;

/// The table for the kernel, of the loops in its text.
pub fn table(image: &ElfImage, file: &[u8]) -> Result<Vec<u8>> {
    let text = image.segment(symbols::address(file, "__text_start")?)?;
    let words: Vec<u32> = text.as_chunks().0.iter().map(|word| u32::from_le_bytes(*word)).collect();
    let (loops, all) = find(&words);
    ensure!(
        loops.len() * 100 >= all * SHARE,
        "only {} of {all} exclusive loops could be replaced by atomic instructions",
        loops.len()
    );
    encode(&loops)
}

fn encode(loops: &[(usize, Vec<u32>)]) -> Result<Vec<u8>> {
    let mut numbers: HashMap<&[u32], u32> = HashMap::new();
    let (mut codes, mut places) = (Vec::new(), Vec::new());
    for (index, code) in loops {
        let next = u32::try_from(numbers.len())?;
        let number = *numbers.entry(code).or_insert_with(|| {
            codes.push(code.len() as u32);
            codes.extend((0..WORDS_MAX).map(|word| code.get(word).copied().unwrap_or(0)));
            next
        });
        let offset = u32::try_from(*index)?;
        ensure!(number >> (32 - CODE_SHIFT) == 0 && offset >> CODE_SHIFT == 0, "too many loops, or too far");
        places.push(number << CODE_SHIFT | offset);
    }
    let header = [MAGIC, u32::try_from(numbers.len())?, u32::try_from(loops.len())?];
    Ok(header.iter().chain(&codes).chain(&places).flat_map(|word| word.to_le_bytes()).collect())
}

/// The loops that can be replaced, by the index of their first word, with their new code; and how many exclusive loads
/// there are that begin one.
fn find(words: &[u32]) -> (Vec<(usize, Vec<u32>)>, usize) {
    let targets: BTreeSet<usize> =
        words.iter().enumerate().filter_map(|(index, word)| branch_target(index, *word)).collect();
    let begins = |&index: &usize| Load::parse(words[index]).is_some() && !waits(&words[index..]);
    let loads: Vec<usize> = (0..words.len()).filter(begins).collect();
    let replace = |&index: &usize| {
        let code = replace(&words[index..words.len().min(index + WORDS_MAX)])?;
        let enters = targets.range(index + 1..index + code.len()).next().is_some();
        (!enters).then_some((index, code))
    };
    (loads.iter().filter_map(replace).collect(), loads.len())
}

/// Whether `words` begin with a wait for another CPU's store, not with a loop: LDAXR, CMP, B.NE, WFE (`hal`'s
/// `pause_while`).
pub fn waits(words: &[u32]) -> bool {
    const WAIT: u32 = 0xd503_205f;
    words.first().and_then(|first| Load::parse(*first)).is_some_and(|load| load.acquires)
        && words.get(3) == Some(&WAIT)
}

/// Where a direct branch at this index leads: B and BL, B.cond, CBZ and CBNZ, TBZ and TBNZ (C4.1.66).
fn branch_target(index: usize, word: u32) -> Option<usize> {
    let (shift, bits) = match word {
        _ if word & 0x7c00_0000 == 0x1400_0000 => (0, 26),
        _ if word & 0xff00_0000 == 0x5400_0000 || word & 0x7e00_0000 == 0x3400_0000 => (5, 19),
        _ if word & 0x7e00_0000 == 0x3600_0000 => (5, 14),
        _ => return None,
    };
    let distance = (word << (32 - shift - bits)) as i32 >> (32 - bits);
    index.checked_add_signed(distance as isize)
}

/// LDXR or LDAXR of any size but pairs.
struct Load {
    size: u32,
    acquires: bool,
    address: u32,
    target: u32,
}

impl Load {
    fn parse(word: u32) -> Option<Self> {
        (word & 0x3fff_7c00 == 0x085f_7c00).then_some(Self {
            size: word >> 30,
            acquires: word & 1 << 15 != 0,
            address: word >> 5 & 31,
            target: word & 31,
        })
    }

    /// Whether values are of 64 bits, as bit 31 of instructions says it.
    fn wide(&self) -> u32 {
        u32::from(self.size == 3) << 31
    }
}

/// STXR or STLXR.
struct Store {
    size: u32,
    releases: bool,
    address: u32,
    value: u32,
    answer: u32,
}

impl Store {
    fn parse(word: u32) -> Option<Self> {
        (word & 0x3fe0_7c00 == 0x0800_7c00).then_some(Self {
            size: word >> 30,
            releases: word & 1 << 15 != 0,
            address: word >> 5 & 31,
            value: word & 31,
            answer: word >> 16 & 31,
        })
    }
}

/// A loop without its middle.
struct Exclusive {
    load: Load,
    store: Store,
}

impl Exclusive {
    /// The loop whose store is at `at`, and whose last word, behind that, leads back to its first one while the store
    /// fails.
    fn parse(words: &[u32], at: usize) -> Option<Self> {
        let (load, store) = (Load::parse(*words.first()?)?, Store::parse(*words.get(at)?)?);
        let back = 0x3500_0000 | ((-(at as i32 + 1)) as u32 & 0x7_ffff) << 5 | store.answer;
        let fits = *words.get(at + 1)? == back
            && load.size == store.size
            && load.address == store.address
            && ![load.address, ZERO].contains(&load.target)
            && ![load.address, store.value, ZERO].contains(&store.answer);
        fits.then_some(Self { load, store })
    }

    /// SWP, LDADD and its kin: their operation's bits, and the register of the operand.
    fn update(&self, operation: u32, operand: u32) -> u32 {
        let order = u32::from(self.load.acquires) << 23 | u32::from(self.store.releases) << 22;
        let registers = operand << 16 | self.load.address << 5 | self.load.target;
        0x3820_0000 | self.load.size << 30 | order | operation | registers
    }

    fn compare_and_swap(&self) -> u32 {
        let order = u32::from(self.load.acquires) << 22 | u32::from(self.store.releases) << 15;
        let registers = self.load.target << 16 | self.load.address << 5 | self.store.value;
        0x08a0_7c00 | self.load.size << 30 | order | registers
    }

    /// MOV S, wzr.
    fn answer_zero(&self) -> u32 {
        0x2a1f_03e0 | self.store.answer
    }

    /// ORR S, zr, M with what else its bits say.
    fn to_answer(&self, operation: u32) -> u32 {
        self.load.wide() | operation | ZERO << 5 | self.store.answer
    }
}

/// The new code of the loop that begins with `words`.
fn replace(words: &[u32]) -> Option<Vec<u32>> {
    swap(words).or_else(|| update(words)).or_else(|| fill(words)).or_else(|| compare_and_swap(words))
}

/// `ldxr T, [N]; stxr S, V, [N]; cbnz S` → `swp V, T, [N]; mov S, wzr; nop`
fn swap(words: &[u32]) -> Option<Vec<u32>> {
    const SWAP: u32 = 1 << 15;
    const NO_OPERATION: u32 = 0xd503_201f;
    let this = Exclusive::parse(words, 1)?;
    (this.store.value != this.load.target)
        .then(|| vec![this.update(SWAP, this.store.value), this.answer_zero(), NO_OPERATION])
}

/// `ldxr T, [N]; op V, T, x; stxr S, V, [N]; cbnz S` → `mov S, x; ldop S, T, [N]; op V, T, x; mov S, wzr`
fn update(words: &[u32]) -> Option<Vec<u32>> {
    let this = Exclusive::parse(words, 2)?;
    let middle = words[1];
    let goes_through = middle & 31 == this.store.value && middle & 1 << 31 == this.load.wide();
    if !goes_through || [this.load.address, ZERO].contains(&this.store.value) {
        return None;
    }
    let (prepare, operation) = operand(&this, middle)?;
    Some(vec![prepare, this.update(operation, this.store.answer), middle, this.answer_zero()])
}

const ADD: u32 = 0 << 12;
const CLEAR: u32 = 1 << 12;
const EXCLUSIVE_OR: u32 = 2 << 12;
const SET: u32 = 3 << 12;

/// How the operand of the loop's `middle` comes into S, and the operation's bits.
fn operand(this: &Exclusive, middle: u32) -> Option<(u32, u32)> {
    let register = middle >> 16 & 31;
    let from_target = middle >> 5 & 31 == this.load.target;
    let free = ![this.load.target, this.store.answer, this.store.value].contains(&register);
    // What a register's shift and number are in all forms with one.
    let shifted = middle & (3 << 22 | 31 << 16 | 63 << 10);
    match middle & 0x1f80_0000 {
        // ADD, SUB, ADDS, SUBS of a number.
        0x1100_0000 if from_target => {
            let amount = (middle >> 10 & 0xfff) << if middle & 1 << 22 != 0 { 12 } else { 0 };
            let subtracts = middle & 1 << 30 != 0;
            Some((move_number(this, amount, subtracts)?, ADD))
        }
        // AND, ORR, EOR, ANDS of a mask.
        0x1200_0000 if from_target => {
            let mask = middle & 0x007f_fc00;
            match middle >> 29 & 3 {
                1 => Some((this.to_answer(0x3200_0000 | mask), SET)),
                2 => Some((this.to_answer(0x3200_0000 | mask), EXCLUSIVE_OR)),
                _ => Some((this.to_answer(0x3200_0000 | complement(mask, this.load.wide() != 0)?), CLEAR)),
            }
        }
        // ADD, SUB, ADDS, SUBS of a register: ORR or SUB from zero.
        0x0b00_0000 | 0x0b80_0000 if from_target && free && middle & 1 << 21 == 0 => {
            let from_zero = if middle & 1 << 30 != 0 { 0x4b00_0000 } else { 0x2a00_0000 };
            Some((this.to_answer(from_zero | shifted), ADD))
        }
        // AND, ORR, EOR, ANDS of a register, or of its complement: ORR or ORN.
        0x0a00_0000 | 0x0a80_0000 if from_target && free => {
            const COMPLEMENT: u32 = 1 << 21;
            let (complement, operation) = match middle >> 29 & 3 {
                1 => (middle & COMPLEMENT, SET),
                2 => (middle & COMPLEMENT, EXCLUSIVE_OR),
                _ => (!middle & COMPLEMENT, CLEAR),
            };
            Some((this.to_answer(0x2a00_0000 | complement | shifted), operation))
        }
        _ => None,
    }
}

/// MOVZ or MOVN to S.
fn move_number(this: &Exclusive, amount: u32, negative: bool) -> Option<u32> {
    let (base, value) = if negative { (0x1280_0000, amount.checked_sub(1)?) } else { (0x5280_0000, amount) };
    (value <= 0xffff).then_some(this.load.wide() | base | value << 5 | this.store.answer)
}

/// The fields N, immr and imms of the mask with all bits turned (`DecodeBitMasks`).
fn complement(fields: u32, wide: bool) -> Option<u32> {
    let (n, rotation, ones) = (fields >> 22 & 1, fields >> 16 & 63, fields >> 10 & 63);
    let size = 1 << (n << 6 | !ones & 63).checked_ilog2()?;
    if !wide && size == 64 {
        return None;
    }
    let (mask, count) = (size - 1, (ones & (size - 1)) + 1);
    // As many ones as there were zeros, which begin where the ones ended.
    let turned = size - count;
    let rotation = (rotation.wrapping_sub(count)) & mask;
    (turned > 0).then(|| n << 22 | rotation << 16 | (ones & !mask | (turned - 1)) << 10)
}

/// `ldxr T, [N]; cbnz T, F; stxr S, V, [N]; cbnz S` → `mov T, wzr; cas T, V, [N]; cbnz T, F; mov S, wzr`
fn fill(words: &[u32]) -> Option<Vec<u32>> {
    let this = Exclusive::parse(words, 2)?;
    let (middle, target) = (words[1], this.load.target);
    // At as many bits as are loaded and compared by CAS.
    let looks = middle & 0xff00_001f == this.load.wide() | 0x3500_0000 | target;
    (looks && this.store.value != target).then(|| {
        Some(vec![0x2a1f_03e0 | target, this.compare_and_swap(), one_later(middle)?, this.answer_zero()])
    })?
}

/// `ldxr T, [N]; cmp T, x; b.ne F; stxr S, V, [N]; cbnz S` → `mov T, x; cas T, V, [N]; cmp T, x; b.ne F; mov S, wzr`
fn compare_and_swap(words: &[u32]) -> Option<Vec<u32>> {
    const NOT_EQUAL: u32 = 0x5400_0001;
    let this = Exclusive::parse(words, 3)?;
    let (compare, leave, target) = (words[1], words[2], this.load.target);
    let register = compare >> 16 & 31;
    let looks = compare & 31 == ZERO && compare >> 5 & 31 == target && leave & 0xff00_001f == NOT_EQUAL;
    let is_narrow_enough = compare & 1 << 31 == this.load.wide();
    if !looks || !is_narrow_enough || this.store.value == target {
        return None;
    }
    let wide = this.load.wide();
    let free = register != target && register != this.store.answer;
    let (number, is_word, extend) = (compare >> 10 & 0x7ff, this.load.size >= 2, compare >> 10 & 63);
    // CAS looks at so many bits as it loads: a comparison of more than these is left alone.
    let expect = match compare & 0x7fe0_0000 {
        // CMP with a small number, CMN with one: MOVZ, MOVN.
        0x7100_0000 if is_word || number < 256 => 0x5280_0000 | number << 5,
        0x3100_0000 if is_word => 0x1280_0000 | number.checked_sub(1)? << 5,
        // CMP with a register, with its lowest byte or half.
        0x6b00_0000 if free && is_word && extend == 0 => 0x2a00_03e0 | register << 16,
        0x6b20_0000 if free && !is_word && extend == this.load.size << 3 => 0x2a00_03e0 | register << 16,
        _ => return None,
    };
    let expect = wide | expect | target;
    Some(vec![expect, this.compare_and_swap(), compare, one_later(leave)?, this.answer_zero()])
}

/// A branch with 19 bits of distance, to the same place from one word later.
fn one_later(branch: u32) -> Option<u32> {
    let distance = (branch << 8) as i32 >> 13;
    let moved = distance.checked_sub(1).filter(|moved| *moved >= -(1 << 18))?;
    Some(branch & !(0x7_ffff << 5) | (moved as u32 & 0x7_ffff) << 5)
}

#[cfg(test)]
mod tests;
