//! What is held on one inode, and who waits for it.
//!
//! Every record lock stands twice: by holder and start, where the locks of one holder never overlap; and among those of
//! its kind by what it covers, where others are found that stand in the way. A shared lock looks only among exclusive
//! ones.

use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use core::ops::Bound::{self, Excluded, Unbounded};
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use abi::Errno;
use libkernel::intervals::Intervals;
use sched::wait::WaitQueue;
use subject::Pid;

use super::lease::Leases;
use super::{Holder, LockKind, LockTable, RecordLock};
use super::{circle, register};

/// Somebody who waits for a record lock.
pub struct Waiter {
    number: u64,
    wanted: RecordLock,
    /// Something that stood in its way has gone; it is in no list any more.
    pub is_woken: AtomicBool,
    /// Where it sleeps.
    pub queue: WaitQueue,
}

/// The number of the next wait; there is none of number 0.
static NEXT_WAITER: AtomicU64 = AtomicU64::new(1);

/// How many locks are given up under the table's lock at a time: a program chooses how many it has.
const AT_ONCE: usize = 64;

/// Whether there is more to be given up.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Rest {
    /// Nothing.
    None,
    /// To be seen with the lock taken anew.
    Perhaps,
}

/// Locks and waiters of one inode.
pub struct Held {
    /// Locks on the whole file: flock(2).
    pub whole: Whole,
    /// Locks on ranges.
    pub records: Records,
    /// Leases.
    pub leases: Leases,
    waiters: Intervals<Arc<Waiter>>,
    /// Who waits for a lock on the whole file, by the number of the wait.
    whole_requests: BTreeMap<u64, (LockKind, Pid)>,
    /// The CPU whose list of tables has this one.
    registered: Option<usize>,
}

/// Locks on a whole file, by holder.
pub struct Whole {
    holders: BTreeMap<usize, (LockKind, Pid)>,
    exclusive: usize,
}

impl Whole {
    /// EAGAIN where another stands in the way, ENOLCK without memory.
    pub fn take(&mut self, holder: Holder, kind: LockKind, process: Pid) -> Result<(), Errno> {
        let own = self.holders.get(&holder.address).map(|&(kind, _)| kind);
        if own == Some(kind) {
            return Ok(());
        }
        let others = self.holders.len() - usize::from(own.is_some());
        let exclusive_others = self.exclusive - usize::from(own == Some(LockKind::Exclusive));
        if exclusive_others > 0 || (kind == LockKind::Exclusive && others > 0) {
            return Err(Errno::EAGAIN);
        }
        check_memory()?;
        self.give_up(holder);
        self.exclusive += usize::from(kind == LockKind::Exclusive);
        self.holders.insert(holder.address, (kind, process));
        Ok(())
    }

    /// Whether there was anything to give up.
    pub fn give_up(&mut self, holder: Holder) -> bool {
        let given = self.holders.remove(&holder.address);
        self.exclusive -= usize::from(given.is_some_and(|(kind, _)| kind == LockKind::Exclusive));
        given.is_some()
    }

    /// The lock of a holder: its kind, and the process that took it.
    pub fn of(&self, holder: Holder) -> Option<(LockKind, Pid)> {
        self.holders.get(&holder.address).copied()
    }

    /// The first lock behind that of a holder: whose it is by address, its kind, and the process that took it.
    pub fn behind(&self, holder: Option<usize>) -> Option<(usize, LockKind, Pid)> {
        let from = holder.map_or(Unbounded, Excluded);
        self.holders
            .range((from, Unbounded))
            .next()
            .map(|(&holder, &(kind, process))| (holder, kind, process))
    }
}

/// Record locks.
pub struct Records {
    by_holder: BTreeMap<(usize, u64), RecordLock>,
    shared: Intervals<RecordLock>,
    exclusive: Intervals<RecordLock>,
}

impl Records {
    fn of_kind(&mut self, kind: LockKind) -> &mut Intervals<RecordLock> {
        match kind {
            LockKind::Shared => &mut self.shared,
            LockKind::Exclusive => &mut self.exclusive,
        }
    }

    fn enter(&mut self, lock: RecordLock) {
        let address = lock.holder.address;
        self.of_kind(lock.kind).insert(lock.start, lock.last, address as u64, lock);
        self.by_holder.insert((address, lock.start), lock);
    }

