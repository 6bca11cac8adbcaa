//! Leases: who has one is told before another opens the file in a way that conflicts with it, and has some time to give
//! it up: fcntl(2).
//!
//! Source: Linux 6.1's `fs/locks.c`. A lease and an opening see each other: who opens is counted
//! (`memory::object::access`) before it looks for leases, and a lease is entered before it looks for others who have
//! the file open. Signals are sent without the table's lock.
//!
//! A program chooses how many leases a file has: each is found by its file, by what it was told and by when its time is
//! up, and each step under the lock concerns one.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::sync::Arc;
use core::ops::RangeInclusive;
use core::sync::atomic::{AtomicI32, Ordering, fence};

use abi::Errno;
use abi::fs::F_OWNER_PID;
use memory::Object;
use outcome::Failure;
use sched::wait::{Deadline, WaitError};
use subject::Pid;

use super::held::next_number;
use super::{Blocking, FileLocks, LockKind, LockTable};
use crate::file::File;
use crate::inode::Inode;
use crate::owner::{News, Owner};
use crate::running;

/// `leases-enable`: whether new ones are given.
pub static ENABLED: AtomicI32 = AtomicI32::new(1);

/// `lease-break-time`: the seconds after which a lease goes that is not given up; for ever if not above 0.
pub static BREAK_TIME_S: AtomicI32 = AtomicI32::new(45);

/// What happens to a lease at the latest when, in nanoseconds of the monotonic clock, if its holder does not do it: at
/// [`NEVER`], if ever.
type Pending = Option<u64>;

const NEVER: u64 = u64::MAX;

fn deadline(at: u64) -> Deadline {
    if at == NEVER { Deadline::NEVER } else { Deadline::at(at) }
}

/// One lease.
pub struct Lease {
    /// The address of the open file that it is for.
    file: usize,
    owner: Arc<Owner>,
    fd: i32,
    process: Pid,
    kind: LockKind,
    /// To be given up.
    ends: Pending,
    /// To become a shared one.
    is_shared_then: Pending,
}

/// What a lease is in the way of, and what it was told; in an order in which those that an opening looks for stand side
/// by side.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Standing {
    Shared,
    Exclusive,
    /// To become shared.
    Sinking,
    ExclusiveEnding,
    SharedEnding,
}

impl Lease {
    fn standing(&self) -> Standing {
        match (self.kind, self.ends, self.is_shared_then) {
            (LockKind::Shared, None, _) => Standing::Shared,
            (LockKind::Shared, Some(_), _) => Standing::SharedEnding,
            (LockKind::Exclusive, Some(_), _) => Standing::ExclusiveEnding,
            (LockKind::Exclusive, None, Some(_)) => Standing::Sinking,
            (LockKind::Exclusive, None, None) => Standing::Exclusive,
        }
    }

    /// What it is to become, if it is told to.
    fn target(&self) -> Option<LockKind> {
        match (self.ends, self.is_shared_then) {
            (Some(_), _) => None,
            (None, Some(_)) => Some(LockKind::Shared),
            (None, None) => Some(self.kind),
        }
    }

    /// When something happens to it by itself.
    fn due(&self) -> Option<u64> {
        [self.ends, self.is_shared_then].into_iter().flatten().min().filter(|&due| due != NEVER)
    }

