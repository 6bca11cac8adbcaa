//! Ranges at the edges: nothing at all, lengths that wrap when they are rounded, ends outside the user half, offsets
//! beyond files.

use crate::{PAGE, PRIVATE, READ, WRITE, advise, limit, map, remap, unmap};
use abi::Errno;
use abi::memory::*;
use abi::native::nr;
use abi::resource::*;
use conformance::{Outcome, check, check_eq, child, raw, scratch};

/// No user address on either architecture, whatever it makes of the upper byte, and however many levels its tables
/// have.
const OUTSIDE: u64 = 0x0190_0000_0000_0000;
/// Rounded up to whole pages, it is nothing.
const WRAPS: [u64; 3] = [u64::MAX, u64::MAX - 1, u64::MAX - PAGE + 2];

fn call(number: u64, start: u64, length: u64) -> Result<(), Errno> {
    raw::call(number, &[start, length, 0]).map(drop)
}

pub fn nothing_at_all() -> Outcome {
    for start in [OUTSIDE, 0, PAGE, u64::MAX - PAGE + 1] {
        check_eq!((start, call(nr::msync, start, 0)), (start, Ok(())));
        check_eq!((start, call(nr::mlock, start, 0)), (start, Ok(())));
        check_eq!((start, call(nr::munlock, start, 0)), (start, Ok(())));
        check_eq!((start, advise(start, 0, MADV_NORMAL)), (start, Ok(())));
        check_eq!((start, advise(start, 0, MADV_DONTNEED)), (start, Ok(())));
        check_eq!((start, unmap(start, 0)), (start, Err(Errno::EINVAL)));
    }
    check_eq!(call(nr::msync, OUTSIDE + 1, 0), Err(Errno::EINVAL));
    check_eq!(advise(OUTSIDE + 1, 0, MADV_NORMAL), Err(Errno::EINVAL));
    // Its page is touched.
    check_eq!(call(nr::mlock, OUTSIDE + 1, 0), Err(Errno::ENOMEM));
    check_eq!(call(nr::munlock, OUTSIDE + 1, 0), Err(Errno::ENOMEM));
    Ok(())
}

pub fn lengths_that_wrap() -> Outcome {
    let memory = map(0, 4 * PAGE, WRITE, PRIVATE)?;
    for start in [memory, OUTSIDE] {
        for length in WRAPS {
            let case = (start, length);
            check_eq!((case, call(nr::msync, start, length)), (case, Ok(())));
            check_eq!((case, call(nr::mlock, start, length)), (case, Ok(())));
            check_eq!((case, call(nr::munlock, start, length)), (case, Ok(())));
            check_eq!((case, advise(start, length, MADV_NORMAL)), (case, Err(Errno::EINVAL)));
            check_eq!((case, unmap(start, length)), (case, Err(Errno::EINVAL)));
            check_eq!((case, call(nr::mincore, start, length)), (case, Err(Errno::ENOMEM)));
        }
        // A page less is too long, but not nothing.
        let length = u64::MAX - PAGE + 1;
        check_eq!(call(nr::msync, start, length), Err(Errno::ENOMEM));
        check_eq!(call(nr::mlock, start, length), Err(Errno::EINVAL));
        check_eq!(call(nr::munlock, start, length), Err(Errno::EINVAL));
    }
    // The start counts for what is locked: these end at the end of all addresses, or wrap.
    check_eq!(call(nr::munlock, memory + 1, u64::MAX - PAGE + 1), Ok(()));
    check_eq!(call(nr::munlock, memory + 1, u64::MAX - 2 * PAGE + 1), Err(Errno::EINVAL));
    // As no old length at all: of private memory that is no request, of nothing it finds nothing.
    check_eq!(remap(memory, u64::MAX, PAGE, MREMAP_MAYMOVE, 0), Err(Errno::EINVAL));
    check_eq!(remap(OUTSIDE, u64::MAX, PAGE, MREMAP_MAYMOVE, 0), Err(Errno::EFAULT));
    check_eq!(remap(memory, PAGE, u64::MAX, MREMAP_MAYMOVE, 0), Err(Errno::EINVAL));
    let shared = map(0, PAGE, WRITE, MAP_SHARED | MAP_ANONYMOUS)?;
    let twin = remap(shared, u64::MAX, PAGE, MREMAP_MAYMOVE, 0)?;
    check!(twin != shared);
    unmap(memory, 4 * PAGE)
        .and_then(|()| unmap(shared, PAGE))
        .and_then(|()| unmap(twin, PAGE))
        .map_err(Into::into)
}

