//! Who a program runs as: set-user-ID and set-group-ID files, and what `execve` does to capabilities.
//!
//! Source: credentials(7), capabilities(7) "Transformation of capabilities during execve()". Files have no
//! capabilities of their own here; root's are the traditional ones.

use alloc::sync::Arc;

use abi::fs::{MS_NOSUID, S_ISGID, S_ISUID, S_IXGRP};

use crate::fs::File;
use crate::process::Credentials;

/// Credentials of the new program, and whether it gained privileges (`AT_SECURE`).
pub struct NewIdentity {
    /// What the thread acts as.
    pub credentials: Arc<Credentials>,
    /// Whether the C library must not trust the environment.
    pub secure: bool,
}

/// What the caller becomes by executing `file`.
pub fn after_exec(old: &Arc<Credentials>, file: &File) -> NewIdentity {
    let (set_user, set_group) = set_identifiers(file);
    if set_user.is_none() && set_group.is_none() && is_plain(old) {
        return NewIdentity { credentials: old.clone(), secure: false };
    }
    let mut new = (**old).clone();
    if let Some(user) = set_user {
        new.user.effective = user;
    }
    if let Some(group) = set_group {
        new.group.effective = group;
    }
    new.user.saved = new.user.effective;
    new.user.file_system = new.user.effective;
    new.group.saved = new.group.effective;
    new.group.file_system = new.group.effective;
    set_capabilities(&mut new, old);
    new.keep_capabilities = false;
    let secure = new.user.effective != new.user.real
        || new.group.effective != new.group.real
        || (new.user.real != 0 && new.capabilities.effective & !new.capabilities.ambient != 0);
    NewIdentity { credentials: Arc::new(new), secure }
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
    let same = |identity: &crate::process::Identity| {
        identity.effective == identity.saved && identity.effective == identity.file_system
    };
    let sets = &old.capabilities;
    let expected =
        if old.user.effective == 0 || old.user.real == 0 { sets.bounding | sets.inheritable } else { 0 };
    let effective = if old.user.effective == 0 { expected } else { 0 };
    let capabilities = sets.permitted == expected && sets.effective == effective && sets.ambient == 0;
    same(&old.user)
        && same(&old.group)
        && capabilities
        && !old.keep_capabilities
        && old.user.real == old.user.effective
        && old.group.real == old.group.effective
}

fn set_capabilities(new: &mut Credentials, old: &Credentials) {
    let gained = new.user.effective != old.user.effective || new.group.effective != old.group.effective;
    let sets = &mut new.capabilities;
    if gained {
        sets.ambient = 0;
    }
    let is_root = new.user.effective == 0 || new.user.real == 0;
    sets.permitted = if is_root { sets.bounding | sets.inheritable } else { sets.ambient };
    sets.effective = if new.user.effective == 0 { sets.permitted } else { sets.ambient };
}
