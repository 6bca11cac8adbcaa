//! Where things lie in a fresh address space, and by how much each is moved at random.
//!
//! The rules are Linux's (`arch/x86/mm/mmap.c`, `mm/util.c`, `fs/binfmt_elf.c`), so that a program with
//! `ADDR_NO_RANDOMIZE` finds the addresses it is used to: stack top at the end of the user half, mappings
//! from 128 MiB below it downwards, position-independent programs from two thirds upwards.

use alloc::sync::Arc;
use core::sync::atomic::{AtomicU32, Ordering};

use abi::Errno;
use libkernel::addr::{PAGE_SIZE, USER_END, UserAddr, UserRange, page_down, page_up};
use libkernel::arch::native::{BRK_RANDOM_BITS, MMAP_RANDOM_BITS, STACK_RANDOM_BITS};

pub use libkernel::arch::native::{LOWEST_ADDRESS, LOWEST_HINT};

/// The gap kept free below a stack (`stack_guard_gap`, 256 pages).
pub const STACK_GUARD_GAP: u64 = 256 * PAGE_SIZE;

/// What `mmap` keeps free for the stack at least and at most (`mmap_base`'s `gap_min` and `gap_max`).
const STACK_ROOM_MIN: u64 = 128 << 20;
const STACK_ROOM_MAX: u64 = USER_END / 6 * 5;

/// By how many pages the mapping base and program bases are moved at most, as a power of two: `mmap_rnd_bits`.
pub static MMAP_BITS: AtomicU32 = AtomicU32::new(MMAP_RANDOM_BITS);

/// By how many pages the stack top and the program break are moved at most.
const STACK_RANDOM_PAGES: u64 = 1 << STACK_RANDOM_BITS;
const BRK_RANDOM_PAGES: u64 = 1 << BRK_RANDOM_BITS;

/// Where position-independent programs go (`ELF_ET_DYN_BASE`).
const PROGRAM_BASE: u64 = page_down(USER_END / 3 * 2);

/// The random choices of one `execve`; by default nothing is moved.
#[derive(Clone, Copy, Debug, Default)]
pub struct Offsets {
    stack: u64,
    mmap: u64,
    program: u64,
    brk: u64,
}

impl Offsets {
    /// The choices that random words make.
    pub fn from_random([stack, mmap, program, brk]: [u64; 4]) -> Self {
        let mmap_pages = 1 << MMAP_BITS.load(Ordering::Relaxed);
        Self {
            stack: stack % STACK_RANDOM_PAGES * PAGE_SIZE,
            mmap: mmap % mmap_pages * PAGE_SIZE,
            program: program % mmap_pages * PAGE_SIZE,
            brk: brk % BRK_RANDOM_PAGES * PAGE_SIZE,
        }
    }

    /// The end of the stack.
    pub fn stack_top(&self) -> UserAddr {
        UserAddr::new(USER_END - self.stack)
    }

    /// Where a position-independent program with an interpreter goes.
    pub fn program_base(&self) -> UserAddr {
        UserAddr::new(PROGRAM_BASE + self.program)
    }

    /// Where mappings without a hint end, given the soft `RLIMIT_STACK`.
    pub fn mmap_base(&self, stack_limit: u64) -> UserAddr {
        let random_room = if self.stack == 0 { 0 } else { STACK_RANDOM_PAGES * PAGE_SIZE };
        let room = stack_limit.saturating_add(STACK_GUARD_GAP + random_room);
        let room = room.clamp(STACK_ROOM_MIN, STACK_ROOM_MAX);
        UserAddr::new(page_down(USER_END - room - self.mmap.min(USER_END / 8)))
    }

    /// Where the program break starts, for a program that ends at `end`. A program that was placed among
    /// the mappings (a static PIE, or the loader run by hand) gets its heap where programs go instead.
    pub fn brk_start(&self, end: UserAddr, placed_among_mappings: bool) -> Result<UserAddr, Errno> {
        let end = if placed_among_mappings { PROGRAM_BASE } else { end.as_u64() };
        let start = page_up(end).and_then(|end| end.checked_add(self.brk)).ok_or(Errno::ENOMEM)?;
        if start < USER_END { Ok(UserAddr::new(start)) } else { Err(Errno::ENOMEM) }
    }
}

/// What an address space remembers of its layout.
#[derive(Clone)]
pub struct Layout {
    /// Mappings without a hint end here.
    pub mmap_base: UserAddr,
    /// Where the program break started, page-aligned, and where it is.
    pub brk_start: UserAddr,
    /// The program break.
    pub brk: UserAddr,
    /// An address in the initial stack.
    pub stack_start: UserAddr,
    /// The vDSO's image; null where there is none. Its data page lies one page below.
    pub vdso: UserAddr,
    /// From the first byte of the program's code to its last, and of its data: for `/proc/PID/stat`.
    pub code: UserRange,
    /// The same of its data.
    pub data: UserRange,
    /// The strings of the arguments, for `/proc/PID/cmdline`.
    pub arguments: UserRange,
    /// The strings of the environment, for `/proc/PID/environ`.
    pub environment: UserRange,
    /// The auxiliary vector with its end, for `/proc/PID/auxv`.
    pub auxiliary_vector: UserRange,
    /// What the program has said that its auxiliary vector is (`PR_SET_MM_AUXV`).
    pub given_auxiliary_vector: Option<Arc<[u64]>>,
}

impl Layout {
    /// The layout of a space that no program was loaded into.
    pub fn empty() -> Self {
        let nothing = UserRange::ALL.start();
        let none = UserRange::EMPTY;
        Self {
            mmap_base: UserAddr::new(USER_END - STACK_ROOM_MIN),
            brk_start: nothing,
            brk: nothing,
            stack_start: nothing,
            vdso: nothing,
            code: none,
            data: none,
            arguments: none,
            environment: none,
            auxiliary_vector: none,
            given_auxiliary_vector: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_randomness_addresses_are_those_of_linux() {
        let offsets = Offsets::default();
        assert_eq!(offsets.stack_top().as_u64(), USER_END);
        assert_eq!(offsets.mmap_base(8 << 20).as_u64(), USER_END - (128 << 20));
        assert_eq!(offsets.program_base().as_u64() % PAGE_SIZE, 0);
    }

    #[test]
    fn an_unlimited_stack_leaves_room_for_mappings() {
        let offsets = Offsets::default();
        let base = offsets.mmap_base(u64::MAX).as_u64();
        assert!(base >= USER_END / 7);
    }
}
