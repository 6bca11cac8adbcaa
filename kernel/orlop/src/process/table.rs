//! The process table: who has which number, and which processes form a group.
//!
//! Threads, processes, groups and sessions draw on one space of numbers; a number is free again when none of the four
//! uses it. A process keeps its leader's entry until somebody has waited for it: a zombie still has a name, an owner
//! and a priority. Relatives (`family`), groups and sessions change under the table's lock only, so that a process is
//! always in exactly one group and the child of exactly one process.
//!
//! Who sends one signal to many begins a [`Walk`]; who makes a process or moves it to another group waits for its end.
//! So no process is missed and none is met twice, and the table's lock is held for some members at a time. Whether
//! there is a walk stands in the table, whose lock they all take anyway.
//!
//! Lock order: [`WALK`], which sleeps; the table → a group's members → families → `Process::news` → signals.

use alloc::collections::BTreeMap;
use alloc::collections::btree_map::Entry;
use alloc::sync::Arc;
use core::ops::Bound::{self, Excluded, Included, Unbounded};
use core::ops::{Deref, DerefMut};
use core::sync::atomic::Ordering;

use abi::Errno;
use arrayvec::ArrayVec;
use hal::sync::{SpinGuard, SpinLock};
use libkernel::numbers::Numbers;
use sched::Mutex;
use sched::mutex::MutexGuard;
use subject::{Pid, PidNamespace};

use super::group::Group;
use super::session::Session;
use super::{Process, Thread, settings};

/// One more than the highest number that can be given out (Linux: `PID_MAX_LIMIT`).
pub const PID_LIMIT: u32 = 4 << 20;
/// Numbers are noted by so many at a time.
const CHUNK: usize = 32_768;
const CHUNKS: usize = PID_LIMIT as usize / CHUNK;

/// Where numbers go on after the highest: low ones stay with daemons (Linux: `RESERVED_PIDS`).
const FIRST_REUSED: u32 = 300;

/// How many entries are looked at before the table's lock is given up.
const STEP: usize = 256;

static TABLE: SpinLock<Table> = SpinLock::new(Table {
    made: 0,
    serial: 0,
    numbers: Numbers::new(),
    slots: BTreeMap::new(),
    is_walked: false,
});

/// Held by who sends to many.
static WALK: Mutex<()> = Mutex::new(());

/// How many processes a walk takes from the table at a time.
const BATCH: usize = 64;

type Batch<T> = ArrayVec<Arc<T>, BATCH>;

/// What uses a number.
#[derive(Default)]
struct Slot {
    thread: Option<Arc<Thread>>,
    process: Option<Arc<Process>>,
    /// The group, while it has members.
    group: Option<Arc<Group>>,
    /// Whether a session with members has it.
    is_session: bool,
}

/// The table, to be used under its lock.
pub(super) struct Table {
    /// How many threads have been made.
    made: u64,
    /// The number of the last event whose order counts: a birth, or a change of group.
    serial: u64,
    numbers: Numbers<CHUNKS, { CHUNK / 64 / 64 * CHUNKS }>,
    slots: BTreeMap<Pid, Slot>,
    /// Whether somebody sends to many.
    is_walked: bool,
}

/// Locks the table.
pub(super) fn lock() -> SpinGuard<'static, Table> {
    TABLE.lock()
}

/// The table while nobody sends to many, locked to make a process, or move it to another group.
pub(super) struct BetweenWalks {
    // First: others wait for the walk's lock, and this one is not held meanwhile.
    table: SpinGuard<'static, Table>,
    /// Of who had to wait: the next walk begins when it is done, however many want to.
    _no_walk: Option<MutexGuard<'static, ()>>,
}

impl Deref for BetweenWalks {
    type Target = Table;
    fn deref(&self) -> &Table {
        &self.table
    }
}

impl DerefMut for BetweenWalks {
    fn deref_mut(&mut self) -> &mut Table {
        &mut self.table
    }
}

/// Locks the table while nobody sends to many.
pub(super) fn lock_between_walks() -> BetweenWalks {
    let table = TABLE.lock();
    if !table.is_walked {
        return BetweenWalks { table, _no_walk: None };
    }
    drop(table);
    let no_walk = WALK.lock();
    let table = TABLE.lock();
    BetweenWalks { table, _no_walk: Some(no_walk) }
}

/// While there is one, no process is made, and none joins or leaves a group but by its end.
struct Walk {
    _only: MutexGuard<'static, ()>,
}

