//! Advisory locks: `flock`, and record locks of processes (`F_SETLK`) and of open files (`F_OFD_SETLK`).
//!
//! An inode without locks carries one empty word. Waiting is on one queue per inode: whoever waits tries again when any lock is
//! released. Lock order: the table's spin lock is a leaf.

use alloc::boxed::Box;
use alloc::vec::Vec;

use abi::Errno;
use hal::sync::{Once, SpinLock};

use super::fd_table::FdTable;
use super::file::File;
use crate::sched::wait::{Deadline, WaitQueue};
use crate::syscall::Failure;

/// Shared or exclusive.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LockKind {
    /// Any number of holders.
    Shared,
    /// One holder.
    Exclusive,
}

/// Whether a call may wait for a lock.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Blocking {
    /// It waits, until a signal comes.
    Wait,
    /// It fails with EAGAIN.
    Fail,
}

/// Who holds a lock. Addresses serve as names only.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Holder {
    address: usize,
    /// What `F_GETLK` reports: the process, or -1 for an open file.
    pub pid: i32,
}

impl Holder {
    /// A process, which is known by its descriptor table.
    pub fn process(table: *const FdTable, pid: i32) -> Holder {
        Holder { address: table.addr(), pid }
    }

    /// An open file.
    pub fn open_file(file: &File) -> Holder {
        Holder { address: core::ptr::from_ref(file).addr(), pid: -1 }
    }

    fn is(self, other: Holder) -> bool {
        self.address == other.address
    }
}

/// A lock on the bytes `start..=last`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RecordLock {
    /// First byte.
    pub start: u64,
    /// Last byte.
    pub last: u64,
    /// Shared or exclusive.
    pub kind: LockKind,
    /// Who holds it.
    pub holder: Holder,
}

impl RecordLock {
    fn conflicts_with(&self, other: &RecordLock) -> bool {
        let exclusive = self.kind == LockKind::Exclusive || other.kind == LockKind::Exclusive;
        exclusive && !self.holder.is(other.holder) && self.start <= other.last && other.start <= self.last
    }
}

#[derive(Default)]
struct Held {
    records: Vec<RecordLock>,
    whole: Vec<(Holder, LockKind)>,
}

struct LockTable {
    held: SpinLock<Held>,
    released: WaitQueue,
}

/// The locks on one inode.
pub struct FileLocks(Once<Box<LockTable>>);

impl FileLocks {
    /// No locks.
    pub const fn new() -> FileLocks {
        FileLocks(Once::new())
    }

    fn table(&self) -> &LockTable {
        let make = || LockTable { held: SpinLock::new(Held::default()), released: WaitQueue::new() };
        self.0.get_or_init(|| Box::new(make()))
    }

    /// flock(2): locks the whole file on behalf of an open file, or converts the lock it has.
    pub fn lock_whole(&self, file: &File, kind: LockKind, blocking: Blocking) -> Result<(), Failure> {
        let table = self.table();
        let holder = Holder::open_file(file);
        if table.held.lock().unlock_whole(holder) {
            table.released.wake_all();
        }
        table.acquire(blocking, |held| held.try_lock_whole(holder, kind))
    }

    /// flock(2) with `LOCK_UN`.
    pub fn unlock_whole(&self, file: &File) {
        self.change(|held| held.unlock_whole(Holder::open_file(file)));
    }

    /// Takes a record lock, in place of what the holder had in that range.
    pub fn lock_record(&self, lock: RecordLock, blocking: Blocking) -> Result<(), Failure> {
        let table = self.table();
        table.acquire(blocking, |held| held.try_lock_record(lock))?;
        // A lock that was exclusive may now be shared.
        table.released.wake_all();
        Ok(())
    }

    /// Gives a range up.
    pub fn unlock_record(&self, range: RecordLock) -> Result<(), Errno> {
        let Some(table) = self.0.get() else { return Ok(()) };
        table.held.lock().cut_out(&range)?;
        table.released.wake_all();
        Ok(())
    }

    /// The first lock that stands in the way of `wanted`.
    pub fn find_conflict(&self, wanted: &RecordLock) -> Option<RecordLock> {
        let held = self.0.get()?.held.lock();
        held.records.iter().filter(|held| held.conflicts_with(wanted)).min_by_key(|held| held.start).copied()
    }

    /// An open file is gone, and its locks with it.
    pub fn release_file(&self, file: &File) {
        if self.0.get().is_some() {
            self.release(Holder::open_file(file));
        }
    }

    /// A process closed a descriptor of this inode: its record locks go, whichever descriptor they came by.
    pub fn release_process(&self, table: *const FdTable) {
        if self.0.get().is_some() {
            self.release(Holder::process(table, 0));
        }
    }

    fn release(&self, holder: Holder) {
        self.change(|held| {
            let before = held.records.len();
            held.records.retain(|lock| !lock.holder.is(holder));
            held.unlock_whole(holder) || held.records.len() != before
        });
    }

