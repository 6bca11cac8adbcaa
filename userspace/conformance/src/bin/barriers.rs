//! Memory barriers in other threads: `membarrier`.
#![no_std]
#![no_main]

extern crate alloc;

use abi::Errno;
use abi::membarrier::*;
use abi::native::nr;
use abi::process::WaitStatus;
use conformance::{Outcome, check, check_eq, child, raw};
use core::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use core::sync::atomic::{AtomicBool, AtomicU32, compiler_fence};
use libsyscall::process::execve;
use ulib::thread::spawn;

conformance::tests!(
    &[
        ("commands_are_listed", commands_are_listed),
        ("commands_are_registered_for", commands_are_registered_for),
        ("children_are_registered_as_their_parent", children_are_registered_as_their_parent),
        ("programs_start_unregistered", programs_start_unregistered),
        ("private_barriers_order_two_threads", private_barriers_order_two_threads),
        ("global_barriers_order_two_processes", global_barriers_order_two_processes),
    ],
    &[("is_refused", is_refused)]
);

fn membarrier(command: u32, flags: u32) -> Result<u64, Errno> {
    raw::call(nr::membarrier, &[u64::from(command), u64::from(flags), 0])
}

const PRIVATE: [(u32, u32); 2] = [
    (MEMBARRIER_CMD_PRIVATE_EXPEDITED, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED),
    (MEMBARRIER_CMD_PRIVATE_EXPEDITED_SYNC_CORE, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED_SYNC_CORE),
];

fn commands_are_listed() -> Outcome {
    let listed = membarrier(MEMBARRIER_CMD_QUERY, 0)? as u32;
    check_eq!(listed & 0x7f, 0x7f);
    for command in [1 << 20, 1 << 31, 3, u32::MAX] {
        check_eq!(membarrier(command, 0), Err(Errno::EINVAL));
    }
    for command in [MEMBARRIER_CMD_QUERY, MEMBARRIER_CMD_GLOBAL, MEMBARRIER_CMD_PRIVATE_EXPEDITED] {
        for flags in [1, 2, 1 << 31] {
            check_eq!(membarrier(command, flags), Err(Errno::EINVAL));
        }
    }
    Ok(())
}

fn commands_are_registered_for() -> Outcome {
    check_eq!(membarrier(MEMBARRIER_CMD_GLOBAL_EXPEDITED, 0), Ok(0));
    check_eq!(membarrier(MEMBARRIER_CMD_GLOBAL, 0), Ok(0));
    check_eq!(membarrier(MEMBARRIER_CMD_REGISTER_GLOBAL_EXPEDITED, 0), Ok(0));
    for (command, register) in PRIVATE {
        check_eq!(membarrier(command, 0), Err(Errno::EPERM));
        check_eq!(membarrier(register, 0), Ok(0));
        check_eq!(membarrier(register, 0), Ok(0));
        check_eq!(membarrier(command, 0), Ok(0));
    }
    Ok(())
}

fn children_are_registered_as_their_parent() -> Outcome {
    membarrier(MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0)?;
    check!(child::succeeds(|| {
        check_eq!(membarrier(MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0), Ok(0));
        check_eq!(membarrier(MEMBARRIER_CMD_PRIVATE_EXPEDITED_SYNC_CORE, 0), Err(Errno::EPERM));
        check_eq!(membarrier(MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED_SYNC_CORE, 0), Ok(0));
        Ok(())
    })?);
    check_eq!(membarrier(MEMBARRIER_CMD_PRIVATE_EXPEDITED_SYNC_CORE, 0), Err(Errno::EPERM));
    Ok(())
}

fn is_refused(_arguments: &[&[u8]]) -> i32 {
    i32::from(membarrier(MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0) != Err(Errno::EPERM))
}

