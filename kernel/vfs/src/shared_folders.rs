//! What protects users from each other's names in folders like `/tmp`: `/proc/sys/fs/protected_*`, proc_sys_fs(5).
//!
//! A program that trusts a name in such a folder can be led astray by whoever makes the name first. The values are
//! those that Debian's kernel starts with: links are protected, FIFOs and regular files only once somebody asks for it.

use core::sync::atomic::{AtomicU32, Ordering};

use abi::Errno;
use abi::fs::{S_ISGID, S_ISUID, S_ISVTX, S_IWGRP, S_IWOTH, S_IXGRP};
use subject::Credentials;

use super::attributes::FileKind;
use super::inode::Inode;
use super::permission::{self, Access};

/// `protected_symlinks`: whether links in a shared folder are followed by their owner and for the folder's owner's
/// only.
pub static SYMLINKS: AtomicU32 = AtomicU32::new(1);
/// `protected_hardlinks`: whether names are given by who could have the content anyhow only.
pub static HARDLINKS: AtomicU32 = AtomicU32::new(1);
/// `protected_fifos`: 1 in folders that all may write, 2 also where a group may.
pub static FIFOS: AtomicU32 = AtomicU32::new(0);
/// `protected_regular`: likewise for regular files.
pub static REGULAR: AtomicU32 = AtomicU32::new(0);

fn permissions(inode: &Inode) -> u32 {
    inode.attributes.permissions()
}

/// EACCES if a link in the last place of a path may not be followed: somebody else's, in a sticky folder that all may
/// write, unless it belongs to whom the folder belongs to. No capability helps (Linux's `may_follow_link`).
pub fn may_follow(folder: &Inode, link: &Inode, credentials: &Credentials) -> Result<(), Errno> {
    const SHARED: u32 = S_ISVTX | S_IWOTH;
    let owner = link.attributes.owner();
    let is_trusted = permissions(folder) & SHARED != SHARED
        || owner == credentials.user.file_system
        || owner == folder.attributes.owner()
        || SYMLINKS.load(Ordering::Relaxed) == 0;
    if is_trusted { Ok(()) } else { Err(Errno::EACCES) }
}

/// EPERM if a file may not get another name: somebody else's that the caller could not read and write, or whose rights
/// the name would keep alive (Linux's `may_linkat`).
pub fn may_link(inode: &Inode, credentials: &Credentials) -> Result<(), Errno> {
    if HARDLINKS.load(Ordering::Relaxed) == 0 || permission::require_owner(inode, credentials).is_ok() {
        return Ok(());
    }
    let mode = permissions(inode);
    let gives_rights = mode & S_ISUID != 0 || mode & (S_ISGID | S_IXGRP) == S_ISGID | S_IXGRP;
    let is_safe = inode.kind == FileKind::Regular
        && !gives_rights
        && permission::check(inode, credentials, Access::READ.and(Access::WRITE)).is_ok();
    if is_safe { Ok(()) } else { Err(Errno::EPERM) }
}

/// EACCES if `O_CREAT` may not open what is there already: somebody else's FIFO or file in a shared folder (Linux's
/// `may_create_in_sticky`).
pub fn may_open_instead_of_create(
    folder: &Inode,
    inode: &Inode,
    credentials: &Credentials,
) -> Result<(), Errno> {
    let level = match inode.kind {
        FileKind::Fifo => FIFOS.load(Ordering::Relaxed),
        FileKind::Regular => REGULAR.load(Ordering::Relaxed),
        _ => 0,
    };
    let (mode, owner) = (permissions(folder), inode.attributes.owner());
    let is_trusted = level == 0
        || mode & S_ISVTX == 0
        || owner == folder.attributes.owner()
        || owner == credentials.user.file_system;
    let is_shared = mode & S_IWOTH != 0 || mode & S_IWGRP != 0 && level >= 2;
    if is_trusted || !is_shared { Ok(()) } else { Err(Errno::EACCES) }
}
