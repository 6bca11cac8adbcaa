//! Locked memory: its limit at every door, and what it changes.

use crate::{PAGE, PRIVATE, READ, WRITE, advise, limit, map, map_file, remap, unmap};
use abi::Errno;
use abi::memory::*;
use abi::native::nr;
use abi::resource::*;
use conformance::fault::{caught, store};
use conformance::files::as_user;
use conformance::{Failure, Outcome, check, check_eq, child, raw, scratch};

fn lock(address: u64, length: u64) -> Result<(), Errno> {
    raw::call(nr::mlock, &[address, length]).map(drop)
}

fn lock_all(flags: u32) -> Result<(), Errno> {
    raw::call(nr::mlockall, &[flags.into()]).map(drop)
}

/// Whether a page is in memory.
fn is_resident(address: u64) -> Result<bool, Errno> {
    let byte = 0u8;
    raw::call(nr::mincore, &[address, PAGE, (&raw const byte) as u64])?;
    Ok(core::hint::black_box(byte) & 1 != 0)
}

pub fn the_limit_on_locked_memory() -> Outcome {
    limit(RLIMIT_MEMLOCK, 8 * PAGE)?;
    as_user(|| {
        let memory = map(0, 16 * PAGE, WRITE, PRIVATE)?;
        check_eq!(lock(memory, 9 * PAGE), Err(Errno::ENOMEM));
        check_eq!(lock(memory, 4 * PAGE), Ok(()));
        check_eq!(lock(memory, 8 * PAGE), Ok(()));
        check_eq!(lock(memory + PAGE, 8 * PAGE), Err(Errno::ENOMEM));
        check_eq!(map(0, PAGE, WRITE, PRIVATE | MAP_LOCKED), Err(Errno::EAGAIN));
        check_eq!(lock_all(MCL_CURRENT), Err(Errno::ENOMEM));
        check_eq!(raw::call(nr::munlock, &[memory + 4 * PAGE, 12 * PAGE]), Ok(0));
        let locked = map(0, 4 * PAGE, WRITE, PRIVATE | MAP_LOCKED)?;
        check_eq!(remap(locked, 4 * PAGE, 5 * PAGE, MREMAP_MAYMOVE, 0), Err(Errno::EAGAIN));
        unmap(locked, 4 * PAGE)?;
        check!(remap(memory, 4 * PAGE, 5 * PAGE, MREMAP_MAYMOVE, 0).is_ok());
        Ok(())
    })?;
    // A locked stack grows within the limit.
    as_user(|| {
        let start = map(0, 64 * PAGE, PROT_NONE, PRIVATE)?;
        unmap(start, 64 * PAGE)?;
        let stack = map(start + 63 * PAGE, PAGE, WRITE, PRIVATE | MAP_FIXED | MAP_GROWSDOWN)?;
        check_eq!(lock(stack, PAGE), Ok(()));
        let at = |page: u64| core::ptr::without_provenance_mut((start + page * PAGE) as usize);
        check_eq!(raw::call(nr::munlockall, &[]), Ok(0));
        check_eq!(lock(stack, PAGE), Ok(()));
        store(at(60));
        // Locks are not inherited, so this is no child's business.
        let zero = libsyscall::file::open(c"/dev/zero", abi::fs::O_RDONLY, 0)?;
        check_eq!(raw::call(nr::read, &[zero as u64, start + 56 * PAGE, 1]), Ok(1));
        check_eq!(raw::call(nr::read, &[zero as u64, start + 50 * PAGE, 1]), Err(Errno::EFAULT));
        Ok(())
    })?;
    limit(RLIMIT_MEMLOCK, 0)?;
    as_user(|| {
        let memory = map(0, PAGE, WRITE, PRIVATE)?;
        check_eq!(lock(memory, PAGE), Err(Errno::EPERM));
        check_eq!(map(0, PAGE, WRITE, PRIVATE | MAP_LOCKED), Err(Errno::EPERM));
        check_eq!(lock_all(MCL_FUTURE), Err(Errno::EPERM));
        Ok(())
    })
}

