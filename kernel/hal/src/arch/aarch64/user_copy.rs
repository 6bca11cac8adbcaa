//! Copies between kernel and user memory that recover from faults.
//!
//! The routines clear PSTATE.PAN meanwhile (where the CPU has it) and touch user memory by ordinary loads and stores; a
//! fault inside one of the ranges of the exception table either is resolved and retried, or goes on at the range's
//! recovery address (see `trap.rs`). All progress is counted at the destination pointer x0, which every store advances.
use super::Arch;
use super::patches::{has_pan, number, patched};
use crate::contract::UserAccess;
use crate::user_copy::{Missed, OnAbsent};
use core::arch::{asm, global_asm, naked_asm};
use libkernel::addr::{USER_END, UserAddr};

global_asm!(
    ".equ PATCH_PAN, {pan}",
    ".equ PATCH_ATOMICS, {atomics}",
    include_str!("patches.S"),
    include_str!("user_copy.S"),
    pan = const number!(PAN),
    atomics = const number!(ATOMICS),
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

/// Calls one of the routines of user_copy.S. Where a CPU may take a user address for one before it has looked, it goes
/// by way of the second, which makes the address one. What is to be done about an absent page goes along in x15, which
/// no routine touches.
macro_rules! call {
    ($routine:ident or $masked:ident, $absent:expr, $($operand:tt)*) => {
        asm!(patched!(MASKS, "bl {routine}" => "bl {masked}"), routine = sym $routine, masked = sym $masked,
            clobber_abi("C"), in("x15") $absent as u64, $($operand)*)
    };
}

/// What [`call`] goes by: the routine, with the user address in `$register` no higher than the end of user space. By
/// data and not by a branch. Clobbers x16 and the flags besides.
macro_rules! masked {
    ($($name:ident: $register:literal, $routine:ident;)*) => {
        $(
            #[unsafe(naked)]
            unsafe extern "C" fn $name() {
                naked_asm!(
                    "mov x16, {end}",
                    concat!("cmp ", $register, ", x16"),
                    concat!("csel ", $register, ", ", $register, ", x16, lo"),
                    "csdb",
                    "b {routine}",
                    end = const USER_END,
                    routine = sym $routine,
                )
            }
        )*
    };
}

masked! {
    copy_in_masked: "x1", user_copy_bytes;
    copy_out_masked: "x0", user_copy_bytes;
    copy_halfwords_masked: "x0", user_copy_halfwords;
    clear_masked: "x0", user_clear_bytes;
    load_masked: "x0", user_load_u32;
    store_masked: "x0", user_store_u32;
    compare_exchange_masked: "x0", user_compare_exchange_u32;
}

impl UserAccess for Arch {
    #[inline]
    unsafe fn copy_shared(to: *mut u8, from: *const u8, length: usize) {
        // SAFETY: the caller vouches for both; nothing faults.
        unsafe { user_copy_bytes(to, from, length) };
    }

    #[inline]
    unsafe fn clear_shared(to: *mut u8, length: usize) {
        // SAFETY: the caller vouches for `to`; nothing faults.
        unsafe { user_clear_bytes(to, length) };
    }

    #[inline]
    unsafe fn copy_in(to: *mut u8, from: UserAddr, length: usize, absent: OnAbsent) -> usize {
        let left;
        // SAFETY: the caller vouches for `to`; a fault at `from` is recovered from.
        unsafe {
            call!(user_copy_bytes or copy_in_masked, absent, inlateout("x0") to => left, in("x1") from.as_u64(), in("x2") length)
        };
        left
    }

    #[inline]
    unsafe fn copy_out(to: UserAddr, from: *const u8, length: usize, absent: OnAbsent) -> usize {
        let left;
        // SAFETY: the caller vouches for `from`; a fault at `to` is recovered from.
        unsafe {
            call!(user_copy_bytes or copy_out_masked, absent, inlateout("x0") to.as_u64() => left, in("x1") from, in("x2") length)
        };
        left
    }

    #[inline]
    unsafe fn copy_halfwords_out(to: UserAddr, from: *const u16, count: usize, absent: OnAbsent) -> usize {
        let left;
        // SAFETY: the caller vouches for `from`; a fault at `to` is recovered from.
        unsafe {
            call!(user_copy_halfwords or copy_halfwords_masked, absent, inlateout("x0") to.as_u64() => left, in("x1") from,
                in("x2") count)
        };
        left
    }

    #[inline]
    fn clear(to: UserAddr, length: usize, absent: OnAbsent) -> usize {
        let left;
        // SAFETY: the caller checked that the range is user memory; a fault is recovered from.
        unsafe {
            call!(user_clear_bytes or clear_masked, absent, inlateout("x0") to.as_u64() => left, in("x1") length)
        };
        left
    }

    #[inline]
    fn load_u32(address: UserAddr, absent: OnAbsent) -> Option<u32> {
        let mut value = 0_u32;
        let failed: u64;
        // SAFETY: as in `clear`; the address is aligned.
        unsafe {
            call!(user_load_u32 or load_masked, absent, inlateout("x0") address.as_u64() => failed, in("x1") &raw mut value)
        };
        (failed as u32 == 0).then_some(value)
    }

    #[inline]
    fn store_u32(address: UserAddr, value: u32, absent: OnAbsent) -> Option<()> {
        let failed: u64;
        // SAFETY: as above.
        unsafe {
            call!(user_store_u32 or store_masked, absent, inlateout("x0") address.as_u64() => failed, in("x1") u64::from(value))
        };
        (failed as u32 == 0).then_some(())
    }

    #[inline]
    fn compare_exchange_u32(
        address: UserAddr,
        current: u32,
        new: u32,
        absent: OnAbsent,
    ) -> Result<u32, Missed> {
        const FAULT: u32 = 1;
        let mut found = 0_u32;
        let outcome: u64;
        // SAFETY: as above.
        unsafe {
            call!(user_compare_exchange_u32 or compare_exchange_masked, absent, inlateout("x0") address.as_u64() => outcome,
                in("x1") u64::from(current), in("x2") u64::from(new), in("x3") &raw mut found)
        };
        match outcome as u32 {
            0 => Ok(found),
            FAULT => Err(Missed::BadAddress),
            _ => Err(Missed::Contended),
        }
    }
}
