//! Advisory locks: `flock`, record locks of processes (`F_SETLK`) and of open files (`F_OFD_SETLK`), and leases
//! (`F_SETLEASE`).
//!
//! An inode without locks carries one empty word. What is held lies in trees (`held`), so that a call costs the
//! logarithm of what others hold, and a close what the closer holds. Who waits for a record is woken when something in
//! its range is given up, and tries again. Lock order: the table's spin lock, then the list of who waits for whom
//! (`circle`), or a waiter's queue.

mod circle;
mod held;
pub mod lease;
mod register;
pub mod show;

use alloc::sync::Arc;
use core::sync::atomic::{AtomicUsize, Ordering};

use abi::Errno;
use hal::sync::{Once, SpinLock};
use outcome::Failure;
use sched::wait::{Deadline, WaitQueue};
use subject::Pid;

use self::held::{Held, Rest};
use super::attributes::DeviceNumber;
use super::fd_table::FdTable;
use super::file::File;
use super::inode::Inode;

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
    /// What `F_GETLK` reports: the process; none for an open file.
    pub process: Option<Pid>,
    /// The open file by which it was taken.
    file: usize,
}

impl Holder {
    /// A process, which is known by its descriptor table, and has the file open.
    pub fn process(table: *const FdTable, process: Pid, file: *const File) -> Holder {
        Holder { address: table.addr(), process: Some(process), file: file.addr() }
    }

    /// An open file.
    pub fn open_file(file: &File) -> Holder {
        let address = core::ptr::from_ref(file).addr();
        Holder { address, process: None, file: address }
    }

    /// Whether it is a process, and not an open file.
    fn is_process(self) -> bool {
        self.process.is_some()
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

/// Which file locks are on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FileId {
    /// The device of its file system.
    pub device: DeviceNumber,
    /// Its inode number.
    pub number: u64,
}

/// The locks on one inode.
pub struct FileLocks(Once<Arc<LockTable>>);

struct LockTable {
    file: FileId,
    held: SpinLock<Held>,
    /// Who waits for a lock on the whole file.
    released: WaitQueue,
    /// How many leases there are, for who opens the file; changed under the lock of `held`.
    lease_count: AtomicUsize,
    /// Who waits for leases to go.
    leases_changed: WaitQueue,
}

impl FileLocks {
    /// No locks.
    pub const fn new() -> FileLocks {
        FileLocks(Once::new())
    }

    fn table(&self, inode: &Inode) -> &Arc<LockTable> {
        self.0.get_or_init(|| {
            let file = FileId { device: inode.filesystem.device, number: inode.number };
            Arc::new(LockTable {
                file,
                held: SpinLock::new(Held::new()),
                released: WaitQueue::new(),
                lease_count: AtomicUsize::new(0),
                leases_changed: WaitQueue::new(),
            })
        })
    }

    /// flock(2): locks the whole file on behalf of an open file, or converts the lock it has, which is gone even if
    /// that fails. `process` is the one that asks.
    pub fn lock_whole(
        &self,
        file: &File,
        kind: LockKind,
        blocking: Blocking,
        process: Pid,
    ) -> Result<(), Failure> {
        let table = self.table(file.inode());
        let holder = Holder::open_file(file);
        let attempt = || {
            let mut held = table.held.lock();
            held.enter_register(table);
            // A lock of the other kind is given up, got the new one or not; who has what he asks for keeps it.
            let converts = held.whole.of(holder).is_some_and(|(had, _)| had != kind);
            if converts {
                held.whole.give_up(holder);
            }
            let outcome = held.whole.take(holder, kind, process);
            drop(held);
            if converts {
                table.released.wake_all();
            }
            outcome
        };
        match attempt() {
            Err(Errno::EAGAIN) if blocking == Blocking::Wait => {}
            outcome => return Ok(outcome?),
        }
        let request = table.held.lock().wait_for_whole(kind, process)?;
        let retry = || Some(attempt()).filter(|outcome| *outcome != Err(Errno::EAGAIN));
        let outcome = table.released.wait_until(Deadline::NEVER, retry);
        table.held.lock().end_wait_for_whole(request);
        Ok(outcome??)
    }

    /// flock(2) with `LOCK_UN`.
    pub fn unlock_whole(&self, file: &File) {
        let Some(table) = self.0.get() else { return };
        if table.held.lock().whole.give_up(Holder::open_file(file)) {
            table.released.wake_all();
        }
    }

    /// Takes a record lock, in place of what the holder had in that range. EAGAIN where another stands in the way and
    /// the call may not wait; EDEADLK where waiting would close a circle of processes that wait for each other.
    pub fn lock_record(&self, inode: &Inode, lock: RecordLock, blocking: Blocking) -> Result<(), Failure> {
        let table = self.table(inode);
        loop {
            let mut held = table.held.lock();
            held.enter_register(table);
            let Some(obstacle) = held.records.conflict(&lock) else {
                return Ok(held.take_record(lock)?);
            };
            if blocking == Blocking::Fail {
                return Err(Errno::EAGAIN.into());
            }
            let waiter = held.wait_behind(lock, obstacle.holder)?;
            drop(held);
            let woken = || waiter.is_woken.load(Ordering::Acquire).then_some(());
            if let Err(interrupted) = waiter.queue.wait_until(Deadline::NEVER, woken) {
                table.held.lock().withdraw(&waiter);
                return Err(interrupted.into());
            }
        }
    }

    /// Gives a range up.
    pub fn unlock_record(&self, range: RecordLock) -> Result<(), Errno> {
        let Some(table) = self.0.get() else { return Ok(()) };
        while table.held.lock().give_up_record(&range)? == Rest::Perhaps {}
        Ok(())
    }

    /// The first lock that stands in the way of `wanted`.
    pub fn find_conflict(&self, wanted: &RecordLock) -> Option<RecordLock> {
        self.0.get()?.held.lock().records.conflict(wanted)
    }

    /// An open file is gone, and its locks with it.
    pub fn release_file(&self, file: &File) {
        let Some(table) = self.0.get() else { return };
        self.unlock_whole(file);
        while table.held.lock().release(Holder::open_file(file)) == Rest::Perhaps {}
        if table.lease_count.load(Ordering::Relaxed) != 0 {
            // Usually it is another's.
            let _ = self.end_lease(file);
        }
    }

    /// A process closed a descriptor of this inode: its record locks go, whichever descriptor they came by.
    #[inline]
    pub fn release_process(&self, table: *const FdTable) {
        if let Some(own) = self.0.get() {
            let holder = Holder::process(table, Pid::NOBODY, core::ptr::null());
            while own.held.lock().release(holder) == Rest::Perhaps {}
        }
    }
}

impl Drop for LockTable {
    fn drop(&mut self) {
        let address = core::ptr::from_ref(self).addr();
        self.held.get_mut().leave_register(address);
    }
}

impl Default for FileLocks {
    fn default() -> FileLocks {
        FileLocks::new()
    }
}