impl Walk {
    fn begin() -> Walk {
        let only = WALK.lock();
        TABLE.lock().is_walked = true;
        Walk { _only: only }
    }
}

impl Drop for Walk {
    fn drop(&mut self) {
        // Before the lock is free, for which others wait.
        TABLE.lock().is_walked = false;
    }
}

impl Slot {
    fn is_free(&self) -> bool {
        self.thread.is_none() && self.process.is_none() && self.group.is_none() && !self.is_session
    }
}

impl Table {
    /// Takes the next free number for a new thread of a namespace; EAGAIN if there is none.
    pub(super) fn allocate(&mut self, namespace: &PidNamespace) -> Result<Pid, Errno> {
        let limit = settings::number_limit() as usize;
        let next = self.numbers.take_next(namespace.last() as usize + 1, limit);
        let found = next.or_else(|| self.numbers.take_next(FIRST_REUSED as usize, limit));
        let number = found.and_then(|number| u32::try_from(number).ok()).ok_or(Errno::EAGAIN)?;
        namespace.set_last(number);
        Ok(self.given(Pid::of_kernel_number(number)))
    }

    /// Takes a number that is asked for; EEXIST for one that is in use.
    pub(super) fn allocate_chosen(&mut self, pid: Pid) -> Result<Pid, Errno> {
        let only = pid.kernel_number() as usize;
        self.numbers.take_next(only, only + 1).ok_or(Errno::EEXIST)?;
        Ok(self.given(pid))
    }

    fn given(&mut self, pid: Pid) -> Pid {
        self.made += 1;
        self.slots.insert(pid, Slot::default());
        pid
    }

    /// Gives a number back that `allocate` handed out and nothing uses.
    pub(super) fn release(&mut self, pid: Pid) {
        self.change_slot(pid, |_| ());
    }

    /// Changes what uses a number; it is free again if nothing does then.
    fn change_slot<R>(&mut self, pid: Pid, change: impl FnOnce(&mut Slot) -> R) -> Option<R> {
        let Entry::Occupied(mut entry) = self.slots.entry(pid) else { return None };
        let result = change(entry.get_mut());
        if entry.get().is_free() {
            entry.remove();
            self.numbers.release(pid.kernel_number() as usize);
        }
        Some(result)
    }

    /// The next number in the order of events.
    pub(super) fn next_serial(&mut self) -> u64 {
        self.serial += 1;
        self.serial
    }

    /// Enters a thread under its number; the one that was there.
    pub(super) fn insert_thread(&mut self, thread: &Arc<Thread>) -> Option<Arc<Thread>> {
        self.number(thread);
        self.slots.entry(thread.id()).or_default().thread.replace(thread.clone())
    }

    /// Makes a thread the leader of its process, whose number it has got; the one that led it.
    pub(super) fn replace_leader(&mut self, thread: &Arc<Thread>) -> Option<Arc<Thread>> {
        let old = thread.process().leader.lock().replace(thread.clone());
        drop(self.insert_thread(thread));
        old
    }

    /// Gives a new thread its number among all that were ever made.
    fn number(&mut self, thread: &Thread) {
        if thread.serial() == 0 {
            thread.set_serial(self.next_serial());
        }
    }

    /// Takes a thread out. Its number may be another's by now: that of the thread which called `execve`.
    pub(super) fn remove_thread(&mut self, thread: &Thread) -> Option<Arc<Thread>> {
        let is_it = |entered: &mut Arc<Thread>| core::ptr::eq(&raw const **entered, thread);
        self.change_slot(thread.id(), |slot| slot.thread.take_if(is_it)).flatten()
    }

    /// Enters a process, with its leader, its group and its session.
    pub(super) fn insert_process(&mut self, leader: &Arc<Thread>) {
        let process = leader.process();
        self.number(leader);
        *process.leader.lock() = Some(leader.clone());
        let slot = self.slots.entry(process.pid()).or_default();
        slot.thread = Some(leader.clone());
        slot.process = Some(process.clone());
        self.join_group(process);
        self.join_session(process);
    }

    /// Takes a process out that has been waited for. Its leader, to be dropped without the lock.
    pub(super) fn remove_process(&mut self, process: &Arc<Process>) -> Option<Arc<Thread>> {
        self.leave_group(process);
        self.leave_session(process);
        let entered = self.change_slot(process.pid(), |slot| (slot.process.take(), slot.thread.take()));
        // The caller has a reference to the process, and so has its leader.
        drop(entered);
        process.leader.lock().take()
    }

