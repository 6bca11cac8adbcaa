//! Who may look into a process: its memory, descriptors and environment.
//!
//! What `execve` makes of a process, memory and credentials, comes in one step ([`Process::exchange`]) under a lock
//! that sleeps. Who looks into a process holds it, too, from the question whether he may until he has what he looks at
//! (Linux: `exec_update_lock`): nobody is let in as one program and finds another. It is held for short, and comes
//! before all locks that such a look takes.

use sched::mutex::MutexGuard;
use subject::{Credentials, GroupId, UserId, capability};

use super::{Process, current};

/// Leave of the running thread to look into a process, which executes nothing as long as this is held. What is got
/// meanwhile may be looked at afterwards.
pub struct Inspection<'a> {
    _same_program: MutexGuard<'a, ()>,
}

impl<'a> Inspection<'a> {
    /// `None` where it may not: [`may_inspect`].
    pub fn begin(process: &'a Process) -> Option<Inspection<'a>> {
        Inspection::begin_as(process, Caller::acting)
    }

    /// As [`Inspection::begin`], for a call that goes by who the caller really is, whoever it acts as (Linux:
    /// `PTRACE_MODE_READ_REALCREDS`).
    pub fn begin_as_real(process: &'a Process) -> Option<Inspection<'a>> {
        Inspection::begin_as(process, Caller::real)
    }

    /// Asks twice: who may not look does not keep the process from executing.
    fn begin_as(process: &'a Process, as_whom: fn(&Credentials) -> Caller) -> Option<Inspection<'a>> {
        if !may(process, as_whom) {
            return None;
        }
        let same_program = process.exchanging.lock();
        may(process, as_whom).then_some(Inspection { _same_program: same_program })
    }
}

/// Who looks, as far as that decides.
struct Caller {
    user: UserId,
    group: GroupId,
    capabilities: u64,
}

impl Caller {
    fn acting(own: &Credentials) -> Caller {
        let (user, group) = (own.user.file_system, own.group.file_system);
        Caller { user, group, capabilities: own.capabilities.effective }
    }

    fn real(own: &Credentials) -> Caller {
        Caller { user: own.user.real, group: own.group.real, capabilities: own.capabilities.permitted }
    }

    fn is_same(&self, target: &Credentials) -> bool {
        let (user, group) = (target.user, target.group);
        [user.real, user.effective, user.saved].iter().all(|&id| id == self.user)
            && [group.real, group.effective, group.saved].iter().all(|&id| id == self.group)
            && target.capabilities.permitted & !self.capabilities == 0
    }
}

/// Whether the running thread may look into a process, for who looks at nothing that `execve` exchanges: one of its own
/// process may; otherwise all of the process's users and groups must be the caller's, it must have no capability that
/// the caller lacks, and be dumpable; or the caller may trace everybody (Linux: `PTRACE_MODE_READ_FSCREDS`).
pub fn may_inspect(process: &Process) -> bool {
    may(process, Caller::acting)
}

fn may(process: &Process, as_whom: fn(&Credentials) -> Caller) -> bool {
    let Some(caller) = current() else { return true };
    if core::ptr::eq(&raw const **caller.process(), process) {
        return true;
    }
    // One that has ended has no memory any more that could be dumped, but an owner.
    let living = process.find_thread(|_| true);
    let has_ended = living.is_none();
    let Some(target) = living.or_else(|| process.leader()) else { return true };
    let (caller, target) = (caller.credentials(), target.credentials());
    // Its credentials before what they let be seen, in the order opposite to that in which they change.
    caller.has_capability(capability::SYS_PTRACE)
        || (has_ended || process.is_dumpable()) && as_whom(&caller).is_same(&target)
}
