//! Who writes a file and who executes it: the two exclude each other (`ETXTBSY`).

use alloc::sync::Arc;
use core::sync::atomic::{AtomicI64, Ordering};

use abi::Errno;

use super::Object;

/// Writers counted up from zero, executions counted down from it.
pub(super) struct AccessCount(AtomicI64);

impl AccessCount {
    pub(super) const fn new() -> Self {
        Self(AtomicI64::new(0))
    }

    /// Moves the count by `step`, unless the other kind of access holds it.
    fn acquire(&self, step: i64) -> Result<(), Errno> {
        let step_from = |count: i64| {
            if count.signum() == -step { None } else { count.checked_add(step) }
        };
        match self.0.fetch_update(Ordering::AcqRel, Ordering::Acquire, step_from) {
            Ok(_) => Ok(()),
            Err(_) => Err(Errno::ETXTBSY),
        }
    }

    fn release(&self, step: i64) {
        self.0.fetch_sub(step, Ordering::Release);
    }
}

impl Object {
    /// A file is opened for reading alone, or closed.
    #[inline]
    pub fn count_reader(&self, is_opened: bool) {
        let change = if is_opened { 1 } else { u64::MAX };
        self.readers.fetch_add(change, Ordering::Relaxed);
    }

    /// How many files are open for reading alone, and how many for writing; the latter is negative while it is
    /// executed.
    pub fn openings(&self) -> (u64, i64) {
        (self.readers.load(Ordering::Relaxed), self.access.0.load(Ordering::Relaxed))
    }
}

/// Permission to write the object, held as long as a file is open for writing. While it lives nobody can
/// execute the object.
pub struct WriteAccess(Arc<Object>);

impl WriteAccess {
    /// `ETXTBSY` while the object is being executed.
    pub fn acquire(object: &Arc<Object>) -> Result<Self, Errno> {
        object.access.acquire(1)?;
        Ok(Self(object.clone()))
    }
}

impl Drop for WriteAccess {
    fn drop(&mut self) {
        self.0.access.release(1);
    }
}

/// Permission to execute the object, held as long as a process runs it. While it lives nobody can open
/// the object for writing.
pub struct ExecuteAccess(Arc<Object>);

impl ExecuteAccess {
    /// `ETXTBSY` while the object is open for writing.
    pub fn acquire(object: &Arc<Object>) -> Result<Self, Errno> {
        object.access.acquire(-1)?;
        Ok(Self(object.clone()))
    }
}

impl Drop for ExecuteAccess {
    fn drop(&mut self) {
        self.0.access.release(-1);
    }
}