    /// The process with this number.
    pub(super) fn process(&self, pid: Pid) -> Option<&Arc<Process>> {
        self.slots.get(&pid)?.process.as_ref()
    }

    /// The thread with this number. That of a process is its leader, which may have ended.
    pub(super) fn thread(&self, pid: Pid) -> Option<&Arc<Thread>> {
        self.slots.get(&pid)?.thread.as_ref()
    }

    /// A group; none if it has no members.
    pub(super) fn group(&self, group: Pid) -> Option<&Arc<Group>> {
        self.slots.get(&group)?.group.as_ref()
    }

    /// The first member of a group.
    pub(super) fn first_member(&self, group: Pid) -> Option<Arc<Process>> {
        self.group(group)?.members().first().map(|member| member.to_arc())
    }

    /// Moves a process to another group.
    pub(super) fn move_to_group(&mut self, process: &Arc<Process>, group: Pid) {
        let new = self.group(group).cloned().unwrap_or_else(|| Group::new(group));
        self.leave_group(process);
        let old = core::mem::replace(&mut *process.group.lock(), new);
        drop(old);
        self.join_group(process);
    }

    /// Moves a process to a session of its own.
    pub(super) fn move_to_session(&mut self, process: &Arc<Process>, session: Arc<Session>) {
        self.leave_session(process);
        let old = core::mem::replace(&mut *process.session.lock(), session);
        drop(old);
        self.join_session(process);
    }

    /// Whether no member of the group has a parent outside the group and inside the session: nobody could continue it.
    /// Init does not count, nor do members that have ended.
    pub(super) fn is_orphaned(&self, group: Pid) -> bool {
        let can_be_continued = |member: &Process| {
            let parent =
                self.process(member.parent()).filter(|parent| parent.pid() != member.pid_namespace().first());
            member.ended().is_none() && parent.is_some_and(|parent| keeps(parent, member))
        };
        !self.group(group).is_some_and(|group| group.members().iter().any(|member| can_be_continued(&member)))
    }

    fn join_group(&mut self, process: &Arc<Process>) {
        process.joined.store(self.next_serial(), Ordering::Relaxed);
        let group = process.group.lock().clone();
        let mut members = group.members();
        let is_first = members.is_empty();
        members.push_back(process.clone(), |process| &process.member);
        drop(members);
        if is_first {
            let id = group.id();
            self.slots.entry(id).or_default().group = Some(group);
        }
    }

    fn join_session(&mut self, process: &Process) {
        let session = process.session.lock();
        if session.members.fetch_add(1, Ordering::Relaxed) == 0 {
            self.slots.entry(session.id()).or_default().is_session = true;
        }
    }

    fn leave_group(&mut self, process: &Process) {
        let group = process.group.lock().clone();
        let mut members = group.members();
        let removed = members.remove(&process.member);
        let is_last = removed.is_some() && members.is_empty();
        drop(members);
        if is_last {
            drop(self.change_slot(group.id(), |slot| slot.group.take()));
        }
    }

    fn leave_session(&mut self, process: &Process) {
        let session = process.session.lock().clone();
        if session.members.fetch_sub(1, Ordering::Relaxed) == 1 {
            self.change_slot(session.id(), |slot| slot.is_session = false);
        }
    }

    /// Puts the leaders of members that joined a group behind those of `met` into an empty list, some at a time.
    fn next_members(&self, group: Pid, met: &Batch<Thread>, next: &mut Batch<Thread>) {
        let Some(group) = self.group(group) else { return };
        let members = group.members();
        let first = match met.iter().rev().find(|leader| members.has(&leader.process().member)) {
            Some(leader) => members.behind(&leader.process().member),
            // They have all ended. Those before them joined earlier.
            None => {
                let last = met.last().map_or(0, |leader| leader.process().joined());
                members.iter().find(|member| member.joined() > last)
            }
        };
        let all = core::iter::successors(first, |member| members.behind(&member.member));
        next.extend(all.filter_map(|member| member.leader()).take(BATCH));
    }
}

/// Whether a parent can continue a child's group: it is in another group of the same session.
pub(super) fn keeps(parent: &Process, child: &Process) -> bool {
    parent.group() != child.group() && Arc::ptr_eq(&parent.session(), &child.session())
}

/// The process with this number, zombies included.
pub fn find_process(pid: Pid) -> Option<Arc<Process>> {
    TABLE.lock().process(pid).cloned()
}

