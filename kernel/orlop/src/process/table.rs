//! The process table: who has which number, and which processes form a group.
//!
//! Threads, processes, groups and sessions draw on one space of numbers; a number is free again when none of the four uses it. A
//! process keeps its leader's entry until somebody has waited for it: a zombie still has a name, an owner and a priority.
//! Relatives (`family`), groups and sessions change under the table's lock only, so that a process is always in exactly one group
//! and the child of exactly one process.
//!
//! Who sends one signal to many takes [`WALK`] for the length of its walk; who makes a process or moves it to another group is a
//! reader of it. So no process is missed and none is met twice, and the table's lock is held for one member at a time.
//!
//! Lock order: [`WALK`], which sleeps; the table → `Process::news` → signals.

use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use core::sync::atomic::Ordering;

use abi::Errno;
use hal::sync::{SpinGuard, SpinLock};
use libkernel::numbers::Numbers;

use super::family::Families;
use super::session::Session;
use super::{Pid, Process, Thread, settings};
use crate::sched::RwLock;

/// One more than the highest number that can be given out (Linux: `PID_MAX_LIMIT`).
pub const PID_LIMIT: u32 = 4 << 20;
const WORDS: usize = PID_LIMIT as usize / 64;

/// Where numbers go on after the highest: low ones stay with daemons (Linux: `RESERVED_PIDS`).
const FIRST_REUSED: u32 = 300;

/// How many entries are looked at before the table's lock is given up.
const STEP: usize = 256;

static TABLE: SpinLock<Table> = SpinLock::new(Table {
    last: 0,
    made: 0,
    serial: 0,
    numbers: Numbers::new(),
    slots: BTreeMap::new(),
    groups: BTreeMap::new(),
    families: Families::new(),
});

/// Written by who sends to many, read by who makes or moves a process.
pub(super) static WALK: RwLock<()> = RwLock::new(());

/// What uses a number.
#[derive(Default)]
struct Slot {
    thread: Option<Arc<Thread>>,
    process: Option<Arc<Process>>,
    /// How many processes are in the group.
    group_members: usize,
    /// How many are in the session.
    session_members: usize,
}

/// The table, to be used under its lock.
pub(super) struct Table {
    last: u32,
    /// How many threads have been made.
    made: u64,
    /// The number of the last event whose order counts: a birth, or a change of group.
    serial: u64,
    numbers: Numbers<WORDS, { WORDS.div_ceil(64) }>,
    slots: BTreeMap<u32, Slot>,
    /// The members of each group, in the order of their coming: `Process::joined`.
    groups: BTreeMap<(Pid, u64), Arc<Process>>,
    pub(super) families: Families,
}

/// Locks the table.
pub(super) fn lock() -> SpinGuard<'static, Table> {
    TABLE.lock()
}

impl Slot {
    fn is_free(&self) -> bool {
        self.thread.is_none()
            && self.process.is_none()
            && self.group_members == 0
            && self.session_members == 0
    }
}

impl Table {
    /// Takes the next free number for a new thread; EAGAIN if there is none.
    pub(super) fn allocate(&mut self) -> Result<Pid, Errno> {
        let limit = settings::number_limit() as usize;
        let next = self.numbers.take_next(self.last as usize + 1, limit);
        let found = next.or_else(|| self.numbers.take_next(FIRST_REUSED as usize, limit));
        let number = found.and_then(|number| u32::try_from(number).ok()).ok_or(Errno::EAGAIN)?;
        self.last = number;
        self.made += 1;
        self.slots.insert(number, Slot::default());
        Ok(Pid::new(number))
    }

    /// Gives a number back that `allocate` handed out and nothing uses.
    pub(super) fn release(&mut self, pid: Pid) {
        if self.slots.get(&pid.number()).is_some_and(Slot::is_free) {
            self.slots.remove(&pid.number());
            self.numbers.release(pid.number() as usize);
        }
    }

    /// The next number in the order of events.
    pub(super) fn next_serial(&mut self) -> u64 {
        self.serial += 1;
        self.serial
    }

    /// Enters a thread under its number; the one that was there.
    pub(super) fn insert_thread(&mut self, thread: &Arc<Thread>) -> Option<Arc<Thread>> {
        if thread.serial() == 0 {
            thread.set_serial(self.next_serial());
        }
        self.slots.entry(thread.id().number()).or_default().thread.replace(thread.clone())
    }

    /// Takes a thread out. Its number may be another's by now: that of the thread which called `execve`.
    pub(super) fn remove_thread(&mut self, thread: &Thread) -> Option<Arc<Thread>> {
        let pid = thread.id();
        let is_it = |entered: &mut Arc<Thread>| core::ptr::eq(&raw const **entered, thread);
        let removed = self.slots.get_mut(&pid.number()).and_then(|slot| slot.thread.take_if(is_it));
        self.release(pid);
        removed
    }

    /// Enters a process with its group and session, as a child of its parent.
    pub(super) fn insert_process(&mut self, process: &Arc<Process>) {
        self.slots.entry(process.pid().number()).or_default().process = Some(process.clone());
        self.join_group(process, process.group());
        self.slots.entry(process.session.lock().id().number()).or_default().session_members += 1;
        self.enter_family(process);
    }

