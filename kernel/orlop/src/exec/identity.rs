//! Who a program runs as: set-user-ID and set-group-ID files, and what `execve` does to capabilities.
//!
//! Source: credentials(7), capabilities(7) "Transformation of capabilities during execve()", Linux 6.1's
//! `security/commoncap.c`. Files have no capabilities of their own here; root's are the traditional ones.

use alloc::sync::Arc;

use abi::fs::{MS_NOSUID, S_ISGID, S_ISUID, S_IXGRP};
use abi::process::{SECBIT_KEEP_CAPS, SECBIT_NOROOT};

use crate::fs::File;
use crate::fs::permission::{self, Access};
use crate::process::{Credentials, Identity, Thread};

/// Credentials of the new program, and whether it gained privileges (`AT_SECURE`).
pub struct NewIdentity {
    /// What the thread acts as.
    pub credentials: Arc<Credentials>,
    /// Whether the C library must not trust the environment.
    pub secure: bool,
    /// Whether the caller could read the program: if not, nobody sees it in the process's memory either (Linux: `would_dump`).
    pub may_read: bool,
}

/// What the thread becomes by executing `file`.
pub fn after_exec(thread: &Thread, file: &File) -> NewIdentity {
    let old = thread.credentials();
    let may_read = permission::check(file.inode(), &old, Access::READ).is_ok();
    // Who has renounced privileges gets none from a file (`PR_SET_NO_NEW_PRIVS`).
    let renounced = thread.no_new_privileges();
    let (set_user, set_group) = if renounced { (None, None) } else { set_identifiers(file) };
    if set_user.is_none() && set_group.is_none() && is_plain(&old) {
        return NewIdentity { credentials: old, secure: false, may_read };
    }
    let mut new = (*old).clone();
    new.user.effective = set_user.unwrap_or(old.user.effective);
    new.group.effective = set_group.unwrap_or(old.group.effective);
    let is_setid = new.user.effective != old.user.real || new.group.effective != old.group.real;
    let has_root = !old.has_securebit(SECBIT_NOROOT);
    let effective_root = has_root && new.user.effective == 0;
    let is_root = effective_root || has_root && new.user.real == 0;
    new.capabilities.permitted =
        if is_root { old.capabilities.bounding | old.capabilities.inheritable } else { 0 };
    let gains = new.capabilities.permitted & !old.capabilities.permitted != 0;
    if renounced && (is_setid || gains) {
        new.user.effective = new.user.real;
        new.group.effective = new.group.real;
        new.capabilities.permitted &= old.capabilities.permitted;
    }
    for identity in [&mut new.user, &mut new.group] {
        *identity = Identity { saved: identity.effective, file_system: identity.effective, ..*identity };
    }
    settle_capabilities(&mut new, is_setid, effective_root);
    let sets = &new.capabilities;
    let is_elevated = effective_root || sets.permitted & !sets.ambient != 0;
    let secure = is_setid || new.user.real != 0 && is_elevated;
    NewIdentity { credentials: Arc::new(new), secure, may_read }
}

/// Ambient capabilities are added to what is permitted, unless the file sets an identifier. With effective root all that is
/// permitted is in effect, else what is ambient.
fn settle_capabilities(new: &mut Credentials, is_setid: bool, effective_root: bool) {
    let sets = &mut new.capabilities;
    if is_setid {
        sets.ambient = 0;
    }
    sets.permitted |= sets.ambient;
    sets.effective = if effective_root { sets.permitted } else { sets.ambient };
    new.securebits &= !SECBIT_KEEP_CAPS;
}

/// User and group that the file's set-ID bits name.
fn set_identifiers(file: &File) -> (Option<u32>, Option<u32>) {
    if file.location().mount.flags() & MS_NOSUID != 0 {
        return (None, None);
    }
    let attributes = &file.inode().attributes;
    let mode = attributes.permissions();
    let user = (mode & S_ISUID != 0).then(|| attributes.owner());
    // Without group execution the bit once meant mandatory locking.
    let group = (mode & S_ISGID != 0 && mode & S_IXGRP != 0).then(|| attributes.group());
    (user, group)
}

/// Whether `execve` of an ordinary file leaves the credentials as they are: root with all it can have, nobody
/// changing identity.
fn is_plain(old: &Credentials) -> bool {
    let same = |identity: &Identity| {
        let Identity { real, effective, saved, file_system } = *identity;
        real == effective && effective == saved && effective == file_system
    };
    let sets = &old.capabilities;
    let is_root = old.user.effective == 0 && !old.has_securebit(SECBIT_NOROOT);
    let expected = if is_root { sets.bounding | sets.inheritable } else { 0 };
    let capabilities = sets.permitted == expected && sets.effective == expected && sets.ambient == 0;
    same(&old.user) && same(&old.group) && capabilities && !old.has_securebit(SECBIT_KEEP_CAPS)
}

/// Whether the memory of a program may be seen by others of its user: not if it acts as somebody else than its real user, or gains
/// something by `execve` (Linux: `begin_new_exec`, `commit_creds`).
pub fn is_dumpable(old: &Credentials, new: &Credentials) -> bool {
    old.user.effective == old.user.real && old.group.effective == old.group.real && !old.is_exceeded_by(new)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process::capability;
    use abi::process::SECBIT_NO_SETUID_FIXUP;

    #[test]
    fn root_is_plain_unless_it_renounced_being_root() {
        let mut root = Credentials::root();
        assert!(is_plain(&root));
        root.securebits = SECBIT_NOROOT;
        assert!(!is_plain(&root));
        let mut user = Credentials::root();
        user.securebits = SECBIT_NO_SETUID_FIXUP;
        user.set_three_users([Some(7), Some(7), Some(7)]).expect("root may");
        assert_eq!(user.capabilities.effective, capability::ALL);
        assert!(!is_plain(&user));
    }

    #[test]
    fn ambient_capabilities_survive() {
        let mut user = Credentials::root();
        user.set_user(7).expect("root may");
        user.capabilities.ambient = 4;
        user.capabilities.permitted = 0;
        settle_capabilities(&mut user, false, false);
        assert_eq!((user.capabilities.permitted, user.capabilities.effective), (4, 4));
        settle_capabilities(&mut user, true, false);
        assert_eq!((user.capabilities.ambient, user.capabilities.effective), (0, 0));
    }
}
