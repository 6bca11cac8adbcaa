//! `unshare` and `setns`: what a thread shares with others, and the namespaces that it is in.
//!
//! There is one namespace of each kind (`nsfs`): to make another is EINVAL, as in a kernel that was built without them,
//! and to go to the one there is changes nothing, for who might.

use abi::Errno;
use abi::process::{
    CLONE_FILES, CLONE_FS, CLONE_NEWCGROUP, CLONE_NEWIPC, CLONE_NEWNET, CLONE_NEWNS, CLONE_NEWPID,
    CLONE_NEWTIME, CLONE_NEWUSER, CLONE_NEWUTS, CLONE_SIGHAND, CLONE_SYSVSEM, CLONE_THREAD, CLONE_VM,
};
use outcome::Failure;
use subject::capability;
use vfs::mount;

use crate::nsfs::{self, Namespace};

use super::{Caller, at};

const NAMESPACES: u64 = CLONE_NEWCGROUP
    | CLONE_NEWIPC
    | CLONE_NEWNET
    | CLONE_NEWNS
    | CLONE_NEWPID
    | CLONE_NEWTIME
    | CLONE_NEWUSER
    | CLONE_NEWUTS;

/// What only a process of one thread has to itself.
const ALONE: u64 = CLONE_THREAD | CLONE_SIGHAND | CLONE_VM;

/// `unshare(flags)`.
pub fn unshare(caller: &mut Caller<'_>, flags: u64) -> Result<(), Failure> {
    let known = ALONE | CLONE_FS | CLONE_FILES | CLONE_SYSVSEM;
    if flags & !known != 0 {
        return Err(Errno::EINVAL.into());
    }
    let thread = caller.thread;
    if flags & ALONE != 0 && thread.process().thread_count() > 1 {
        return Err(Errno::EINVAL.into());
    }
    // All that can fail comes before anything has changed. Semaphores with undo lists are absent.
    let files = if flags & CLONE_FILES != 0 { Some(thread.files().duplicate()?) } else { None };
    if flags & CLONE_FS != 0 {
        thread.set_fs(Some(thread.fs().duplicate()));
    }
    if files.is_some() {
        thread.set_files(files);
    }
    Ok(())
}

/// `setns(fd, kind)`.
pub fn setns(caller: &mut Caller<'_>, fd: i32, kind: u32) -> Result<(), Failure> {
    let file = at::content_file(caller, fd)?;
    let namespace = nsfs::of_file(&file).ok_or(Errno::EINVAL)?;
    if kind != 0 && u64::from(kind) != namespace.flag() {
        return Err(Errno::EINVAL.into());
    }
    let thread = caller.thread;
    // Nobody enters the namespace of users that he is in (Linux: `userns_install`).
    if namespace.flag() == CLONE_NEWUSER {
        return Err(Errno::EINVAL.into());
    }
    if namespace.flag() == CLONE_NEWTIME && thread.process().thread_count() > 1 {
        return Err(Errno::EUSERS.into());
    }
    let may = |capability| thread.with_credentials(|credentials| credentials.has_capability(capability));
    let may_change_root = namespace.flag() != CLONE_NEWNS || may(capability::SYS_CHROOT);
    if !may(capability::SYS_ADMIN) || !may_change_root {
        return Err(Errno::EPERM.into());
    }
    match namespace {
        Namespace::Mounts(mounts) => enter_mounts(caller, mounts),
        _ => Ok(()),
    }
}

/// Whoever comes to a namespace of mounts begins at its root (Linux: `mntns_install`). EINVAL where others share the
/// directories.
fn enter_mounts(caller: &Caller<'_>, mounts: &mount::Namespace) -> Result<(), Failure> {
    let context = caller.thread.fs();
    if context.holders() > 1 {
        return Err(Errno::EINVAL.into());
    }
    let root = mounts.root().ok_or(Errno::EINVAL)?.root_location();
    context.set_root(root.clone());
    context.set_working_directory(root);
    Ok(())
}

const _: () = assert!(NAMESPACES & (ALONE | CLONE_FS | CLONE_FILES | CLONE_SYSVSEM) == 0);
