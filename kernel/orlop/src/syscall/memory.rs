//! System calls on the address space: `mmap`, `munmap`, `mprotect`, `mremap`, `brk`, `madvise`, `msync`,
//! `mincore` and the `mlock` family.
//!
//! Here flags are decoded and arguments checked, in Linux's order, so that the same wrong call gives the same
//! error; the work is done by [`AddressSpace`].

use alloc::sync::Arc;

use abi::Errno;
use abi::memory::*;
use libkernel::addr::{UserAddr, UserRange, page_up};
use libkernel::fault::Access;
use libkernel::paging::Prot;

use super::{Caller, Failure};
use crate::memory::area::AreaFlags;
use crate::memory::lock::LockTime;
use crate::memory::protect::Reach;
use crate::memory::remap::{KeepOld, Movement};
use crate::memory::{Advice, OwnReference, RemapRequest, Residency};
use crate::process::{Resource, capability};
use crate::user::UserSlice;

mod map;

pub use map::mmap;

type Outcome<T> = Result<T, Failure>;

/// The caller's memory.
fn space(caller: &Caller<'_>) -> Result<Arc<OwnReference>, Errno> {
    caller.thread.memory().ok_or(Errno::ESRCH)
}

/// The range of `length` bytes in whole pages from a page start, as most calls take it: `EINVAL` for a start
/// inside a page; `wrapped` where the end wraps or lies outside the user half. Tags are accepted from every program here:
/// nothing is read or written through the address.
fn page_range(start: UserAddr, length: u64, wrapped: Errno) -> Result<UserRange, Errno> {
    let start = start.untagged();
    if !start.is_page_aligned() {
        return Err(Errno::EINVAL);
    }
    page_up(length).and_then(|length| UserRange::new(start, length)).ok_or(wrapped)
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
pub fn mprotect(caller: &mut Caller<'_>, start: UserAddr, length: u64, prot: u32) -> Outcome<()> {
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
    let limits = caller.thread.process().limits();
    Ok(space(caller)?.protect(range, Prot::from_bits_truncate(prot), reach, limits)?)
}

/// `mremap(2)`.
pub fn mremap(
    caller: &mut Caller<'_>,
    old: UserAddr,
    old_length: u64,
    new_length: u64,
    flags: u32,
    target: UserAddr,
) -> Outcome<u64> {
    let may_move = flags & MREMAP_MAYMOVE != 0;
    let unknown = flags & !(MREMAP_MAYMOVE | MREMAP_FIXED | MREMAP_DONTUNMAP) != 0;
    let needs_move = flags & (MREMAP_FIXED | MREMAP_DONTUNMAP) != 0 && !may_move;
    let keeps_length = flags & MREMAP_DONTUNMAP == 0 || old_length == new_length;
    if unknown || needs_move || !keeps_length || !old.is_page_aligned() {
        return Err(Errno::EINVAL.into());
    }
    let old = old.untagged();
    let old_length = page_up(old_length).ok_or(Errno::EINVAL)?;
    let new_length = page_up(new_length).filter(|length| *length != 0).ok_or(Errno::EINVAL)?;
    let movement = match (flags & MREMAP_FIXED != 0, may_move) {
        (true, _) => Movement::To(target),
        (false, true) => Movement::Allowed,
        (false, false) => Movement::Forbidden,
    };
    let keep_old = if flags & MREMAP_DONTUNMAP != 0 { KeepOld::Yes } else { KeepOld::No };
    let request = RemapRequest { old, old_length, new_length, movement, keep_old };
    let limits = caller.thread.process().limits();
    Ok(space(caller)?.remap(request, limits)?.as_u64())
}

/// `brk(2)`, as the kernel has it: returns where the break is, moved or not.
pub fn brk(caller: &mut Caller<'_>, wanted: UserAddr) -> Outcome<u64> {
    let limits = caller.thread.process().limits();
    Ok(space(caller)?.set_brk(wanted, limits).as_u64())
}

/// `madvise(2)`.
pub fn madvise(caller: &mut Caller<'_>, start: UserAddr, length: u64, advice: u32) -> Outcome<()> {
    let advice = decode_advice(advice)?;
    let range = page_range(start, length, Errno::EINVAL)?;
    if range.is_empty() {
        return if length == 0 { Ok(()) } else { Err(Errno::EINVAL.into()) };
    }
    Ok(space(caller)?.advise(range, advice)?)
}

/// Merging and huge pages are features Linux can be built without; the answer is that of such a Linux.
fn decode_advice(advice: u32) -> Result<Advice, Errno> {
    let none = AreaFlags::empty();
    Ok(match advice {
        MADV_NORMAL | MADV_RANDOM | MADV_SEQUENTIAL | MADV_WILLNEED | MADV_COLD | MADV_PAGEOUT => {
            Advice::None
        }
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

/// `msync(2)`. Files live in memory, so there is nothing to write back: only the arguments are checked.
pub fn msync(caller: &mut Caller<'_>, start: UserAddr, length: u64, flags: u32) -> Outcome<()> {
    let both = MS_ASYNC | MS_SYNC;
    if flags & !(both | MS_INVALIDATE) != 0 || flags & both == both {
        return Err(Errno::EINVAL.into());
    }
    let range = page_range(start, length, Errno::ENOMEM)?;
    Ok(space(caller)?.check_mapped(range)?)
}

/// `mincore(2)`: one byte for each page, bit 0 set where it is in memory.
pub fn mincore(caller: &mut Caller<'_>, start: UserAddr, length: u64, vector: UserAddr) -> Outcome<()> {
    const STEP: usize = 64;
    let range = page_range(start, length, Errno::ENOMEM)?;
    let space = space(caller)?;
    let bytes = UserSlice::<u8>::new(vector, range.page_count() as usize);
    hal::user_copy::checked(vector, range.page_count()).ok_or(Errno::EFAULT)?;
    let mut pages = range.pages();
    for first in (0..bytes.len()).step_by(STEP) {
        let mut piece = [0; STEP];
        let mut filled = 0;
        for (byte, page) in piece.iter_mut().zip(&mut pages) {
            *byte = u8::from(space.residency(page)? == Residency::Resident);
            filled += 1;
        }
        let target = bytes.at(first)?.address();
        crate::user::write_bytes(target, piece.get(..filled).unwrap_or_default())?;
    }
    Ok(())
}

/// How much the caller may lock, in bytes; `EPERM` where it may lock nothing at all.
fn lock_limit(caller: &Caller<'_>) -> Result<u64, Errno> {
    if caller.thread.with_credentials(|credentials| credentials.has_capability(capability::IPC_LOCK)) {
        return Ok(u64::MAX);
    }
    match caller.thread.process().limits().soft(Resource::LockedMemory) {
        0 => Err(Errno::EPERM),
        limit => Ok(limit),
    }
}

/// The whole pages that a range of bytes touches.
fn touched_pages(start: UserAddr, length: u64) -> Result<UserRange, Errno> {
    let start = start.untagged();
    let end = start.checked_add(length).and_then(UserAddr::page_up).ok_or(Errno::EINVAL)?;
    UserRange::from_bounds(start.page_down(), end).ok_or(Errno::ENOMEM)
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
    let limit = lock_limit(caller)?;
    let time = if flags & MLOCK_ONFAULT != 0 { LockTime::OnFault } else { LockTime::Now };
    Ok(space(caller)?.lock(touched_pages(start, length)?, time, limit)?)
}

/// `munlock(2)`.
pub fn munlock(caller: &mut Caller<'_>, start: UserAddr, length: u64) -> Outcome<()> {
    Ok(space(caller)?.unlock(touched_pages(start, length)?)?)
}

/// `mlockall(2)`.
pub fn mlockall(caller: &mut Caller<'_>, flags: u32) -> Outcome<()> {
    if flags == 0 || flags & !(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT) != 0 || flags == MCL_ONFAULT {
        return Err(Errno::EINVAL.into());
    }
    let limit = lock_limit(caller)?;
    let time = if flags & MCL_ONFAULT != 0 { LockTime::OnFault } else { LockTime::Now };
    let space = space(caller)?;
    if flags & MCL_CURRENT != 0 {
        space.lock_all(time, limit)?;
    }
    space.set_lock_future(flags & MCL_FUTURE != 0);
    Ok(())
}

/// `munlockall(2)`.
pub fn munlockall(caller: &mut Caller<'_>) -> Outcome<()> {
    Ok(space(caller)?.unlock_all()?)
}
