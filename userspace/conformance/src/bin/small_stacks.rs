//! Frames of handlers on alternate stacks that are too small for them: nothing beside such a stack is written.
#![no_std]
#![no_main]

extern crate alloc;

use core::sync::atomic::{AtomicU64, Ordering};

use abi::auxv::AT_MINSIGSTKSZ;
use abi::memory::{MAP_ANONYMOUS, MAP_SHARED, PROT_READ, PROT_WRITE};
use abi::native::MINIMUM_SIGNAL_STACK;
use abi::process::WaitStatus;
use abi::signal::*;
use conformance::{Failure, Outcome, attempt, check, check_eq, child, handler};
use libsyscall::memory::mmap;
use libsyscall::process::{exit_group, getpid, kill};
use libsyscall::signal::sigaltstack;

conformance::tests!(&[
    ("a_frame_that_fits", a_frame_that_fits),
    ("a_frame_that_does_not_fit", a_frame_that_does_not_fit),
    ("nor_does_the_one_of_the_fault", nor_does_the_one_of_the_fault),
]);

/// Bytes that are looked at below a stack.
const BELOW: usize = 32 << 10;
const MARK: u64 = 0xa5a5_a5a5_5a5a_5a5a;

/// What the kernel says that a frame may need.
fn frame_size() -> Result<u64, Failure> {
    ulib::auxv::value(AT_MINSIGSTKSZ).ok_or_else(|| Failure::new("no AT_MINSIGSTKSZ"))
}

extern "C" fn end(_signal: i32, _info: *const SigInfo, _context: *mut UContext) {
    exit_group(7)
}

/// How a process ends that takes SIGUSR1 on an alternate stack of `size` bytes, whose handler ends it with 7, and which
/// handles `also`, too. What lies below the stack has to stay as it is where the handler does not run.
fn delivered_on(size: u64, flags: u32, also: Option<u32>) -> Result<WaitStatus, Failure> {
    let (length, protection) = (BELOW + size as usize, PROT_READ | PROT_WRITE);
    // SAFETY: the kernel chooses a free range.
    let place = unsafe { mmap(core::ptr::null_mut(), length, protection, MAP_SHARED | MAP_ANONYMOUS, -1, 0) }?
        as usize;
    let below = || (place..place + BELOW).step_by(8);
    check!(below().all(|address| attempt::store(address, MARK)));
    let status = child::run(|| {
        let stack = StackT { ss_sp: (place + BELOW) as u64, ss_flags: flags, pad: 0, ss_size: size };
        // SAFETY: the stack is fresh and used for nothing else.
        let is_set = unsafe { sigaltstack(Some(&stack)) }.is_ok();
        let has = |signal| handler::install(signal, end, SA_ONSTACK).is_ok();
        if !is_set || !has(SIGUSR1) || also.is_some_and(|signal| !has(signal)) {
            return 1;
        }
        let _ = kill(getpid(), SIGUSR1);
        2
    })?;
    if status.exit_code() != Some(7) {
        check!(below().all(|address| attempt::load(address) == Some(MARK)), "written below the stack");
    }
    Ok(status)
}

fn a_frame_that_fits() -> Outcome {
    let size = frame_size()?.max(MINIMUM_SIGNAL_STACK) + 4096;
    for flags in [0, SS_AUTODISARM] {
        check_eq!(delivered_on(size, flags, None)?.exit_code(), Some(7));
    }
    Ok(())
}

/// What a frame takes of its stack. `AT_MINSIGSTKSZ` says what it may take at most, which on AArch64 has room for
/// registers that a thread uses seldom.
fn frame_taken() -> Result<u64, Failure> {
    static LOWEST: AtomicU64 = AtomicU64::new(0);
    extern "C" fn note(_signal: i32, info: *const SigInfo, context: *mut UContext) {
        LOWEST.store((info as u64).min(context as u64), Ordering::Relaxed);
    }
    let length = frame_size()? as usize + BELOW;
    // SAFETY: the kernel chooses a free range.
    let place = unsafe {
        mmap(core::ptr::null_mut(), length, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0)
    }? as u64;
    let stack = StackT { ss_sp: place, ss_flags: 0, pad: 0, ss_size: length as u64 };
    // SAFETY: the stack is fresh and used for nothing else.
    unsafe { sigaltstack(Some(&stack)) }?;
    handler::install(SIGUSR1, note, SA_ONSTACK)?;
    kill(getpid(), SIGUSR1)?;
    Ok(place + length as u64 - LOWEST.load(Ordering::Relaxed))
}

/// The process ends by SIGSEGV, where a frame takes more than the smallest stack that there may be.
fn does_not_fit(also: Option<u32>) -> Outcome {
    if frame_taken()? <= MINIMUM_SIGNAL_STACK {
        return Ok(());
    }
    for flags in [0, SS_AUTODISARM] {
        let status = delivered_on(MINIMUM_SIGNAL_STACK, flags, also)?;
        check_eq!(status.term_signal(), Some(SIGSEGV));
    }
    Ok(())
}

fn a_frame_that_does_not_fit() -> Outcome {
    does_not_fit(None)
}

/// The SIGSEGV of a frame that does not fit has a handler, whose frame does not fit either.
fn nor_does_the_one_of_the_fault() -> Outcome {
    does_not_fit(Some(SIGSEGV))
}
