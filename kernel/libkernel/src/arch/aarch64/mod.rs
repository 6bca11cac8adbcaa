//! AArch64: description of the CPU. Source: Arm Architecture Reference Manual (DDI 0487), section numbers at each fact.

pub mod asid;
pub mod atomics;
pub mod core_dump;
pub mod errata;
pub mod fault;
pub mod gtdt;
pub mod madt;
pub mod paging;
pub mod patch;
pub mod registers;
pub mod sanitise;
pub mod signal_frame;
pub mod speculation;
pub mod trng;

pub use registers::UserRegs;

/// First address that no program can map: all 48 bits of TTBR0's half.
pub const USER_END: u64 = 1 << 48;

/// The lowest address that `MAP_FIXED` may use without privilege (`vm.mmap_min_addr`).
pub const LOWEST_ADDRESS: u64 = 0x1000;
/// The lowest address that a hint is moved to, or that a stack grows to (Debian: `CONFIG_LSM_MMAP_MIN_ADDR`, which is
/// above the other).
pub const LOWEST_HINT: u64 = 0x8000;

/// Random bits, in pages, of mappings and programs (Linux: `vm.mmap_rnd_bits`).
pub const MMAP_RANDOM_BITS: u32 = 18;
/// What root may make of it (Linux: `ARCH_MMAP_RND_BITS_MAX`).
pub const MMAP_RANDOM_BITS_MAX: u32 = 33;
/// Random bits, in pages, of the stack top: 1 GiB.
pub const STACK_RANDOM_BITS: u32 = 18;
/// Random bits, in pages, of the program break: 1 GiB.
pub const BRK_RANDOM_BITS: u32 = 18;

/// Whether the CPU ignores part of a program's addresses: their top byte (TCR_EL1.TBI0).
pub const HAS_ADDRESS_TAGS: bool = true;

/// Whether programs are offered control of indirect branches and of the first-level cache (`PR_SPEC_INDIRECT_BRANCH`).
pub const HAS_BRANCH_CONTROL: bool = false;

/// The address without its tag. Bit 55 says which half an address means (D8.8); the kernel's half has no tags.
#[inline]
pub const fn untagged(address: u64) -> u64 {
    const HALF: u64 = 1 << 55;
    if address & HALF == 0 { address & (HALF - 1) } else { address }
}

/// `e_machine` of a program for this CPU.
pub const ELF_MACHINE: u16 = 183;

/// True when the address lies in one of the two translated halves (D8.1.5 with 48-bit input addresses).
pub const fn is_canonical(address: u64) -> bool {
    address >> 48 == 0 || address >> 48 == 0xffff
}

/// True for what a program may have as its thread pointer: TPIDR_EL0 holds any value.
pub const fn is_thread_pointer(_value: u64) -> bool {
    true
}
