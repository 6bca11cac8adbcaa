//! Arguments that are refused, or mean nothing.

use crate::{PAGE, PRIVATE, READ, WRITE, advise, map, map_file, protect, unmap};
use abi::Errno;
use abi::futex::*;
use abi::memory::*;
use abi::native::nr;
use conformance::{Outcome, check, check_eq, raw, scratch};

const HIGH: u64 = 1 << 40;

/// Linux takes these words whole.
pub fn words_of_64_bits() -> Outcome {
    let memory = map(0, 2 * PAGE, WRITE, PRIVATE)?;
    check_eq!(raw::call(nr::mprotect, &[memory, PAGE, u64::from(READ) | HIGH]), Err(Errno::EINVAL));
    check_eq!(raw::call(nr::mprotect, &[memory, PAGE, 1 << 63]), Err(Errno::EINVAL));
    check_eq!(raw::call(nr::mprotect, &[memory, 0, u64::from(READ) | HIGH]), Ok(0));
    check_eq!(raw::call(nr::mremap, &[memory, PAGE, PAGE, HIGH, 0]), Err(Errno::EINVAL));
    check_eq!(raw::call(nr::mremap, &[memory, PAGE, PAGE, HIGH | 1, 0]), Err(Errno::EINVAL));
    // mmap itself ignores what it does not know, but for one type.
    let fresh = raw::call(
        nr::mmap,
        &[0, PAGE, u64::from(WRITE) | HIGH | 0xf0, u64::from(PRIVATE) | HIGH, u64::MAX, 0],
    )?;
    unmap(fresh, PAGE)?;
    scratch::enter()?;
    let fd = conformance::files::create(c"file", b"content")? as u64;
    let validated = u64::from(MAP_SHARED_VALIDATE);
    check_eq!(raw::call(nr::mmap, &[0, PAGE, READ.into(), validated | HIGH, fd, 0]), Err(Errno::EOPNOTSUPP));
    check!(raw::call(nr::mmap, &[0, PAGE, READ.into(), u64::from(MAP_SHARED) | HIGH, fd, 0]).is_ok());
    // These are words of 32 bits.
    check_eq!(raw::call(nr::madvise, &[memory, PAGE, HIGH]), Ok(0));
    check_eq!(raw::call(nr::msync, &[memory, PAGE, HIGH | 4]), Ok(0));
    check_eq!(raw::call(nr::mlockall, &[HIGH]), Err(Errno::EINVAL));
    Ok(())
}

pub fn flags_that_nobody_knows() -> Outcome {
    scratch::enter()?;
    let fd = conformance::files::create(c"file", b"content")?;
    check_eq!(map_file(0, PAGE, READ, u32::MAX, fd), Err(Errno::EINVAL));
    check_eq!(map(0, PAGE, READ, u32::MAX), Err(Errno::EINVAL));
    for kind in [0, 4, 8, 15, MAP_SHARED_VALIDATE] {
        check_eq!((kind, map(0, PAGE, READ, kind)), (kind, Err(Errno::EINVAL)));
    }
    for kind in [0, 4, 8, 15] {
        check_eq!((kind, map_file(0, PAGE, READ, kind, fd)), (kind, Err(Errno::EINVAL)));
    }
    for flag in [MAP_SYNC, 1 << 21, 1 << 22, 1 << 24, 1 << 25, 1 << 31, 1 << 9] {
        let outcome = map_file(0, PAGE, READ, MAP_SHARED_VALIDATE | flag, fd);
        check_eq!((flag, outcome), (flag, Err(Errno::EOPNOTSUPP)));
        check!(map_file(0, PAGE, READ, MAP_SHARED | flag, fd).is_ok());
        check!(map_file(0, PAGE, READ, MAP_PRIVATE | flag, fd).is_ok());
    }
    check_eq!(
        map_file(0x7000_0000, PAGE, READ, MAP_SHARED_VALIDATE | MAP_FIXED_NOREPLACE, fd),
        Err(Errno::EOPNOTSUPP)
    );
    for flag in [
        MAP_DENYWRITE,
        MAP_EXECUTABLE,
        MAP_NORESERVE,
        MAP_POPULATE,
        MAP_NONBLOCK,
        MAP_STACK,
        MAP_UNINITIALIZED,
    ] {
        check!(map_file(0, PAGE, READ, MAP_SHARED_VALIDATE | flag, fd).is_ok(), "{flag:#x}");
    }
    check_eq!(map_file(0, PAGE, READ, MAP_SHARED | MAP_GROWSDOWN, fd), Err(Errno::EINVAL));
    check_eq!(map_file(0, PAGE, READ, MAP_PRIVATE | MAP_GROWSDOWN, fd), Err(Errno::EINVAL));
    check_eq!(map(0, PAGE, READ, MAP_SHARED | MAP_GROWSDOWN), Err(Errno::EINVAL));
    // Huge pages: of files that have none, of a size that nobody has, and none are there.
    check_eq!(map_file(0, PAGE, READ, MAP_PRIVATE | MAP_HUGETLB, fd), Err(Errno::EINVAL));
    check_eq!(map(0, PAGE, READ, PRIVATE | MAP_HUGETLB | 63 << 26), Err(Errno::EINVAL));
    check_eq!(map(0, PAGE, READ, PRIVATE | MAP_HUGETLB | 12 << 26), Err(Errno::EINVAL));
    check_eq!(map(0, 1 << 21, WRITE, PRIVATE | MAP_HUGETLB), Err(Errno::ENOMEM));
    check_eq!(map(0, 1 << 21, WRITE, PRIVATE | MAP_HUGETLB | 21 << 26), Err(Errno::ENOMEM));
    Ok(())
}

