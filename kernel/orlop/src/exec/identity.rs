//! Who a program runs as: set-user-ID and set-group-ID files, files with capabilities, and what `execve` does to those
//! of threads.
//!
//! Source: credentials(7), capabilities(7) "Transformation of capabilities during execve()", Linux 6.1's
//! `security/commoncap.c`. What a file without capabilities gives to root are the traditional ones: all.

use alloc::sync::Arc;

use abi::Errno;
use abi::fs::{MS_NOSUID, S_ISGID, S_ISUID, S_IXGRP};
use abi::process::{SECBIT_KEEP_CAPS, SECBIT_NOROOT};
use libkernel::file_capabilities::FileCapabilities;
use subject::{Credentials, GroupId, UserId, capability};
use vfs::context::Execution;
use vfs::permission::{self, Access};
use vfs::{File, extended, limits};

use crate::process::Thread;

/// Credentials of the new program, and what else becomes of who executes it.
pub struct NewIdentity {
    /// What the thread acts as.
    pub credentials: Arc<Credentials>,
    /// Whether the C library must not trust the environment (`AT_SECURE`).
    pub secure: bool,
    /// Whether the file would make it somebody else, or give it capabilities: it is then placed in memory as the kernel
    /// likes.
    pub clears_personality: bool,
    /// Whether the caller could read the program: if not, nobody sees it in the process's memory either (Linux:
    /// `would_dump`).
    pub may_read: bool,
    /// Keeps those from the directories of one who gains by the program that do not have them yet.
    pub execution: Option<Execution>,
}

/// What the thread becomes by executing `file`. EPERM where a program that does not know of capabilities would lack
/// some of its own, EINVAL where these cannot be read.
pub fn after_exec(thread: &Thread, file: &File) -> Result<NewIdentity, Errno> {
    let old = thread.credentials();
    let may_read = permission::check(file.inode(), &old, Access::READ).is_ok();
    let gift = Gift::of(thread, file)?;
    if gift.is_none() && is_plain(&old) {
        let (secure, clears_personality, execution) = (false, false, None);
        return Ok(NewIdentity { credentials: old, secure, clears_personality, may_read, execution });
    }
    let mut new = (*old).clone();
    new.user.effective = gift.user.unwrap_or(old.user.effective);
    new.group.effective = gift.group.unwrap_or(old.group.effective);
    let (permitted, effective) = permitted_by(&gift, &new)?;
    new.capabilities.permitted = permitted;
    let gains = permitted & !old.capabilities.permitted != 0;
    let is_setid = new.user.effective != old.user.real || new.group.effective != old.group.real;
    // Until the new program runs: another thread may be about to share the directories.
    let execution = (is_setid || gains).then(|| Execution::begin(thread.fs()));
    if execution.is_some() {
        renounce(thread, &old, &mut new);
    }
    new.user.settle();
    new.group.settle();
    if is_setid || gift.capabilities.is_some() {
        new.capabilities.ambient = 0;
    }
    settle_capabilities(&mut new, effective);
    let sets = &new.capabilities;
    let is_elevated = effective || sets.permitted & !sets.ambient != 0;
    Ok(NewIdentity {
        secure: is_setid || new.user.real != UserId::ROOT && is_elevated,
        clears_personality: gift.user.is_some() || gift.group.is_some() || gains,
        credentials: Arc::new(new),
        may_read,
        execution,
    })
}

/// What a file makes of who executes it.
struct Gift {
    /// The user that its set-user-ID bit names.
    user: Option<UserId>,
    /// The group that its set-group-ID bit names.
    group: Option<GroupId>,
    capabilities: Option<FileCapabilities>,
}

impl Gift {
    fn of(thread: &Thread, file: &File) -> Result<Gift, Errno> {
        let mut gift = Gift { user: None, group: None, capabilities: None };
        if file.location().mount.flags() & MS_NOSUID != 0 {
            return Ok(gift);
        }
        let inode = file.inode();
        if !limits::has_privileges(inode) {
            return Ok(gift);
        }
        // As one value: whoever changes the owner takes these bits away first, and they must not be read with the new
        // owner.
        let held = inode.lock_attributes();
        gift.capabilities = extended::capabilities(&held)?;
        let attributes = &inode.attributes;
        let mode = attributes.permissions();
        // Who has renounced privileges gets none from a file (`PR_SET_NO_NEW_PRIVS`); of capabilities those that it had
        // (`renounce`).
        if mode & (S_ISUID | S_ISGID) != 0 && !thread.no_new_privileges() {
            gift.user = (mode & S_ISUID != 0).then(|| attributes.owner());
            // Without group execution the bit once meant mandatory locking.
            gift.group = (mode & S_ISGID != 0 && mode & S_IXGRP != 0).then(|| attributes.group());
        }
        Ok(gift)
    }