fn programs_start_unregistered() -> Outcome {
    membarrier(MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0)?;
    let status = child::run(|| {
        let program = ulib::args::args().next().unwrap_or_default();
        let arguments = [program.as_ptr(), c"--helper".as_ptr(), c"is_refused".as_ptr(), core::ptr::null()];
        // SAFETY: NUL-terminated strings, and a null pointer after them.
        i32::from(unsafe { execve(program, arguments.as_ptr(), arguments[3..].as_ptr().cast()) }.number())
    })?;
    check_eq!(status, WaitStatus(0));
    Ok(())
}

/// Two sides that each write and then read what the other writes. A processor that reorders little, or is late to
/// reorder, hides a barrier that is missing; one that never comes is never hidden.
struct Sides {
    turn: AtomicU32,
    written: [AtomicU32; 2],
    seen: AtomicU32,
    done: AtomicU32,
    is_over: AtomicBool,
}

impl Sides {
    const fn new() -> Sides {
        Sides {
            turn: AtomicU32::new(0),
            written: [const { AtomicU32::new(0) }; 2],
            seen: AtomicU32::new(0),
            done: AtomicU32::new(0),
            is_over: AtomicBool::new(false),
        }
    }

    /// The side without a barrier of its own: the compiler alone keeps the order.
    fn light(&self) {
        let mut turn = 0;
        while !self.is_over.load(Relaxed) {
            if self.turn.load(Acquire) == turn {
                core::hint::spin_loop();
                continue;
            }
            turn = self.turn.load(Acquire);
            self.written[0].store(turn, Relaxed);
            compiler_fence(core::sync::atomic::Ordering::SeqCst);
            self.seen.store(self.written[1].load(Relaxed), Relaxed);
            self.done.store(turn, Release);
        }
    }

    /// The side that has a barrier executed for both, `turns` times.
    fn heavy(&self, turns: u32, command: u32) -> Outcome {
        for turn in 1..=turns {
            self.turn.store(turn, Release);
            // Meets the other at different moments.
            (0..turn % 64).for_each(|_| core::hint::spin_loop());
            self.written[1].store(turn, Relaxed);
            membarrier(command, 0)?;
            let seen = self.written[0].load(Relaxed);
            while self.done.load(Acquire) != turn {
                core::hint::spin_loop();
            }
            let other = self.seen.load(Relaxed);
            check!(seen == turn || other == turn, "in turn {turn} neither saw the other: {seen}, {other}");
        }
        Ok(())
    }
}

fn private_barriers_order_two_threads() -> Outcome {
    static SIDES: Sides = Sides::new();
    for (_, register) in PRIVATE {
        membarrier(register, 0)?;
    }
    let light = spawn(|| SIDES.light())?;
    for (index, (command, _)) in PRIVATE.into_iter().enumerate() {
        if index == 1 {
            // The light side waits for a turn that it has not seen.
            SIDES.turn.store(0, Release);
        }
        SIDES.heavy(300, command)?;
    }
    SIDES.is_over.store(true, Relaxed);
    light.join();
    Ok(())
}

fn global_barriers_order_two_processes() -> Outcome {
    use abi::memory::{MAP_ANONYMOUS, MAP_SHARED, PROT_READ, PROT_WRITE};
    membarrier(MEMBARRIER_CMD_REGISTER_GLOBAL_EXPEDITED, 0)?;
    let flags = MAP_SHARED | MAP_ANONYMOUS;
    // SAFETY: the kernel chooses a free range.
    let page = unsafe {
        libsyscall::memory::mmap(core::ptr::null_mut(), 4096, PROT_READ | PROT_WRITE, flags, -1, 0)
    }?;
    // SAFETY: the range is fresh, large enough, aligned to a page, stays for ever, and zeros are such sides.
    let sides = unsafe { &*page.cast::<Sides>() };
    let light = child::start(|| {
        sides.light();
        0
    })?;
    sides.heavy(300, MEMBARRIER_CMD_GLOBAL_EXPEDITED)?;
    sides.is_over.store(true, Relaxed);
    check_eq!(child::wait(light)?, WaitStatus(0));
    Ok(())
}
