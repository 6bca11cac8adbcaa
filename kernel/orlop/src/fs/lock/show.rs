//! What is held, one lock at a time: the walk behind `/proc/locks`.
//!
//! A walk keeps its [`Place`] between pieces; what comes or goes meanwhile is shown or not. Few locks are looked at under a table's lock,
//! and nothing is written there.

use core::ops::Bound::{Excluded, Unbounded};

use super::held::Held;
use super::register;
use super::{FileId, LockKind, RecordLock};

/// What kind of lock it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Sort {
    /// On the whole file: flock(2).
    Whole,
    /// On a range, of a process.
    Process,
    /// On a range, of an open file.
    OpenFile,
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
    /// Shared or exclusive.
    pub kind: LockKind,
    /// Whose it is; -1 for an open file's range.
    pub pid: i32,
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
    are_records: bool,
    lock: Option<(usize, u64)>,
    request: (u64, u64),
}

/// What a step found.
enum Step {
    Lock(Sort, LockKind, i32, u64, u64),
    Request(Sort, LockKind, i32, u64, u64),
    /// A request that waits for another lock.
    Other,
}

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
        let (is_request, (sort, kind, pid, start, last)) = match step {
            Step::Lock(sort, kind, pid, start, last) => (false, (sort, kind, pid, start, last)),
            Step::Request(sort, kind, pid, start, last) => (true, (sort, kind, pid, start, last)),
            Step::Other => return None,
        };
        self.number += u64::from(!is_request);
        Some(Shown { number: self.number, is_request, sort, kind, pid, file, start, last })
    }
}

fn parts(lock: &RecordLock) -> (Sort, LockKind, i32, u64, u64) {
    let sort = if lock.holder.is_process() { Sort::Process } else { Sort::OpenFile };
    (sort, lock.kind, lock.holder.pid, lock.start, lock.last)
}

impl Within {
    /// The next lock or request; `None` when there are no more.
    fn next(&mut self, held: &Held) -> Option<Step> {
        if !self.are_records {
            if let Some(step) = self.next_whole(held) {
                return Some(step);
            }
            *self = Within { are_records: true, ..Within::default() };
        }
        self.next_request(held).or_else(|| self.next_record(held))
    }

    /// Locks on the whole file; who waits for any of them stands behind the first.
    fn next_whole(&mut self, held: &Held) -> Option<Step> {
        let first = held.whole.behind(None).map(|(holder, ..)| holder);
        let shown = self.lock.map(|(holder, _)| holder);
        if shown.is_some()
            && shown == first
            && let Some((number, kind, pid)) = held.whole_request_behind(self.request.1)
        {
            self.request.1 = number;
            return Some(Step::Request(Sort::Whole, kind, pid, 0, END));
        }
        let (holder, kind, pid) = held.whole.behind(shown)?;
        self.lock = Some((holder, 0));
        Some(Step::Lock(Sort::Whole, kind, pid, 0, END))
    }

    /// A request for a record: it stands behind the first lock that is in its way.
    fn next_request(&mut self, held: &Held) -> Option<Step> {
        let lock = held.records.get(self.lock?)?;
        let (key, wanted) = held.request_behind(lock.start, lock.last, self.request)?;
        self.request = key;
        let is_first = held.records.conflict(&wanted) == Some(lock);
        let (sort, kind, pid, start, last) = parts(&wanted);
        Some(if is_first { Step::Request(sort, kind, pid, start, last) } else { Step::Other })
    }

    fn next_record(&mut self, held: &Held) -> Option<Step> {
        let from = self.lock.map_or(Unbounded, Excluded);
        let (key, lock) = held.records.behind(from)?;
        (self.lock, self.request) = (Some(key), (0, 0));
        let (sort, kind, pid, start, last) = parts(&lock);
        Some(Step::Lock(sort, kind, pid, start, last))
    }
}
