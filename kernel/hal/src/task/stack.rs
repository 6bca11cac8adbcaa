//! Kernel stacks: 16 KiB each, with an unmapped guard below, in slots of a pool (`paging::slots`).
//!
//! A stack whose task is gone stays mapped for the next one: each CPU keeps the one that it was given back last, the
//! pool keeps the others.
use crate::arch::Arch;
use crate::contract::Paging as _;
use crate::cpu::MAX_CPUS;
use crate::frame::OutOfMemory;
use crate::paging::kernel;
use crate::paging::slots::{STACK_BYTES, STACK_SLOT_BYTES, STACK_SLOTS, STACKS};
use crate::sync::PerCpu;
use core::cell::Cell;
use libkernel::addr::PAGE_SIZE;

/// No slot.
const NONE: u32 = u32::MAX;

/// A kernel stack of one task; dropped, it waits for the next one.
pub struct KernelStack(u32);

/// Each CPU's free stack, or [`NONE`].
static SPARE: PerCpu<Cell<u32>> = PerCpu::new([const { Cell::new(NONE) }; MAX_CPUS]);

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
        STACKS.take().map(Self)
    }

    /// The address behind its highest byte.
    pub fn top(&self) -> *mut u8 {
        STACKS.bottom(self.0).wrapping_add(STACK_BYTES) as *mut u8
    }
}

impl Drop for KernelStack {
    fn drop(&mut self) {
        if cfg!(target_os = "linux") {
            return;
        }
        let slot = SPARE.with_masked(|spare| spare.replace(self.0));
        if slot != NONE {
            // SAFETY: the task whose stack it was is gone.
            unsafe { STACKS.keep(slot) };
        }
    }
}

/// An aligned word of a kernel stack, whoever's it is; `None` for any other address. In any context. The stack may be
/// in use, or be given back meanwhile: then the word is nonsense.
pub(crate) fn word(address: u64) -> Option<u64> {
    let offset = address.checked_sub(Arch::KERNEL_STACKS)?;
    let is_inside = (1..u64::from(STACK_SLOTS)).contains(&(offset / STACK_SLOT_BYTES))
        && offset % STACK_SLOT_BYTES <= STACK_BYTES - 8
        && address.is_multiple_of(8);
    let frame = if is_inside { kernel::translate(address)? } else { return None };
    let place = Arch::direct_map(frame).wrapping_add((address % PAGE_SIZE) as usize).cast::<u64>();
    // SAFETY: an aligned word of memory, by way of the direct map, which stays whatever becomes of the stack.
    Some(unsafe { place.read_volatile() })
}

/// Where the window begins.
#[cfg(test)]
pub(crate) fn stack_window() -> u64 {
    Arch::KERNEL_STACKS
}
