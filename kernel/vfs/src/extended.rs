//! Extended attributes: xattr(7), as Linux 6.1's tmpfs has them.
//!
//! Stored files keep those of `trusted.` and `security.`; `user.` is refused, as tmpfs refuses it before 6.6, and so
//! are access control lists, which nothing here would heed. Who may see or change one is asked in [`check`], whatever
//! the file system. `security.capability` says what a program may that executes the file ([`capabilities`]): its value
//! is checked, and it goes when somebody changes the content or the owner.
//!
//! Who changes one holds the inode's [`AttributeChanges`] from the check on. The lock on the values sleeps and is a
//! leaf.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, Ordering};

use abi::Errno;
use abi::fs::{S_ISVTX, XATTR_CREATE, XATTR_REPLACE};
use hal::sync::Once;
use libkernel::file_capabilities::FileCapabilities;
use outcome::OrErrno;
use sched::Mutex;
use subject::{Credentials, capability};

use super::attribute_operations::AttributeChanges;
use super::attributes::FileKind;
use super::inode::Inode;
use super::permission::{self, Access};

const TRUSTED: &[u8] = b"trusted.";
const SECURITY: &[u8] = b"security.";
const SYSTEM: &[u8] = b"system.";
const USER: &[u8] = b"user.";
/// What a program gets that executes the file.
const CAPABILITY: &[u8] = b"security.capability";

/// The attributes of an inode; an empty cell while it never had any.
pub struct Extended {
    named: Once<Box<Mutex<Named>>>,
    /// Whether [`CAPABILITY`] is among them; changed under their lock.
    has_capabilities: AtomicBool,
}

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

/// Whether an attribute of this name may be read or changed, for its name's sake (Linux: `xattr_permission`, and the
/// checks of `security/commoncap.c`).
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
    let stores = inode.filesystem.kind.keeps_attributes();
    match name {
        TRUSTED | SECURITY if stores => Err(Errno::EINVAL),
        _ if stores && (name.starts_with(TRUSTED) || name.starts_with(SECURITY)) => Ok(()),
        _ => Err(Errno::EOPNOTSUPP),
    }
}

impl Extended {
    /// No attributes.
    pub const fn new() -> Extended {
        Extended { named: Once::new(), has_capabilities: AtomicBool::new(false) }
    }

    /// Whether the file gives capabilities to who executes it.
    #[inline]
    pub fn has_capabilities(&self) -> bool {
        self.has_capabilities.load(Ordering::Relaxed)
    }
}

/// The value that an attribute is to have, where the kernel has a say in it. EINVAL for capabilities that are none; a
/// value without bytes is taken, as on Linux, and then nobody can execute the file.
pub fn check_value(name: &[u8], bytes: &mut Vec<u8>) -> Result<(), Errno> {
    if name != CAPABILITY || bytes.is_empty() {
        return Ok(());
    }
    let read = FileCapabilities::parse(bytes).filter(FileCapabilities::are_somebodys).ok_or(Errno::EINVAL)?;
    if read.are_for_all() {
        let length = FileCapabilities::shorten(bytes);
        bytes.truncate(length);
    }
    Ok(())
}

/// What the file gives to who executes it. EINVAL if that cannot be read. That of the moment when mode and owner are
/// looked at, too.
pub fn capabilities(held: &AttributeChanges<'_>) -> Result<Option<FileCapabilities>, Errno> {
    if !held.inode().extended.has_capabilities() {
        return Ok(None);
    }
    let bytes = match get_stored(held.inode(), CAPABILITY) {
        Err(Errno::ENODATA) => return Ok(None),
        stored => stored?,
    };
    let read = FileCapabilities::parse(&bytes).ok_or(Errno::EINVAL)?;
    let known = FileCapabilities {
        permitted: read.permitted & capability::ALL,
        inheritable: read.inheritable & capability::ALL,
        ..read
    };
    Ok(Some(known).filter(FileCapabilities::are_for_all))
}

/// Content or owner have changed: whoever executes the file gets nothing by it any more.
pub fn drop_capabilities(changes: &AttributeChanges<'_>) {
    // A file that has none is as it shall be.
    let _ = remove(changes, CAPABILITY);
}

/// The value of an attribute. ENODATA where there is none.
pub fn get(inode: &Inode, name: &[u8]) -> Result<Arc<Vec<u8>>, Errno> {
    check_name(inode, name)?;
    let bytes = get_stored(inode, name)?;
    // Linux makes a value anew of what it stored, and can make none of nothing.
    if name == CAPABILITY && bytes.is_empty() { Err(Errno::EINVAL) } else { Ok(bytes) }
}

fn get_stored(inode: &Inode, name: &[u8]) -> Result<Arc<Vec<u8>>, Errno> {
    let named = inode.extended.named.get().ok_or(Errno::ENODATA)?.lock();
    named.by_name.get(name).map(|value| value.bytes.clone()).ok_or(Errno::ENODATA)
}

/// Sets an attribute to what [`check_value`] has seen. EEXIST or ENODATA where `flags` (`XATTR_CREATE`,
/// `XATTR_REPLACE`) want otherwise.
pub fn set(changes: &AttributeChanges<'_>, name: Vec<u8>, bytes: Vec<u8>, flags: u32) -> Result<(), Errno> {
    let inode = changes.inode();
    check_name(inode, &name)?;
    let gives_capabilities = name == CAPABILITY;
    let bytes = Arc::new(bytes);
    let mut named = inode.extended.named.get_or_init(Box::default).lock();
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
            if gives_capabilities {
                inode.extended.has_capabilities.store(true, Ordering::Relaxed);
            }
            Ok(())
        }
    }
}

/// Takes an attribute away. ENODATA where there is none.
pub fn remove(changes: &AttributeChanges<'_>, name: &[u8]) -> Result<(), Errno> {
    let inode = changes.inode();
    check_name(inode, name)?;
    let mut named = inode.extended.named.get().ok_or(Errno::ENODATA)?.lock();
    if name == CAPABILITY {
        inode.extended.has_capabilities.store(false, Ordering::Relaxed);
    }
    named.by_name.remove(name).map(drop).ok_or(Errno::ENODATA)
}

/// The names, newest first, each with a NUL behind it; those of `trusted.` for who may see them.
pub fn list(inode: &Inode, credentials: &Credentials) -> Result<Vec<u8>, Errno> {
    let Some(named) = inode.extended.named.get() else { return Ok(Vec::new()) };
    let sees_trusted = credentials.has_capability(capability::SYS_ADMIN);
    let named = named.lock();
    let mut names = Vec::new();
    names.try_reserve_exact(named.by_name.len()).or_errno()?;
    let shown = named.by_name.iter().filter(|(name, _)| sees_trusted || !name.starts_with(TRUSTED));
    names.extend(shown.map(|(name, value)| (value.age, name)));
    names.sort_unstable_by_key(|&(age, _)| core::cmp::Reverse(age));
    let mut text = Vec::new();
    let length = names.iter().map(|(_, name)| name.len() + 1).sum();
    text.try_reserve_exact(length).or_errno()?;
    for (_, name) in names {
        text.extend_from_slice(name);
        text.push(0);
    }
    Ok(text)
}