/// Whether a number stands for anything: a thread, a process, a group or a session.
pub fn is_in_use(pid: Pid) -> bool {
    TABLE.lock().slots.contains_key(&pid)
}

/// How many threads have been made since boot, the first ones of processes included.
pub fn made_threads() -> u64 {
    TABLE.lock().made
}

/// The thread with this number: a living one, or the leader of a process that has not been waited for.
pub fn find_thread(pid: Pid) -> Option<Arc<Thread>> {
    TABLE.lock().thread(pid).cloned()
}

/// The first member of a group.
pub fn first_member(group: Pid) -> Option<Arc<Process>> {
    TABLE.lock().first_member(group)
}

/// Calls `visit` with the leader of every member of a group, while none comes or leaves but by its end. It may wake
/// threads.
pub fn for_each_member(group: Pid, mut visit: impl FnMut(&Arc<Thread>)) {
    let _walk = Walk::begin();
    let (mut met, mut next) = (&mut Batch::new(), &mut Batch::new());
    loop {
        TABLE.lock().next_members(group, met, next);
        if next.is_empty() {
            return;
        }
        next.iter().for_each(&mut visit);
        // Here, as the end of a thread takes locks.
        met.clear();
        core::mem::swap(&mut met, &mut next);
    }
}

/// Whether nobody could continue the group if it stopped.
pub fn is_orphaned(group: Pid) -> bool {
    TABLE.lock().is_orphaned(group)
}

/// The first process whose number in a namespace is not below `from`: for walks over all processes there, which may
/// change meanwhile.
pub fn next_process(namespace: &PidNamespace, from: u32) -> Option<Arc<Process>> {
    let mut found = ArrayVec::<_, 1>::new();
    find_processes(Included(namespace.at_least(from)), &mut found);
    found.pop()
}

/// Puts the processes from there on into a list with room; none if there are none.
fn find_processes<const ROOM: usize>(mut from: Bound<Pid>, found: &mut ArrayVec<Arc<Process>, ROOM>) {
    while found.is_empty() {
        let table = TABLE.lock();
        let mut looked_at = 0;
        for (&pid, slot) in table.slots.range((from, Unbounded)).take(STEP) {
            (looked_at, from) = (looked_at + 1, Excluded(pid));
            if let Some(process) = &slot.process {
                found.push(process.clone());
            }
            if found.is_full() {
                return;
            }
        }
        if looked_at < STEP {
            return;
        }
    }
}

/// Calls `visit` for every process, zombies included, in the order of their numbers.
pub fn for_each_process(mut visit: impl FnMut(&Arc<Process>)) {
    let mut processes = Batch::new();
    let mut from = Unbounded;
    loop {
        find_processes(from, &mut processes);
        let Some(last) = processes.last() else { return };
        from = Excluded(last.pid());
        processes.drain(..).for_each(|process| visit(&process));
    }
}

/// Calls `look` for every thread, and for leaders that have ended, in the order of their numbers. It only looks, and
/// takes no locks but a thread's own.
pub fn look_at_threads(mut look: impl FnMut(&Thread)) {
    let mut from = Unbounded;
    loop {
        let table = TABLE.lock();
        let mut last = None;
        for (&pid, slot) in table.slots.range((from, Unbounded)).take(STEP) {
            slot.thread.iter().for_each(|thread| look(thread));
            last = Some(pid);
        }
        let Some(last) = last else { return };
        from = Excluded(last);
    }
}

/// Calls `visit` for every thread that has not ended, in the order of their numbers.
pub fn for_each_thread(mut visit: impl FnMut(&Arc<Thread>)) {
    let mut threads = Batch::<Thread>::new();
    let mut from = Unbounded;
    loop {
        {
            let table = TABLE.lock();
            let mut slots = table.slots.range((from, Unbounded)).take(BATCH).peekable();
            if slots.peek().is_none() {
                return;
            }
            for (&pid, slot) in slots {
                from = Excluded(pid);
                threads.extend(slot.thread.clone());
            }
        }
        threads.drain(..).for_each(|thread| visit(&thread));
    }
}

/// As [`for_each_process`], with the leader of each, while no process is made.
pub fn for_all_of_this_moment(mut visit: impl FnMut(&Arc<Thread>)) {
    let _walk = Walk::begin();
    for_each_process(|process| {
        if let Some(leader) = process.leader() {
            visit(&leader);
        }
    });
}

/// The process that adopts orphans when no ancestor asks for them.
pub fn init() -> Option<Arc<Process>> {
    find_process(Pid::INIT)
}
