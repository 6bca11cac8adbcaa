//! Leases: who has one is told before another opens the file in a way that conflicts with it, and has some time to give it up: fcntl(2).
//!
//! Source: Linux 6.1's `fs/locks.c`. A lease and an opening see each other: who opens is counted (`memory::object::access`) before it looks
//! for leases, and a lease is entered before it looks for others who have the file open. Signals are sent without the table's lock.

use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicI32, Ordering, fence};

use abi::Errno;
use abi::fs::{F_OWNER_PID, OwnerEx};
use outcome::Failure;
use sched::wait::{Deadline, WaitError};

use super::held::next_number;
use super::{Blocking, FileLocks, LockKind, LockTable};
use crate::fs::file::File;
use crate::fs::inode::Inode;
use crate::fs::owner::{News, Owner};
use crate::fs::running;
use crate::memory::Object;

/// `leases-enable`: whether new ones are given.
pub static ENABLED: AtomicI32 = AtomicI32::new(1);

/// `lease-break-time`: the seconds after which a lease goes that is not given up; for ever if not above 0.
pub static BREAK_TIME_S: AtomicI32 = AtomicI32::new(45);

/// A lease that is to go: at the latest when, if not when its holder likes.
type Pending = Option<Deadline>;

/// One lease.
pub struct Lease {
    /// The address of the open file that it is for.
    file: usize,
    owner: Arc<Owner>,
    fd: i32,
    pid: i32,
    kind: LockKind,
    /// To be given up.
    ends: Pending,
    /// To become a shared one.
    is_shared_then: Pending,
}

impl Lease {
    /// What it is to become, if it is told to.
    fn target(&self) -> Option<LockKind> {
        match (self.ends, self.is_shared_then) {
            (Some(_), _) => None,
            (None, Some(_)) => Some(LockKind::Shared),
            (None, None) => Some(self.kind),
        }
    }

    fn is_breaking(&self) -> bool {
        self.ends.is_some() || self.is_shared_then.is_some()
    }

    /// Whether it is in the way of an opening: to read, or to write.
    fn conflicts_with(&self, opening: LockKind) -> bool {
        self.kind == LockKind::Exclusive || opening == LockKind::Exclusive
    }

    fn pending(&mut self, opening: LockKind) -> &mut Pending {
        if opening == LockKind::Exclusive { &mut self.ends } else { &mut self.is_shared_then }
    }

    /// Its time is up by now, where it was told to become shared.
    fn sink(&mut self) {
        if self.is_shared_then.is_some_and(Deadline::has_passed) {
            (self.kind, self.is_shared_then) = (LockKind::Shared, None);
        }
    }
}

/// What is shown of a lease or of who waits for one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LeaseState {
    /// It holds.
    Active,
    /// It is to go.
    Breaking,
    /// Somebody waits for it to go.
    Breaker,
}

/// A lease as it is shown: its number, its state, what it is to become, and whose it is.
pub type ShownLease = (LeaseState, Option<LockKind>, i32);

/// The leases of one file, and who waits for them to go.
pub struct Leases {
    list: Vec<Lease>,
    breakers: BTreeMap<u64, (LockKind, i32)>,
}

impl Leases {
    /// None.
    pub const fn new() -> Leases {
        Leases { list: Vec::new(), breakers: BTreeMap::new() }
    }

    /// Whether there are none, and nobody waits.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty() && self.breakers.is_empty()
    }

    fn of(&mut self, file: &File) -> Option<&mut Lease> {
        self.list.iter_mut().find(|lease| lease.file == address(file))
    }

    fn remove(&mut self, is_it: impl Fn(&Lease) -> bool) -> Option<Lease> {
        let place = self.list.iter().position(is_it)?;
        Some(self.list.remove(place))
    }

    /// The next lease to be told that it is to go.
    fn tell_next(&mut self, opening: LockKind) -> Option<(Arc<Owner>, i32)> {
        let is_told = |lease: &Lease| match opening {
            LockKind::Exclusive => lease.ends.is_some(),
            LockKind::Shared => lease.is_breaking(),
        };
        let lease = self.list.iter_mut().find(|lease| lease.conflicts_with(opening) && !is_told(lease))?;
        let seconds = u64::try_from(BREAK_TIME_S.load(Ordering::Relaxed)).unwrap_or(0);
        let deadline = if seconds == 0 { Deadline::NEVER } else { Deadline::after(seconds * 1_000_000_000) };
        *lease.pending(opening) = Some(deadline);
        Some((lease.owner.clone(), lease.fd))
    }

    /// Until when something stands in the way of an opening at the latest; `None` if nothing does.
    fn obstacle(&self, opening: LockKind) -> Option<Deadline> {
        let lease = self.list.iter().find(|lease| lease.conflicts_with(opening))?;
        Some(lease.ends.or(lease.is_shared_then).unwrap_or(Deadline::NEVER))
    }

    /// The lease or the request that stands at a place in the list.
    pub fn get(&self, place: usize) -> Option<ShownLease> {
        if let Some(lease) = self.list.get(place) {
            let state = if lease.is_breaking() { LeaseState::Breaking } else { LeaseState::Active };
            return Some((state, lease.target(), lease.pid));
        }
        let (_, &(kind, pid)) = self.breakers.iter().nth(place - self.list.len())?;
        Some((LeaseState::Breaker, Some(kind), pid))
    }

    /// The lease of an open file.
    pub fn shown_of(&self, file: &File) -> Option<ShownLease> {
        let place = self.list.iter().position(|lease| lease.file == address(file))?;
        self.get(place)
    }
}

