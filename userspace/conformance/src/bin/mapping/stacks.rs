//! Areas that grow: stacks and the program break.

use crate::{PAGE, PRIVATE, READ, WRITE, limit, map, protect, unmap};
use abi::Errno;
use abi::memory::*;
use abi::native::nr;
use abi::resource::*;
use abi::signal::*;
use conformance::fault::{caught, store};
use conformance::{Outcome, check, check_eq, child, raw};

/// Linux's `stack_guard_gap`.
const GAP: u64 = 256 * PAGE;

/// A hole of `pages` pages below one page that grows down; the address of the hole.
fn hole_below_a_stack(pages: u64) -> Result<u64, Errno> {
    let start = map(0, (pages + 1) * PAGE, PROT_NONE, PRIVATE)?;
    unmap(start, (pages + 1) * PAGE)?;
    map(start + pages * PAGE, PAGE, WRITE, PRIVATE | MAP_FIXED | MAP_GROWSDOWN)?;
    Ok(start)
}

pub fn the_gap_below_a_stack_is_kept() -> Outcome {
    let start = hole_below_a_stack(600)?;
    let stack = start + 600 * PAGE;
    // A hint inside the gap is not taken, the last place below it is.
    for (hint, pages) in [(stack - PAGE, 1), (stack - GAP, 1), (stack - GAP - PAGE, 2), (stack - PAGE, 2)] {
        let elsewhere = map(hint, pages * PAGE, READ, PRIVATE)?;
        check!(elsewhere != hint && !(stack - GAP..stack).contains(&elsewhere), "{elsewhere:#x}");
        unmap(elsewhere, pages * PAGE)?;
    }
    check_eq!(map(stack - GAP - PAGE, PAGE, READ, PRIVATE), Ok(stack - GAP - PAGE));
    // Whoever insists gets it.
    let insisting = stack - 200 * PAGE;
    check_eq!(map(insisting, PAGE, READ, PRIVATE | MAP_FIXED_NOREPLACE), Ok(insisting));
    unmap(insisting, PAGE)?;
    // The stack stops where it would come nearer to what can be read, but not before what cannot.
    let at = |address: u64| core::ptr::without_provenance_mut(address as usize);
    let neighbour = stack - GAP - PAGE;
    let grown = caught(|| store(at(stack - 1)))?;
    check_eq!(grown.map(|fault| (fault.signal, fault.code)), Some((SIGSEGV, SEGV_MAPERR)));
    protect(neighbour, PAGE, PROT_NONE)?;
    check_eq!(caught(|| store(at(stack - 1)))?, None);
    Ok(())
}

pub fn the_limit_on_stacks() -> Outcome {
    let passed = child::succeeds(|| {
        // What cannot be accessed may be near, and keeps others from coming near.
        let barrier = map(0, 600 * PAGE, PROT_NONE, PRIVATE)?;
        let start = barrier + 535 * PAGE;
        unmap(start, 65 * PAGE)?;
        map(start + 64 * PAGE, PAGE, WRITE, PRIVATE | MAP_FIXED | MAP_GROWSDOWN)?;
        let at = |page: u64| core::ptr::without_provenance_mut((start + page * PAGE) as usize);
        limit(RLIMIT_STACK, 8 * PAGE)?;
        check_eq!(caught(|| store(at(57)))?, None);
        check_eq!(caught(|| store(at(56)))?.map(|fault| fault.signal), Some(SIGSEGV));
        // A system call meets the same limit.
        let zero = libsyscall::file::open(c"/dev/zero", abi::fs::O_RDONLY, 0)?;
        check_eq!(raw::call(nr::read, &[zero as u64, start + 58 * PAGE, 10]), Ok(10));
        check_eq!(raw::call(nr::read, &[zero as u64, start + 50 * PAGE, 10]), Err(Errno::EFAULT));
        Ok(())
    })?;
    check!(passed);
    Ok(())
}

fn brk(wanted: u64) -> u64 {
    raw::call_raw(nr::brk, &[wanted]) as u64
}

pub fn the_break_and_its_limits() -> Outcome {
    let start = brk(0);
    let at = brk(start + 16 * PAGE);
    check_eq!(at, start + 16 * PAGE);
    // Below the start, beyond the end of addresses, into another mapping, next to one: nothing moves.
    for wanted in [0, 1, 0x1_0000, u64::MAX, 1 << 63, 1 << 57] {
        check_eq!(brk(wanted), at);
    }
    let end = at.next_multiple_of(PAGE);
    check_eq!(map(end + 4 * PAGE, PAGE, READ, PRIVATE | MAP_FIXED_NOREPLACE), Ok(end + 4 * PAGE));
    check_eq!(brk(end + 5 * PAGE), at);
    check_eq!(brk(end + 4 * PAGE), at);
    check_eq!(brk(end + 3 * PAGE), end + 3 * PAGE);
    unmap(end + 4 * PAGE, PAGE)?;
    check_eq!(brk(at), at);
    // A stack above keeps its gap.
    let stack = end + 300 * PAGE;
    check_eq!(map(stack, PAGE, WRITE, PRIVATE | MAP_FIXED_NOREPLACE | MAP_GROWSDOWN), Ok(stack));
    check_eq!(brk(end + 44 * PAGE), at);
    check_eq!(brk(end + 43 * PAGE), end + 43 * PAGE);
    check_eq!(brk(at), at);
    unmap(stack, PAGE)?;
    // Limits: of data, of addresses, of locked memory.
    let passed = child::succeeds(|| {
        limit(RLIMIT_DATA, 1 << 20)?;
        check_eq!(brk(start + (2 << 20)), at);
        check_eq!(brk(start), start);
        Ok(())
    })?;
    check!(passed);
    let passed = child::succeeds(|| {
        limit(RLIMIT_AS, 1 << 20)?;
        check_eq!(brk(start + (2 << 20)), at);
        Ok(())
    })?;
    check!(passed);
    Ok(())
}