pub fn beyond_the_user_half() -> Outcome {
    for length in [1, PAGE, 1 << 40] {
        check_eq!(advise(OUTSIDE, length, MADV_NORMAL), Err(Errno::ENOMEM));
        check_eq!(advise(OUTSIDE, length, MADV_DONTNEED), Err(Errno::ENOMEM));
        check_eq!(call(nr::msync, OUTSIDE, length), Err(Errno::ENOMEM));
        check_eq!(call(nr::mlock, OUTSIDE, length), Err(Errno::ENOMEM));
        check_eq!(call(nr::mincore, OUTSIDE, length), Err(Errno::ENOMEM));
        check_eq!(unmap(OUTSIDE, length), Err(Errno::EINVAL));
    }
    // Ends that wrap.
    check_eq!(advise(u64::MAX - PAGE + 1, 2 * PAGE, MADV_NORMAL), Err(Errno::EINVAL));
    check_eq!(call(nr::msync, u64::MAX - PAGE + 1, 2 * PAGE), Err(Errno::ENOMEM));
    check_eq!(call(nr::mlock, u64::MAX - PAGE + 1, PAGE), Err(Errno::EINVAL));
    // Who may not lock so much hears that first.
    let passed = child::succeeds(|| {
        limit(RLIMIT_MEMLOCK, 2 * PAGE)?;
        raw::call(nr::setresuid, &[1000, 1000, 1000])?;
        check_eq!(call(nr::mlock, u64::MAX - PAGE + 1, 4 * PAGE), Err(Errno::ENOMEM));
        check_eq!(call(nr::mlock, u64::MAX - PAGE + 1, PAGE), Err(Errno::EINVAL));
        check_eq!(call(nr::munlock, u64::MAX - PAGE + 1, 4 * PAGE), Err(Errno::EINVAL));
        Ok(())
    })?;
    check!(passed);
    Ok(())
}

pub fn offsets_beyond_files() -> Outcome {
    scratch::enter()?;
    let fd = conformance::files::create(c"file", b"content")? as u64;
    let zero = libsyscall::file::open(c"/dev/zero", abi::fs::O_RDONLY, 0)? as u64;
    let map_at = |fd: u64, length: u64, offset: u64| {
        raw::call(nr::mmap, &[0, length, READ.into(), MAP_PRIVATE.into(), fd, offset])
    };
    // A file ends at 2^63 - 1: the last page that it may have is one less than fits.
    let last = (i64::MAX as u64 - PAGE) & !(PAGE - 1);
    check!(map_at(fd, PAGE, last).is_ok());
    for (length, offset) in
        [(PAGE, last + PAGE), (2 * PAGE, last), (PAGE, 1 << 63), (PAGE, u64::MAX - PAGE + 1)]
    {
        check_eq!((length, offset, map_at(fd, length, offset)), (length, offset, Err(Errno::EOVERFLOW)));
        let is_very_last = offset == u64::MAX - PAGE + 1;
        let of_device = map_at(zero, length, offset);
        check_eq!((offset, of_device.err()), (offset, is_very_last.then_some(Errno::EOVERFLOW)));
        let nameless = [0, length, READ.into(), PRIVATE.into(), u64::MAX, offset];
        check!(raw::call(nr::mmap, &nameless).is_ok(), "{offset:#x}");
    }
    check_eq!(map_at(fd, 1 << 60, last), Err(Errno::ENOMEM));
    check_eq!(map_at(fd, 0, last + PAGE), Err(Errno::EINVAL));
    check_eq!(map(0, 0, READ, PRIVATE | MAP_HUGETLB), Err(Errno::EINVAL));
    Ok(())
}

/// The address counts wherever a mapping must move, and only then.
pub fn where_a_mapping_moves_to() -> Outcome {
    const KEEP: u32 = MREMAP_MAYMOVE | MREMAP_DONTUNMAP;
    let memory = map(0, 32 * PAGE, WRITE, PRIVATE)?;
    unmap(memory + 16 * PAGE, 8 * PAGE)?;
    let [old, free, taken] = [memory, memory + 16 * PAGE, memory + 24 * PAGE];
    for target in [old + 1, free + 1, old, old + PAGE, OUTSIDE] {
        for flags in [KEEP, KEEP | MREMAP_FIXED, MREMAP_MAYMOVE | MREMAP_FIXED] {
            let case = (target - memory, flags);
            check_eq!((case, remap(old, 2 * PAGE, 2 * PAGE, flags, target)), (case, Err(Errno::EINVAL)));
        }
        check_eq!(remap(old, 2 * PAGE, 2 * PAGE, MREMAP_MAYMOVE, target), Ok(old));
    }
    // What is not mapped is noticed before the target.
    check_eq!(remap(free, PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, old + 1), Err(Errno::EFAULT));
    check_eq!(remap(free, PAGE, PAGE, KEEP, free), Err(Errno::EFAULT));
    // A wish, where it is not fixed.
    check_eq!(remap(old, 2 * PAGE, 2 * PAGE, KEEP, free), Ok(free));
    let elsewhere = remap(old, 2 * PAGE, 2 * PAGE, KEEP, taken)?;
    check!(elsewhere != taken && elsewhere != old);
    check_eq!(remap(old, 2 * PAGE, 2 * PAGE, KEEP | MREMAP_FIXED, taken), Ok(taken));
    unmap(elsewhere, 2 * PAGE)?;
    unmap(memory, 32 * PAGE).map_err(Into::into)
}