fn address(file: &File) -> usize {
    core::ptr::from_ref(file).addr()
}

/// EAGAIN where the file is open to others in a way that a lease of this kind excludes.
fn check_openings(file: &File, object: &Object, kind: LockKind) -> Result<(), Errno> {
    let (readers, writers) = object.openings();
    let is_free = match kind {
        LockKind::Shared => writers <= 0,
        LockKind::Exclusive => {
            let own_writer = i32::from(file.is_writable());
            (readers, writers) == (1 - own_writer.unsigned_abs(), own_writer)
        }
    };
    if is_free { Ok(()) } else { Err(Errno::EAGAIN) }
}

impl LockTable {
    /// Takes away what has had its time.
    fn time_out(&self) {
        let has_ended = |lease: &Lease| lease.ends.is_some_and(Deadline::has_passed);
        loop {
            let ended = {
                let mut held = self.held.lock();
                held.leases.list.iter_mut().for_each(Lease::sink);
                held.leases.remove(has_ended)
            };
            let Some(lease) = ended else { return };
            self.end(lease);
        }
    }

    /// A lease has gone from the list. Its file has no owner any more, as on Linux.
    fn end(&self, lease: Lease) {
        self.lease_count.fetch_sub(1, Ordering::Relaxed);
        lease.owner.set(OwnerEx { kind: F_OWNER_PID, pid: 0 }, None, lease.owner.sender());
        lease.owner.set_signal(None);
        self.leases_changed.wake_all();
    }

    /// Has leases go that are in the way of an opening, and waits for them.
    #[cold]
    fn break_leases(&self, opening: LockKind, blocking: Blocking) -> Result<(), Failure> {
        loop {
            self.time_out();
            loop {
                let next = self.held.lock().leases.tell_next(opening);
                let Some((owner, fd)) = next else { break };
                owner.tell(fd, News::Message);
            }
            let (deadline, request) = {
                let mut held = self.held.lock();
                let Some(deadline) = held.leases.obstacle(opening) else { return Ok(()) };
                if blocking == Blocking::Fail {
                    return Err(Errno::EAGAIN.into());
                }
                let request = next_number()?;
                held.leases.breakers.insert(request, (opening, running::process_number()));
                (deadline, request)
            };
            let gone = || self.held.lock().leases.obstacle(opening).is_none().then_some(());
            let outcome = self.leases_changed.wait_until(deadline, gone);
            self.held.lock().leases.breakers.remove(&request);
            match outcome {
                Ok(()) | Err(WaitError::TimedOut) => {}
                Err(interrupted) => return Err(interrupted.into()),
            }
        }
    }
}

impl FileLocks {
    /// Somebody who is counted already opens the file to read or to write, or cuts it off. EAGAIN where it would have to wait for a lease
    /// to go and may not.
    #[inline]
    pub fn break_leases(&self, opening: LockKind, blocking: Blocking) -> Result<(), Failure> {
        let Some(table) = self.0.get() else { return Ok(()) };
        fence(Ordering::SeqCst);
        if table.lease_count.load(Ordering::Relaxed) == 0 {
            return Ok(());
        }
        table.break_leases(opening, blocking)
    }

    /// `F_SETLEASE`: takes a lease, or changes the one that the open file has. EAGAIN where others have the file open, or a lease that
    /// excludes it.
    pub fn set_lease(&self, file: &File, kind: LockKind, fd: i32, pid: i32) -> Result<(), Errno> {
        let inode: &Inode = file.inode();
        let object = file.object().ok_or(Errno::EINVAL)?;
        let table = self.table(inode);
        table.time_out();
        let mut held = table.held.lock();
        check_openings(file, object, kind)?;
        let others = held.leases.list.iter().filter(|lease| lease.file != address(file));
        if others.into_iter().any(|lease| kind == LockKind::Exclusive || lease.ends.is_some()) {
            return Err(Errno::EAGAIN);
        }
        if let Some(own) = held.leases.of(file) {
            (own.kind, own.fd) = (kind, fd);
            if kind == LockKind::Shared {
                own.is_shared_then = None;
            }
            drop(held);
            table.leases_changed.wake_all();
            return Ok(());
        }
        if ENABLED.load(Ordering::Relaxed) == 0 {
            return Err(Errno::EINVAL);
        }
        held.leases.list.try_reserve(1).map_err(|_| Errno::ENOMEM)?;
        held.enter_register(table);
        let (ends, is_shared_then) = (None, None);
        let owner = file.owner().clone();
        held.leases.list.push(Lease { file: address(file), owner, fd, pid, kind, ends, is_shared_then });
        table.lease_count.fetch_add(1, Ordering::SeqCst);
        fence(Ordering::SeqCst);
        // Who has opened it since has perhaps seen no lease.
        let outcome = check_openings(file, object, kind);
        if outcome.is_err() {
            drop(held.leases.list.pop());
            table.lease_count.fetch_sub(1, Ordering::Relaxed);
        }
        outcome
    }

    /// Gives the lease of an open file up. EAGAIN if it has none.
    pub fn end_lease(&self, file: &File) -> Result<(), Errno> {
        let table = self.0.get().ok_or(Errno::EAGAIN)?;
        table.time_out();
        let lease = table.held.lock().leases.remove(|lease| lease.file == address(file));
        lease.map(|lease| table.end(lease)).ok_or(Errno::EAGAIN)
    }

    /// `F_GETLEASE`: what the lease of an open file is, or is to become; `None` without.
    pub fn lease(&self, file: &File) -> Option<LockKind> {
        let table = self.0.get()?;
        table.time_out();
        table.held.lock().leases.of(file)?.target()
    }
}
