//! Whether directories or mounts have moved: what a walk that may not leave a place must know before it takes a parent
//! for one.
//!
//! A walk below a directory is sure that `..` stays there only if nothing on its way was moved elsewhere since it began
//! (Linux: `rename_lock` and `mount_lock` in `handle_dots`). Moves count themselves before and after; other walks look
//! at nothing.

use core::sync::atomic::{AtomicU64, Ordering};

static STARTED: AtomicU64 = AtomicU64::new(0);
static ENDED: AtomicU64 = AtomicU64::new(0);

/// A move that is under way, until it is dropped.
pub struct Moving(());

impl Moving {
    /// To be made before anything is changed.
    pub fn start() -> Moving {
        STARTED.fetch_add(1, Ordering::SeqCst);
        Moving(())
    }
}

impl Drop for Moving {
    fn drop(&mut self) {
        ENDED.fetch_add(1, Ordering::SeqCst);
    }
}

/// A point in time between moves.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Stamp(u64);

impl Stamp {
    /// For a walk that looks at none.
    pub const UNUSED: Stamp = Stamp(u64::MAX);

    /// Now; one that never holds while something moves.
    pub fn now() -> Stamp {
        let ended = ENDED.load(Ordering::SeqCst);
        if STARTED.load(Ordering::SeqCst) == ended { Stamp(ended) } else { Stamp::UNUSED }
    }

    /// Whether nothing has begun to move since. What was read before, under the lock under which a move changes it, was
    /// so at that time.
    pub fn holds(self) -> bool {
        STARTED.load(Ordering::SeqCst) == self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamp_holds_until_something_moves() {
        // Other tests may move things, too: what must not hold is certain.
        let before = Stamp::now();
        let first = Moving::start();
        let second = Moving::start();
        assert!(!before.holds() && !Stamp::now().holds());
        drop(first);
        assert!(!Stamp::now().holds());
        drop(second);
        assert!(!before.holds() && !Stamp::UNUSED.holds());
    }
}
