//! Copies between kernel and user memory that recover from faults.
//!
//! The routines clear PSTATE.PAN meanwhile (where the CPU has it) and touch user memory by ordinary loads and stores; a
//! fault inside one of the ranges of the exception table either is resolved and retried, or goes on at the range's recovery
//! address (see `trap.rs`). All progress is counted at the destination pointer x0, which every store advances.
use super::Arch;
use super::patches::{has_pan, number};
use crate::contract::UserAccess;
use core::arch::{asm, global_asm};
use libkernel::addr::UserAddr;

global_asm!(
    ".equ PATCH_PAN, {pan}",
    include_str!("patches.S"),
    include_str!("user_copy.S"),
    pan = const number!(PAN),
);

unsafe extern "C" {
    fn user_copy_bytes(to: *mut u8, from: *const u8, length: usize) -> usize;
    fn user_copy_halfwords(to: u64, from: *const u16, count: usize) -> usize;
    fn user_clear_bytes(to: *mut u8, length: usize) -> usize;
    fn user_load_u32(address: u64, value: *mut u32) -> u32;
    fn user_store_u32(address: u64, value: u32) -> u32;
    fn user_compare_exchange_u32(address: u64, current: u32, new: u32, found: *mut u32) -> u32;
}

/// A piece of code that may fault on user memory, and where it goes on when the fault stays.
#[repr(C)]
struct Range {
    start: u64,
    end: u64,
    recovery: u64,
}

unsafe extern "C" {
    static __exception_table_start: [Range; 0];
    static __exception_table_end: [Range; 0];
}

/// Where a fault at `pc` goes on, if `pc` is code that may fault.
pub(super) fn recovery(pc: u64) -> Option<u64> {
    let start = (&raw const __exception_table_start).cast::<Range>();
    let end = (&raw const __exception_table_end).cast::<Range>();
    // SAFETY: the linker script puts the two symbols around an array of `Range`.
    let table = unsafe { core::slice::from_raw_parts(start, end.offset_from_unsigned(start)) };
    table.iter().find(|range| (range.start..range.end).contains(&pc)).map(|range| range.recovery)
}

/// Turns PAN on for the kernel, where the CPU has it. Exceptions set it again by themselves (SCTLR_EL1.SPAN is clear).
pub(super) fn forbid_user_access() {
    if has_pan() {
        // SAFETY: forbids only what no code outside `user_copy.S` does.
        unsafe { asm!(".arch_extension pan", "msr pan, #1", options(nostack)) };
    }
}

impl UserAccess for Arch {
    #[inline]
    unsafe fn copy_in(to: *mut u8, from: UserAddr, length: usize) -> usize {
        // SAFETY: the caller vouches for `to`; a fault at `from` is recovered from.
        unsafe { user_copy_bytes(to, from.as_u64() as *const u8, length) }
    }

    #[inline]
    unsafe fn copy_out(to: UserAddr, from: *const u8, length: usize) -> usize {
        // SAFETY: the caller vouches for `from`; a fault at `to` is recovered from.
        unsafe { user_copy_bytes(to.as_u64() as *mut u8, from, length) }
    }

    #[inline]
    unsafe fn copy_halfwords_out(to: UserAddr, from: *const u16, count: usize) -> usize {
        // SAFETY: the caller vouches for `from`; a fault at `to` is recovered from.
        unsafe { user_copy_halfwords(to.as_u64(), from, count) }
    }

    #[inline]
    fn clear(to: UserAddr, length: usize) -> usize {
        // SAFETY: the caller checked that the range is user memory; a fault is recovered from.
        unsafe { user_clear_bytes(to.as_u64() as *mut u8, length) }
    }

    #[inline]
    fn load_u32(address: UserAddr) -> Option<u32> {
        let mut value = 0;
        // SAFETY: as in `clear`; the address is aligned.
        let failed = unsafe { user_load_u32(address.as_u64(), &mut value) };
        (failed == 0).then_some(value)
    }

    #[inline]
    fn store_u32(address: UserAddr, value: u32) -> Option<()> {
        // SAFETY: as above.
        let failed = unsafe { user_store_u32(address.as_u64(), value) };
        (failed == 0).then_some(())
    }

    #[inline]
    fn compare_exchange_u32(address: UserAddr, current: u32, new: u32) -> Option<u32> {
        let mut found = 0;
        // SAFETY: as above.
        let failed = unsafe { user_compare_exchange_u32(address.as_u64(), current, new, &mut found) };
        (failed == 0).then_some(found)
    }
}
