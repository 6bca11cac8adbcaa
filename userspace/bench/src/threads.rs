//! Threads of one process.

use crate::measure::repeat;
use abi::Errno;
use core::sync::atomic::{AtomicU32, Ordering};
use libsyscall::thread::{Sharing, futex_wait, futex_wake};

static TURN: AtomicU32 = AtomicU32::new(0);

const MINE: u32 = 0;
const THEIRS: u32 = 1;
const OVER: u32 = 2;

/// Sleeps while it is not `turn` and not over.
fn wait_for(turn: u32) -> u32 {
    loop {
        let now = TURN.load(Ordering::Acquire);
        if now == turn || now == OVER {
            return now;
        }
        // Any outcome is answered by looking again.
        let _ = futex_wait(&TURN, now, None, Sharing::Private);
    }
}

fn pass_to(turn: u32) -> Result<(), Errno> {
    TURN.store(turn, Ordering::Release);
    futex_wake(&TURN, 1, Sharing::Private).map(drop)
}

pub fn futex_round_trip() -> Result<u64, Errno> {
    TURN.store(MINE, Ordering::Release);
    let other = ulib::thread::spawn(|| {
        while wait_for(THEIRS) == THEIRS {
            let _ = pass_to(MINE);
        }
    })?;
    let result = repeat(300, || {
        pass_to(THEIRS)?;
        wait_for(MINE);
        Ok(())
    });
    pass_to(OVER)?;
    other.join();
    result
}

pub fn create_join() -> Result<u64, Errno> {
    repeat(100, || {
        ulib::thread::spawn(|| ())?.join();
        Ok(())
    })
}