    fn shown(&self) -> ShownLease {
        let is_breaking = self.ends.is_some() || self.is_shared_then.is_some();
        (
            if is_breaking { LeaseState::Breaking } else { LeaseState::Active },
            self.target(),
            Some(self.process),
        )
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
pub type ShownLease = (LeaseState, Option<LockKind>, Option<Pid>);

/// How far the leases of a file were shown: the number of the lease, and of who waits.
pub type LeasePlace = (u64, u64);

/// What somebody who opens the file does next.
enum Step {
    /// Tells this owner that the lease by this descriptor is to go.
    Tell(Arc<Owner>, i32),
    /// Waits; the request has a number.
    Wait(Deadline, u64),
    /// Goes on.
    Open,
}

/// The leases of one file, by number in the order in which they were taken, and who waits for them to go.
pub struct Leases {
    by_number: BTreeMap<u64, Lease>,
    /// By the address of the open file.
    by_file: BTreeMap<usize, u64>,
    by_standing: BTreeSet<(Standing, u64)>,
    /// By when something happens to them.
    by_due: BTreeSet<(u64, u64)>,
    breakers: BTreeMap<u64, (LockKind, Pid)>,
}

impl Leases {
    /// None.
    pub const fn new() -> Leases {
        Leases {
            by_number: BTreeMap::new(),
            by_file: BTreeMap::new(),
            by_standing: BTreeSet::new(),
            by_due: BTreeSet::new(),
            breakers: BTreeMap::new(),
        }
    }

    /// Whether there are none, and nobody waits.
    pub fn is_empty(&self) -> bool {
        self.by_number.is_empty() && self.breakers.is_empty()
    }

    fn enter(&mut self, number: u64, lease: Lease) {
        self.by_file.insert(lease.file, number);
        self.by_standing.insert((lease.standing(), number));
        self.by_due.extend(lease.due().map(|due| (due, number)));
        self.by_number.insert(number, lease);
    }

    fn leave(&mut self, number: u64) -> Option<Lease> {
        let lease = self.by_number.remove(&number)?;
        self.by_file.remove(&lease.file);
        self.by_standing.remove(&(lease.standing(), number));
        if let Some(due) = lease.due() {
            self.by_due.remove(&(due, number));
        }
        Some(lease)
    }

    fn change(&mut self, number: u64, change: impl FnOnce(&mut Lease)) {
        if let Some(mut lease) = self.leave(number) {
            change(&mut lease);
            self.enter(number, lease);
        }
    }

    fn of(&self, file: &File) -> Option<(u64, &Lease)> {
        let number = *self.by_file.get(&address(file))?;
        self.by_number.get(&number).map(|lease| (number, lease))
    }

    /// The first lease of these standings.
    fn first(&self, standings: RangeInclusive<Standing>) -> Option<(u64, &Lease)> {
        let range = (*standings.start(), 0)..=(*standings.end(), u64::MAX);
        let &(_, number) = self.by_standing.range(range).next()?;
        self.by_number.get(&number).map(|lease| (number, lease))
    }

    /// The next lease that is to be told to go for an opening, to read or to write. Its time runs from then on.
    fn tell_next(&mut self, opening: LockKind) -> Option<(Arc<Owner>, i32)> {
        let untold = match opening {
            LockKind::Exclusive => Standing::Shared..=Standing::Sinking,
            LockKind::Shared => Standing::Exclusive..=Standing::Exclusive,
        };
        let (number, lease) = self.first(untold)?;
        let told = (lease.owner.clone(), lease.fd);
        let seconds = u64::try_from(BREAK_TIME_S.load(Ordering::Relaxed)).unwrap_or(0);
        let time = if seconds == 0 {
            NEVER
        } else {
            hal::time::now_ns().saturating_add(seconds * libkernel::clock::SECOND_NS)
        };
        self.change(number, |lease| match opening {
            LockKind::Exclusive => lease.ends = Some(time),
            LockKind::Shared => lease.is_shared_then = Some(time),
        });
        Some(told)
    }

    /// Until when something stands in the way of an opening, at the latest; `None` if nothing does.
    fn obstacle(&self, opening: LockKind) -> Option<u64> {
        match opening {
            LockKind::Shared => {
                let (_, lease) = self.first(Standing::Exclusive..=Standing::ExclusiveEnding)?;
                Some(lease.due().unwrap_or(NEVER))
            }
            LockKind::Exclusive if self.by_number.is_empty() => None,
            LockKind::Exclusive if self.by_due.len() < self.by_number.len() => Some(NEVER),
            LockKind::Exclusive => self.by_due.last().map(|&(due, _)| due),
        }
    }

    /// The lease or the request behind a place. Requests stand behind the first lease.
    pub fn behind(&self, (lease, request): LeasePlace) -> Option<(LeasePlace, ShownLease)> {
        let is_first = self.by_number.first_key_value().is_some_and(|(&first, _)| first == lease);
        if is_first && let Some((&next, &(kind, process))) = self.breakers.range(request + 1..).next() {
            return Some(((lease, next), (LeaseState::Breaker, Some(kind), Some(process))));
        }
        let (&number, lease) = self.by_number.range(lease + 1..).next()?;
        Some(((number, 0), lease.shown()))
    }

    /// The lease of an open file.
    pub fn shown_of(&self, file: &File) -> Option<ShownLease> {
        self.of(file).map(|(_, lease)| lease.shown())
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
            let own_writer = i64::from(file.is_writable());
            (readers, writers) == (1 - own_writer.unsigned_abs(), own_writer)
        }
    };
    if is_free { Ok(()) } else { Err(Errno::EAGAIN) }
}

impl LockTable {
    /// Does to leases what has had its time.
    fn time_out(&self) {
        loop {
            let mut held = self.held.lock();
            let leases = &mut held.leases;
            let Some(&(due, number)) = leases.by_due.first() else { return };
            if hal::time::now_ns() < due {
                return;
            }
            if leases.by_number.get(&number).is_some_and(|lease| lease.ends == Some(due)) {
                let lease = leases.leave(number);
                drop(held);
                lease.into_iter().for_each(|lease| self.end(lease));
            } else {
                leases.change(number, |lease| (lease.kind, lease.is_shared_then) = (LockKind::Shared, None));
            }
        }
    }

    /// A lease has gone. Its file has no owner any more, as on Linux; who waits is woken when nothing is in its way any
    /// more.
    fn end(&self, lease: Lease) {
        self.lease_count.fetch_sub(1, Ordering::Relaxed);
        lease.owner.set(F_OWNER_PID, None, lease.owner.sender());
        lease.owner.set_signal(None);
        let is_last = {
            let held = self.held.lock();
            let gone = |opening| held.leases.obstacle(opening).is_none();
            gone(LockKind::Exclusive) || lease.kind == LockKind::Exclusive && gone(LockKind::Shared)
        };
        if is_last {
            self.leases_changed.wake_all();
        }
    }

