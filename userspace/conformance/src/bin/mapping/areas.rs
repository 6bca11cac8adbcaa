//! How much may be mapped: bytes, data, areas.

use crate::{PAGE, PRIVATE, READ, WRITE, advise, limit, map, protect, remap, unmap};
use abi::Errno;
use abi::memory::*;
use abi::resource::*;
use conformance::{Failure, Outcome, check, check_eq, child};

/// What `/proc/self/statm` says: pages mapped.
fn mapped_pages() -> Result<u64, Failure> {
    let text = conformance::files::content(c"/proc/self/statm")?;
    let number = text.split(|byte| *byte == b' ').next().unwrap_or_default();
    Ok(number.iter().fold(0, |sum, digit| sum * 10 + u64::from(digit - b'0')))
}

pub fn the_limit_on_addresses() -> Outcome {
    let passed = child::succeeds(|| {
        let memory = map(0, 8 * PAGE, WRITE, PRIVATE)?;
        // The first look may have grown the heap.
        mapped_pages()?;
        limit(RLIMIT_AS, (mapped_pages()? + 4) * PAGE)?;
        check_eq!(map(0, 5 * PAGE, READ, PRIVATE), Err(Errno::ENOMEM));
        check_eq!(map(0, 5 * PAGE, PROT_NONE, PRIVATE | MAP_NORESERVE), Err(Errno::ENOMEM));
        check_eq!(remap(memory, 8 * PAGE, 13 * PAGE, MREMAP_MAYMOVE, 0), Err(Errno::ENOMEM));
        check_eq!(
            remap(memory, 8 * PAGE, 8 * PAGE, MREMAP_MAYMOVE | MREMAP_DONTUNMAP, 0),
            Err(Errno::ENOMEM)
        );
        // What is replaced is not counted.
        check_eq!(map(memory, 8 * PAGE, READ, PRIVATE | MAP_FIXED), Ok(memory));
        let more = map(0, 4 * PAGE, WRITE, PRIVATE)?;
        check_eq!(map(0, PAGE, WRITE, PRIVATE), Err(Errno::ENOMEM));
        unmap(more, 4 * PAGE)?;
        check!(remap(memory, 8 * PAGE, 12 * PAGE, MREMAP_MAYMOVE, 0).is_ok());
        Ok(())
    })?;
    check!(passed);
    Ok(())
}

/// Private writable memory, by every door through which memory becomes that.
pub fn the_limit_on_data() -> Outcome {
    let passed = child::succeeds(|| {
        let memory = map(0, 8 * PAGE, READ, PRIVATE)?;
        let writable = map(0, 8 * PAGE, WRITE, PRIVATE)?;
        limit(RLIMIT_DATA, PAGE)?;
        check_eq!(map(0, PAGE, WRITE, PRIVATE), Err(Errno::ENOMEM));
        check_eq!(protect(memory, PAGE, WRITE), Err(Errno::ENOMEM));
        check_eq!(remap(writable, 8 * PAGE, 9 * PAGE, MREMAP_MAYMOVE, 0), Err(Errno::ENOMEM));
        check!(map(0, PAGE, READ, PRIVATE).is_ok());
        check!(map(0, PAGE, WRITE, MAP_SHARED).is_ok());
        check!(map(0, PAGE, WRITE, PRIVATE | MAP_GROWSDOWN).is_ok());
        check_eq!(protect(writable, 8 * PAGE, READ), Ok(()));
        check_eq!(protect(writable, 8 * PAGE, WRITE), Err(Errno::ENOMEM));
        Ok(())
    })?;
    check!(passed);
    Ok(())
}

/// The areas of this process, by its lines in `/proc/self/maps`; the one that only the kernel has does not count.
fn count() -> Result<usize, Failure> {
    let text = conformance::files::content(c"/proc/self/maps")?;
    let lines = text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    Ok(lines.filter(|line| !line.ends_with(b"[vsyscall]")).count())
}

