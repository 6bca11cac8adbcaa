//! Pages that `fallocate` made and nobody has used: they take room, and are holes to `lseek` and absent to `mincore`
//! (on Linux's tmpfs: folios that are not up to date).
//!
//! They are few in most objects, so how many there are is looked at first, without the lock, which is a leaf.

use core::ops::Range;
use core::sync::atomic::{AtomicUsize, Ordering};

use abi::Errno;
use hal::sync::SpinLock;
use libkernel::radix::RadixTree;
use outcome::OrErrno;

/// Whether a page is made to be used.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Use {
    /// It is.
    Now,
    /// It only takes its room.
    Later,
}

/// The indices of such pages.
pub(super) struct Untouched {
    count: AtomicUsize,
    pages: SpinLock<RadixTree<()>>,
}

impl Untouched {
    pub(super) const fn new() -> Untouched {
        Untouched { count: AtomicUsize::new(0), pages: SpinLock::new(RadixTree::new()) }
    }

    #[inline]
    fn is_empty(&self) -> bool {
        self.count.load(Ordering::Relaxed) == 0
    }

    fn change<R>(&self, change: impl FnOnce(&mut RadixTree<()>) -> R) -> R {
        let mut pages = self.pages.lock();
        let result = change(&mut pages);
        self.count.store(pages.len(), Ordering::Relaxed);
        result
    }

    #[inline]
    pub(super) fn contains(&self, index: u64) -> bool {
        !self.is_empty() && self.pages.lock().get(index).is_some()
    }

    /// Enters a page. `ENOMEM` without memory for that.
    pub(super) fn insert(&self, index: u64) -> Result<(), Errno> {
        self.change(|pages| pages.insert(index, ())).or_errno().map(|_| ())
    }

    /// Somebody uses a page.
    #[inline]
    pub(super) fn remove(&self, index: u64) {
        if !self.is_empty() {
            self.change(|pages| pages.remove(index));
        }
    }

    /// Pages of a range are going away.
    pub(super) fn remove_all(&self, range: Range<u64>) {
        const BATCH: usize = 64;
        while !self.is_empty() {
            let remove =
                |pages: &mut RadixTree<()>| (0..BATCH).all(|_| pages.remove_first(range.clone()).is_some());
            if !self.change(remove) {
                return;
            }
        }
    }
}
