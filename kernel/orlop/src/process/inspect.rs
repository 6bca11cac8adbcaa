//! Who may look into a process: its memory, descriptors and environment.

use subject::{Credentials, capability};

use super::{Process, current};

/// Whether the running thread may look into a process: one of its own process may; otherwise all of the process's users and groups
/// must be the caller's, it must have no capability that the caller lacks, and be dumpable; or the caller may trace everybody (Linux:
/// `PTRACE_MODE_READ_FSCREDS`).
pub fn may_inspect(process: &Process) -> bool {
    let Some(caller) = current() else { return true };
    if core::ptr::eq(&raw const **caller.process(), process) {
        return true;
    }
    // One that has ended has no memory any more that could be dumped, but an owner.
    let living = process.find_thread(|_| true);
    let has_ended = living.is_none();
    let Some(target) = living.or_else(|| process.leader()) else { return true };
    let (caller, target) = (caller.credentials(), target.credentials());
    caller.has_capability(capability::SYS_PTRACE)
        || (has_ended || process.is_dumpable()) && is_same(&caller, &target)
}

fn is_same(caller: &Credentials, target: &Credentials) -> bool {
    let (user, group) = (target.user, target.group);
    [user.real, user.effective, user.saved].iter().all(|&id| id == caller.user.file_system)
        && [group.real, group.effective, group.saved].iter().all(|&id| id == caller.group.file_system)
        && target.capabilities.permitted & !caller.capabilities.effective == 0
}
