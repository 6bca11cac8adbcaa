//! System calls on the address space: `mmap`, `munmap`, `mprotect`, `mremap`, `brk`, `madvise`, `msync`,
//! `mincore` and the `mlock` family.
//!
//! Here flags are decoded and arguments checked, in Linux's order, so that the same wrong call gives the same
//! error; the work is done by [`AddressSpace`].

use alloc::sync::Arc;

use abi::Errno;
use abi::memory::*;
use libkernel::addr::{PAGE_MASK, USER_END, UserAddr, UserRange, page_up};
use libkernel::fault::Access;
use libkernel::paging::Prot;
use memory::MappedFile;
use memory::area::AreaFlags;
use memory::lock::LockTime;
use memory::protect::Reach;
use memory::remap::{KeepOld, Movement};
use memory::user;
use memory::{Advice, OtherCopies, OwnReference, RemapRequest};
use vfs::{File, permission};

use super::{Caller, Failure};

mod map;

pub use map::mmap;

type Outcome<T> = Result<T, Failure>;

/// The caller's memory.
fn space(caller: &Caller<'_>) -> Result<Arc<OwnReference>, Errno> {
    caller.thread.memory().ok_or(Errno::ESRCH)
}

/// The range of `length` bytes in whole pages from a page start, as most calls take it: `EINVAL` for a start
/// inside a page; `wrapped` where the end wraps or lies outside the user half. Tags are accepted from every program
/// here: nothing is read or written through the address.
fn page_range(start: UserAddr, length: u64, wrapped: Errno) -> Result<UserRange, Errno> {
    let start = start.untagged();
    if !start.is_page_aligned() {
        return Err(Errno::EINVAL);
    }
    page_up(length).and_then(|length| UserRange::new(start, length)).ok_or(wrapped)
}

/// A length in whole pages as Linux's `PAGE_ALIGN` gives it: almost 2^64 bytes are none.
const fn page_align(length: u64) -> u64 {
    length.wrapping_add(PAGE_MASK) & !PAGE_MASK
}

/// Does something to a range of `length` bytes in whole pages from a page start, for calls to which nothing at all
/// means success wherever it lies. `wrapped` where the end wraps. Nothing is mapped outside the user half: `ENOMEM`,
/// after all that comes before.
fn with_pages(
    start: UserAddr,
    length: u64,
    wrapped: Errno,
    act: impl FnOnce(UserRange) -> Result<(), Errno>,
) -> Result<(), Errno> {
    if length == 0 {
        return Ok(());
    }
    start.checked_add(length).ok_or(wrapped)?;
    if let Some(range) = UserRange::new(start, length) {
        return act(range);
    }
    let within = UserRange::from_bounds(start, UserAddr::new(USER_END)).filter(|range| !range.is_empty());
    act(within.ok_or(Errno::ENOMEM)?)?;
    Err(Errno::ENOMEM)
}

/// `munmap(2)`.
pub fn munmap(caller: &mut Caller<'_>, start: UserAddr, length: u64) -> Outcome<()> {
    let range = page_range(start, length, Errno::EINVAL)?;
    if range.is_empty() {
        return Err(Errno::EINVAL.into());
    }
    Ok(space(caller)?.unmap(range)?)
}

/// `mprotect(2)`.
pub fn mprotect(caller: &mut Caller<'_>, start: UserAddr, length: u64, prot: u64) -> Outcome<()> {
    // All 64 bits count; none above these means anything.
    let prot = u32::try_from(prot).unwrap_or(!(PROT_GROWSDOWN | PROT_GROWSUP));
    let grows = prot & (PROT_GROWSDOWN | PROT_GROWSUP);
    let prot = prot & !grows;
    if grows == PROT_GROWSDOWN | PROT_GROWSUP || !start.is_page_aligned() {
        return Err(Errno::EINVAL.into());
    }
    if length == 0 {
        return Ok(());
    }
    let range = page_range(start, length, Errno::ENOMEM)?;
    let known = PROT_READ | PROT_WRITE | PROT_EXEC | PROT_SEM;
    if range.is_empty() || prot & !known != 0 || grows == PROT_GROWSUP {
        let errno = if range.is_empty() { Errno::ENOMEM } else { Errno::EINVAL };
        return Err(errno.into());
    }
    let reach = if grows == PROT_GROWSDOWN { Reach::GrowsDown } else { Reach::Exact };
    Ok(space(caller)?.protect(range, Prot::from_bits_truncate(prot), reach, caller.thread.bounds())?)
}

