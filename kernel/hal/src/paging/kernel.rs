//! Kernel pages that come and go: those of the window of kernel stacks.
//!
//! The tables above them are made by [`Paging::map_kernel`](crate::contract::Paging::map_kernel), stay for ever, and
//! are walked without a lock. An entry is changed by whoever owns its page: nobody else looks at more than whether it
//! translates.
use super::walk::Slot;
use crate::arch::Arch;
use crate::contract::Paging as _;
use crate::frame::KernelFrame;
use libkernel::addr::{PAGE_SHIFT, PhysAddr};
use libkernel::arch::native::paging::Entry;
use libkernel::paging::{Attributes, Prot, ROOT_LEVEL, index};

/// The last-level entry for an address, if its table exists.
fn slot(address: u64) -> Option<Slot> {
    let mut table = Arch::kernel_tables();
    for level in (1..=ROOT_LEVEL).rev() {
        let entry = Slot::of(table, index(address, level)).load();
        if !entry.is_table(level) {
            return None;
        }
        table = entry.address();
    }
    Some(Slot::of(table, index(address, 0)))
}

/// The frame that an address is translated to now.
pub(crate) fn translate(address: u64) -> Option<PhysAddr> {
    let entry = slot(address)?.load();
    entry.is_present().then(|| entry.address())
}

/// Takes the translation of a page away; its entry keeps the frame until [`take_frame`].
pub(crate) fn hide(address: u64) {
    let Some(slot) = slot(address) else { return };
    slot.store(Entry::leaf(slot.load().address(), 0, Attributes::kernel(Prot::NONE)));
}

/// Takes the frame of a hidden page out of its entry, which is empty then.
///
/// # Safety
/// Every CPU has forgotten the page since it was hidden.
pub(crate) unsafe fn take_frame(address: u64) -> Option<KernelFrame> {
    let slot = slot(address)?;
    let entry = slot.load();
    slot.store(Entry::EMPTY);
    // SAFETY: the entry held the frame, which came from `KernelFrame::into_phys`, and neither a CPU nor the entry has
    // it any more.
    (entry.holds_frame() && !entry.is_present()).then(|| unsafe { KernelFrame::from_phys(entry.address()) })
}

/// Keeps a number in the entry of a page without a frame.
pub(crate) fn set_note(address: u64, number: u32) {
    if let Some(slot) = slot(address) {
        slot.store(Entry::from_bits(u64::from(number) << PAGE_SHIFT));
    }
}

/// Takes the number of [`set_note`] out of the entry, which is empty then.
pub(crate) fn take_note(address: u64) -> Option<u32> {
    let slot = slot(address)?;
    let entry = slot.load();
    slot.store(Entry::EMPTY);
    Some((entry.bits() >> PAGE_SHIFT) as u32)
}
