//! Threads and the words they wait on.

use crate::{call, nr};
use abi::Errno;
use abi::futex::{FUTEX_PRIVATE_FLAG, FUTEX_WAIT, FUTEX_WAKE};
use abi::time::Timespec;
use core::sync::atomic::AtomicU32;

/// This thread.
pub fn gettid() -> i32 {
    // SAFETY: no pointers; the call cannot fail.
    unsafe { call!(nr::gettid) }.map_or(0, |tid| tid as i32)
}

/// Ends this thread alone.
pub fn exit(status: i32) -> ! {
    loop {
        // SAFETY: nothing runs after the call.
        let _ = unsafe { call!(nr::exit, status) };
    }
}

/// Gives other threads the CPU.
pub fn sched_yield() {
    // SAFETY: no pointers; the call cannot fail.
    let _ = unsafe { call!(nr::sched_yield) };
}

/// The CPUs that this thread may run on, a bit for each of the first 64.
pub fn allowed_cpus() -> Result<u64, Errno> {
    let mut mask = [0_u64; 128];
    // SAFETY: the kernel fills at most the mask.
    unsafe { call!(nr::sched_getaffinity, 0, size_of_val(&mask), mask.as_mut_ptr()) }?;
    Ok(mask[0])
}

/// Confines this thread to the CPUs of a mask, a bit for each of the first 64. EINVAL if none of them is there.
pub fn set_allowed_cpus(mask: u64) -> Result<(), Errno> {
    // SAFETY: the kernel only reads the mask.
    unsafe { call!(nr::sched_setaffinity, 0, size_of::<u64>(), &raw const mask) }.map(drop)
}

/// Who may wait on the same futex word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sharing {
    /// Threads of this process.
    Private,
    /// Also other processes that map the page; the kernel's own wake at a thread's end is of this kind.
    Shared,
}

impl Sharing {
    /// The flag in the operation.
    const fn flag(self) -> u32 {
        match self {
            Sharing::Private => FUTEX_PRIVATE_FLAG,
            Sharing::Shared => 0,
        }
    }
}

/// Sleeps while `word` holds `expected`, at most for `timeout`. EAGAIN if it holds something else, ETIMEDOUT, EINTR.
pub fn futex_wait(
    word: &AtomicU32,
    expected: u32,
    timeout: Option<Timespec>,
    sharing: Sharing,
) -> Result<(), Errno> {
    let timeout = timeout.as_ref().map_or(core::ptr::null(), core::ptr::from_ref);
    // SAFETY: the kernel reads the word atomically and one time.
    unsafe { call!(nr::futex, word.as_ptr(), FUTEX_WAIT | sharing.flag(), expected, timeout) }.map(drop)
}

/// Wakes at most `count` sleepers; returns how many.
pub fn futex_wake(word: &AtomicU32, count: u32, sharing: Sharing) -> Result<usize, Errno> {
    // SAFETY: the kernel uses the word's address only.
    unsafe { call!(nr::futex, word.as_ptr(), FUTEX_WAKE | sharing.flag(), count) }.map(|woken| woken as usize)
}
