//! Readiness: what a file is ready for, and who wants to be told of changes.

use alloc::sync::Arc;
use alloc::vec::Vec;

use abi::Errno;
use outcome::OrErrno;

pub use sched::wait::{Observable, Observer, PollEvents, Share, Subscription};

/// Collects the wait queues that decide about a file's readiness, on behalf of one observer.
pub struct Watcher<'a>(Option<Entering<'a>>);

/// Who is entered, and where it is noted.
struct Entering<'a> {
    observer: &'a Arc<dyn Observer>,
    share: Share,
    subscriptions: &'a mut Vec<Subscription>,
}

impl<'a> Watcher<'a> {
    /// Enters nobody: only looks.
    pub const fn looking() -> Watcher<'a> {
        Watcher(None)
    }

    /// Enters `observer`, with the share of wake-ups that it wants, into every queue it is shown.
    pub fn entering(
        observer: &'a Arc<dyn Observer>,
        share: Share,
        subscriptions: &'a mut Vec<Subscription>,
    ) -> Watcher<'a> {
        Watcher(Some(Entering { observer, share, subscriptions }))
    }

    /// Only looks from now on.
    pub fn enter_no_more(&mut self) {
        self.0 = None;
    }

    /// The file's readiness changes when `queue` is woken. Called before the state is looked at.
    #[inline]
    pub fn watch<Q: Observable + 'static>(&mut self, queue: &Arc<Q>) -> Result<(), Errno> {
        match &mut self.0 {
            None => Ok(()),
            Some(entering) => entering.enter(queue.clone()),
        }
    }
}

impl Entering<'_> {
    fn enter(&mut self, queue: Arc<dyn Observable>) -> Result<(), Errno> {
        self.subscriptions.try_reserve(1).or_errno()?;
        self.subscriptions.push(Subscription::new(queue, self.observer.clone(), self.share));
        Ok(())
    }
}
