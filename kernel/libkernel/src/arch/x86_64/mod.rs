//! x86_64: description of the CPU. Sources: Intel SDM volume 3, AMD64 APM volume 2; section numbers at each fact.

pub mod apic;
pub mod core_dump;
pub mod fault;
pub mod kvm;
pub mod madt;
pub mod mp_table;
pub mod paging;
pub mod patch;
pub mod pcid;
pub mod pvclock;
pub mod registers;
pub mod return_path;
pub mod sanitise;
pub mod segments;
pub mod shootdown;
pub mod signal_frame;
pub mod speculation;
pub mod text_screen;
pub mod topology;
pub mod tsc;
pub mod xsave;
pub mod zero_page;

pub use registers::UserRegs;

/// First address that no program can map. The last page below 2^47 stays unmapped for ever, so that no `syscall`
/// instruction can end at the first non-canonical address, which `sysretq` must never see on Intel CPUs.
pub const USER_END: u64 = (1 << 47) - 4096;

/// The lowest address that `MAP_FIXED` may use without privilege (`vm.mmap_min_addr`).
pub const LOWEST_ADDRESS: u64 = 0x1_0000;
/// The lowest address that a hint is moved to, or that a stack grows to.
pub const LOWEST_HINT: u64 = LOWEST_ADDRESS;

/// Random bits, in pages, of mappings and programs (Linux: `vm.mmap_rnd_bits`).
pub const MMAP_RANDOM_BITS: u32 = 28;
/// What root may make of it (Linux: `ARCH_MMAP_RND_BITS_MAX`).
pub const MMAP_RANDOM_BITS_MAX: u32 = 32;
/// Random bits, in pages, of the stack top: 16 GiB.
pub const STACK_RANDOM_BITS: u32 = 22;
/// Random bits, in pages, of the program break: 32 MiB.
pub const BRK_RANDOM_BITS: u32 = 13;

/// Whether the CPU ignores part of a program's addresses. Linear-address masking is not used.
pub const HAS_ADDRESS_TAGS: bool = false;

/// Whether programs are offered control of indirect branches and of the first-level cache (`PR_SPEC_INDIRECT_BRANCH`).
pub const HAS_BRANCH_CONTROL: bool = true;

/// The address without its tag.
#[inline]
pub const fn untagged(address: u64) -> u64 {
    address
}

/// `e_machine` of a program for this CPU.
pub const ELF_MACHINE: u16 = 62;

/// True when the 48-bit address is sign-extended as four-level paging demands (SDM volume 1, 3.3.7.1).
pub const fn is_canonical(address: u64) -> bool {
    ((address as i64) << 16) >> 16 == address as i64
}

/// True for what a program may have as its thread pointer: FS_BASE takes canonical addresses only, and Linux only a
/// program's own.
pub const fn is_thread_pointer(value: u64) -> bool {
    value < USER_END
}