/// `mremap(2)`.
pub fn mremap(
    caller: &mut Caller<'_>,
    old: UserAddr,
    old_length: u64,
    new_length: u64,
    flags: u64,
    target: UserAddr,
) -> Outcome<u64> {
    let flags = u32::try_from(flags).map_err(|_| Errno::EINVAL)?;
    let may_move = flags & MREMAP_MAYMOVE != 0;
    let unknown = flags & !(MREMAP_MAYMOVE | MREMAP_FIXED | MREMAP_DONTUNMAP) != 0;
    let needs_move = flags & (MREMAP_FIXED | MREMAP_DONTUNMAP) != 0 && !may_move;
    let keeps_length = flags & MREMAP_DONTUNMAP == 0 || old_length == new_length;
    if unknown || needs_move || !keeps_length || !old.is_page_aligned() {
        return Err(Errno::EINVAL.into());
    }
    let old = old.untagged();
    let old_length = page_align(old_length);
    let new_length = page_up(new_length).filter(|length| *length != 0).ok_or(Errno::EINVAL)?;
    let keep_old = if flags & MREMAP_DONTUNMAP != 0 { KeepOld::Yes } else { KeepOld::No };
    let movement = match (flags & MREMAP_FIXED != 0, may_move) {
        (true, _) => Movement::To(target),
        // The address counts without MREMAP_FIXED, too.
        (false, true) if keep_old == KeepOld::Yes => Movement::Near(target),
        (false, true) => Movement::Allowed,
        (false, false) => Movement::Forbidden,
    };
    let request = RemapRequest { old, old_length, new_length, movement, keep_old };
    Ok(space(caller)?.remap(request, caller.thread.bounds())?.as_u64())
}

/// `brk(2)`, as the kernel has it: returns where the break is, moved or not.
pub fn brk(caller: &mut Caller<'_>, wanted: UserAddr) -> Outcome<u64> {
    Ok(space(caller)?.set_brk(wanted, caller.thread.bounds()).as_u64())
}

/// `madvise(2)`.
pub fn madvise(caller: &mut Caller<'_>, start: UserAddr, length: u64, advice: u32) -> Outcome<()> {
    let advice = decode_advice(advice)?;
    let start = start.untagged();
    if !start.is_page_aligned() {
        return Err(Errno::EINVAL.into());
    }
    let length = page_up(length).ok_or(Errno::EINVAL)?;
    Ok(with_pages(start, length, Errno::EINVAL, |range| space(caller)?.advise(range, advice))?)
}

/// Merging and huge pages are features Linux can be built without; the answer is that of such a Linux.
fn decode_advice(advice: u32) -> Result<Advice, Errno> {
    let none = AreaFlags::empty();
    Ok(match advice {
        MADV_NORMAL | MADV_RANDOM | MADV_SEQUENTIAL | MADV_WILLNEED => Advice::None,
        MADV_COLD | MADV_PAGEOUT => Advice::Reclaim,
        MADV_DONTNEED => Advice::DontNeed,
        MADV_DONTNEED_LOCKED => Advice::DontNeedLocked,
        MADV_FREE => Advice::Free,
        MADV_REMOVE => Advice::Remove,
        MADV_DONTFORK => Advice::Flags(AreaFlags::DONT_FORK, none),
        MADV_DOFORK => Advice::Flags(none, AreaFlags::DONT_FORK),
        MADV_WIPEONFORK => Advice::Flags(AreaFlags::WIPE_ON_FORK, none),
        MADV_KEEPONFORK => Advice::Flags(none, AreaFlags::WIPE_ON_FORK),
        MADV_DONTDUMP => Advice::Flags(AreaFlags::DONT_DUMP, none),
        MADV_DODUMP => Advice::Flags(none, AreaFlags::DONT_DUMP),
        MADV_POPULATE_READ => Advice::Populate(Access::Read),
        MADV_POPULATE_WRITE => Advice::Populate(Access::Write),
        _ => return Err(Errno::EINVAL),
    })
}

