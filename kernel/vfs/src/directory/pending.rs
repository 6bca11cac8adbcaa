//! Names that somebody looks up at this moment, so that whoever misses one meanwhile waits for the answer in place of
//! asking, too.
//!
//! Each name is looked up by one thread at a time; different names of a directory by as many as like. The lock is a
//! leaf. Who waits can be killed, and holds no lock of names: at most that of the mount tree, where a bind looks its
//! source up.

use alloc::sync::Arc;
use alloc::vec::Vec;

use abi::Errno;
use hal::sync::SpinLock;
use outcome::OrErrno;
use sched::wait::WaitQueue;

/// The look-ups in one directory.
pub struct Pending {
    names: SpinLock<Vec<Arc<[u8]>>>,
    ended: WaitQueue,
}

/// A look-up of one's own, until it is dropped.
pub struct LookUp<'a> {
    pending: &'a Pending,
    name: Arc<[u8]>,
}

impl Pending {
    /// None.
    pub const fn new() -> Pending {
        Pending { names: SpinLock::new(Vec::new()), ended: WaitQueue::new() }
    }

    /// Begins to look a name up; `None` while somebody else does. ENOMEM without memory.
    pub fn begin(&self, name: &[u8]) -> Result<Option<LookUp<'_>>, Errno> {
        let name: Arc<[u8]> = Arc::from(name);
        let mut names = self.names.lock();
        if names.contains(&name) {
            return Ok(None);
        }
        names.try_reserve(1).or_errno()?;
        names.push(name.clone());
        Ok(Some(LookUp { pending: self, name }))
    }

    /// Waits until nobody looks the name up. EINTR for a thread that is to end.
    pub fn wait(&self, name: &[u8]) -> Result<(), Errno> {
        let is_over = || (!self.names.lock().iter().any(|each| **each == *name)).then_some(());
        self.ended.wait_until_killed(is_over).map_err(|_| Errno::EINTR)
    }
}

impl Drop for LookUp<'_> {
    fn drop(&mut self) {
        let mut names = self.pending.names.lock();
        let place = names.iter().position(|each| Arc::ptr_eq(each, &self.name));
        let name = place.map(|place| names.swap_remove(place));
        drop(names);
        drop(name);
        self.pending.ended.wake_all();
    }
}
