//! Pages that are being taken away: what a fault does not map meanwhile.
//!
//! A hole is punched in two steps: address spaces lose the pages, then the object does. A fault in between would map a
//! page that is the object's no more a moment later, and a program would store where nobody looks. So such a fault
//! waits, with its address space unlocked, and begins anew. Truncation needs none of this: the size is changed first,
//! and faults look at it.
//!
//! One range at a time, by whose turn it is to write. The mark is set before the address spaces' locks are taken one
//! after the other, so every fault sees it but those whose pages are unmapped afterwards. Lock order: an address
//! space's lock, then the range's, a leaf.

use core::ops::Range;
use core::sync::atomic::{AtomicBool, Ordering};

use hal::sync::SpinLock;
use sched::turns::Killed;
use sched::wait::WaitQueue;
use sched::work::must_end;

use super::Object;

/// The page indices that are being taken away.
pub(super) struct Detaching {
    /// Whether there are any, so that nobody else looks at the lock.
    is_under_way: AtomicBool,
    pages: SpinLock<Range<u64>>,
    done: WaitQueue,
}

/// Dropped, it lets faults go on.
pub(super) struct Detachment<'a>(&'a Detaching);

impl Detaching {
    pub(super) const fn new() -> Detaching {
        Detaching { is_under_way: AtomicBool::new(false), pages: SpinLock::new(0..0), done: WaitQueue::new() }
    }

    /// Holds faults off a range of pages. The caller's turn to write sees to it that there is no other.
    pub(super) fn begin(&self, pages: Range<u64>) -> Detachment<'_> {
        *self.pages.lock() = pages;
        self.is_under_way.store(true, Ordering::Release);
        Detachment(self)
    }

    #[inline]
    fn covers(&self, index: u64) -> bool {
        self.is_under_way.load(Ordering::Acquire) && self.pages.lock().contains(&index)
    }
}

impl Drop for Detachment<'_> {
    fn drop(&mut self) {
        self.0.is_under_way.store(false, Ordering::Release);
        self.0.done.wake_all();
    }
}

impl Object {
    /// Whether the page at an index is being taken away: a fault waits for the end of that.
    #[inline]
    pub(crate) fn is_detaching(&self, index: u64) -> bool {
        self.detaching.covers(index)
    }

    /// Waits until the page is taken away, with no lock held. A thread that is to end does not; but one that has been,
    /// and ends, waits: it is not long, and what it does last may matter to others.
    pub(crate) fn await_detached(&self, index: u64) -> Result<(), Killed> {
        let is_done = || (!self.is_detaching(index)).then_some(());
        if must_end() {
            self.detaching.done.wait_uninterruptibly(is_done);
            return Ok(());
        }
        Ok(self.detaching.done.wait_until_killed(is_done)?)
    }
}
