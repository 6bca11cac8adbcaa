//! Extended attributes: xattr(7), as Linux 6.1's tmpfs has them.
//!
//! Stored files keep those of `trusted.` and `security.`; `user.` is refused, as tmpfs refuses it before 6.6, and so are access control
//! lists and `security.capability`, which nothing here would heed. Who may see or change one is asked in [`check`], whatever the file
//! system.
//!
//! The lock on an inode's attributes sleeps and is a leaf.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;

use abi::Errno;
use abi::fs::{S_ISVTX, XATTR_CREATE, XATTR_REPLACE};
use hal::sync::Once;

use super::attributes::FileKind;
use super::filesystem::FileSystemKind;
use super::inode::Inode;
use super::permission::{self, Access};
use crate::process::{Credentials, capability};
use crate::sched::Mutex;

const TRUSTED: &[u8] = b"trusted.";
const SECURITY: &[u8] = b"security.";
const SYSTEM: &[u8] = b"system.";
const USER: &[u8] = b"user.";
/// What a program would get that executes the file: not done here, so not kept.
const CAPABILITY: &[u8] = b"security.capability";

/// The attributes of an inode; an empty cell while it never had any.
pub struct Extended(Once<Box<Mutex<Named>>>);

#[derive(Default)]
struct Named {
    by_name: BTreeMap<Vec<u8>, Value>,
    /// How many were added ever.
    added: u64,
}

struct Value {
    bytes: Arc<Vec<u8>>,
    /// Higher than those of attributes that were added before.
    age: u64,
}

/// What is to be done with an attribute.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// To look.
    Read,
    /// To set or remove it.
    Change,
}

/// Whether an attribute of this name may be read or changed, for its name's sake (Linux: `xattr_permission`, and the checks of
/// `security/commoncap.c`).
pub fn check(inode: &Inode, credentials: &Credentials, name: &[u8], purpose: Purpose) -> Result<(), Errno> {
    let is_change = purpose == Purpose::Change;
    let hidden = if is_change { Errno::EPERM } else { Errno::ENODATA };
    if is_change && inode.is_immutable() {
        return Err(Errno::EPERM);
    }
    if name.starts_with(SECURITY) {
        return match is_change {
            true if name == CAPABILITY => credentials.require(capability::SETFCAP),
            true => credentials.require(capability::SYS_ADMIN),
            false => Ok(()),
        };
    }
    if name.starts_with(SYSTEM) {
        return Ok(());
    }
    if name.starts_with(TRUSTED) {
        return if credentials.has_capability(capability::SYS_ADMIN) { Ok(()) } else { Err(hidden) };
    }
    if name.starts_with(USER) {
        if inode.kind != FileKind::Regular && !inode.is_directory() {
            return Err(hidden);
        }
        let is_sticky = inode.is_directory() && inode.attributes.permissions() & S_ISVTX != 0;
        if is_change && is_sticky && !permission::is_owner(inode, credentials) {
            return Err(Errno::EPERM);
        }
    }
    permission::check(inode, credentials, if is_change { Access::WRITE } else { Access::READ })
}

/// EOPNOTSUPP for a name that no attribute of the inode can have, EINVAL for the beginning of one.
fn check_name(inode: &Inode, name: &[u8]) -> Result<(), Errno> {
    let stores = match inode.filesystem.kind {
        FileSystemKind::RootFs | FileSystemKind::TmpFs | FileSystemKind::DevTmpFs => true,
        FileSystemKind::Proc
        | FileSystemKind::Sysfs
        | FileSystemKind::PipeFs
        | FileSystemKind::AnonymousInodes => false,
    };
    match name {
        TRUSTED | SECURITY if stores => Err(Errno::EINVAL),
        _ if stores && (name.starts_with(TRUSTED) || name.starts_with(SECURITY)) => Ok(()),
        _ => Err(Errno::EOPNOTSUPP),
    }
}

impl Extended {
    /// No attributes.
    pub const fn new() -> Extended {
        Extended(Once::new())
    }
}

/// The value of an attribute. ENODATA where there is none.
pub fn get(inode: &Inode, name: &[u8]) -> Result<Arc<Vec<u8>>, Errno> {
    check_name(inode, name)?;
    let named = inode.extended.0.get().ok_or(Errno::ENODATA)?.lock();
    named.by_name.get(name).map(|value| value.bytes.clone()).ok_or(Errno::ENODATA)
}

/// Sets an attribute. EEXIST or ENODATA where `flags` (`XATTR_CREATE`, `XATTR_REPLACE`) want otherwise.
pub fn set(inode: &Inode, name: Vec<u8>, bytes: Vec<u8>, flags: u32) -> Result<(), Errno> {
    check_name(inode, &name)?;
    if name == CAPABILITY {
        return Err(Errno::EOPNOTSUPP);
    }
    let bytes = Arc::new(bytes);
    let mut named = inode.extended.0.get_or_init(Box::default).lock();
    match named.by_name.get_mut(&name) {
        Some(_) if flags & XATTR_CREATE != 0 => Err(Errno::EEXIST),
        Some(value) => {
            value.bytes = bytes;
            Ok(())
        }
        None if flags & XATTR_REPLACE != 0 => Err(Errno::ENODATA),
        None => {
            named.added += 1;
            let age = named.added;
            named.by_name.insert(name, Value { bytes, age });
            Ok(())
        }
    }
}

/// Takes an attribute away. ENODATA where there is none.
pub fn remove(inode: &Inode, name: &[u8]) -> Result<(), Errno> {
    check_name(inode, name)?;
    let mut named = inode.extended.0.get().ok_or(Errno::ENODATA)?.lock();
    named.by_name.remove(name).map(drop).ok_or(Errno::ENODATA)
}

/// The names, newest first, each with a NUL behind it; those of `trusted.` for who may see them.
pub fn list(inode: &Inode, credentials: &Credentials) -> Result<Vec<u8>, Errno> {
    let Some(named) = inode.extended.0.get() else { return Ok(Vec::new()) };
    let sees_trusted = credentials.has_capability(capability::SYS_ADMIN);
    let named = named.lock();
    let mut names = Vec::new();
    names.try_reserve_exact(named.by_name.len()).map_err(|_| Errno::ENOMEM)?;
    let shown = named.by_name.iter().filter(|(name, _)| sees_trusted || !name.starts_with(TRUSTED));
    names.extend(shown.map(|(name, value)| (value.age, name)));
    names.sort_unstable_by_key(|&(age, _)| core::cmp::Reverse(age));
    let mut text = Vec::new();
    let length = names.iter().map(|(_, name)| name.len() + 1).sum();
    text.try_reserve_exact(length).map_err(|_| Errno::ENOMEM)?;
    for (_, name) in names {
        text.extend_from_slice(name);
        text.push(0);
    }
    Ok(text)
}