/// Linux's `vm.max_map_count`, which `mmap` passes by one.
pub fn the_limit_on_areas() -> Outcome {
    const LIMIT: usize = 65_530;
    let used = count()?;
    // Three pages each, the middle one of which is to be taken out, and a page between two.
    let start = map(0, (LIMIT as u64 + 8) * 4 * PAGE, PROT_NONE, PRIVATE | MAP_NORESERVE)?;
    unmap(start, (LIMIT as u64 + 8) * 4 * PAGE)?;
    let area = |index: usize| start + index as u64 * 4 * PAGE;
    let fresh = |index: usize| map(area(index), 3 * PAGE, READ, PRIVATE | MAP_FIXED);
    let made = (0..LIMIT).take_while(|&index| fresh(index).is_ok()).count();
    // A heap's growth may have taken one more.
    check!((LIMIT - used - 1..=LIMIT - used + 1).contains(&made), "{made} beside {used}");
    check_eq!(fresh(made), Err(Errno::ENOMEM));
    // Nothing is cut any more, and what needs no cut still works.
    let middle = area(5) + PAGE;
    check_eq!(unmap(middle, PAGE), Err(Errno::ENOMEM));
    check_eq!(protect(middle, PAGE, WRITE), Err(Errno::ENOMEM));
    check_eq!(protect(area(5), PAGE, WRITE), Err(Errno::ENOMEM));
    check_eq!(advise(middle, PAGE, MADV_DONTFORK), Err(Errno::EAGAIN));
    check_eq!(conformance::raw::call(abi::native::nr::mlock, &[middle, PAGE]), Err(Errno::ENOMEM));
    check_eq!(map(middle, PAGE, WRITE, PRIVATE | MAP_FIXED), Err(Errno::ENOMEM));
    check_eq!(
        remap(area(5), 3 * PAGE, 3 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, area(made)),
        Err(Errno::ENOMEM)
    );
    check_eq!(remap(area(5), PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_DONTUNMAP, 0), Err(Errno::ENOMEM));
    check_eq!(protect(area(5), 3 * PAGE, WRITE), Ok(()));
    check_eq!(remap(area(5), 3 * PAGE, 4 * PAGE, 0, 0), Ok(area(5)));
    check_eq!(advise(middle, PAGE, MADV_DONTNEED), Ok(()));
    // Ends and whole areas can go.
    check_eq!(unmap(area(6), PAGE), Ok(()));
    check_eq!(unmap(area(7) + 2 * PAGE, PAGE), Ok(()));
    check_eq!(unmap(area(8), 3 * PAGE), Ok(()));
    check_eq!(unmap(area(9) + PAGE, 4 * PAGE + PAGE), Ok(()));
    for index in 10..20 {
        check_eq!(unmap(area(index), 3 * PAGE), Ok(()));
    }
    check_eq!(unmap(area(30) + PAGE, PAGE), Ok(()));
    check_eq!(remap(area(40), 3 * PAGE, 3 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, area(10)), Ok(area(10)));
    Ok(())
}

/// A hole between two areas that say the same is filled in each of the ways in which memory comes.
pub fn areas_that_meet_become_one() -> Outcome {
    let page = |number: u64, base: u64| base + number * PAGE;
    // The first look may grow the heap.
    count()?;
    for way in 0..3 {
        let base = map(0, 8 * PAGE, PROT_NONE, PRIVATE)?;
        unmap(base, 8 * PAGE)?;
        map(page(2, base), 3 * PAGE, WRITE, PRIVATE | MAP_FIXED)?;
        unmap(page(3, base), PAGE)?;
        let before = count()?;
        match way {
            0 => remap(page(2, base), PAGE, 2 * PAGE, 0, 0)?,
            1 => map(page(3, base), PAGE, WRITE, PRIVATE | MAP_FIXED)?,
            _ => {
                map(page(3, base), PAGE, READ, PRIVATE | MAP_FIXED)?;
                protect(page(3, base), PAGE, WRITE)?;
                0
            }
        };
        check_eq!((way, count()?), (way, before - 1));
        // And so they are moved as one.
        check!(remap(page(2, base), 3 * PAGE, 4 * PAGE, MREMAP_MAYMOVE, 0).is_ok());
    }
    Ok(())
}
