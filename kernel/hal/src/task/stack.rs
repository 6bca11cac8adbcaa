//! Kernel stacks: 16 KiB each, with an unmapped guard below.
//!
//! The window is cut into slots of 32 KiB, aligned to that size, with the stack in the lower half: an overflow runs
//! into the unmapped upper half of the slot below, and one bit of the stack pointer tells the two apart. Stacks are
//! mapped once and reused for ever; memory for them is bounded by the largest number of tasks there ever was. Each CPU keeps
//! the one that was given back last, for the task that it makes next.
use crate::arch::Arch;
use crate::contract::Paging as _;
use crate::cpu::MAX_CPUS;
use crate::frame::{KernelFrame, OutOfMemory};
use crate::sync::{IrqLock, PerCpu};
use core::cell::Cell;
use core::sync::atomic::{AtomicU32, Ordering};
use libkernel::addr::PAGE_SIZE;

const SLOT_BYTES: u64 = 32 << 10;
/// Bytes of a stack.
pub const STACK_BYTES: u64 = 16 << 10;
/// Slots in the window: 512 GiB of addresses.
const SLOTS: u32 = 1 << 24;
/// Ends the list of free slots.
const NONE: u32 = u32::MAX;

/// A kernel stack of one task; dropped, it waits for the next one.
pub struct KernelStack(u32);

struct Slots {
    /// First of the free slots; the lowest word of a free stack names the next.
    first_free: u32,
    /// Slots from here on were never mapped.
    unused: u32,
}

/// Slots below this one are mapped: [`Slots::unused`], to look at without the lock.
static MAPPED: AtomicU32 = AtomicU32::new(1);

/// Each CPU's free stack, or [`NONE`].
static SPARE: PerCpu<Cell<u32>> = PerCpu::new([const { Cell::new(NONE) }; MAX_CPUS]);

static STACKS: IrqLock<Slots> = IrqLock::new(Slots { first_free: NONE, unused: 1 });

fn bottom(slot: u32) -> u64 {
    Arch::KERNEL_STACKS + u64::from(slot) * SLOT_BYTES
}

impl KernelStack {
    /// A stack with any content.
    pub fn allocate() -> Result<Self, OutOfMemory> {
        if cfg!(target_os = "linux") {
            // The host machine runs tasks on threads of its own.
            return Ok(Self(NONE));
        }
        let spare = SPARE.with_masked(|spare| spare.replace(NONE));
        if spare != NONE {
            return Ok(Self(spare));
        }
        let mut slots = STACKS.lock();
        if slots.first_free != NONE {
            let slot = slots.first_free;
            // SAFETY: a free stack is mapped and nobody's; `drop` wrote this word.
            slots.first_free = unsafe { (bottom(slot) as *const u32).read() };
            return Ok(Self(slot));
        }
        let slot = slots.unused;
        if slot >= SLOTS {
            return Err(OutOfMemory);
        }
        slots.unused += 1;
        drop(slots);
        map(slot)?;
        // Slots are mapped in no order; one that is not yet, or could not be, has no frames to be looked for.
        MAPPED.fetch_max(slot + 1, Ordering::Release);
        Ok(Self(slot))
    }

    /// The address behind its highest byte.
    pub fn top(&self) -> *mut u8 {
        bottom(self.0).wrapping_add(STACK_BYTES) as *mut u8
    }
}

/// Whether an address is that of an aligned word on some kernel stack.
pub(crate) fn is_stack_word(address: u64) -> bool {
    let Some(offset) = address.checked_sub(Arch::KERNEL_STACKS) else { return false };
    let slot = offset / SLOT_BYTES;
    let is_mapped = (1..u64::from(MAPPED.load(Ordering::Acquire))).contains(&slot);
    is_mapped && offset % SLOT_BYTES <= STACK_BYTES - 8 && address.is_multiple_of(8)
}

/// Where the window begins.
#[cfg(test)]
pub(crate) fn stack_window() -> u64 {
    Arch::KERNEL_STACKS
}

/// Maps fresh frames. A slot that fails half-way is not used again, and keeps what it got.
fn map(slot: u32) -> Result<(), OutOfMemory> {
    for page in 0..STACK_BYTES / PAGE_SIZE {
        let frame = KernelFrame::alloc_zeroed()?;
        Arch::map_kernel(bottom(slot) + page * PAGE_SIZE, frame.phys())?;
        frame.into_phys();
    }
    Ok(())
}

impl Drop for KernelStack {
    fn drop(&mut self) {
        if cfg!(target_os = "linux") {
            return;
        }
        let slot = SPARE.with_masked(|spare| spare.replace(self.0));
        if slot == NONE {
            return;
        }
        let mut slots = STACKS.lock();
        // SAFETY: the stack is mapped, and with its task gone nobody uses it.
        unsafe { (bottom(slot) as *mut u32).write(slots.first_free) };
        slots.first_free = slot;
    }
}