pub fn a_futex_in_memory_that_cannot_be_read() -> Outcome {
    let wake = |address: u64, operation: u32| raw::call(nr::futex, &[address, operation.into(), 1, 0, 0, 0]);
    const PRIVATE_FLAG: u32 = FUTEX_PRIVATE_FLAG;
    let memory = map(0, PAGE, WRITE, PRIVATE)?;
    check_eq!(wake(memory, FUTEX_WAKE), Ok(0));
    // Memory of one's own that will never change is no place for one.
    let read_only = map(0, PAGE, READ, PRIVATE)?;
    check_eq!(wake(read_only, FUTEX_WAKE), Err(Errno::EFAULT));
    check_eq!(wake(read_only, FUTEX_WAKE | PRIVATE_FLAG), Ok(0));
    let shared = map(0, PAGE, READ, MAP_SHARED)?;
    check_eq!(wake(shared, FUTEX_WAKE), Ok(0));
    for kind in [PRIVATE, MAP_SHARED] {
        let nothing = map(0, PAGE, PROT_NONE, kind)?;
        check_eq!((kind, wake(nothing, FUTEX_WAKE)), (kind, Err(Errno::EFAULT)));
        check_eq!(wake(nothing, FUTEX_WAKE | PRIVATE_FLAG), Ok(0));
        check_eq!(
            raw::call(nr::futex, &[nothing, FUTEX_REQUEUE.into(), 1, 1, memory, 0]),
            Err(Errno::EFAULT)
        );
        check_eq!(
            raw::call(nr::futex, &[memory, FUTEX_REQUEUE.into(), 1, 1, nothing, 0]),
            Err(Errno::EFAULT)
        );
        unmap(nothing, PAGE)?;
        check_eq!(wake(nothing, FUTEX_WAKE), Err(Errno::EFAULT));
        check_eq!(wake(nothing, FUTEX_WAKE | PRIVATE_FLAG), Ok(0));
    }
    // Behind the end of a file.
    scratch::enter()?;
    let fd = conformance::files::create(c"file", b"content")?;
    let file = map_file(0, 2 * PAGE, WRITE, MAP_SHARED, fd)?;
    check_eq!(wake(file, FUTEX_WAKE), Ok(0));
    check_eq!(wake(file + PAGE, FUTEX_WAKE), Err(Errno::EFAULT));
    check_eq!(wake(memory + 1, FUTEX_WAKE), Err(Errno::EINVAL));
    Ok(())
}

pub fn advice_that_is_refused() -> Outcome {
    let memory = map(0, 4 * PAGE, WRITE, PRIVATE)?;
    for advice in [5, 6, 7, 99, 26, 1000, u32::MAX] {
        check_eq!((advice, advise(memory, PAGE, advice)), (advice, Err(Errno::EINVAL)));
        // Even where there is nothing to do.
        check_eq!(advise(memory, 0, advice), Err(Errno::EINVAL));
    }
    check_eq!(advise(memory + 1, PAGE, MADV_NORMAL), Err(Errno::EINVAL));
    check_eq!(advise(memory, u64::MAX - PAGE, MADV_NORMAL), Err(Errno::EINVAL));
    check_eq!(advise(memory, PAGE, MADV_REMOVE), Err(Errno::EINVAL));
    // Shared memory: nothing to free lazily, nothing to wipe; pages go if it could be written.
    let shared = map(0, PAGE, WRITE, MAP_SHARED)?;
    check_eq!(advise(shared, PAGE, MADV_FREE), Err(Errno::EINVAL));
    check_eq!(advise(shared, PAGE, MADV_WIPEONFORK), Err(Errno::EINVAL));
    check_eq!(advise(shared, PAGE, MADV_REMOVE), Ok(()));
    protect(shared, PAGE, READ)?;
    check_eq!(advise(shared, PAGE, MADV_REMOVE), Ok(()));
    // A hole does not keep the rest from being advised.
    unmap(memory + PAGE, PAGE)?;
    let last = core::ptr::without_provenance_mut::<u8>((memory + 2 * PAGE) as usize);
    conformance::fault::store(last);
    check_eq!(advise(memory, 4 * PAGE, MADV_DONTNEED), Err(Errno::ENOMEM));
    // SAFETY: the page is mapped.
    check_eq!(unsafe { last.read_volatile() }, 0);
    check_eq!(advise(memory, 4 * PAGE, MADV_DONTFORK), Err(Errno::ENOMEM));
    check_eq!(advise(memory, 4 * PAGE, MADV_NORMAL), Err(Errno::ENOMEM));
    check_eq!(advise(memory, 4 * PAGE, MADV_POPULATE_READ), Err(Errno::ENOMEM));
    let nothing = map(0, PAGE, PROT_NONE, PRIVATE)?;
    check_eq!(advise(nothing, PAGE, MADV_POPULATE_READ), Err(Errno::EINVAL));
    check_eq!(advise(nothing, PAGE, MADV_POPULATE_WRITE), Err(Errno::EINVAL));
    // A load needs any right, populating just this one.
    let writable = map(0, PAGE, PROT_WRITE, PRIVATE)?;
    check_eq!(advise(writable, PAGE, MADV_POPULATE_READ), Err(Errno::EINVAL));
    check_eq!(advise(writable, PAGE, MADV_POPULATE_WRITE), Ok(()));
    Ok(())
}