    fn leave(&mut self, lock: &RecordLock) {
        self.by_holder.remove(&(lock.holder.address, lock.start));
        self.of_kind(lock.kind).remove(lock.start, lock.holder.address as u64);
    }

    /// The first lock that stands in the way of another.
    pub fn conflict(&self, wanted: &RecordLock) -> Option<RecordLock> {
        let foreign = |number: u64, _: &RecordLock| number != wanted.holder.address as u64;
        let find = |locks: &Intervals<RecordLock>| {
            locks.find(wanted.start, wanted.last, foreign).map(|(.., lock)| *lock)
        };
        let exclusive = find(&self.exclusive);
        let shared = if wanted.kind == LockKind::Exclusive { find(&self.shared) } else { None };
        [exclusive, shared].into_iter().flatten().min_by_key(|lock| lock.start)
    }

    /// The lock of a holder, by address, that begins at a byte.
    pub fn get(&self, key: (usize, u64)) -> Option<RecordLock> {
        self.by_holder.get(&key).copied()
    }

    /// The first lock from there on, by holder and start.
    pub fn behind(&self, from: Bound<(usize, u64)>) -> Option<((usize, u64), RecordLock)> {
        self.by_holder.range((from, Unbounded)).next().map(|(&key, &lock)| (key, lock))
    }

    /// The last lock of a holder that begins at or before `end` and reaches to `start` or beyond.
    fn own_last(&self, holder: Holder, start: u64, end: u64) -> Option<RecordLock> {
        let range = (holder.address, 0)..=(holder.address, end);
        let (_, lock) = self.by_holder.range(range).next_back()?;
        (lock.last >= start).then_some(*lock)
    }

    /// Takes a range away from what its holder has, from the end on and of so many locks at most; a lock around it
    /// falls into two. The last lock that was met, which is the first in the file.
    fn cut_out(&mut self, range: &RecordLock, most: usize) -> Option<RecordLock> {
        let mut found = None;
        for _ in 0..most {
            let Some(lock) = self.own_last(range.holder, range.start, range.last) else { break };
            found = Some(lock);
            self.leave(&lock);
            if lock.last > range.last {
                self.enter(RecordLock { start: range.last + 1, ..lock });
            }
            if lock.start < range.start {
                self.enter(RecordLock { last: range.start - 1, ..lock });
            }
        }
        found
    }

    /// Enters a lock, joined with equal ones of its holder that touch it, of which the first says by which file it was
    /// taken; what it covers was cut out.
    fn enter_joined(&mut self, mut lock: RecordLock) {
        let before = lock.start.checked_sub(1).and_then(|end| self.own_last(lock.holder, end, end));
        let after = lock.last.checked_add(1).and_then(|start| self.own_last(lock.holder, start, start));
        for other in [after, before].into_iter().flatten().filter(|other| other.kind == lock.kind) {
            self.leave(&other);
            lock.holder = if other.start < lock.start { other.holder } else { lock.holder };
            lock.start = lock.start.min(other.start);
            lock.last = lock.last.max(other.last);
        }
        self.enter(lock);
    }
}

/// ENOLCK where only the kernel's reserve of memory is left.
fn check_memory() -> Result<(), Errno> {
    if hal::frame::may_allocate() { Ok(()) } else { Err(Errno::ENOLCK) }
}

/// The number of a new wait; ENOLCK without memory for it.
pub fn next_number() -> Result<u64, Errno> {
    check_memory()?;
    Ok(NEXT_WAITER.fetch_add(1, Ordering::Relaxed))
}

impl Held {
    /// Nothing.
    pub const fn new() -> Held {
        let records =
            Records { by_holder: BTreeMap::new(), shared: Intervals::new(), exclusive: Intervals::new() };
        let whole = Whole { holders: BTreeMap::new(), exclusive: 0 };
        let waiters = Intervals::new();
        let leases = Leases::new();
        Held { whole, records, leases, waiters, whole_requests: BTreeMap::new(), registered: None }
    }

    /// Has `/proc/locks` look here.
    #[inline]
    pub fn enter_register(&mut self, table: &Arc<LockTable>) {
        if self.registered.is_none() {
            self.registered = Some(register::enter(table));
        }
    }

    /// There is nothing to be seen in the table at this address.
    pub fn leave_register(&mut self, address: usize) {
        if let Some(cpu) = self.registered.take() {
            register::leave(cpu, address);
        }
    }