/// `msync(2)`. Files live in memory, so there is nothing to write back or to read anew.
pub fn msync(caller: &mut Caller<'_>, start: UserAddr, length: u64, flags: u32) -> Outcome<()> {
    let both = MS_ASYNC | MS_SYNC;
    let start = start.untagged();
    if flags & !(both | MS_INVALIDATE) != 0 || flags & both == both || !start.is_page_aligned() {
        return Err(Errno::EINVAL.into());
    }
    let copies = if flags & MS_INVALIDATE != 0 { OtherCopies::Invalid } else { OtherCopies::Valid };
    let length = page_align(length);
    Ok(with_pages(start, length, Errno::ENOMEM, |range| space(caller)?.synchronise(range, copies))?)
}

/// `mincore(2)`: one byte for each page, bit 0 set where it is in memory. What lies before the first page that is not
/// mapped is told of.
pub fn mincore(caller: &mut Caller<'_>, start: UserAddr, length: u64, vector: UserAddr) -> Outcome<()> {
    const STEP: usize = 64;
    let range = page_range(start, length, Errno::ENOMEM)?;
    let space = space(caller)?;
    hal::user_copy::checked(vector, range.page_count()).ok_or(Errno::EFAULT)?;
    let credentials = caller.thread.credentials();
    let may_know = |file: &dyn MappedFile| {
        let Some(inode) = File::of_mapped(file).map(File::inode) else { return true };
        permission::is_owner(inode, &credentials)
            || permission::check(inode, &credentials, permission::Access::WRITE).is_ok()
    };
    let mut done = 0;
    while done < range.page_count() {
        let mut found = [0; STEP];
        let wanted = STEP.min(usize::try_from(range.page_count() - done).unwrap_or(STEP));
        let page = UserAddr::of_page(range.start().page_number() + done);
        let count = space.residency(page, found.get_mut(..wanted).unwrap_or_default(), may_know)?;
        let target = vector.checked_add(done).ok_or(Errno::EFAULT)?;
        user::write_bytes(target, found.get(..count).unwrap_or_default())?;
        done += count as u64;
    }
    Ok(())
}

/// The whole pages that a range of bytes touches: where they begin and how many bytes they are.
fn touched_pages(start: UserAddr, length: u64) -> (UserAddr, u64) {
    let start = start.untagged();
    (start.page_down(), page_align(length.wrapping_add(start.page_offset() as u64)))
}

/// `mlock(2)`.
pub fn mlock(caller: &mut Caller<'_>, start: UserAddr, length: u64) -> Outcome<()> {
    mlock2(caller, start, length, 0)
}

/// `mlock2(2)`.
pub fn mlock2(caller: &mut Caller<'_>, start: UserAddr, length: u64, flags: u32) -> Outcome<()> {
    if flags & !MLOCK_ONFAULT != 0 {
        return Err(Errno::EINVAL.into());
    }
    let bounds = caller.thread.bounds();
    bounds.may_lock_something()?;
    let time = if flags & MLOCK_ONFAULT != 0 { LockTime::OnFault } else { LockTime::Now };
    // Before anything is looked at, what the limit could never hold.
    let (start, length) = touched_pages(start, length);
    if UserRange::new(start, length).is_none() && !bounds.may_lock_bytes(length) {
        return Err(Errno::ENOMEM.into());
    }
    Ok(with_pages(start, length, Errno::EINVAL, |range| space(caller)?.lock(range, time, bounds))?)
}

/// `munlock(2)`.
pub fn munlock(caller: &mut Caller<'_>, start: UserAddr, length: u64) -> Outcome<()> {
    let (start, length) = touched_pages(start, length);
    Ok(with_pages(start, length, Errno::EINVAL, |range| space(caller)?.unlock(range))?)
}

/// `mlockall(2)`.
pub fn mlockall(caller: &mut Caller<'_>, flags: u32) -> Outcome<()> {
    if flags == 0 || flags & !(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT) != 0 || flags == MCL_ONFAULT {
        return Err(Errno::EINVAL.into());
    }
    let bounds = caller.thread.bounds();
    bounds.may_lock_something()?;
    let time = if flags & MCL_ONFAULT != 0 { LockTime::OnFault } else { LockTime::Now };
    let space = space(caller)?;
    if flags & MCL_CURRENT != 0 {
        space.lock_all(time, bounds)?;
    }
    space.set_lock_future((flags & MCL_FUTURE != 0).then_some(time));
    Ok(())
}

/// `munlockall(2)`.
pub fn munlockall(caller: &mut Caller<'_>) -> Outcome<()> {
    Ok(space(caller)?.unlock_all()?)
}
