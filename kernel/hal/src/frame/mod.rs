//! Physical memory, in frames of 4 KiB and blocks of them.
//!
//! [`KernelFrame`] is the kernel's own and may be sliced; [`SharedFrame`] may be mapped by programs and is counted
//! and copied in and out, never borrowed. Both zero their content before anyone sees it.
//!
//! Memory for programs (shared frames, page tables) ends at a low watermark; what lies below is the reserve, from which
//! the kernel's own small objects are still served, so that running out is an error a program sees. When half of it is
//! gone ([`is_critical`]), system calls that could need more are refused at their entry.
mod allocator;
mod block;
mod charge;
mod instructions;
mod kernel;
mod loan;
pub(crate) mod references;
mod shared;
mod table;

pub use block::SharedBlock;
pub use charge::{Account, Accounts, keep_accounts};
pub use kernel::KernelFrame;
pub use loan::Loan;
pub use shared::SharedFrame;
pub(crate) use shared::{is_zero, synchronise_instructions};

pub(crate) use allocator::{add_region, init};
#[cfg(any(not(target_os = "linux"), test))]
pub(crate) use allocator::{allocate_block, allocate_chunks, free_block, free_chunks, is_free};
pub(crate) use table::record;

use crate::arch::Arch;
use crate::contract::Paging as _;
use crate::paging::slots;
use libkernel::addr::{PAGE_SIZE, PhysAddr};

/// No frame left, or only the reserve.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct OutOfMemory;

/// Frame counts, in frames of 4 KiB.
#[derive(Clone, Copy, Debug, Default)]
pub struct FrameStatistics {
    /// Frames that the allocator owns at all.
    pub total: usize,
    /// Frames that are free now.
    pub free: usize,
}

/// Frames that the allocator owns at all: one load, where [`statistics`] asks every CPU.
#[inline]
pub fn total() -> usize {
    allocator::total()
}

/// Total and free frames.
pub fn statistics() -> FrameStatistics {
    allocator::statistics()
}

/// False when free memory is below the low watermark, and there is none that is merely kept for reuse: only the
/// kernel's small allocations go on then. One load, while there is memory.
#[inline]
pub fn may_allocate() -> bool {
    allocator::above_watermark() || make_room()
}

/// Asks who keeps memory for reuse to give it back; whether that was enough.
#[cold]
fn make_room() -> bool {
    slots::give_back_all();
    allocator::above_watermark()
}

/// True when the kernel's own allocations have used half of the reserve: from here on only what gives memory back, or
/// needs none, should be begun.
#[inline]
pub fn is_critical() -> bool {
    allocator::is_critical() && !make_room() && allocator::is_critical()
}

/// A fresh frame of zeros.
#[inline]
fn allocate_zeroed() -> Result<PhysAddr, OutOfMemory> {
    let frame = allocator::allocate()?;
    // SAFETY: the frame was just allocated: these bytes are nobody else's.
    unsafe { core::ptr::write_bytes(Arch::direct_map(frame), 0, PAGE_SIZE as usize) };
    Ok(frame)
}