    /// Changes what is held; a change that says so wakes those who wait.
    fn change(&self, change: impl FnOnce(&mut Held) -> bool) {
        let Some(table) = self.0.get() else { return };
        let released = change(&mut table.held.lock());
        if released {
            table.released.wake_all();
        }
    }
}

impl Default for FileLocks {
    fn default() -> FileLocks {
        FileLocks::new()
    }
}

impl LockTable {
    /// Tries until the lock is had, as far as the caller is willing to wait.
    fn acquire(
        &self,
        blocking: Blocking,
        mut attempt: impl FnMut(&mut Held) -> Result<(), Errno>,
    ) -> Result<(), Failure> {
        if blocking == Blocking::Fail {
            return Ok(attempt(&mut self.held.lock())?);
        }
        let outcome = self.released.wait_until(Deadline::NEVER, || match attempt(&mut self.held.lock()) {
            Err(Errno::EAGAIN) => None,
            outcome => Some(outcome),
        })?;
        Ok(outcome?)
    }
}

impl Held {
    fn try_lock_whole(&mut self, holder: Holder, kind: LockKind) -> Result<(), Errno> {
        let exclusive = |other: LockKind| kind == LockKind::Exclusive || other == LockKind::Exclusive;
        if self.whole.iter().any(|&(other, other_kind)| !other.is(holder) && exclusive(other_kind)) {
            return Err(Errno::EAGAIN);
        }
        self.whole.try_reserve(1).map_err(|_| Errno::ENOLCK)?;
        self.whole.push((holder, kind));
        Ok(())
    }

    fn unlock_whole(&mut self, holder: Holder) -> bool {
        let before = self.whole.len();
        self.whole.retain(|(other, _)| !other.is(holder));
        self.whole.len() != before
    }

    fn try_lock_record(&mut self, lock: RecordLock) -> Result<(), Errno> {
        if self.records.iter().any(|held| held.conflicts_with(&lock)) {
            return Err(Errno::EAGAIN);
        }
        self.records.try_reserve(3).map_err(|_| Errno::ENOLCK)?;
        self.cut_out(&lock)?;
        let merged = self.absorb_neighbours(lock);
        self.records.push(merged);
        Ok(())
    }

    /// Takes the range away from what its holder has; a lock around it falls into two.
    fn cut_out(&mut self, range: &RecordLock) -> Result<(), Errno> {
        let touched = |lock: &RecordLock| {
            lock.holder.is(range.holder) && lock.start <= range.last && range.start <= lock.last
        };
        let count = self.records.iter().filter(|lock| touched(lock)).count();
        self.records.try_reserve(count + 1).map_err(|_| Errno::ENOLCK)?;
        let mut index = 0;
        while let Some(lock) = self.records.get(index).copied() {
            if !touched(&lock) {
                index += 1;
                continue;
            }
            self.records.swap_remove(index);
            if lock.start < range.start {
                self.records.push(RecordLock { last: range.start - 1, ..lock });
            }
            if lock.last > range.last {
                self.records.push(RecordLock { start: range.last + 1, ..lock });
            }
        }
        Ok(())
    }

    /// Joins the lock with equal locks that touch it.
    fn absorb_neighbours(&mut self, mut lock: RecordLock) -> RecordLock {
        self.records.retain(|other| {
            let same = other.holder.is(lock.holder) && other.kind == lock.kind;
            let touches =
                other.start <= lock.last.saturating_add(1) && lock.start <= other.last.saturating_add(1);
            if same && touches {
                lock.start = lock.start.min(other.start);
                lock.last = lock.last.max(other.last);
            }
            !(same && touches)
        });
        lock
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lock(address: usize, start: u64, last: u64, kind: LockKind) -> RecordLock {
        RecordLock { start, last, kind, holder: Holder { address, pid: 1 } }
    }

    #[test]
    fn unlocking_the_middle_leaves_two_locks() {
        let mut held = Held::default();
        held.try_lock_record(lock(1, 0, 99, LockKind::Exclusive)).expect("free");
        held.cut_out(&lock(1, 40, 59, LockKind::Shared)).expect("memory");
        assert_eq!(held.try_lock_record(lock(2, 40, 59, LockKind::Exclusive)), Ok(()));
        assert_eq!(held.try_lock_record(lock(2, 39, 39, LockKind::Shared)), Err(Errno::EAGAIN));
        assert_eq!(held.records.len(), 3);
    }

    #[test]
    fn touching_locks_of_one_holder_join() {
        let mut held = Held::default();
        for start in [0, 20, 10] {
            held.try_lock_record(lock(1, start, start + 9, LockKind::Shared)).expect("free");
        }
        assert_eq!(held.records, [lock(1, 0, 29, LockKind::Shared)]);
    }

    #[test]
    fn shared_locks_share_and_exclusive_ones_do_not() {
        let mut held = Held::default();
        held.try_lock_record(lock(1, 0, 9, LockKind::Shared)).expect("free");
        assert_eq!(held.try_lock_record(lock(2, 5, 5, LockKind::Shared)), Ok(()));
        assert_eq!(held.try_lock_record(lock(3, 5, 5, LockKind::Exclusive)), Err(Errno::EAGAIN));
    }
}
