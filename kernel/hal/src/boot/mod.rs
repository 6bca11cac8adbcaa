//! From the architecture's hand-over to the kernel's `start`.
//!
//! The architecture reads what the loader left, maps memory and calls [`start`]; from there on all machines go the
//! same way: frames, heap, devices, the boot task, interrupts, [`Upcalls::start`](crate::Upcalls::start).
#[allow(dead_code, reason = "no architecture needs all of it")]
pub(crate) mod early;
pub(crate) mod secondary;

use crate::arch::Arch;
use crate::contract::{Cpu as _, Paging as _};
use crate::sync::{Once, SpinLock};
use crate::{frame, task, upcalls};
pub(crate) use early::MemoryMap;
use libkernel::addr::PhysRange;
use libkernel::command_line::{self, CommandLine};
pub use secondary::{LeftOut, start_other_cpus};

/// Facts about this boot, valid for ever. The initramfs is not among them: see [`take_initramfs`].
#[derive(Debug)]
pub struct BootInfo {
    /// The command line, as the loader gave it, without its final NUL.
    pub command_line: &'static [u8],
    /// Usable memory in bytes.
    pub memory_bytes: u64,
}

/// What the architecture found, with the direct map in place.
#[cfg_attr(target_os = "linux", allow(dead_code, reason = "the host machine does not boot"))]
pub(crate) struct Handover {
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
/// The memory that is used: all there is, unless `mem=` says less.
static MEMORY: Once<MemoryMap> = Once::new();
static INITRAMFS: SpinLock<Option<PhysRange>> = SpinLock::new(None);

/// What was noted while the machine was brought up.
struct Notes(SpinLock<[Option<&'static str>; 8]>);

impl Notes {
    fn add(&self, what: &'static str) {
        if let Some(slot) = self.0.lock().iter_mut().find(|slot| slot.is_none()) {
            *slot = Some(what);
        }
    }

    fn for_each(&self, visit: &mut dyn FnMut(&'static str)) {
        let notes = *self.0.lock();
        notes.into_iter().flatten().for_each(visit);
    }
}

/// What this machine lacks of the things that its architecture mostly has.
static LACKS: Notes = Notes(SpinLock::new([None; 8]));
/// What is used that only some machines have.
static USES: Notes = Notes(SpinLock::new([None; 8]));

/// Notes that the machine lacks something, with what comes of it.
#[allow(dead_code, reason = "the host machine lacks nothing")]
pub(crate) fn lacks(what: &'static str) {
    LACKS.add(what);
}

/// Notes that something is used that only some machines have.
#[allow(dead_code, reason = "AArch64 and the host machine have nothing of the kind")]
pub(crate) fn uses(what: &'static str) {
    USES.add(what);
}

/// Calls `visit` with all that the machine lacks.
pub fn for_each_lack(visit: &mut dyn FnMut(&'static str)) {
    LACKS.for_each(visit);
}

/// Calls `visit` with all that is used and that only some machines have.
pub fn for_each_use(visit: &mut dyn FnMut(&'static str)) {
    USES.for_each(visit);
}

/// The facts about this boot; `None` before the kernel's start.
pub fn info() -> Option<&'static BootInfo> {
    BOOT_INFO.get()
}

/// Brings the machine-independent part up and the kernel with it. `devices` runs once frames and heap work:
/// interrupt controllers, clocks, what needs device memory. On the boot stack, interrupts off.
#[cfg_attr(target_os = "linux", allow(dead_code, reason = "the host machine does not boot"))]
pub(crate) fn start(handover: Handover, devices: impl FnOnce()) -> ! {
    let initramfs = handover.initramfs.unwrap_or(PhysRange { end: handover.kernel.start, ..handover.kernel });
    let limit = CommandLine::new(handover.command_line).option("mem").and_then(command_line::size);
    let memory = MEMORY.get_or_init(|| handover.memory.limited(limit.unwrap_or(u64::MAX)));
    if memory.is_cut() {
        lacks("addresses for all of its memory: what lies above the direct map's end is not used");
    }
    memory.for_each_free(&[handover.kernel, initramfs], &mut frame::add_region);
    // The kernel lies in memory, too, and its frames have neighbours.
    frame::init(memory.ranges().iter().map(|range| range.start).min().unwrap_or(handover.kernel.start));
    devices();
    task::init_boot_task();
    *INITRAMFS.lock() = handover.initramfs;
    let memory_bytes = memory.total_bytes();
    let _ = BOOT_INFO.set(BootInfo { command_line: handover.command_line, memory_bytes });
    Arch::interrupts_enable();
    upcalls::upcalls().start(BOOT_INFO.get().expect("set above"))
}

/// The initramfs in memory. Dropped, its frames go to the allocator.
pub struct Initramfs(PhysRange);

/// The initramfs; `None` when the loader left none, or it was taken already.
pub fn take_initramfs() -> Option<Initramfs> {
    INITRAMFS.lock().take().map(Initramfs)
}

impl Initramfs {
    /// Its bytes.
    pub fn bytes(&self) -> &[u8] {
        // SAFETY: the range is memory in the direct map that `start` kept from the allocator, and nobody writes there.
        // Only the drop gives it away, when no borrow is left.
        unsafe { core::slice::from_raw_parts(Arch::direct_map(self.0.start), self.0.length() as usize) }
    }
}

impl Drop for Initramfs {
    fn drop(&mut self) {
        // The loader may have put it where `mem=` leaves nothing.
        if let Some(memory) = MEMORY.get() {
            memory.for_each_part(self.0, &mut frame::add_region);
        }
    }
}
