//! Process groups and sessions: `setpgid`, `setsid`.

use alloc::sync::Arc;
use core::sync::atomic::Ordering;

use abi::Errno;
use hal::list::List;
use hal::sync::{SpinGuard, SpinLock};
use subject::Pid;

use super::{Process, Session, Thread, table};

/// A process group, known by the process that it was made for.
pub(super) struct Group {
    id: Pid,
    /// In the order of their coming. Changed under the table's lock.
    members: SpinLock<List<Process>>,
}

impl Group {
    /// A group without members.
    pub(super) fn new(id: Pid) -> Arc<Group> {
        Arc::new(Group { id, members: SpinLock::new(List::new()) })
    }

    /// What the kernel knows it by.
    pub(super) const fn id(&self) -> Pid {
        self.id
    }

    /// The members, to be used under the table's lock.
    pub(super) fn members(&self) -> SpinGuard<'_, List<Process>> {
        self.members.lock()
    }
}

/// The process of the thread with a program's number, the caller's own for 0; ESRCH if there is none.
pub fn process_or_self(thread: &Thread, pid: i32) -> Result<Arc<Process>, Errno> {
    match pid {
        0 => Ok(thread.process().clone()),
        pid => {
            let named = thread.named(pid).ok_or(Errno::ESRCH)?;
            Ok(named.process().clone())
        }
    }
}

/// Moves the caller or one of its children into a group of its session, or into a new one named after the process.
pub fn set_group(thread: &Thread, pid: i32, group: i32) -> Result<(), Errno> {
    if group < 0 || group == 0 && pid < 0 {
        return Err(Errno::EINVAL);
    }
    let caller = thread.process();
    let mut table = table::lock_between_walks();
    let process = match pid {
        0 => caller.clone(),
        pid => named_process(&table, thread.pid_namespace().find(pid).ok_or(Errno::ESRCH)?)?,
    };
    let is_self = Arc::ptr_eq(&process, caller);
    if !is_self && process.parent() != caller.pid() {
        return Err(Errno::ESRCH);
    }
    let session = process.session();
    if !is_self && !Arc::ptr_eq(&session, &caller.session()) {
        return Err(Errno::EPERM);
    }
    if !is_self && process.has_executed.load(Ordering::Relaxed) {
        return Err(Errno::EACCES);
    }
    if session.id() == process.pid() {
        return Err(Errno::EPERM);
    }
    let group = thread.pid_namespace().find(group).unwrap_or(process.pid());
    // All members of a group are in one session.
    let in_session = |member: Arc<Process>| Arc::ptr_eq(&member.session(), &caller.session());
    if group != process.pid() && !table.first_member(group).is_some_and(in_session) {
        return Err(Errno::EPERM);
    }
    if group != process.group() {
        table.move_to_group(&process, group);
    }
    Ok(())
}

/// The process that `setpgid` was given; EINVAL for that of a thread that leads none.
fn named_process(table: &table::Table, pid: Pid) -> Result<Arc<Process>, Errno> {
    match table.process(pid) {
        Some(process) => Ok(process.clone()),
        None if table.thread(pid).is_some() => Err(Errno::EINVAL),
        None => Err(Errno::ESRCH),
    }
}

/// Makes the caller the leader of a new session and of a new group in it; EPERM if it leads a group already.
pub fn new_session(thread: &Thread) -> Result<Pid, Errno> {
    let process = thread.process();
    let pid = process.pid();
    let mut table = table::lock_between_walks();
    if table.group(pid).is_some() {
        return Err(Errno::EPERM);
    }
    table.move_to_session(process, Session::new(pid));
    table.move_to_group(process, pid);
    Ok(pid)
}