/// A lock says whether the pages are there.
pub fn locking_pages_in() -> Outcome {
    let memory = map(0, 4 * PAGE, WRITE, PRIVATE)?;
    check_eq!(lock(memory, 4 * PAGE), Ok(()));
    check!(is_resident(memory + 3 * PAGE)?);
    let nothing = map(0, PAGE, PROT_NONE, PRIVATE)?;
    check_eq!(lock(nothing, PAGE), Err(Errno::ENOMEM));
    check_eq!(raw::call(nr::mlock2, &[nothing, PAGE, MLOCK_ONFAULT.into()]), Ok(0));
    check_eq!(raw::call(nr::mlock2, &[memory, PAGE, 2]), Err(Errno::EINVAL));
    let onfault = map(0, PAGE, WRITE, PRIVATE)?;
    check_eq!(raw::call(nr::mlock2, &[onfault, PAGE, MLOCK_ONFAULT.into()]), Ok(0));
    check!(!is_resident(onfault)?);
    // Behind the end of a file there is nothing to lock.
    scratch::enter()?;
    let fd = conformance::files::create(c"file", b"one page")?;
    let file = map_file(0, 2 * PAGE, READ, MAP_SHARED, fd)?;
    check_eq!(lock(file, PAGE), Ok(()));
    check_eq!(lock(file, 2 * PAGE), Err(Errno::ENOMEM));
    // A hole in the range: what lies before it is locked.
    let holed = map(0, 3 * PAGE, WRITE, PRIVATE)?;
    unmap(holed + PAGE, PAGE)?;
    check_eq!(lock(holed, 3 * PAGE), Err(Errno::ENOMEM));
    check_eq!(lock(memory, 0), Ok(()));
    check_eq!(lock(memory, u64::MAX - 8191), Err(Errno::EINVAL));
    Ok(())
}

/// What `MCL_FUTURE` asks of memory to come.
pub fn future_locks() -> Outcome {
    for flags in [0, MCL_ONFAULT, 8, MCL_CURRENT | 8] {
        check_eq!(lock_all(flags), Err(Errno::EINVAL));
    }
    let passed = child::succeeds(|| {
        lock_all(MCL_FUTURE)?;
        let memory = map(0, 2 * PAGE, WRITE, PRIVATE)?;
        check!(is_resident(memory + PAGE)?);
        lock_all(MCL_FUTURE | MCL_ONFAULT)?;
        let later = map(0, 2 * PAGE, WRITE, PRIVATE)?;
        check!(!is_resident(later)?);
        check_eq!(advise(later, PAGE, MADV_DONTNEED), Err(Errno::EINVAL));
        lock_all(MCL_CURRENT)?;
        let free = map(0, 2 * PAGE, WRITE, PRIVATE)?;
        check_eq!(advise(free, PAGE, MADV_DONTNEED), Ok(()));
        raw::call(nr::munlockall, &[])?;
        check_eq!(advise(memory, PAGE, MADV_DONTNEED), Ok(()));
        Ok(())
    })?;
    check!(passed);
    limit(RLIMIT_MEMLOCK, 8 * PAGE)?;
    as_user(|| {
        lock_all(MCL_FUTURE)?;
        check_eq!(map(0, 9 * PAGE, WRITE, PRIVATE), Err(Errno::EAGAIN));
        check_eq!(map(0, 9 * PAGE, PROT_NONE, PRIVATE), Err(Errno::EAGAIN));
        let memory = map(0, 6 * PAGE, WRITE, PRIVATE)?;
        check_eq!(map(0, 3 * PAGE, READ, MAP_SHARED), Err(Errno::EAGAIN));
        check_eq!(remap(memory, 6 * PAGE, 9 * PAGE, MREMAP_MAYMOVE, 0), Err(Errno::EAGAIN));
        let start = raw::call(nr::brk, &[0])?;
        check_eq!(raw::call(nr::brk, &[start + 4 * PAGE]), Ok(start));
        // What is replaced counts until it is gone.
        check_eq!(map(memory, 6 * PAGE, WRITE, PRIVATE | MAP_FIXED), Err(Errno::EAGAIN));
        Ok(())
    })
}