    fn is_none(&self) -> bool {
        self.user.is_none() && self.group.is_none() && self.capabilities.is_none()
    }
}

/// What is permitted to who acts as `new` already, before ambient capabilities are added, and whether that is in effect
/// at once.
fn permitted_by(gift: &Gift, new: &Credentials) -> Result<(u64, bool), Errno> {
    let sets = &new.capabilities;
    let (mut permitted, mut effective) = (0, false);
    if let Some(given) = gift.capabilities {
        permitted = sets.bounding & given.permitted | sets.inheritable & given.inheritable;
        effective = given.effective;
        if effective && given.permitted & !permitted != 0 {
            return Err(Errno::EPERM);
        }
    }
    let (acts_as_root, is_root) = (new.user.effective == UserId::ROOT, new.user.real == UserId::ROOT);
    // A set-user-ID program of root's with capabilities of its own has just these, unless it is root who executes it.
    let has_just_these = gift.capabilities.is_some() && acts_as_root && !is_root;
    if !new.has_securebit(SECBIT_NOROOT) && !has_just_these {
        if acts_as_root || is_root {
            permitted = sets.bounding | sets.inheritable;
        }
        effective |= acts_as_root;
    }
    Ok((permitted, effective))
}

/// Takes back what may not be gained: by who has said that it wants to gain nothing, and by who shares its directories
/// with another process, which could lead the program astray (Linux: `LSM_UNSAFE_SHARE`).
fn renounce(thread: &Thread, old: &Credentials, new: &mut Credentials) {
    let renounced = thread.no_new_privileges();
    if !renounced && !shares_context(thread) {
        return;
    }
    if renounced || !old.has_capability(capability::SETUID) {
        new.user.effective = new.user.real;
        new.group.effective = new.group.real;
    }
    new.capabilities.permitted &= old.capabilities.permitted;
}

/// Whether threads of other processes have the same root and working directory (`CLONE_FS`).
fn shares_context(thread: &Thread) -> bool {
    let context = thread.fs();
    let mut own = 0;
    thread.process().each_thread(|each| {
        own += usize::from(each.try_fs().is_some_and(|other| Arc::ptr_eq(&other, &context)));
    });
    context.holders() > own
}

/// Ambient capabilities are added to what is permitted. All of that is in effect, or else what is ambient.
fn settle_capabilities(new: &mut Credentials, effective: bool) {
    let sets = &mut new.capabilities;
    sets.permitted |= sets.ambient;
    sets.effective = if effective { sets.permitted } else { sets.ambient };
    new.securebits &= !SECBIT_KEEP_CAPS;
}

/// Whether `execve` of an ordinary file leaves the credentials as they are: root with all it can have, nobody
/// changing identity.
fn is_plain(old: &Credentials) -> bool {
    let sets = &old.capabilities;
    let is_root = old.user.effective == UserId::ROOT && !old.has_securebit(SECBIT_NOROOT);
    let expected = if is_root { sets.bounding | sets.inheritable } else { 0 };
    let capabilities = sets.permitted == expected && sets.effective == expected && sets.ambient == 0;
    old.user.is_single() && old.group.is_single() && capabilities && !old.has_securebit(SECBIT_KEEP_CAPS)
}

/// Whether the memory of a program may be seen by others of its user: not if it acts as somebody else than its real
/// user, or gains something by `execve` (Linux: `begin_new_exec`, `commit_creds`).
pub fn is_dumpable(old: &Credentials, new: &Credentials) -> bool {
    old.user.effective == old.user.real && old.group.effective == old.group.real && !old.is_exceeded_by(new)
}

#[cfg(test)]
mod tests {
    use super::*;
    use abi::process::SECBIT_NO_SETUID_FIXUP;
    use subject::{UserNamespace, capability};

    fn seven() -> UserId {
        UserNamespace::initial().user(7).expect("a user")
    }

    #[test]
    fn root_is_plain_unless_it_renounced_being_root() {
        let mut root = Credentials::root();
        assert!(is_plain(&root));
        root.securebits = SECBIT_NOROOT;
        assert!(!is_plain(&root));
        let mut user = Credentials::root();
        user.securebits = SECBIT_NO_SETUID_FIXUP;
        user.set_three_users([Some(seven()); 3]).expect("root may");
        assert_eq!(user.capabilities.effective, capability::ALL);
        assert!(!is_plain(&user));
    }

    #[test]
    fn ambient_capabilities_survive() {
        let mut user = Credentials::root();
        user.set_user(seven()).expect("root may");
        user.capabilities.ambient = 4;
        user.capabilities.permitted = 0;
        settle_capabilities(&mut user, false);
        assert_eq!((user.capabilities.permitted, user.capabilities.effective), (4, 4));
        user.capabilities.ambient = 0;
        settle_capabilities(&mut user, false);
        assert_eq!((user.capabilities.permitted, user.capabilities.effective), (4, 0));
    }
}
