//! Stack frames of the kernel's functions: kernel stacks have 16 KiB, and no way down may end one.
//!
//! Read from the linked release kernel's instructions: what each function takes from the stack pointer by constants.
//! Whoever takes much is seldom seen in the source: it is what the compiler inlines, and what a value needs that is
//! made on the stack first.

use anyhow::{Context, Result};
use iced_x86::{Decoder, DecoderOptions, Instruction, Mnemonic, Register};
use object::{Object, ObjectSection, ObjectSymbol, SymbolKind};

use super::Finding;
use crate::arch::Arch;
use crate::build::{self, Checks, symbols};
use crate::toolchain::Toolchain;

/// The most bytes that a frame has.
const MOST: u64 = 3072;

/// Functions that may take more: their names, how much at most on either architecture, and why that ends no stack.
const EXCEPTIONS: &[(&str, u64, &str)] = &[
    ("hal::boot::start", 6000, "the first function of all, on the boot stack"),
    ("hal::arch::aarch64::platform::memory::map", 4500, "on the boot stack, a few calls deep"),
    ("hal::arch::aarch64::platform::machine::of_tree", 6000, "likewise; it calls little"),
    ("hal::arch::aarch64::platform::machine::of_tables", 6500, "likewise"),
    ("orlop::initramfs::gzip::Gzip::new", 11_500, "at boot, called by a function that keeps little itself"),
    ("orlop::initramfs::zstd::Zstd::new", 4000, "at boot, likewise"),
];

/// Builds both kernels and looks at their frames.
pub fn check(toolchain: &Toolchain) -> Result<Finding> {
    let mut problems = Vec::new();
    let mut is_needed = [false; EXCEPTIONS.len()];
    for arch in Arch::ALL {
        let path = build::kernel(toolchain, arch, Checks::Release)?.with_extension("elf");
        let file = std::fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
        for (name, size) in frames(arch, &file)?.into_iter().filter(|(_, size)| *size > MOST) {
            let exception = EXCEPTIONS.iter().position(|(excepted, ..)| *excepted == name);
            let most = exception.map_or(MOST, |index| EXCEPTIONS[index].1);
            exception.inspect(|&index| is_needed[index] = true);
            if size > most {
                problems.push(format!("{arch:?}: {name}: a frame of {size} bytes, at most {most}"));
            }
        }
    }
    let unneeded = EXCEPTIONS.iter().zip(is_needed).filter(|(_, is_needed)| !is_needed);
    problems
        .extend(unneeded.map(|((name, ..), _)| format!("{name} has no large frame and needs no exception")));
    Ok(Finding { rule: "frames fit the kernel's stacks", problems })
}

/// The functions of a linked kernel, and how much each takes of a stack, in bytes.
fn frames(arch: Arch, file: &[u8]) -> Result<Vec<(String, u64)>> {
    let file = object::File::parse(file).context("not an object file")?;
    let size_of: fn(&[u8]) -> u64 = match arch {
        Arch::X86_64 => x86_64,
        Arch::Aarch64 => aarch64,
    };
    let mut found = Vec::new();
    for symbol in file.symbols().filter(|symbol| symbol.kind() == SymbolKind::Text && symbol.size() > 0) {
        let Some(index) = symbol.section_index() else { continue };
        let code = file.section_by_index(index)?.data_range(symbol.address(), symbol.size())?;
        found.push((symbols::readable(symbol.name()?), size_of(code.unwrap_or_default())));
    }
    Ok(found)
}

/// Adds up what is taken on a way through the code in the order of addresses, until a return ends it; the most there
/// is. What is given back in between does not count, so the sum is too large rather than too small.
fn most(steps: impl Iterator<Item = Step>) -> u64 {
    let (mut now, mut most) = (0, 0);
    for step in steps {
        now = if let Step::Takes(bytes) = step { now + bytes } else { 0 };
        most = most.max(now);
    }
    most
}

/// What an instruction does to a stack.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Step {
    Takes(u64),
    Returns,
}

fn x86_64(code: &[u8]) -> u64 {
    let mut decoder = Decoder::new(64, code, DecoderOptions::NONE);
    most(decoder.iter().filter_map(|instruction| x86_64_step(&instruction)))
}

fn x86_64_step(instruction: &Instruction) -> Option<Step> {
    let is_on_stack = instruction.op0_register() == Register::RSP;
    match instruction.mnemonic() {
        Mnemonic::Sub if is_on_stack && instruction.op1_register() == Register::None => {
            Some(Step::Takes(instruction.immediate(1)))
        }
        // The end of a loop that touches each page of a large frame.
        Mnemonic::Lea if instruction.memory_base() == Register::RSP && !is_on_stack => {
            let below = (instruction.memory_displacement64() as i64).wrapping_neg();
            u64::try_from(below).ok().filter(|below| *below > 0).map(Step::Takes)
        }
        Mnemonic::Push => Some(Step::Takes(8)),
        Mnemonic::Ret | Mnemonic::Iretq => Some(Step::Returns),
        _ => None,
    }
}

fn aarch64(code: &[u8]) -> u64 {
    let words = code.as_chunks().0.iter().map(|bytes| u32::from_le_bytes(*bytes));
    most(words.filter_map(aarch64_step))
}

/// Encodings: Arm ARM, C6.2, `SUB (immediate)`, `STP`, `STR (immediate)` with pre-index, `RET`.
fn aarch64_step(word: u32) -> Option<Step> {
    let field = |low: u32, bits: u32| u64::from(word >> low & ((1 << bits) - 1));
    if word & 0xff80_03ff == 0xd100_03ff {
        return Some(Step::Takes(field(10, 12) << (12 * field(22, 1))));
    }
    if word & 0xffe0_03e0 == 0xa9a0_03e0 {
        return Some(Step::Takes((128 - field(15, 7)) * 8));
    }
    if word & 0xfff0_0fe0 == 0xf810_0fe0 {
        return Some(Step::Takes(512 - field(12, 9)));
    }
    (word == 0xd65f_03c0).then_some(Step::Returns)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_functions_take_is_read_from_their_code() {
        // push rbp; push rbx; sub rsp, 0x28d8; ret; sub rsp, 16; ret
        let code = [0x55, 0x53, 0x48, 0x81, 0xec, 0xd8, 0x28, 0, 0, 0xc3, 0x48, 0x83, 0xec, 16, 0xc3];
        assert_eq!(x86_64(&code), 16 + 0x28d8);
        // lea r11, [rsp - 0x3000]; add rsp, 8
        assert_eq!(x86_64(&[0x4c, 0x8d, 0x9c, 0x24, 0, 0xd0, 0xff, 0xff, 0x48, 0x83, 0xc4, 8]), 0x3000);
    }

    #[test]
    fn so_are_those_of_the_other_architecture() {
        let size =
            |words: &[u32]| aarch64(&words.iter().flat_map(|word| word.to_le_bytes()).collect::<Vec<_>>());
        // stp x29, x30, [sp, #-64]!; sub sp, sp, #0x2, lsl #12; sub sp, sp, #0x70; ret
        assert_eq!(size(&[0xa9bc_7bfd, 0xd140_0bff, 0xd101_c3ff, 0xd65f_03c0]), 64 + 0x2000 + 0x70);
        // str x19, [sp, #-16]!; ldp x29, x30, [sp], #64; add sp, sp, #0x70
        assert_eq!(size(&[0xf81f_0ff3, 0xa8c4_7bfd, 0x9101_c3ff]), 16);
    }
}