    /// Whether nothing is held and nobody waits.
    pub fn is_empty(&self) -> bool {
        self.whole.holders.is_empty()
            && self.records.by_holder.is_empty()
            && self.waiters.is_empty()
            && self.whole_requests.is_empty()
            && self.leases.is_empty()
    }

    /// Enters who waits for a lock on the whole file; the number of the wait.
    pub fn wait_for_whole(&mut self, kind: LockKind, process: Pid) -> Result<u64, Errno> {
        let number = next_number()?;
        self.whole_requests.insert(number, (kind, process));
        Ok(number)
    }

    /// The wait is over.
    pub fn end_wait_for_whole(&mut self, number: u64) {
        self.whole_requests.remove(&number);
    }

    /// The first who waits for a lock on the whole file behind a wait of this number.
    pub fn whole_request_behind(&self, number: u64) -> Option<(u64, LockKind, Pid)> {
        let mut behind = self.whole_requests.range(number + 1..);
        behind.next().map(|(&number, &(kind, process))| (number, kind, process))
    }

    /// The first request that overlaps with a range behind one with this start and number.
    pub fn request_behind(&self, start: u64, last: u64, key: (u64, u64)) -> Option<((u64, u64), RecordLock)> {
        let (start, _, number, waiter) = self.waiters.find_behind(start, last, key)?;
        Some(((start, number), waiter.wanted))
    }

    /// Takes a lock that nobody stands in the way of.
    pub fn take_record(&mut self, mut lock: RecordLock) -> Result<(), Errno> {
        check_memory()?;
        let before = self.records.cut_out(&lock, usize::MAX);
        if let Some(same) = before.filter(|before| before.kind == lock.kind) {
            lock.holder = same.holder;
        }
        self.records.enter_joined(lock);
        if before.is_some() {
            // What was exclusive may now be shared.
            self.wake(lock.start, lock.last);
        }
        Ok(())
    }

    /// Gives a range up, some locks at a time: whether there may be more. ENOLCK without memory for what is left of a
    /// lock.
    pub fn give_up_record(&mut self, range: &RecordLock) -> Result<Rest, Errno> {
        check_memory()?;
        let Some(first) = self.records.cut_out(range, AT_ONCE) else { return Ok(Rest::None) };
        self.wake(first.start.max(range.start), range.last);
        Ok(if first.start > range.start { Rest::Perhaps } else { Rest::None })
    }

    /// Gives up record locks of a holder, some at a time: whether there may be more.
    pub fn release(&mut self, holder: Holder) -> Rest {
        for _ in 0..AT_ONCE {
            let Some(lock) = self.records.own_last(holder, 0, u64::MAX) else { return Rest::None };
            self.records.leave(&lock);
            self.wake(lock.start, lock.last);
        }
        Rest::Perhaps
    }

    /// Enters a waiter for a lock that `owner` stands in the way of. EDEADLK where that would close a circle.
    pub fn wait_behind(&mut self, wanted: RecordLock, owner: Holder) -> Result<Arc<Waiter>, Errno> {
        let number = next_number()?;
        circle::enter(number, wanted.holder, owner)?;
        let (is_woken, queue) = (AtomicBool::new(false), WaitQueue::new());
        let waiter = Arc::new(Waiter { number, wanted, is_woken, queue });
        self.waiters.insert(wanted.start, wanted.last, number, waiter.clone());
        Ok(waiter)
    }

    /// A waiter gives up.
    pub fn withdraw(&mut self, waiter: &Waiter) {
        if self.waiters.remove(waiter.wanted.start, waiter.number).is_some() {
            circle::leave(waiter.number, waiter.wanted.holder);
        }
    }

