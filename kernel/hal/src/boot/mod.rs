//! From the architecture's hand-over to the kernel's `start`.
//!
//! The architecture reads what the loader left, maps memory and calls [`start`]; from there on all machines go the
//! same way: frames, heap, devices, the boot task, interrupts, [`Upcalls::start`](crate::Upcalls::start).
mod early;

use crate::arch::Arch;
use crate::contract::{Cpu as _, Paging as _};
use crate::sync::{Once, SpinLock};
use crate::{frame, task, upcalls};
pub use early::{EarlyFrames, MemoryMap};
use libkernel::addr::PhysRange;

/// Facts about this boot, valid for ever except the initramfs (see [`release_initramfs`]).
#[derive(Debug)]
pub struct BootInfo {
    /// The command line, as the loader gave it, without its final NUL.
    pub command_line: &'static [u8],
    /// The initramfs in the direct map; empty when there is none.
    pub initramfs: &'static [u8],
    /// Usable memory in bytes.
    pub memory_bytes: u64,
}

/// What the architecture found, with the direct map in place.
pub struct Handover {
    /// Usable memory.
    pub memory: &'static MemoryMap,
    /// The kernel's image and the page tables behind it.
    pub kernel: PhysRange,
    /// The initramfs.
    pub initramfs: Option<PhysRange>,
    /// The command line.
    pub command_line: &'static [u8],
}

static BOOT_INFO: Once<BootInfo> = Once::new();
static INITRAMFS: SpinLock<Option<PhysRange>> = SpinLock::new(None);

/// The facts about this boot; `None` before the kernel's start.
pub fn info() -> Option<&'static BootInfo> {
    BOOT_INFO.get()
}

/// Brings the machine-independent part up and the kernel with it. `devices` runs once frames and heap work:
/// interrupt controllers, clocks, what needs device memory. On the boot stack, interrupts off.
pub fn start(handover: Handover, devices: impl FnOnce()) -> ! {
    let initramfs = handover.initramfs.unwrap_or(PhysRange { end: handover.kernel.start, ..handover.kernel });
    handover.memory.for_each_free(&[handover.kernel, initramfs], &mut frame::add_region);
    frame::init();
    devices();
    task::init_boot_task();
    *INITRAMFS.lock() = handover.initramfs;
    // SAFETY: the range is memory in the direct map that was kept from the allocator above; only
    // `release_initramfs` gives it away, after the kernel's last look.
    let initramfs = unsafe {
        core::slice::from_raw_parts(Arch::direct_map(initramfs.start), initramfs.length() as usize)
    };
    let memory_bytes = handover.memory.total_bytes();
    let _ = BOOT_INFO.set(BootInfo { command_line: handover.command_line, initramfs, memory_bytes });
    Arch::interrupts_enable();
    upcalls::upcalls().start(BOOT_INFO.get().expect("set above"))
}

/// Gives the initramfs's frames to the allocator. Call once, after the last look at `BootInfo::initramfs`.
pub fn release_initramfs() {
    if let Some(range) = INITRAMFS.lock().take() {
        frame::add_region(range);
    }
}