/// Who is beyond a limit may not even replace what he has.
pub fn beyond_the_limit_on_addresses() -> Outcome {
    let passed = child::succeeds(|| {
        let memory = map(0, 4 * PAGE, WRITE, PRIVATE)?;
        limit(RLIMIT_AS, PAGE)?;
        for length in [PAGE, 4 * PAGE, 5 * PAGE] {
            check_eq!(map(memory, length, WRITE, PRIVATE | MAP_FIXED), Err(Errno::ENOMEM));
        }
        // What moves or shrinks does not grow.
        check_eq!(remap(memory + 2 * PAGE, 2 * PAGE, PAGE, 0, 0), Ok(memory + 2 * PAGE));
        let fixed = MREMAP_MAYMOVE | MREMAP_FIXED;
        check_eq!(remap(memory + 2 * PAGE, PAGE, PAGE, fixed, memory + 3 * PAGE), Ok(memory + 3 * PAGE));
        check_eq!(crate::protect(memory, PAGE, READ), Ok(()));
        check_eq!(crate::protect(memory, PAGE, WRITE), Ok(()));
        Ok(())
    })?;
    check!(passed);
    Ok(())
}

/// What lies before the first address that is not mapped is done or told of, wherever that is.
pub fn before_the_first_gap() -> Outcome {
    const FAR: u64 = 1 << 60;
    let memory = map(0, 3 * PAGE, WRITE, PRIVATE)?;
    unmap(memory + 2 * PAGE, PAGE)?;
    // SAFETY: the page is mapped for writing, and nothing else uses it.
    unsafe { (memory as *mut u8).write_volatile(1) };
    let mut pages = [9u8; 3];
    let told = raw::call(nr::mincore, &[memory, 3 * PAGE, pages.as_mut_ptr() as u64]);
    check_eq!((told, pages[0] & 1, pages[1] & 1, pages[2]), (Err(Errno::ENOMEM), 1, 0, 9));
    call(nr::mlock, memory, 2 * PAGE)?;
    check_eq!(advise(memory, PAGE, MADV_DONTNEED), Err(Errno::EINVAL));
    check_eq!(call(nr::munlock, memory, FAR), Err(Errno::ENOMEM));
    check_eq!(advise(memory, PAGE, MADV_DONTNEED), Ok(()));
    // A mistake about the first area comes before the gap.
    let shared = map(0, PAGE, WRITE, MAP_SHARED | MAP_ANONYMOUS)?;
    check_eq!(advise(shared, FAR, MADV_FREE), Err(Errno::EINVAL));
    check_eq!((call(nr::msync, memory, FAR), unmap(memory, FAR)), (Err(Errno::ENOMEM), Err(Errno::EINVAL)));
    unmap(shared, PAGE).and_then(|()| unmap(memory, 2 * PAGE)).map_err(Into::into)
}

/// Whose file it is not and who may not write it, learns nothing of what others have read.
pub fn pages_of_others_files() -> Outcome {
    scratch::enter()?;
    let fd = conformance::files::create(c"file", b"")? as u64;
    raw::call(nr::ftruncate, &[fd, 3 * PAGE])?;
    let told = || {
        let memory = raw::call(nr::mmap, &[0, 3 * PAGE, READ.into(), MAP_SHARED.into(), fd, 0])?;
        let mut pages = [9u8; 3];
        raw::call(nr::mincore, &[memory, 3 * PAGE, pages.as_mut_ptr() as u64])?;
        unmap(memory, 3 * PAGE).map(|()| pages)
    };
    check_eq!(told(), Ok([0, 0, 0]));
    conformance::files::as_user(|| {
        check_eq!(told(), Ok([1, 1, 1]));
        Ok(())
    })
}

/// Huge pages have places of their own; there are none on either kernel.
pub fn places_of_huge_pages() -> Outcome {
    const HUGE: u32 = PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB;
    for fixed in [MAP_FIXED, MAP_FIXED_NOREPLACE] {
        check_eq!(map(0x1000_1000, PAGE, WRITE, HUGE | fixed), Err(Errno::EINVAL));
        check_eq!(map(0x1020_0000, PAGE, WRITE, HUGE | fixed), Err(Errno::ENOMEM));
    }
    check_eq!(map(0x1000_1000, PAGE, WRITE, HUGE), Err(Errno::ENOMEM));
    Ok(())
}
