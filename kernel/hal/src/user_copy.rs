//! Copies between kernel and user memory that recover from faults.
//!
//! Every function checks the user range itself. A plain function may page user memory in through
//! `Upcalls::user_fault`, hence may sleep for as long as a page takes to come: no lock may be held. The `_nofault`
//! forms, and whatever is told [`OnAbsent::Stop`], end at the first page that is not there and say how far they got:
//! for use under locks of any kind. Whoever gets no further leaves its locks, brings the pages in ([`page_in`]) and
//! tries again.
use crate::arch::Arch;
use crate::contract::UserAccess as _;
use crate::sync::order::will_page_in;
use crate::task;
use core::sync::atomic::Ordering;
use libkernel::addr::{PAGE_SIZE, UserAddr, UserRange};
use libkernel::arch::native::HAS_ADDRESS_TAGS;
use libkernel::fault::Access;

/// What is done where a page of the program's is absent, or forbids the access.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u64)]
pub enum OnAbsent {
    /// It is asked for; the copy ends only if it cannot be had.
    PageIn = 0,
    /// The copy ends there.
    Stop = 1,
}

impl OnAbsent {
    /// The running task is about to touch a program's memory in this way.
    #[inline(always)]
    #[cfg_attr(debug_assertions, track_caller)]
    pub(crate) fn note(self) {
        if cfg!(debug_assertions) && self == OnAbsent::PageIn {
            will_page_in();
        }
    }
}

/// A user address that cannot be reached.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct BadAddress;

/// What [`copy_string_from_user`] could not do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum StringError {
    /// The string runs into unreachable memory.
    BadAddress,
    /// No NUL within the buffer.
    TooLong,
}

/// Where the range begins that the running task names, if that is a range of the user half, and the task has user
/// memory at all. A tag is accepted from tasks that may use tags ([`crate::task::Task::tagged_addresses`]), and taken
/// off.
#[inline(always)]
pub fn checked(address: UserAddr, length: u64) -> Option<UserAddr> {
    let end = task::current().user_end();
    if length <= end && address.as_u64() <= end - length {
        return Some(address);
    }
    checked_tagged(address, length)
}

#[cold]
fn checked_tagged(address: UserAddr, length: u64) -> Option<UserAddr> {
    let task = task::current();
    if !HAS_ADDRESS_TAGS || task.user_end() == 0 || !task.tagged_addresses.load(Ordering::Relaxed) {
        return None;
    }
    let address = address.untagged();
    UserRange::new(address, length).map(|_| address)
}

#[inline(always)]
fn copy_in(to: &mut [u8], from: UserAddr, absent: OnAbsent) -> usize {
    let Some(from) = checked(from, to.len() as u64) else { return 0 };
    // SAFETY: the slice is writable for its length, and the range lies in user space.
    to.len() - unsafe { Arch::copy_in(to.as_mut_ptr(), from, to.len(), absent) }
}

#[inline(always)]
fn copy_out(to: UserAddr, from: &[u8], absent: OnAbsent) -> usize {
    let Some(to) = checked(to, from.len() as u64) else { return 0 };
    // SAFETY: the slice is readable for its length, and the range lies in user space.
    from.len() - unsafe { Arch::copy_out(to, from.as_ptr(), from.len(), absent) }
}

/// Copies in from `from`; returns how many bytes were done, which is short only after a fault.
#[inline]
#[cfg_attr(debug_assertions, track_caller)]
pub fn copy_from_user(to: &mut [u8], from: UserAddr) -> usize {
    will_page_in();
    copy_in(to, from, OnAbsent::PageIn)
}

/// Copies out to `to`; returns how many bytes were done, which is short only after a fault.
#[inline]
#[cfg_attr(debug_assertions, track_caller)]
pub fn copy_to_user(to: UserAddr, from: &[u8]) -> usize {
    will_page_in();
    copy_out(to, from, OnAbsent::PageIn)
}

/// Copies the last halfword of each row out, and leaves alone what is before it there; returns how many rows were done.
pub fn copy_last_halfwords_to_user(to: UserAddr, rows: &[[u16; 4]]) -> usize {
    const BEFORE: u64 = 6;
    will_page_in();
    let Some(to) = checked(to, size_of_val(rows) as u64) else { return 0 };
    let from = rows.as_ptr().cast::<u16>().wrapping_add(3);
    // SAFETY: a row has four halfwords; the range lies in user space.
    rows.len()
        - unsafe { Arch::copy_halfwords_out(to.wrapping_add(BEFORE), from, rows.len(), OnAbsent::PageIn) }
}

/// Writes zeros; returns how many bytes were done.
#[inline]
#[cfg_attr(debug_assertions, track_caller)]
pub fn clear_user(to: UserAddr, length: usize) -> usize {
    will_page_in();
    let Some(to) = checked(to, length as u64) else { return 0 };
    length - Arch::clear(to, length, OnAbsent::PageIn)
}

/// Copies in up to the first page that is absent; for use under locks.
#[inline]
pub fn copy_from_user_nofault(to: &mut [u8], from: UserAddr) -> usize {
    copy_in(to, from, OnAbsent::Stop)
}

