//! What is held, one lock at a time: the walk behind `/proc/locks`.
//!
//! A walk keeps its [`Place`] between pieces; what comes or goes meanwhile is shown or not. Few locks are looked at
//! under a table's lock, and nothing is written there.

use core::ops::Bound::{Excluded, Included, Unbounded};

use subject::Pid;

use super::held::Held;
use super::lease::{LeasePlace, LeaseState, ShownLease};
use super::register;
use super::{FileId, Holder, LockKind, RecordLock};
use crate::fd_table::FdTable;
use crate::file::File;

/// What kind of lock it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Sort {
    /// On the whole file: flock(2).
    Whole,
    /// On a range, of a process.
    Process,
    /// On a range, of an open file.
    OpenFile,
    /// A lease, or who waits for one to go.
    Lease(LeaseState),
}

/// A lock, or a request that waits for the lock before it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Shown {
    /// Locks are counted from 1; a request has the number of the lock that it waits for.
    pub number: u64,
    /// Whether it waits.
    pub is_request: bool,
    /// What it is.
    pub sort: Sort,
    /// Shared or exclusive; of a lease what it is to become, or nothing.
    pub kind: Option<LockKind>,
    /// Whose it is; none for an open file's range.
    pub process: Option<Pid>,
    /// On which file.
    pub file: FileId,
    /// The first byte.
    pub start: u64,
    /// The last byte.
    pub last: u64,
}

/// How far a walk has come.
#[derive(Clone, Copy, Default)]
pub struct Place {
    number: u64,
    cpu: usize,
    table: usize,
    within: Within,
}

/// How far it has come in one table: the lock shown last, and the last request that was looked at for it.
#[derive(Clone, Copy, Default)]
struct Within {
    part: Part,
    lock: Option<(usize, u64)>,
    request: (u64, u64),
    lease: LeasePlace,
}

/// What a table holds, in the order in which it is shown.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Part {
    #[default]
    Whole,
    Records,
    Leases,
}

/// What a step found.
enum Step {
    Lock(Parts),
    Request(Parts),
    /// A request that waits for another lock.
    Other,
}

/// Sort, kind, owner and range of a lock.
type Parts = (Sort, Option<LockKind>, Option<Pid>, u64, u64);

/// The end of a file without end.
const END: u64 = i64::MAX as u64;

impl Place {
    /// Calls `show` with what comes next, some at a time; `false` after the last.
    pub fn advance(&mut self, mut show: impl FnMut(&Shown)) -> bool {
        const AT_ONCE: usize = 32;
        let Some((cpu, address, table)) = register::next(self.cpu, self.table) else { return false };
        if (cpu, address) != (self.cpu, self.table) {
            (self.cpu, self.table, self.within) = (cpu, address, Within::default());
        }
        let mut found = [const { None }; AT_ONCE];
        let mut held = table.held.lock();
        let mut steps = found.iter_mut();
        let is_at_end = loop {
            let Some(slot) = steps.next() else { break false };
            let Some(step) = self.within.next(&held) else { break true };
            *slot = self.shown(step, table.file);
        };
        if is_at_end {
            (self.table, self.within) = (address + 1, Within::default());
            if held.is_empty() {
                held.leave_register(address);
            }
        }
        drop(held);
        found.iter().flatten().for_each(&mut show);
        true
    }

    fn shown(&mut self, step: Step, file: FileId) -> Option<Shown> {
        let (is_request, (sort, kind, process, start, last)) = match step {
            Step::Lock(parts) => (false, parts),
            Step::Request(parts) => (true, parts),
            Step::Other => return None,
        };
        self.number += u64::from(!is_request);
        Some(Shown { number: self.number, is_request, sort, kind, process, file, start, last })
    }
}

fn parts(lock: &RecordLock) -> Parts {
    let sort = if lock.holder.is_process() { Sort::Process } else { Sort::OpenFile };
    (sort, Some(lock.kind), lock.holder.process, lock.start, lock.last)
}

fn parts_of_lease((state, kind, process): ShownLease) -> Parts {
    (Sort::Lease(state), kind, process, 0, END)
}

/// Calls `show` with the locks that were taken by an open file, for itself or for the process with this table.
pub fn for_each_of(file: &File, process: *const FdTable, mut show: impl FnMut(&Shown)) {
    let inode = file.inode();
    let Some(table) = inode.locks.0.get() else { return };
    let mut number = 0;
    let mut show = |(sort, kind, process, start, last): Parts| {
        number += 1;
        let file = table.file;
        show(&Shown { number, is_request: false, sort, kind, process, file, start, last });
    };
    let own = Holder::open_file(file);
    let whole = table.held.lock().whole.of(own);
    if let Some((kind, process)) = whole {
        show((Sort::Whole, Some(kind), Some(process), 0, END));
    }
    for holder in [process.addr(), own.address] {
        let mut from = Included((holder, 0));
        loop {
            let next = table.held.lock().records.behind(from).filter(|((address, _), _)| *address == holder);
            let Some((key, lock)) = next else { break };
            if lock.holder.file == own.file {
                show(parts(&lock));
            }
            from = Excluded(key);
        }
    }
    let lease = table.held.lock().leases.shown_of(file);
    lease.into_iter().map(parts_of_lease).for_each(show);
}

impl Within {
    /// The next lock or request; `None` when there are no more.
    fn next(&mut self, held: &Held) -> Option<Step> {
        if self.part == Part::Whole {
            if let Some(step) = self.next_whole(held) {
                return Some(step);
            }
            *self = Within { part: Part::Records, ..Within::default() };
        }
        if self.part == Part::Records {
            if let Some(step) = self.next_request(held).or_else(|| self.next_record(held)) {
                return Some(step);
            }
            *self = Within { part: Part::Leases, ..Within::default() };
        }
        let (place, shown) = held.leases.behind(self.lease)?;
        self.lease = place;
        let is_request = shown.0 == LeaseState::Breaker;
        Some(if is_request {
            Step::Request(parts_of_lease(shown))
        } else {
            Step::Lock(parts_of_lease(shown))
        })
    }

    /// Locks on the whole file; who waits for any of them stands behind the first.
    fn next_whole(&mut self, held: &Held) -> Option<Step> {
        let first = held.whole.behind(None).map(|(holder, ..)| holder);
        let shown = self.lock.map(|(holder, _)| holder);
        if shown.is_some()
            && shown == first
            && let Some((number, kind, process)) = held.whole_request_behind(self.request.1)
        {
            self.request.1 = number;
            return Some(Step::Request((Sort::Whole, Some(kind), Some(process), 0, END)));
        }
        let (holder, kind, process) = held.whole.behind(shown)?;
        self.lock = Some((holder, 0));
        Some(Step::Lock((Sort::Whole, Some(kind), Some(process), 0, END)))
    }

    /// A request for a record: it stands behind the first lock that is in its way.
    fn next_request(&mut self, held: &Held) -> Option<Step> {
        let lock = held.records.get(self.lock?)?;
        let (key, wanted) = held.request_behind(lock.start, lock.last, self.request)?;
        self.request = key;
        let is_first = held.records.conflict(&wanted) == Some(lock);
        Some(if is_first { Step::Request(parts(&wanted)) } else { Step::Other })
    }

    fn next_record(&mut self, held: &Held) -> Option<Step> {
        let from = self.lock.map_or(Unbounded, Excluded);
        let (key, lock) = held.records.behind(from)?;
        (self.lock, self.request) = (Some(key), (0, 0));
        Some(Step::Lock(parts(&lock)))
    }
}
