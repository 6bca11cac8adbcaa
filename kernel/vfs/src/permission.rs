//! Who may do what with a file: mode bits, owner, sticky directories and the capabilities that pass them by.

use abi::Errno;
use subject::{Credentials, capability};

use super::directory::{Admission, Exposure, Store};
use super::generated::Class;
use super::inode::{Body, Inode};
use super::mount::Mount;

/// What is asked for: any of the three bits, as in one digit of a mode.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Access(u32);

impl Access {
    /// Nothing but existence.
    pub const NONE: Access = Access(0);
    /// Execute a file, search a directory.
    pub const EXECUTE: Access = Access(1);
    /// Write a file, change a directory's names.
    pub const WRITE: Access = Access(2);
    /// Read a file, list a directory.
    pub const READ: Access = Access(4);

    /// The access that the low three bits name: the argument of access(2).
    pub const fn from_bits(bits: u32) -> Access {
        Access(bits & 7)
    }

    /// Both.
    pub const fn and(self, other: Access) -> Access {
        Access(self.0 | other.0)
    }

    /// Whether all of `other` is asked for.
    pub const fn includes(self, other: Access) -> bool {
        self.0 & other.0 == other.0
    }
}

/// EACCES unless the inode's mode, or a capability, grants the access; EPERM for writing what cannot be changed at all.
#[inline]
pub fn check(inode: &Inode, credentials: &Credentials, access: Access) -> Result<(), Errno> {
    let permissions = inode.attributes.permissions();
    let granted_to_all = permissions & (permissions >> 3) & (permissions >> 6) & 7;
    if let Body::Directory(directory) = &inode.body
        && directory.store == Store::MadeUp
    {
        check_generated(inode, &*directory.operations, credentials, access)
    } else if access.0 & !granted_to_all == 0 {
        Ok(())
    } else {
        check_classes(inode, credentials, access, permissions)
    }
}

#[cold]
fn check_generated(
    inode: &Inode,
    directory: &dyn Exposure,
    credentials: &Credentials,
    access: Access,
) -> Result<(), Errno> {
    match directory.admission(&inode.filesystem) {
        Admission::ByMode => check_classes(inode, credentials, access, inode.attributes.permissions()),
        Admission::Granted => Ok(()),
        Admission::Refused(errno) => Err(errno),
    }
}

fn check_classes(
    inode: &Inode,
    credentials: &Credentials,
    access: Access,
    permissions: u32,
) -> Result<(), Errno> {
    if access.includes(Access::WRITE) && inode.is_immutable() {
        return Err(Errno::EPERM);
    }
    let granted = if credentials.user.file_system == inode.attributes.owner() {
        permissions >> 6
    } else if credentials.in_group(inode.attributes.group()) {
        permissions >> 3
    } else {
        permissions
    };
    if access.0 & !(granted & 7) == 0 || overrides(inode, credentials, access, permissions) {
        return Ok(());
    }
    Err(Errno::EACCES)
}

/// Whether a capability grants what the mode does not: capabilities(7). Settings are nobody's to override.
fn overrides(inode: &Inode, credentials: &Credentials, access: Access, permissions: u32) -> bool {
    if inode.generated_class() == Some(Class::Setting) {
        return false;
    }
    let executable = inode.is_directory() || permissions & 0o111 != 0;
    if credentials.has_capability(capability::DAC_OVERRIDE)
        && (executable || !access.includes(Access::EXECUTE))
    {
        return true;
    }
    let only_reads =
        if inode.is_directory() { !access.includes(Access::WRITE) } else { access == Access::READ };
    only_reads && credentials.has_capability(capability::DAC_READ_SEARCH)
}

/// EROFS where the mount is read-only and the access writes to what is stored there.
pub fn check_mount(mount: &Mount, access: Access) -> Result<(), Errno> {
    if access.includes(Access::WRITE) && mount.flags() & abi::fs::MS_RDONLY != 0 {
        return Err(Errno::EROFS);
    }
    Ok(())
}

/// Whether the caller owns the file or may act as its owner.
pub fn is_owner(inode: &Inode, credentials: &Credentials) -> bool {
    credentials.user.file_system == inode.attributes.owner() || credentials.has_capability(capability::FOWNER)
}

/// EPERM unless [`is_owner`].
pub fn require_owner(inode: &Inode, credentials: &Credentials) -> Result<(), Errno> {
    if is_owner(inode, credentials) { Ok(()) } else { Err(Errno::EPERM) }
}

/// What somebody wants to change of a file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Attribute {
    /// The permission bits.
    Mode,
    /// Owner or group.
    Owner,
    /// A time.
    Time,
}

/// EPERM for an attribute that cannot be changed of what the kernel makes up: one rule for all of it. Nothing of a
/// process's directory; no mode, and no owner but of what is about a process (where the next look shows the process's
/// again, as on Linux). Of what is about the system Linux keeps a mode or owner until the next boot, which here nothing
/// would keep.
pub fn require_changeable(inode: &Inode, attribute: Attribute) -> Result<(), Errno> {
    let Some(class) = inode.generated_class() else { return Ok(()) };
    let is_changeable = match attribute {
        Attribute::Mode => false,
        Attribute::Owner => class == Class::Process,
        Attribute::Time => true,
    };
    if is_changeable && !inode.is_immutable() { Ok(()) } else { Err(Errno::EPERM) }
}

/// Whether `victim` may be removed from or renamed in `directory`, whose write permission was checked: in a sticky
/// directory only by the owner of either.
pub fn check_sticky(directory: &Inode, victim: &Inode, credentials: &Credentials) -> Result<(), Errno> {
    const STICKY: u32 = 0o1000;
    let allowed = directory.attributes.permissions() & STICKY == 0
        || credentials.user.file_system == directory.attributes.owner()
        || is_owner(victim, credentials);
    if allowed { Ok(()) } else { Err(Errno::EPERM) }
}
