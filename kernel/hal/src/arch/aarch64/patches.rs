//! What is written over the text at boot, by feature, and how.
use super::boot;
use super::paging::{self, IMAGE};
use super::platform::errata;
use super::platform::identity::{Register, known};
use super::speculation;
use crate::patch;
use core::arch::asm;
use core::ptr;
use libkernel::addr::PhysAddr;
use libkernel::arch::aarch64::atomics;
use libkernel::arch::aarch64::errata::Answer;

/// The number of a feature, below 64.
macro_rules! number {
    // PSTATE.PAN exists (FEAT_PAN).
    (PAN) => {
        0
    };
    // Those of `speculation`: indices, addresses and registers are masked,
    (MASKS) => {
        1
    };
    // the history of branches is seen to on the way in: by branches, by an instruction, or by firmware;
    (HISTORY) => {
        2
    };
    (ROUNDS) => {
        3
    };
    (CLEAR_INSTRUCTION) => {
        4
    };
    (HISTORY_BY_HYPERVISOR) => {
        5
    };
    (HISTORY_BY_MONITOR) => {
        6
    };
    // trained branches are seen to when the address space changes: by firmware.
    (BRANCHES) => {
        7
    };
    (BRANCHES_BY_HYPERVISOR) => {
        8
    };
    (BRANCHES_BY_MONITOR) => {
        9
    };
    // Atomic updates by one instruction exist (FEAT_LSE). Of the compiler's own loops the build makes a table:
    // `atomics`.
    (ATOMICS) => {
        10
    };
    // Those of `errata`: broadcast invalidations are done twice; lines are invalidated where cleaning would do.
    (REPEATED_FLUSHES) => {
        11
    };
    (INVALIDATION) => {
        12
    };
    // the counter is read twice; a translation is forgotten before each return to a program.
    (COUNTER) => {
        13
    };
    (RETURN) => {
        14
    };
    // Of `speculation`: not by branches alone.
    (MORE_THAN_ROUNDS) => {
        15
    };
}

/// A site's assembly: `patched!(PAN, "nop" => "msr pan, #0")`. Without operands of its own; see [`patch::site`]. In
/// files of assembly: `patches.S`.
macro_rules! patched {
    ($feature:ident, $old:expr => $new:expr) => {
        $crate::patch::site!($crate::arch::aarch64::patches::number!($feature), $old => $new)
    };
}
pub(in crate::arch::aarch64) use {number, patched};

unsafe extern "C" {
    static __image_start: u8;
    static __text_end: u8;
}

/// Where the text can be written: behind the window of the device tree.
const WINDOW: u64 = IMAGE + (768 << 20);
/// What one window shows.
const BLOCK: u64 = 2 << 20;

/// Whether the CPU has PSTATE.PAN (ID_AA64MMFR1_EL1 bits 23:20).
pub fn has_pan() -> bool {
    known(Register::Memory1) >> 20 & 0xf != 0
}

/// Whether the CPU has FEAT_LSE (ID_AA64ISAR0_EL1 bits 23:20). Another CPU that lacks it stays out: programs see it
/// too.
fn has_atomics() -> bool {
    known(Register::Instructions0) >> 20 & 0xf >= 2
}

/// Patches the text, through windows that are open meanwhile: where it runs it is never writable.
///
/// # Safety
/// This CPU is alone, with interrupts masked, on the boot tables; of the sites only those of flushes are executed
/// before it returns, and those not between their change and the end of this function's walk.
pub unsafe fn apply() {
    let present = speculation::features()
        .with(number!(PAN), has_pan())
        .with(number!(ATOMICS), has_atomics())
        .with(number!(REPEATED_FLUSHES), errata::is_done(Answer::RepeatsFlushes))
        .with(number!(INVALIDATION), errata::is_done(Answer::CleansAndInvalidates))
        .with(number!(COUNTER), errata::is_done(Answer::ReadsCounterTwice))
        .with(number!(RETURN), errata::is_done(Answer::ForgetsBeforeReturn));
    let start = paging::image_address(&raw const __image_start).as_u64();
    // Firmware may have put the image at any page.
    let (first, skew) = (start & !(BLOCK - 1), start & (BLOCK - 1));
    let text_end = &raw const __text_end as u64;
    let blocks = || (0..skew + text_end - IMAGE).step_by(BLOCK as usize);
    for offset in blocks() {
        paging::map_window(WINDOW + offset, PhysAddr::new(first + offset));
    }
    patch::apply(present, |address, bytes| {
        let window = address - IMAGE + skew + WINDOW;
        // SAFETY: the site lies in the text, which the window shows; the caller's promise.
        unsafe { ptr::copy_nonoverlapping(bytes.as_ptr(), window as *mut u8, bytes.len()) };
        clean(window, bytes.len());
    });
    if has_atomics() {
        atomics::for_each(boot::behind_symbols(), |offset, code| {
            let window = WINDOW + skew + offset;
            for (index, word) in code.iter().enumerate() {
                // SAFETY: as above. Nothing here is such a loop.
                unsafe { (window as *mut [u8; 4]).add(index).write(*word) };
            }
            clean(window, size_of_val(code));
        });
    }
    // SAFETY: forgets fetched instructions, this CPU's included (B2.4.4).
    unsafe { asm!("dsb ish", "ic ialluis", "dsb ish", "isb", options(nostack, preserves_flags)) };
    blocks().for_each(|offset| paging::unmap_window(WINDOW + offset));
}

/// Writes what lies at `address` to where instructions are fetched from. A line has sixteen bytes at least. Not by the
/// instruction that only cleans: some cores must not (erratum 826319).
fn clean(address: u64, length: usize) {
    let last = address + length as u64 - 1;
    for place in (address & !15..=last).step_by(16) {
        // SAFETY: cache maintenance on mapped memory changes no content.
        unsafe { asm!("dc civac, {}", in(reg) place, options(nostack, preserves_flags)) };
    }
}
