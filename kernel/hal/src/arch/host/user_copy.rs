//! User copies: a software walk of the active page table, faulting as the CPU would.
use super::Arch;
use super::paging::active_root;
use crate::contract::{Cpu, Paging, UserAccess};
use crate::user::UserFault;
use crate::user_copy::{Missed, OnAbsent};
use core::ptr;
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use libkernel::addr::{PAGE_SIZE, UserAddr};
use libkernel::arch::native::paging::Entry;
use libkernel::fault::Access;
use libkernel::paging::{LEVELS, index};

/// The memory behind a user address, paged in if need be; `None` is the fault that nobody resolved.
fn resolve(address: UserAddr, access: Access, absent: OnAbsent) -> Option<*mut u8> {
    loop {
        let present = match translate(address, access) {
            Ok(pointer) => return Some(pointer),
            Err(present) => present,
        };
        if absent == OnAbsent::Stop || Arch::preempt_count() != 0 {
            return None;
        }
        let fault = UserFault { address: address.as_u64(), access, present, code: 0 };
        crate::upcalls::upcalls().user_fault(fault).ok()?;
    }
}

/// One walk; the error says whether a page was there and merely did not allow the access.
fn translate(address: UserAddr, access: Access) -> Result<*mut u8, bool> {
    let mut table = active_root().ok_or(false)?;
    for level in (0..LEVELS).rev() {
        let slot = Arch::direct_map(table).cast::<AtomicU64>().wrapping_add(index(address.as_u64(), level));
        // SAFETY: a table is one frame of 512 aligned entries, and the index is below 512.
        let entry = Entry::from_bits(unsafe { &*slot }.load(Ordering::Acquire));
        if !entry.is_present() {
            return Err(false);
        }
        let is_block = level == 1 && entry.is_block();
        if (level == 0 || is_block) && !entry.prot().allows(access) {
            return Err(true);
        }
        table = entry.address();
        if is_block {
            table = entry.part(1, index(address.as_u64(), 0)).address();
            break;
        }
    }
    Ok(Arch::direct_map(table).wrapping_add(address.page_offset()))
}

/// Calls `piece(memory, done, length)` for each page of the range; returns the bytes NOT reached.
fn for_each_page(
    start: UserAddr,
    length: usize,
    access: Access,
    absent: OnAbsent,
    mut piece: impl FnMut(*mut u8, usize, usize),
) -> usize {
    let mut done = 0;
    while done < length {
        let address = start.wrapping_add(done as u64);
        let Some(memory) = resolve(address, access, absent) else { break };
        let step = (PAGE_SIZE as usize - address.page_offset()).min(length - done);
        piece(memory, done, step);
        done += step;
    }
    length - done
}

/// The aligned word at `address`, as other CPUs see it.
fn word(address: UserAddr, access: Access, absent: OnAbsent) -> Option<&'static AtomicU32> {
    let pointer = resolve(address, access, absent)?.cast::<AtomicU32>();
    // SAFETY: the arena lives for ever, and the caller passes aligned addresses only.
    Some(unsafe { &*pointer })
}

impl UserAccess for Arch {
    unsafe fn copy_shared(to: *mut u8, from: *const u8, length: usize) {
        // SAFETY: the caller vouches for both.
        unsafe { ptr::copy_nonoverlapping(from, to, length) };
    }

    unsafe fn clear_shared(to: *mut u8, length: usize) {
        // SAFETY: the caller vouches for `to`.
        unsafe { ptr::write_bytes(to, 0, length) };
    }

    unsafe fn copy_in(to: *mut u8, from: UserAddr, length: usize, absent: OnAbsent) -> usize {
        for_each_page(from, length, Access::Read, absent, |memory, done, step| {
            // SAFETY: `memory` has `step` bytes left in its frame; the caller vouches for `to`.
            unsafe { ptr::copy(memory, to.add(done), step) }
        })
    }

    unsafe fn copy_out(to: UserAddr, from: *const u8, length: usize, absent: OnAbsent) -> usize {
        for_each_page(to, length, Access::Write, absent, |memory, done, step| {
            // SAFETY: as above, with `from`.
            unsafe { ptr::copy(from.add(done), memory, step) }
        })
    }

    unsafe fn copy_halfwords_out(to: UserAddr, from: *const u16, count: usize, absent: OnAbsent) -> usize {
        for done in 0..count {
            // SAFETY: the caller vouches for each row of `from`.
            let left = unsafe {
                Self::copy_out(
                    to.wrapping_add(done as u64 * 8),
                    from.add(done * 4).cast(),
                    size_of::<u16>(),
                    absent,
                )
            };
            if left > 0 {
                return count - done;
            }
        }
        0
    }

    fn clear(to: UserAddr, length: usize, absent: OnAbsent) -> usize {
        for_each_page(to, length, Access::Write, absent, |memory, _, step| {
            // SAFETY: `memory` has `step` bytes left in its frame.
            unsafe { ptr::write_bytes(memory, 0, step) }
        })
    }

    fn load_u32(address: UserAddr, absent: OnAbsent) -> Option<u32> {
        Some(word(address, Access::Read, absent)?.load(Ordering::SeqCst))
    }

    fn store_u32(address: UserAddr, value: u32, absent: OnAbsent) -> Option<()> {
        word(address, Access::Write, absent)?.store(value, Ordering::SeqCst);
        Some(())
    }

    fn compare_exchange_u32(
        address: UserAddr,
        current: u32,
        new: u32,
        absent: OnAbsent,
    ) -> Result<u32, Missed> {
        let word = word(address, Access::Write, absent).ok_or(Missed::BadAddress)?;
        let outcome = word.compare_exchange(current, new, Ordering::SeqCst, Ordering::SeqCst);
        Ok(outcome.unwrap_or_else(|found| found))
    }
}