pub fn locked_memory_and_advice() -> Outcome {
    let memory = map(0, 4 * PAGE, WRITE, PRIVATE)?;
    lock(memory, 2 * PAGE)?;
    let sync = |start, length, flags| raw::call(nr::msync, &[start, length, flags]);
    const ASYNC: u64 = MS_ASYNC as u64;
    const INVALIDATE: u64 = MS_INVALIDATE as u64;
    const SYNC: u64 = MS_SYNC as u64;
    check_eq!(sync(memory, 4 * PAGE, INVALIDATE), Err(Errno::EBUSY));
    check_eq!(sync(memory, 4 * PAGE, INVALIDATE | SYNC), Err(Errno::EBUSY));
    check_eq!(sync(memory, 4 * PAGE, INVALIDATE | ASYNC), Err(Errno::EBUSY));
    check_eq!(sync(memory + 2 * PAGE, 2 * PAGE, INVALIDATE), Ok(0));
    check_eq!(sync(memory, 4 * PAGE, SYNC), Ok(0));
    check_eq!(sync(memory, 4 * PAGE, SYNC | ASYNC), Err(Errno::EINVAL));
    check_eq!(sync(memory, 4 * PAGE, 8), Err(Errno::EINVAL));
    check_eq!(sync(memory + 1, PAGE, SYNC), Err(Errno::EINVAL));
    check_eq!(sync(memory, 0, SYNC), Ok(0));
    // Not mapped is found behind what is: the lock is met first.
    unmap(memory + 3 * PAGE, PAGE)?;
    check_eq!(sync(memory + 2 * PAGE, 2 * PAGE, SYNC), Err(Errno::ENOMEM));
    check_eq!(sync(memory, 4 * PAGE, INVALIDATE), Err(Errno::EBUSY));
    for advice in [MADV_DONTNEED, MADV_FREE, MADV_COLD, MADV_PAGEOUT, MADV_REMOVE] {
        check_eq!((advice, advise(memory, PAGE, advice)), (advice, Err(Errno::EINVAL)));
    }
    check_eq!(advise(memory, PAGE, MADV_DONTNEED_LOCKED), Ok(()));
    // A copy that stays behind is not locked.
    let moved = remap(memory, 2 * PAGE, 2 * PAGE, MREMAP_MAYMOVE | MREMAP_DONTUNMAP, 0)?;
    check_eq!(advise(memory, PAGE, MADV_DONTNEED), Ok(()));
    check_eq!(advise(moved, PAGE, MADV_DONTNEED), Err(Errno::EINVAL));
    check_eq!(locked_kilobytes()?, 8);
    // Nor what a child gets.
    let status = child::run(|| i32::from(advise(moved, PAGE, MADV_DONTNEED) != Ok(())))?;
    check_eq!(status, abi::process::WaitStatus(0));
    check_eq!(caught(|| store(core::ptr::without_provenance_mut(moved as usize)))?, None);
    Ok(())
}

/// `VmLck` of this process.
fn locked_kilobytes() -> Result<u64, Failure> {
    let text = conformance::files::content(c"/proc/self/status")?;
    let line = text.split(|byte| *byte == b'\n').find(|line| line.starts_with(b"VmLck:"));
    let digits = line.unwrap_or_default().iter().filter(|byte| byte.is_ascii_digit());
    Ok(digits.fold(0, |sum, digit| sum * 10 + u64::from(digit - b'0')))
}
