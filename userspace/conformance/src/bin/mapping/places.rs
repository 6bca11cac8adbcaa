//! Where memory may lie.

use crate::{PAGE, PRIVATE, WRITE, map, remap, unmap};
use abi::Errno;
use abi::memory::*;
use abi::signal::*;
use conformance::fault::{caught, store};
use conformance::files::as_user;
use conformance::{Failure, Outcome, check, check_eq};

/// `vm.mmap_min_addr`, which differs by architecture.
fn lowest() -> Result<u64, Failure> {
    let text = conformance::files::content(c"/proc/sys/vm/mmap_min_addr")?;
    let digits = text.iter().filter(|byte| byte.is_ascii_digit());
    Ok(digits.fold(0, |sum, digit| sum * 10 + u64::from(digit - b'0')))
}

const MOVE: u32 = MREMAP_MAYMOVE | MREMAP_FIXED;

pub fn low_addresses_are_for_the_privileged() -> Outcome {
    let lowest = lowest()?;
    check!(lowest >= PAGE && lowest.is_multiple_of(PAGE), "{lowest}");
    as_user(|| {
        for low in [0, lowest / 2 / PAGE * PAGE, lowest - PAGE] {
            check_eq!(map(low, PAGE, WRITE, PRIVATE | MAP_FIXED), Err(Errno::EPERM));
            check_eq!(map(low, 32 * PAGE, WRITE, PRIVATE | MAP_FIXED), Err(Errno::EPERM));
            check_eq!(map(low, PAGE, WRITE, PRIVATE | MAP_FIXED_NOREPLACE), Err(Errno::EPERM));
            check_eq!(map(low, PAGE, WRITE, PRIVATE | MAP_FIXED | MAP_GROWSDOWN), Err(Errno::EPERM));
            check_eq!(map(low, PAGE, WRITE, MAP_SHARED | MAP_FIXED), Err(Errno::EPERM));
            let from = map(0, 2 * PAGE, WRITE, PRIVATE)?;
            check_eq!(remap(from, PAGE, PAGE, MOVE, low), Err(Errno::EPERM));
            check_eq!(remap(from, 2 * PAGE, PAGE, MOVE, low), Err(Errno::EPERM));
            check_eq!(remap(from, PAGE, 2 * PAGE, MOVE, low), Err(Errno::EPERM));
            check_eq!(remap(from, PAGE, PAGE, MOVE | MREMAP_DONTUNMAP, low), Err(Errno::EPERM));
            let shared = map(0, PAGE, WRITE, MAP_SHARED)?;
            check_eq!(remap(shared, 0, PAGE, MOVE, low), Err(Errno::EPERM));
            // A hint is moved up.
            if low != 0 {
                check_eq!(map(low, PAGE, WRITE, PRIVATE), Ok(lowest));
                unmap(lowest, PAGE)?;
            }
        }
        check_eq!(map(lowest, PAGE, WRITE, PRIVATE | MAP_FIXED), Ok(lowest));
        Ok(())
    })?;
    let from = map(0, PAGE, WRITE, PRIVATE)?;
    check_eq!(remap(from, PAGE, PAGE, MOVE, 0), Ok(0));
    Ok(())
}

/// A hint within the first page is none, and one below the lowest place is moved up: to `vm.mmap_min_addr`, or where a
/// security module has a bound above that.
pub fn low_hints() -> Outcome {
    for none in [0, 1, PAGE - 1] {
        check!(map(none, PAGE, WRITE, PRIVATE)? > 1 << 32, "{none}");
    }
    let moved = map(PAGE, PAGE, WRITE, PRIVATE)?;
    check!((lowest()?..=0x1_0000).contains(&moved), "{moved:x}");
    unmap(moved, PAGE)?;
    check_eq!(map(moved, PAGE, WRITE, PRIVATE), Ok(moved));
    // What is taken is no place for it.
    check!(map(PAGE, PAGE, WRITE, PRIVATE)? > 1 << 32);
    Ok(())
}

pub fn low_addresses_in_the_order_of_checks() -> Outcome {
    as_user(|| {
        check_eq!(map(8, PAGE, WRITE, PRIVATE | MAP_FIXED), Err(Errno::EINVAL));
        check_eq!(map(0, 1 << 57, WRITE, PRIVATE | MAP_FIXED), Err(Errno::ENOMEM));
        check_eq!(map(0, 0, WRITE, PRIVATE | MAP_FIXED), Err(Errno::EINVAL));
        let from = map(0, PAGE, WRITE, PRIVATE)?;
        check_eq!(remap(from, PAGE, PAGE, MOVE, 8), Err(Errno::EINVAL));
        check_eq!(remap(from, PAGE, 1 << 57, MOVE, 0), Err(Errno::EINVAL));
        unmap(from, PAGE)?;
        check_eq!(remap(from, PAGE, PAGE, MOVE, 0), Err(Errno::EFAULT));
        Ok(())
    })
}

/// Not even that of the privileged. The bound may lie above `vm.mmap_min_addr`, where a security module has one of its
/// own.
pub fn a_stack_does_not_grow_to_low_addresses() -> Outcome {
    const ALLOWED: u64 = 0x1_0000;
    check_eq!(map(ALLOWED + PAGE, PAGE, WRITE, PRIVATE | MAP_FIXED | MAP_GROWSDOWN), Ok(ALLOWED + PAGE));
    let at = |address: u64| core::ptr::without_provenance_mut(address as usize);
    check_eq!(caught(|| store(at(ALLOWED)))?, None);
    let below = caught(|| {
        store(at(ALLOWED));
        store(at(PAGE - 1));
    })?;
    check_eq!(below.map(|fault| (fault.signal, fault.code)), Some((SIGSEGV, SEGV_MAPERR)));
    Ok(())
}

/// Ranges that wrap or pass the end of the user half, by each door.
pub fn addresses_have_an_end() -> Outcome {
    let memory = map(0, 2 * PAGE, WRITE, PRIVATE)?;
    let high = [u64::MAX - PAGE + 1, 1 << 63, 0xffff_8000_0000_0000];
    for address in high {
        check_eq!(map(address, PAGE, WRITE, PRIVATE | MAP_FIXED), Err(Errno::ENOMEM));
        check_eq!(map(address, PAGE, WRITE, PRIVATE | MAP_FIXED_NOREPLACE), Err(Errno::ENOMEM));
        check!(map(address, PAGE, WRITE, PRIVATE).is_ok());
        check_eq!(remap(memory, PAGE, PAGE, MOVE, address), Err(Errno::EINVAL));
        check_eq!(remap(address, PAGE, 2 * PAGE, MREMAP_MAYMOVE, 0), Err(Errno::EFAULT));
    }
    for length in [1 << 63, u64::MAX - PAGE, 1 << 57] {
        check_eq!(map(0, length, WRITE, PRIVATE), Err(Errno::ENOMEM));
        check!(remap(memory, PAGE, length, MREMAP_MAYMOVE, 0).is_err());
        check!(unmap(memory, length).is_err());
    }
    check_eq!(map(0, u64::MAX, WRITE, PRIVATE), Err(Errno::ENOMEM));
    check_eq!(remap(memory, PAGE, u64::MAX, MREMAP_MAYMOVE, 0), Err(Errno::EINVAL));
    Ok(())
}