    /// Has those try again who wait for something in this range.
    fn wake(&mut self, start: u64, last: u64) {
        while let Some((start, _, number, _)) = self.waiters.find(start, last, |_, _| true) {
            let Some(waiter) = self.waiters.remove(start, number) else { return };
            circle::leave(number, waiter.wanted.holder);
            waiter.is_woken.store(true, Ordering::Release);
            waiter.queue.wake_all();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lock(address: usize, start: u64, last: u64, kind: LockKind) -> RecordLock {
        RecordLock { start, last, kind, holder: Holder { address, process: Some(Pid::INIT), file: 0 } }
    }

    fn take(held: &mut Held, lock: RecordLock) -> Result<(), Errno> {
        hal::cpu::id();
        match held.records.conflict(&lock) {
            Some(_) => Err(Errno::EAGAIN),
            None => held.take_record(lock),
        }
    }

    fn all(held: &Held) -> alloc::vec::Vec<RecordLock> {
        assert_eq!(held.records.by_holder.len(), held.records.shared.len() + held.records.exclusive.len());
        held.records.by_holder.values().copied().collect()
    }

    #[test]
    fn unlocking_the_middle_leaves_two_locks() {
        let mut held = Held::new();
        take(&mut held, lock(1, 0, 99, LockKind::Exclusive)).expect("free");
        held.give_up_record(&lock(1, 40, 59, LockKind::Shared)).expect("memory");
        assert_eq!(take(&mut held, lock(2, 40, 59, LockKind::Exclusive)), Ok(()));
        assert_eq!(take(&mut held, lock(2, 39, 39, LockKind::Shared)), Err(Errno::EAGAIN));
        assert_eq!(all(&held).len(), 3);
    }

    #[test]
    fn many_are_given_up_in_turns() {
        let mut held = Held::new();
        for number in 0..100 {
            take(&mut held, lock(1, 2 * number, 2 * number, LockKind::Shared)).expect("free");
        }
        let all_of_it = lock(1, 4, u64::MAX, LockKind::Shared);
        assert_eq!(held.give_up_record(&all_of_it), Ok(Rest::Perhaps));
        assert_eq!(all(&held).len(), 100 - AT_ONCE);
        assert_eq!(held.give_up_record(&all_of_it), Ok(Rest::None));
        assert_eq!(all(&held).len(), 2);
        for number in 0..100 {
            take(&mut held, lock(2, 2 * number, 2 * number, LockKind::Shared)).expect("free");
        }
        let holder = Holder { address: 2, process: Some(Pid::INIT), file: 0 };
        assert_eq!((held.release(holder), held.release(holder)), (Rest::Perhaps, Rest::None));
        assert_eq!(all(&held).len(), 2);
    }

    #[test]
    fn touching_locks_of_one_holder_join() {
        let mut held = Held::new();
        for start in [0, 20, 10] {
            take(&mut held, lock(1, start, start + 9, LockKind::Shared)).expect("free");
        }
        assert_eq!(all(&held), [lock(1, 0, 29, LockKind::Shared)]);
        take(&mut held, lock(1, 10, 19, LockKind::Exclusive)).expect("own");
        assert_eq!(all(&held).len(), 3);
        take(&mut held, lock(1, 0, i64::MAX as u64, LockKind::Exclusive)).expect("own");
        assert_eq!(all(&held), [lock(1, 0, i64::MAX as u64, LockKind::Exclusive)]);
    }

    #[test]
    fn shared_locks_share_and_exclusive_ones_do_not() {
        let mut held = Held::new();
        take(&mut held, lock(1, 0, 9, LockKind::Shared)).expect("free");
        assert_eq!(take(&mut held, lock(2, 5, 5, LockKind::Shared)), Ok(()));
        assert_eq!(take(&mut held, lock(3, 5, 5, LockKind::Exclusive)), Err(Errno::EAGAIN));
        held.release(Holder { address: 1, process: Some(Pid::NOBODY), file: 0 });
        assert_eq!(take(&mut held, lock(2, 0, 9, LockKind::Exclusive)), Ok(()));
    }

    #[test]
    fn whole_files_are_shared_or_had_alone() {
        hal::cpu::id();
        let mut held = Held::new();
        let holder = |address| Holder { address, process: None, file: 0 };
        assert_eq!(held.whole.take(holder(1), LockKind::Exclusive, Pid::INIT), Ok(()));
        assert_eq!(held.whole.take(holder(2), LockKind::Shared, Pid::INIT), Err(Errno::EAGAIN));
        assert_eq!(held.whole.take(holder(1), LockKind::Shared, Pid::INIT), Ok(()));
        assert_eq!(held.whole.take(holder(2), LockKind::Shared, Pid::INIT), Ok(()));
        assert_eq!(held.whole.take(holder(1), LockKind::Exclusive, Pid::INIT), Err(Errno::EAGAIN));
        assert!(held.whole.give_up(holder(2)) && !held.whole.give_up(holder(2)));
        assert_eq!(held.whole.take(holder(1), LockKind::Exclusive, Pid::INIT), Ok(()));
    }
}