/// Copies out up to the first page that is absent; for use under locks.
#[inline]
pub fn copy_to_user_nofault(to: UserAddr, from: &[u8]) -> usize {
    copy_out(to, from, OnAbsent::Stop)
}

/// Brings in every page of a range, for `access`; pages may go again as soon as it returns. An error where one cannot
/// be had.
#[cfg_attr(debug_assertions, track_caller)]
pub fn page_in(address: UserAddr, length: usize, access: Access) -> Result<(), BadAddress> {
    let end = address.checked_add(length as u64).ok_or(BadAddress)?;
    let mut next = address;
    while next < end {
        let word = UserAddr::new(next.as_u64() & !3);
        match access {
            Access::Write => make_writable(word)?,
            Access::Read | Access::Execute => load_u32(word).map(drop)?,
        }
        next = next.page_down().checked_add(PAGE_SIZE).ok_or(BadAddress)?;
    }
    Ok(())
}

/// Copies a NUL-terminated string in; returns its length without the NUL, which is in the buffer too.
pub fn copy_string_from_user(to: &mut [u8], from: UserAddr) -> Result<usize, StringError> {
    let mut done = 0;
    let mut address = from;
    while done < to.len() {
        // Stops at page ends: a string may end right before unreachable memory.
        let to_page_end = PAGE_SIZE as usize - address.page_offset();
        let wanted = to_page_end.min(to.len() - done).min(STRING_CHUNK);
        let chunk = &mut to[done..done + wanted];
        let copied = copy_from_user(chunk, address);
        if let Some(length) = chunk[..copied].iter().position(|&byte| byte == 0) {
            return Ok(done + length);
        }
        if copied < wanted {
            return Err(StringError::BadAddress);
        }
        done += wanted;
        address = address.wrapping_add(wanted as u64);
    }
    Err(StringError::TooLong)
}

/// Most strings are short paths: read little ahead of their end.
const STRING_CHUNK: usize = 64;

fn aligned_word(address: UserAddr) -> Result<UserAddr, BadAddress> {
    checked(address, 4).filter(|address| address.as_u64().is_multiple_of(4)).ok_or(BadAddress)
}

/// Loads an aligned 32-bit word in one access.
#[cfg_attr(debug_assertions, track_caller)]
pub fn load_u32(address: UserAddr) -> Result<u32, BadAddress> {
    will_page_in();
    Arch::load_u32(aligned_word(address)?, OnAbsent::PageIn).ok_or(BadAddress)
}

/// Loads an aligned word without paging it in.
pub fn load_u32_nofault(address: UserAddr) -> Result<u32, BadAddress> {
    Arch::load_u32(aligned_word(address)?, OnAbsent::Stop).ok_or(BadAddress)
}

/// Stores an aligned 32-bit word in one access.
#[cfg_attr(debug_assertions, track_caller)]
pub fn store_u32(address: UserAddr, value: u32) -> Result<(), BadAddress> {
    will_page_in();
    Arch::store_u32(aligned_word(address)?, value, OnAbsent::PageIn).ok_or(BadAddress)
}

/// Why a word was not exchanged.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Missed {
    /// The address cannot be reached.
    BadAddress,
    /// Others wrote to the word, or beside it, all the time. A program may make them: whoever tries again lets go of
    /// what it holds before.
    Contended,
}

/// Atomically replaces `current` by `new`; returns the value found.
fn compare_exchange_u32(address: UserAddr, current: u32, new: u32, absent: OnAbsent) -> Result<u32, Missed> {
    Arch::compare_exchange_u32(aligned_word(address).map_err(|_| Missed::BadAddress)?, current, new, absent)
}

/// Atomically replaces `current` by `new`, without paging the word in; returns the value found.
pub fn compare_exchange_u32_nofault(address: UserAddr, current: u32, new: u32) -> Result<u32, Missed> {
    compare_exchange_u32(address, current, new, OnAbsent::Stop)
}

/// Pages an aligned word in so that it can be written, and changes nothing.
#[cfg_attr(debug_assertions, track_caller)]
pub fn make_writable(address: UserAddr) -> Result<(), BadAddress> {
    let value = load_u32(address)?;
    // An exchange of a value by itself. That others write to the page says as much.
    match compare_exchange_u32(address, value, value, OnAbsent::PageIn) {
        Ok(_) | Err(Missed::Contended) => Ok(()),
        Err(Missed::BadAddress) => Err(BadAddress),
    }
}

/// Atomically applies `update`; returns the value before. `attempts` bounds the retries under contention.
pub fn fetch_update_u32(
    address: UserAddr,
    attempts: usize,
    mut update: impl FnMut(u32) -> u32,
) -> Result<u32, BadAddress> {
    let mut value = load_u32(address)?;
    for _ in 0..attempts {
        match compare_exchange_u32(address, value, update(value), OnAbsent::PageIn) {
            Ok(found) if found == value => return Ok(value),
            Ok(found) => value = found,
            Err(Missed::Contended) => {}
            Err(Missed::BadAddress) => return Err(BadAddress),
        }
    }
    Err(BadAddress)
}
