//! Signals of open files: who gets them (`F_SETOWN`), which one (`F_SETSIG`), and whether they are sent (`O_ASYNC`).

use alloc::sync::Arc;

use abi::Errno;
use abi::fs::{
    F_GETOWN, F_GETOWN_EX, F_GETOWNER_UIDS, F_GETSIG, F_OWNER_PGRP, F_OWNER_PID, F_SETOWN, F_SETOWN_EX,
    F_SETSIG, O_ASYNC, OwnerEx,
};
use libkernel::addr::UserAddr;
use memory::user::UserPtr;
use vfs::File;
use vfs::owner::{self, Sender};

use super::{Caller, Failure};
use crate::process;
use crate::signal::{Signal, recipient};

/// The commands of `fcntl` about the owner and its signal; EINVAL for any other.
pub(super) fn fcntl(caller: &Caller<'_>, file: &File, command: u32, argument: u64) -> Result<u64, Failure> {
    let (owner, address) = (file.owner(), UserAddr::new(argument));
    match command {
        F_GETOWN => {
            let OwnerEx { kind, pid } = shown_owner(caller, file);
            let signed = if kind == F_OWNER_PGRP { -pid } else { pid };
            return Ok(i64::from(signed).cast_unsigned());
        }
        F_SETOWN => set_signed(caller, file, (argument as u32).cast_signed())?,
        F_GETOWN_EX => UserPtr::new(address).write(&shown_owner(caller, file))?,
        F_SETOWN_EX => set_owner(caller, file, UserPtr::<OwnerEx>::new(address).read()?)?,
        F_GETOWNER_UIDS => {
            let Sender { real, effective } = owner.sender();
            let names = caller.thread.user_namespace();
            UserPtr::new(address).write(&[real, effective].map(|user| user.number_in(&names)))?;
        }
        F_GETSIG => return Ok(owner.signal().map_or(0, |signal| u64::from(signal.number()))),
        F_SETSIG if argument == 0 => owner.set_signal(None),
        F_SETSIG => {
            let number = u32::try_from(argument).map_err(|_| Errno::EINVAL)?;
            owner.set_signal(Some(Signal::new(number).ok_or(Errno::EINVAL)?));
        }
        _ => return Err(Errno::EINVAL.into()),
    }
    Ok(0)
}

/// The owner as it was named; number 0 for nobody and for one that is gone.
fn shown_owner(caller: &Caller<'_>, file: &File) -> OwnerEx {
    let (kind, pid) = file.owner().get();
    OwnerEx { kind, pid: pid.map_or(0, |pid| caller.thread.shown(pid)) }
}

/// `F_SETOWN`: a process, or a group if negative. EINVAL for a number that has no opposite.
fn set_signed(caller: &Caller<'_>, file: &File, number: i32) -> Result<(), Errno> {
    let pid = number.checked_abs().ok_or(Errno::EINVAL)?;
    set_owner(caller, file, OwnerEx { kind: if number < 0 { F_OWNER_PGRP } else { F_OWNER_PID }, pid })
}

/// `F_SETOWN_EX`. EINVAL for another kind, ESRCH for a number that nothing has.
fn set_owner(caller: &Caller<'_>, file: &File, owner: OwnerEx) -> Result<(), Errno> {
    if !owner::is_kind(owner.kind) {
        return Err(Errno::EINVAL);
    }
    if owner.pid == 0 {
        // On whose behalf nobody is signalled stays as it was, as on Linux.
        file.owner().set(owner.kind, None, file.owner().sender());
        return Ok(());
    }
    let named = caller.thread.pid_namespace().find(owner.pid);
    let pid = named.filter(|&pid| process::is_in_use(pid)).ok_or(Errno::ESRCH)?;
    file.owner().set(owner.kind, Some((pid, recipient::of_kind(owner.kind, pid))), sender(caller));
    Ok(())
}

fn sender(caller: &Caller<'_>) -> Sender {
    caller.thread.with_credentials(|credentials| Sender {
        real: credentials.user.real,
        effective: credentials.user.effective,
    })
}

/// Has signals sent for a file, or no more, if that is a change; whether the file can. One that cannot keeps its flag.
pub(super) fn set_asynchronous(caller: &Caller<'_>, file: &Arc<File>, fd: i32, is_wanted: bool) -> bool {
    if is_wanted == (file.flags() & O_ASYNC != 0) {
        return true;
    }
    let can = file.set_asynchronous(fd, is_wanted);
    if is_wanted && let Some(opened) = file.operations::<crate::tty::Opened>() {
        own_if_nobody_does(caller, file, opened.terminal_behind().foreground());
    }
    can
}

/// A terminal's signals are for its foreground group, or else for the caller's process, unless an owner was named
/// (Linux: `__tty_fasync`).
pub(super) fn own_if_nobody_does(caller: &Caller<'_>, file: &File, foreground: Option<subject::Pid>) {
    if file.owner().is_named() {
        return;
    }
    let (kind, pid) = match foreground {
        Some(group) => (F_OWNER_PGRP, group),
        None => (F_OWNER_PID, caller.thread.id()),
    };
    file.owner().set(kind, Some((pid, recipient::of_kind(kind, pid))), sender(caller));
}