    fn next_step(&self, opening: LockKind, blocking: Blocking) -> Result<Step, Errno> {
        let leases = &mut self.held.lock().leases;
        if let Some((owner, fd)) = leases.tell_next(opening) {
            return Ok(Step::Tell(owner, fd));
        }
        let Some(until) = leases.obstacle(opening) else { return Ok(Step::Open) };
        if blocking == Blocking::Fail {
            return Err(Errno::EAGAIN);
        }
        let request = next_number()?;
        leases.breakers.insert(request, (opening, running::process()));
        Ok(Step::Wait(deadline(until), request))
    }

    /// Has leases go that are in the way of an opening, and waits for them.
    #[cold]
    fn break_leases(&self, opening: LockKind, blocking: Blocking) -> Result<(), Failure> {
        loop {
            self.time_out();
            let (until, request) = match self.next_step(opening, blocking)? {
                Step::Open => return Ok(()),
                Step::Tell(owner, fd) => {
                    owner.tell(fd, News::Message);
                    continue;
                }
                Step::Wait(until, request) => (until, request),
            };
            let gone = || self.held.lock().leases.obstacle(opening).is_none().then_some(());
            let outcome = self.leases_changed.wait_until(until, gone);
            self.held.lock().leases.breakers.remove(&request);
            match outcome {
                Ok(()) | Err(WaitError::TimedOut) => {}
                Err(interrupted) => return Err(interrupted.into()),
            }
        }
    }
}

impl FileLocks {
    /// Somebody who is counted already opens the file to read or to write, or cuts it off. EAGAIN where it would have
    /// to wait for a lease to go and may not.
    #[inline]
    pub fn break_leases(&self, opening: LockKind, blocking: Blocking) -> Result<(), Failure> {
        let Some(table) = self.0.get() else { return Ok(()) };
        fence(Ordering::SeqCst);
        if table.lease_count.load(Ordering::Relaxed) == 0 {
            return Ok(());
        }
        table.break_leases(opening, blocking)
    }

    /// `F_SETLEASE`: takes a lease, or changes the one that the open file has. EAGAIN where others have the file open,
    /// or a lease that excludes it.
    pub fn set_lease(&self, file: &File, kind: LockKind, fd: i32, process: Pid) -> Result<(), Errno> {
        let inode: &Inode = file.inode();
        let object = file.object().ok_or(Errno::EINVAL)?;
        let table = self.table(inode);
        table.time_out();
        let mut held = table.held.lock();
        check_openings(file, object, kind)?;
        let own = held.leases.of(file).map(|(number, _)| number);
        let others = held.leases.by_number.len() - usize::from(own.is_some());
        let mut ending = held.leases.by_standing.range((Standing::ExclusiveEnding, 0)..);
        if kind == LockKind::Exclusive && others > 0 || ending.any(|&(_, number)| Some(number) != own) {
            return Err(Errno::EAGAIN);
        }
        if let Some(own) = own {
            held.leases.change(own, |lease| {
                (lease.kind, lease.fd) = (kind, fd);
                if kind == LockKind::Shared {
                    lease.is_shared_then = None;
                }
            });
            drop(held);
            table.leases_changed.wake_all();
            return Ok(());
        }
        if ENABLED.load(Ordering::Relaxed) == 0 {
            return Err(Errno::EINVAL);
        }
        let number = next_number().map_err(|_| Errno::ENOMEM)?;
        held.enter_register(table);
        let (ends, is_shared_then, owner) = (None, None, file.owner().clone());
        held.leases
            .enter(number, Lease { file: address(file), owner, fd, process, kind, ends, is_shared_then });
        table.lease_count.fetch_add(1, Ordering::SeqCst);
        fence(Ordering::SeqCst);
        // Who has opened it since has perhaps seen no lease.
        let outcome = check_openings(file, object, kind);
        if outcome.is_err() {
            drop(held.leases.leave(number));
            table.lease_count.fetch_sub(1, Ordering::Relaxed);
        }
        outcome
    }

    /// Gives the lease of an open file up. EAGAIN if it has none.
    pub fn end_lease(&self, file: &File) -> Result<(), Errno> {
        let table = self.0.get().ok_or(Errno::EAGAIN)?;
        table.time_out();
        let lease = {
            let leases = &mut table.held.lock().leases;
            let number = leases.of(file).map(|(number, _)| number);
            number.and_then(|number| leases.leave(number))
        };
        lease.map(|lease| table.end(lease)).ok_or(Errno::EAGAIN)
    }

    /// `F_GETLEASE`: what the lease of an open file is, or is to become; `None` without.
    pub fn lease(&self, file: &File) -> Option<LockKind> {
        let table = self.0.get()?;
        table.time_out();
        table.held.lock().leases.of(file)?.1.target()
    }
}
