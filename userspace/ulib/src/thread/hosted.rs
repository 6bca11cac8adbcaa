//! Threads of the standard library, for builds that are checked on a developer's machine.

use super::Block;
use abi::Errno;

/// A block that drops its values with its thread.
struct Owned(Block);

impl Drop for Owned {
    fn drop(&mut self) {
        self.0.clear();
    }
}

std::thread_local! {
    static BLOCK: Owned = const { Owned(Block::new()) };
}

/// This thread's block.
pub(super) fn block() -> &'static Block {
    // SAFETY: the block lives as long as its thread, and the reference does not leave it: `Block` is not `Sync`.
    BLOCK.with(|owned| unsafe { &*core::ptr::from_ref(&owned.0) })
}

/// Nobody knows here: a test harness has threads of its own.
pub(crate) const fn is_alone() -> bool {
    false
}

/// A running thread. Dropping it lets the thread run on.
pub struct JoinHandle<T>(std::thread::JoinHandle<T>);

/// Starts a thread that runs `body`. EAGAIN if there cannot be another.
pub fn spawn<T: Send + 'static>(body: impl FnOnce() -> T + Send + 'static) -> Result<JoinHandle<T>, Errno> {
    std::thread::Builder::new().spawn(body).map(JoinHandle).map_err(|_| Errno::EAGAIN)
}

impl<T> JoinHandle<T> {
    /// Waits until the thread has ended and returns what it returned.
    pub fn join(self) -> T {
        self.0.join().expect("a thread that panics ends the process")
    }
}