    /// Takes a process out that has been waited for. Its leader, to be dropped without the lock.
    pub(super) fn remove_process(&mut self, process: &Arc<Process>) -> Option<Arc<Thread>> {
        self.leave_family(process);
        self.leave_group(process);
        self.leave_session(process);
        let slot = self.slots.get_mut(&process.pid().number())?;
        slot.process = None;
        let leader = slot.thread.take();
        self.release(process.pid());
        leader
    }

    /// The process with this number.
    pub(super) fn process(&self, pid: Pid) -> Option<&Arc<Process>> {
        self.slots.get(&pid.number())?.process.as_ref()
    }

    /// The thread with this number. That of a process is its leader, which may have ended.
    pub(super) fn thread(&self, pid: Pid) -> Option<&Arc<Thread>> {
        self.slots.get(&pid.number())?.thread.as_ref()
    }

    /// The members of a group; none if there is no such group.
    pub(super) fn group(&self, group: Pid) -> impl Iterator<Item = &Arc<Process>> {
        self.groups.range((group, 0)..=(group, u64::MAX)).map(|(_, member)| member)
    }

    /// How many members a group has.
    pub(super) fn group_size(&self, group: Pid) -> usize {
        self.slots.get(&group.number()).map_or(0, |slot| slot.group_members)
    }

    /// Moves a process to another group.
    pub(super) fn move_to_group(&mut self, process: &Arc<Process>, group: Pid) {
        self.leave_group(process);
        process.group.store(group.number(), Ordering::Relaxed);
        self.join_group(process, group);
    }

    /// Moves a process to another session.
    pub(super) fn move_to_session(&mut self, process: &Arc<Process>, session: Arc<Session>) {
        self.leave_session(process);
        self.slots.entry(session.id().number()).or_default().session_members += 1;
        let old = core::mem::replace(&mut *process.session.lock(), session);
        drop(old);
    }

    /// Whether no member of the group has a parent outside the group and inside the session: nobody could continue it. Init does
    /// not count, nor do members that have ended.
    pub(super) fn is_orphaned(&self, group: Pid) -> bool {
        !self.group(group).any(|member| {
            let parent = self.process(member.parent()).filter(|parent| parent.pid() != Pid::INIT);
            member.ended().is_none() && parent.is_some_and(|parent| keeps(parent, member))
        })
    }

    fn join_group(&mut self, process: &Arc<Process>, group: Pid) {
        let serial = self.next_serial();
        process.joined.store(serial, Ordering::Relaxed);
        self.groups.insert((group, serial), process.clone());
        self.slots.entry(group.number()).or_default().group_members += 1;
    }

    fn leave_group(&mut self, process: &Arc<Process>) {
        let group = process.group();
        let removed = self.groups.remove(&(group, process.joined.load(Ordering::Relaxed)));
        if let Some(slot) = self.slots.get_mut(&group.number()).filter(|_| removed.is_some()) {
            slot.group_members -= 1;
        }
        self.release(group);
    }

    fn leave_session(&mut self, process: &Arc<Process>) {
        let session = process.session.lock().id();
        if let Some(slot) = self.slots.get_mut(&session.number()) {
            slot.session_members = slot.session_members.saturating_sub(1);
        }
        self.release(session);
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
    TABLE.lock().slots.contains_key(&pid.number())
}

/// The number that was given out last.
pub fn last_number() -> u32 {
    TABLE.lock().last
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
    TABLE.lock().group(group).next().cloned()
}

/// Calls `visit` with the leader of every member of a group, while none comes or leaves but by its end. It may wake threads.
pub fn for_each_member(group: Pid, mut visit: impl FnMut(&Arc<Thread>)) {
    let _walk = WALK.write();
    let mut from = 0;
    while let Some((serial, leader)) = next_member(group, from) {
        visit(&leader);
        from = serial + 1;
    }
}

fn next_member(group: Pid, from: u64) -> Option<(u64, Arc<Thread>)> {
    let table = TABLE.lock();
    let mut members = table.groups.range((group, from)..=(group, u64::MAX));
    members.find_map(|(&(_, serial), member)| Some((serial, table.thread(member.pid())?.clone())))
}

/// Whether nobody could continue the group if it stopped.
pub fn is_orphaned(group: Pid) -> bool {
    TABLE.lock().is_orphaned(group)
}

/// The first process whose number is not below `from`: for walks over all processes, which may change meanwhile.
pub fn next_process(from: Pid) -> Option<Arc<Process>> {
    let mut from = from.number();
    loop {
        let table = TABLE.lock();
        let mut looked_at = 0;
        for (&number, slot) in table.slots.range(from..).take(STEP) {
            if let Some(process) = &slot.process {
                return Some(process.clone());
            }
            (looked_at, from) = (looked_at + 1, number + 1);
        }
        if looked_at < STEP {
            return None;
        }
    }
}

/// Calls `visit` for every process, zombies included, in the order of their numbers.
pub fn for_each_process(mut visit: impl FnMut(&Arc<Process>)) {
    let mut from = Pid::new(0);
    while let Some(process) = next_process(from) {
        visit(&process);
        from = Pid::new(process.pid().number() + 1);
    }
}

/// As [`for_each_process`], with the leader of each, while no process is made.
pub fn for_all_of_this_moment(mut visit: impl FnMut(&Arc<Thread>)) {
    let _walk = WALK.write();
    for_each_process(|process| {
        if let Some(leader) = find_thread(process.pid()) {
            visit(&leader);
        }
    });
}

/// The process that adopts orphans when no ancestor asks for them.
pub fn init() -> Option<Arc<Process>> {
    find_process(Pid::INIT)
}
