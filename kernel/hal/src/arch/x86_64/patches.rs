//! What is written over the text at boot, by feature, and how.
use super::cpu::{self, has};
use super::speculation;
use crate::patch;
use core::ptr;

/// The number of a feature, below 64.
macro_rules! number {
    // `stac` and `clac` exist.
    (SMAP) => {
        0
    };
    // Those of `speculation`: indices, addresses and registers are masked,
    (MASKS) => {
        1
    };
    // `swapgs` is followed by a fence,
    (FENCE_SWAPGS) => {
        2
    };
    // `verw` precedes the way out,
    (CLEAR_BUFFERS) => {
        3
    };
    // one of the next two,
    (FORGET) => {
        4
    };
    // IBRS is written on the ways in and out,
    (RESTRICT) => {
        5
    };
    // the history of branches is overwritten on the way in,
    (HISTORY) => {
        6
    };
    // the return stack is filled when the address space changes.
    (FILL_RETURNS) => {
        7
    };
    // `rep movsb` and `rep stosb` are the fastest way.
    (ERMS) => {
        8
    };
    // The CPU's maker is AMD or Hygon, whose instruction for calls of a hypervisor is another.
    (AMD) => {
        9
    };
    // A task's registers: `rdfsbase` and `wrfsbase` exist,
    (FSGSBASE) => {
        10
    };
    // and `xsave` and `xrstor`;
    (XSAVE) => {
        11
    };
    // these leave the pointers of the last x87 instruction.
    (X87_POINTERS) => {
        12
    };
    // Translations have identifiers.
    (PCID) => {
        13
    };
}

/// A site's assembly: `patched!(SMAP, "nop" => "clac")`. Without operands of its own; see [`patch::site`].
macro_rules! patched {
    ($feature:ident, $old:expr => $new:expr) => {
        $crate::patch::site!($crate::arch::x86_64::patches::number!($feature), $old => $new)
    };
}

/// Closes the door to user memory, where the CPU has SMAP; others do not know the instruction.
macro_rules! clac {
    () => {
        $crate::arch::x86_64::patches::patched!(SMAP, ".byte 0x0f, 0x1f, 0x00" => "clac")
    };
}

/// Opens it.
macro_rules! stac {
    () => {
        $crate::arch::x86_64::patches::patched!(SMAP, ".byte 0x0f, 0x1f, 0x00" => "stac")
    };
}
pub(in crate::arch::x86_64) use {clac, number, patched, stac};

/// Patches the text.
///
/// # Safety
/// The text is writable (early page tables), and this CPU is alone with interrupts off. What serialises comes with the
/// next write of CR3 (SDM volume 3, 8.1.3), before any site is met.
pub unsafe fn apply() {
    let present = speculation::features()
        .with(number!(SMAP), has(cpu::feature::SMAP))
        .with(number!(ERMS), has(cpu::feature::FAST_BYTES))
        .with(number!(AMD), cpu::is_amd())
        .with(number!(FSGSBASE), has(cpu::feature::FSGSBASE))
        .with(number!(XSAVE), has(cpu::feature::XSAVE))
        .with(number!(PCID), has(cpu::feature::PCID));
    patch::apply(present, |address, bytes| {
        // SAFETY: the caller's promise; the site lies in the text.
        unsafe { ptr::copy_nonoverlapping(bytes.as_ptr(), address as *mut u8, bytes.len()) };
    });
}
