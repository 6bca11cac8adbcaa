//! The process table: who has which number, who is whose parent, which processes form a group.
//!
//! Threads, processes, groups and sessions draw on one space of numbers; a number is free again when none of the four uses it.
//! Relatives change under the table's lock only, so that a process is always in exactly one group and the child of exactly one
//! process. Lock order: the table → `Process::children` → signals.

use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::Ordering;

use abi::Errno;
use hal::sync::{SpinGuard, SpinLock};

use super::session::Session;
use super::{Pid, Process, Thread};

/// One more than the highest number: Linux's default `pid_max`.
pub const PID_LIMIT: u32 = 32_768;

/// Where numbers go on after the highest: low ones stay with daemons (Linux: `RESERVED_PIDS`).
const FIRST_REUSED: u32 = 300;

static TABLE: SpinLock<Table> = SpinLock::new(Table { last: 0, made: 0, slots: BTreeMap::new() });

/// What uses a number.
#[derive(Default)]
struct Slot {
    thread: Option<Arc<Thread>>,
    process: Option<Arc<Process>>,
    /// The members of the group.
    group: Vec<Arc<Process>>,
    /// The session, while any process is in it.
    session_members: usize,
}

/// The table, to be used under its lock.
pub(super) struct Table {
    last: u32,
    /// How many threads have been made.
    made: u64,
    slots: BTreeMap<u32, Slot>,
}

/// Locks the table.
pub(super) fn lock() -> SpinGuard<'static, Table> {
    TABLE.lock()
}

impl Slot {
    fn is_free(&self) -> bool {
        self.thread.is_none() && self.process.is_none() && self.group.is_empty() && self.session_members == 0
    }
}

impl Table {
    /// Takes the next free number for a new thread; EAGAIN if there is none.
    pub(super) fn allocate(&mut self) -> Result<Pid, Errno> {
        let mut candidate = self.last;
        for _ in 1..PID_LIMIT {
            candidate = if candidate + 1 >= PID_LIMIT { FIRST_REUSED } else { candidate + 1 };
            if !self.slots.contains_key(&candidate) {
                self.last = candidate;
                self.made += 1;
                self.slots.insert(candidate, Slot::default());
                return Ok(Pid::new(candidate));
            }
        }
        Err(Errno::EAGAIN)
    }

    /// Gives a number back that `allocate` handed out and nothing uses.
    pub(super) fn release(&mut self, pid: Pid) {
        if self.slots.get(&pid.number()).is_some_and(Slot::is_free) {
            self.slots.remove(&pid.number());
        }
    }

    /// Enters a thread under its number.
    pub(super) fn insert_thread(&mut self, thread: &Arc<Thread>) {
        self.slots.entry(thread.id().number()).or_default().thread = Some(thread.clone());
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
        self.slots.entry(process.group().number()).or_default().group.push(process.clone());
        self.slots.entry(process.session.lock().id().number()).or_default().session_members += 1;
        if let Some(parent) = self.process(process.parent()) {
            parent.children.lock().push(process.clone());
        }
    }

    /// Takes a process out that has been waited for.
    pub(super) fn remove_process(&mut self, process: &Arc<Process>) {
        self.leave_group(process);
        self.leave_session(process);
        if let Some(parent) = self.process(process.parent()) {
            parent.children.lock().retain(|child| !Arc::ptr_eq(child, process));
        }
        if let Some(slot) = self.slots.get_mut(&process.pid().number()) {
            slot.process = None;
        }
        self.release(process.pid());
    }

    /// The process with this number.
    pub(super) fn process(&self, pid: Pid) -> Option<&Arc<Process>> {
        self.slots.get(&pid.number())?.process.as_ref()
    }

    /// The members of a group; empty if there is no such group.
    pub(super) fn group(&self, group: Pid) -> &[Arc<Process>] {
        self.slots.get(&group.number()).map_or(&[], |slot| &slot.group)
    }

    /// Moves a process to another group.
    pub(super) fn move_to_group(&mut self, process: &Arc<Process>, group: Pid) {
        self.leave_group(process);
        process.group.store(group.number(), Ordering::Relaxed);
        self.slots.entry(group.number()).or_default().group.push(process.clone());
    }

    /// Moves a process to another session.
    pub(super) fn move_to_session(&mut self, process: &Arc<Process>, session: Arc<Session>) {
        self.leave_session(process);
        self.slots.entry(session.id().number()).or_default().session_members += 1;
        let old = core::mem::replace(&mut *process.session.lock(), session);
        drop(old);
    }

    /// Gives the children of an ending process to another one.
    pub(super) fn move_children(&mut self, from: &Process, to: &Process) -> Vec<Arc<Process>> {
        let children = core::mem::take(&mut *from.children.lock());
        for child in &children {
            child.parent.store(to.pid().number(), Ordering::Relaxed);
        }
        to.children.lock().extend(children.iter().cloned());
        children
    }

    /// Whether no member of the group has a parent outside the group and inside the session: nobody could continue it.
    pub(super) fn is_orphaned(&self, group: Pid) -> bool {
        !self.group(group).iter().any(|member| {
            let parent = self.process(member.parent());
            member.ended().is_none()
                && parent.is_some_and(|parent| {
                    parent.group() != group && Arc::ptr_eq(&parent.session(), &member.session())
                })
        })
    }

    fn leave_group(&mut self, process: &Arc<Process>) {
        let group = process.group();
        if let Some(slot) = self.slots.get_mut(&group.number()) {
            // From the end: those that came last often go first.
            let index = slot.group.iter().rposition(|member| Arc::ptr_eq(member, process));
            drop(index.map(|index| slot.group.remove(index)));
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

/// The process with this number, zombies included.
pub fn find_process(pid: Pid) -> Option<Arc<Process>> {
    TABLE.lock().process(pid).cloned()
}

/// How many threads have been made since boot, the first ones of processes included.
pub fn made_threads() -> u64 {
    TABLE.lock().made
}

/// The living thread with this number.
pub fn find_thread(pid: Pid) -> Option<Arc<Thread>> {
    TABLE.lock().slots.get(&pid.number())?.thread.clone()
}

/// The members of a group.
pub fn group_members(group: Pid) -> Vec<Arc<Process>> {
    TABLE.lock().group(group).to_vec()
}

/// Whether nobody could continue the group if it stopped.
pub fn is_orphaned(group: Pid) -> bool {
    TABLE.lock().is_orphaned(group)
}

/// The first process whose number is not below `from`: for walks over all processes, which may change meanwhile.
pub fn next_process(from: Pid) -> Option<Arc<Process>> {
    let table = TABLE.lock();
    table.slots.range(from.number()..).find_map(|(_, slot)| slot.process.clone())
}

/// Calls `visit` for every process, zombies included, in the order of their numbers.
pub fn for_each_process(mut visit: impl FnMut(&Arc<Process>)) {
    let mut from = Pid::new(0);
    while let Some(process) = next_process(from) {
        visit(&process);
        from = Pid::new(process.pid().number() + 1);
    }
}

/// The process that adopts orphans when no ancestor asks for them.
pub fn init() -> Option<Arc<Process>> {
    find_process(Pid::INIT)
}
