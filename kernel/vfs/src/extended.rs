//! Extended attributes: xattr(7), with the rules that hold whatever the file system.
//!
//! Who may see or change one is asked in [`check`]. Which there are, and where they are stored, is the file system's to
//! say ([`AttributeOperations`](super::attribute_operations::AttributeOperations)); [`in_memory`] keeps them with the
//! inode, as tmpfs does. `security.capability` says what a program may that executes the file ([`capabilities`]): its
//! value is checked, and it goes when somebody changes the content or the owner.
//!
//! Who changes one holds the inode's [`AttributeChanges`] from the check on.

pub mod in_memory;

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, Ordering};

use abi::Errno;
use abi::fs::S_ISVTX;
use libkernel::file_capabilities::FileCapabilities;
use outcome::OrErrno;
use subject::{Credentials, capability};

use super::attribute_operations::AttributeChanges;
use super::attributes::FileKind;
use super::inode::Inode;
use super::permission::{self, Access};
use in_memory::InMemory;

const TRUSTED: &[u8] = b"trusted.";
const SECURITY: &[u8] = b"security.";
const SYSTEM: &[u8] = b"system.";
const USER: &[u8] = b"user.";
/// What a program gets that executes the file.
const CAPABILITY: &[u8] = b"security.capability";

/// What an inode knows of its attributes.
pub struct Extended {
    /// Those that are kept with it.
    in_memory: InMemory,
    /// Whether [`CAPABILITY`] is among them, wherever they are; changed by who holds [`AttributeChanges`].
    has_capabilities: AtomicBool,
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

impl Extended {
    /// No attributes.
    pub const fn new() -> Extended {
        Extended { in_memory: InMemory::new(), has_capabilities: AtomicBool::new(false) }
    }

    /// Whether the file gives capabilities to who executes it, as a file system has stored it that brings its inode.
    pub fn note_capabilities(&self, are_there: bool) {
        self.has_capabilities.store(are_there, Ordering::Relaxed);
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
    let bytes = match held.inode().filesystem.attributes().extended(held.inode(), CAPABILITY) {
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

/// Content or owner are about to change: whoever executes the file gets nothing by it any more. What its file system
/// says that cannot store that.
pub fn drop_capabilities(changes: &AttributeChanges<'_>) -> Result<(), Errno> {
    match remove(changes, CAPABILITY) {
        // A file that has none is as it shall be.
        Err(Errno::ENODATA) => Ok(()),
        removed => removed,
    }
}

/// The value of an attribute. ENODATA where there is none, EOPNOTSUPP for a name that none of the file system has.
pub fn get(inode: &Inode, name: &[u8]) -> Result<Arc<Vec<u8>>, Errno> {
    let bytes = inode.filesystem.attributes().extended(inode, name)?;
    // Linux makes a value anew of what it stored, and can make none of nothing.
    if name == CAPABILITY && bytes.is_empty() { Err(Errno::EINVAL) } else { Ok(bytes) }
}

/// Sets an attribute to what [`check_value`] has seen. EEXIST or ENODATA where `flags` (`XATTR_CREATE`,
/// `XATTR_REPLACE`) want otherwise.
pub fn set(changes: &AttributeChanges<'_>, name: Vec<u8>, bytes: Vec<u8>, flags: u32) -> Result<(), Errno> {
    let inode = changes.inode();
    let gives_capabilities = name == CAPABILITY;
    inode.filesystem.attributes().set_extended(changes, name, bytes, flags)?;
    if gives_capabilities {
        inode.extended.note_capabilities(true);
    }
    Ok(())
}

/// Takes an attribute away. ENODATA where there is none.
pub fn remove(changes: &AttributeChanges<'_>, name: &[u8]) -> Result<(), Errno> {
    let inode = changes.inode();
    inode.filesystem.attributes().remove_extended(changes, name)?;
    if name == CAPABILITY {
        inode.extended.note_capabilities(false);
    }
    Ok(())
}

/// The names, in the file system's order, each with a NUL behind it; those of `trusted.` for who may see them.
pub fn list(inode: &Inode, credentials: &Credentials) -> Result<Vec<u8>, Errno> {
    let sees_trusted = credentials.has_capability(capability::SYS_ADMIN);
    let mut text = Vec::new();
    inode.filesystem.attributes().list_extended(inode, &mut |name| {
        if sees_trusted || !name.starts_with(TRUSTED) {
            text.try_reserve(name.len() + 1).or_errno()?;
            text.extend_from_slice(name);
            text.push(0);
        }
        Ok(())
    })?;
    Ok(text)
}
