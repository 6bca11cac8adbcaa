//! What `/proc/sys` sets of processes.

use alloc::vec::Vec;
use core::sync::atomic::{AtomicI32, AtomicU32, Ordering};

use abi::Errno;
use hal::sync::SpinLock;
use memory::Dumpable;

use super::table::PID_LIMIT;

/// `pid_max`: one more than the highest number that is given out.
pub static PID_MAX: AtomicU32 = AtomicU32::new(32_768);

/// `threads-max`: how many threads there may be.
pub static THREADS_MAX: AtomicU32 = AtomicU32::new(32_768);

/// One more than the highest number that is given out now.
pub(super) fn number_limit() -> u32 {
    PID_MAX.load(Ordering::Relaxed).min(PID_LIMIT)
}

/// EAGAIN while there are as many threads as there may be.
pub(super) fn check_threads() -> Result<(), Errno> {
    let most = THREADS_MAX.load(Ordering::Relaxed) as usize;
    if sched::task_count() < most { Ok(()) } else { Err(Errno::EAGAIN) }
}

/// The longest `core_pattern`.
const PATTERN_SIZE: usize = 127;

struct Pattern {
    bytes: [u8; PATTERN_SIZE],
    length: usize,
}

static CORE_PATTERN: SpinLock<Pattern> = SpinLock::new(Pattern {
    bytes: {
        let mut bytes = [0; PATTERN_SIZE];
        [bytes[0], bytes[1], bytes[2], bytes[3]] = *b"core";
        bytes
    },
    length: 4,
});

/// `core_pipe_limit`: how many programs may take dumps at the same time, for which the processes then wait; 0 for any
/// number, and no waiting.
pub static CORE_PIPE_LIMIT: AtomicI32 = AtomicI32::new(0);

/// `core_uses_pid`: whether names of dumps end in the process's number, where the pattern does not say so. Any number
/// but 0 means it.
pub static CORE_USES_PID: AtomicI32 = AtomicI32::new(0);

/// Whether names of dumps end in the process's number.
pub fn core_uses_pid() -> bool {
    CORE_USES_PID.load(Ordering::Relaxed) != 0
}

/// `suid_dumpable`: who may see the memory of a process that has, or had, more rights than its user.
pub static SUID_DUMPABLE: AtomicU32 = AtomicU32::new(Dumpable::No as u32);

/// What [`SUID_DUMPABLE`] says.
pub fn dumpable_with_privileges() -> Dumpable {
    match SUID_DUMPABLE.load(Ordering::Relaxed) {
        0 => Dumpable::No,
        1 => Dumpable::ByUser,
        _ => Dumpable::ByRoot,
    }
}

/// `core_pattern`: what files of dumps are to be called.
pub fn core_pattern() -> Vec<u8> {
    let pattern = CORE_PATTERN.lock();
    pattern.bytes[..pattern.length].to_vec()
}

/// Sets it; what is too long is cut.
pub fn set_core_pattern(parts: [&[u8]; 2]) {
    let mut pattern = CORE_PATTERN.lock();
    pattern.length = 0;
    for &byte in parts.into_iter().flatten().take(PATTERN_SIZE) {
        let end = pattern.length;
        pattern.bytes[end] = byte;
        pattern.length += 1;
    }
}
