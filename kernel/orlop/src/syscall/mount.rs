//! `mount`, `umount2` and `pivot_root`.

use alloc::sync::Arc;
use alloc::vec::Vec;

use abi::Errno;
use abi::fs::{
    AT_FDCWD, MNT_DETACH, MNT_EXPIRE, MNT_FORCE, MS_BIND, MS_MANDLOCK, MS_MGC_MSK, MS_MGC_VAL, MS_MOVE,
    MS_NOATIME, MS_NODEV, MS_NODIRATIME, MS_NOEXEC, MS_NOSUID, MS_NOSYMFOLLOW, MS_NOUSER, MS_PRIVATE,
    MS_RDONLY, MS_REC, MS_RELATIME, MS_REMOUNT, MS_SHARED, MS_SILENT, MS_SLAVE, MS_STRICTATIME,
    MS_SYNCHRONOUS, MS_UNBINDABLE, UMOUNT_NOFOLLOW,
};
use libkernel::addr::UserAddr;
use memory::user::string::read_string;
use memory::user::{IoSource, PathBuffer};
use subject::capability;
use vfs::FsContext;
use vfs::mount::{self, InUse, Location, Mount};
use vfs::types::{self, FlagWords};
use vfs::walk::{LastLink, Walk};

use super::at::{PathCall, only, path_argument};
use super::{Caller, Failure};
use crate::process::table;

/// The flags that stay with a mount.
const KEPT_FLAGS: u64 =
    MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC | MS_NOATIME | MS_NODIRATIME | MS_RELATIME | MS_NOSYMFOLLOW;

/// The flags that belong to a file system with all of its mounts. What is written at once is so in any case: it is memory.
const FILE_SYSTEM_FLAGS: u64 = MS_RDONLY | MS_SYNCHRONOUS | MS_MANDLOCK;

/// The flags that say how access times are kept.
const ATIME_FLAGS: u64 = MS_NOATIME | MS_NODIRATIME | MS_RELATIME;

/// Flags that change how mounts propagate, which one tree of mounts has no use for.
const PROPAGATION: u64 = MS_PRIVATE | MS_SHARED | MS_SLAVE | MS_UNBINDABLE;

/// What only the kernel may ask for. Linux's constant is a negative `int`, so that all upper bits are among them.
const NO_USER: u64 = MS_NOUSER | !(u32::MAX as u64);

/// `mount(source, target, type, flags, data)`.
pub fn mount(
    caller: &mut Caller<'_>,
    source: UserAddr,
    target: UserAddr,
    kind: UserAddr,
    flags: u64,
    data: UserAddr,
) -> Result<(), Failure> {
    let kind = optional_text(kind)?;
    let source = optional_text(source)?;
    let data = options(data)?;
    let call = PathCall::of(caller);
    let mut buffer = PathBuffer::new();
    let path = path_argument(target, 0, &mut buffer)?;
    let place = call.resolve(caller, AT_FDCWD, path, LastLink::Follow)?;
    let flags = if flags & MS_MGC_MSK == MS_MGC_VAL { flags & !MS_MGC_MSK } else { flags };
    if flags & NO_USER != 0 {
        return Err(Errno::EINVAL.into());
    }
    call.credentials.require(capability::SYS_ADMIN)?;
    let _turn = mount::TREE.lock();
    if flags & MS_REMOUNT != 0 {
        return Ok(remount(&place, flags, data.unwrap_or_default())?);
    }
    if flags & PROPAGATION != 0 {
        return Ok(propagate(&place, flags)?);
    }
    let place = mount::descend(place);
    if flags & (MS_BIND | MS_MOVE) != 0 {
        let source = source.unwrap_or_default();
        if source.is_empty() {
            return Err(Errno::EINVAL.into());
        }
        let from = call.resolve(caller, AT_FDCWD, &source, LastLink::Follow)?;
        let depth = if flags & MS_REC != 0 { Depth::Tree } else { Depth::One };
        let done = if flags & MS_BIND != 0 { bind(&from, place, depth) } else { relocate(&from, place) };
        return Ok(done?);
    }
    let kind = kind.ok_or(Errno::EINVAL)?;
    let mut options = data.unwrap_or_default();
    let words = types::take_flag_words(&mut options);
    let source = types::take_source(&mut options, source)?.unwrap_or_default();
    let made = types::create(&kind, &source, kept_flags(flags), &options, &call.credentials)?;
    let whole = file_system_flags(flags, words);
    if made.filesystem.flags() == 0 && whole != 0 {
        made.filesystem.set_flags(whole)?;
    }
    Ok(attach(made, place)?)
}

/// The flags for a file system: those of the call, and what words among the options say.
fn file_system_flags(flags: u64, words: FlagWords) -> u64 {
    (flags & FILE_SYSTEM_FLAGS | words.set) & !words.clear
}

/// The flags for a new mount: relative access times, unless others are asked for.
fn kept_flags(flags: u64) -> u64 {
    let kept = flags & KEPT_FLAGS;
    if flags & (MS_NOATIME | MS_STRICTATIME) == 0 { kept | MS_RELATIME } else { kept & !MS_RELATIME }
}

/// A text argument, at most a page of it; `None` for a null address.
fn optional_text(address: UserAddr) -> Result<Option<Vec<u8>>, Errno> {
    const PAGE: usize = 4096;
    if address.is_null() {
        return Ok(None);
    }
    read_string(address, PAGE)?.map(Some).ok_or(Errno::EINVAL)
}

/// The options: what can be read of a page, up to a NUL or its last byte. EFAULT only where not one byte can be.
fn options(address: UserAddr) -> Result<Option<Vec<u8>>, Errno> {
    const PAGE: usize = 4096;
    if address.is_null() {
        return Ok(None);
    }
    let mut text = Vec::new();
    text.try_reserve_exact(PAGE).map_err(|_| Errno::ENOMEM)?;
    text.resize(PAGE, 0);
    let there = IoSource::user(address, PAGE).take(&mut text)?;
    let end = text.iter().take(there.min(PAGE - 1)).position(|&byte| byte == 0);
    text.truncate(end.unwrap_or(there.min(PAGE - 1)));
    Ok(Some(text))
}

fn attach(made: Arc<Mount>, place: Location) -> Result<(), Errno> {
    if !place.dentry.inode().is_directory() {
        return Err(Errno::ENOTDIR);
    }
    mount::attach(made, place)
}

/// `MS_REMOUNT`: new flags for the mount whose root is given and, without `MS_BIND`, for its file system. Without a word about access
/// times they stay as they are. EBUSY if there are writers where there shall be none.
fn remount(place: &Location, flags: u64, mut options: Vec<u8>) -> Result<(), Errno> {
    if !is_mount_root(place) {
        return Err(Errno::EINVAL);
    }
    let Location { mount, .. } = place;
    let says_nothing_of_times = flags & (ATIME_FLAGS | MS_STRICTATIME) == 0;
    let own = if says_nothing_of_times {
        flags & KEPT_FLAGS | mount.own_flags() & ATIME_FLAGS
    } else {
        kept_flags(flags)
    };
    if flags & MS_BIND != 0 {
        return mount.set_flags(own);
    }
    let words = types::take_flag_words(&mut options);
    // That it came from elsewhere changes nothing.
    types::take_source(&mut options, None)?;
    mount.filesystem.reconfigure(&options)?;
    mount.filesystem.set_flags(file_system_flags(flags, words))?;
    mount.set_flags(own)
}

/// Propagation: every mount is private here, so only `MS_PRIVATE` can be had.
fn propagate(place: &Location, flags: u64) -> Result<(), Errno> {
    let known = MS_PRIVATE | MS_REC | MS_SILENT;
    if flags & !known != 0 || !is_mount_root(place) { Err(Errno::EINVAL) } else { Ok(()) }
}

/// Whether what is mounted inside comes along.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Depth {
    One,
    Tree,
}

/// `MS_BIND`: shows a directory, or a file on a file, at a second place.
fn bind(from: &Location, place: Location, depth: Depth) -> Result<(), Errno> {
    if from.dentry.inode().is_directory() != place.dentry.inode().is_directory() {
        return Err(Errno::ENOTDIR);
    }
    match depth {
        Depth::One => mount::attach(from.mount.view(from.dentry.clone()), place),
        Depth::Tree => mount::attach_copy(from, place),
    }
}

/// `MS_MOVE`: EINVAL unless a mount's root moves; ELOOP if it would lie in itself.
fn relocate(from: &Location, place: Location) -> Result<(), Errno> {
    if !is_mount_root(from) {
        return Err(Errno::EINVAL);
    }
    if from.dentry.inode().is_directory() != place.dentry.inode().is_directory() {
        return Err(Errno::ENOTDIR);
    }
    let mut above = Some(place.mount.clone());
    while let Some(mount) = above {
        if Arc::ptr_eq(&mount, &from.mount) {
            return Err(Errno::ELOOP);
        }
        above = mount.place().map(|place| place.mount);
    }
    mount::move_to(&from.mount, place)
}

fn is_mount_root(place: &Location) -> bool {
    Arc::ptr_eq(&place.dentry, &place.mount.root)
}

/// `umount2(target, flags)`.
pub fn umount2(caller: &mut Caller<'_>, target: UserAddr, flags: u32) -> Result<(), Failure> {
    only(flags, MNT_FORCE | MNT_DETACH | MNT_EXPIRE | UMOUNT_NOFOLLOW)?;
    let call = PathCall::of(caller);
    let mut buffer = PathBuffer::new();
    let path = path_argument(target, 0, &mut buffer)?;
    let last_link = if flags & UMOUNT_NOFOLLOW != 0 { LastLink::Keep } else { LastLink::Follow };
    let start = call.start(caller, AT_FDCWD, path)?;
    // Also of a place that was reached before something was mounted on it, it is the latest mount that goes.
    let place =
        mount::descend(Walk::unseen(&call.context, &call.credentials).resolve(start, path, last_link)?);
    call.credentials.require(capability::SYS_ADMIN)?;
    if !is_mount_root(&place) {
        return Err(Errno::EINVAL.into());
    }
    check_not_root(&call.context, &place)?;
    let _turn = mount::TREE.lock();
    if flags & MNT_EXPIRE != 0 {
        only(flags, MNT_EXPIRE | UMOUNT_NOFOLLOW)?;
        mount::expire(&place.mount)?;
    }
    let in_use = if flags & MNT_DETACH != 0 { InUse::DetachAnyway } else { InUse::Refuse };
    Ok(mount::detach(&place.mount, in_use)?)
}

/// The caller's own root stays.
fn check_not_root(context: &FsContext, place: &Location) -> Result<(), Errno> {
    if context.root().same_as(place) { Err(Errno::EINVAL) } else { Ok(()) }
}

/// `pivot_root(new_root, put_old)`: the mount whose root is the caller's goes to `put_old`, and the one at `new_root` comes in its place.
/// The very first mount cannot go anywhere: EINVAL.
pub fn pivot_root(caller: &mut Caller<'_>, new_root: UserAddr, put_old: UserAddr) -> Result<(), Failure> {
    let call = PathCall::of(caller);
    call.credentials.require(capability::SYS_ADMIN)?;
    let directory = |address| {
        let mut buffer = PathBuffer::new();
        let path = path_argument(address, 0, &mut buffer)?;
        let place = call.resolve(caller, AT_FDCWD, path, LastLink::Follow)?;
        if place.dentry.inode().is_directory() { Ok(place) } else { Err(Errno::ENOTDIR) }
    };
    let (new, old) = (directory(new_root)?, directory(put_old)?);
    let root = call.context.root();
    let _turn = mount::TREE.lock();
    let old = mount::descend(old);
    if new.mount.place().is_none() || !mount::is_attached(&root.mount) {
        return Err(Errno::EINVAL.into());
    }
    if new.dentry.is_removed() || old.dentry.is_removed() {
        return Err(Errno::ENOENT.into());
    }
    if [&new, &old].iter().any(|place| Arc::ptr_eq(&place.mount, &root.mount)) {
        return Err(Errno::EBUSY.into());
    }
    let can_move = is_mount_root(&root) && root.mount.place().is_some() && is_mount_root(&new);
    if !can_move || !is_below(&old, &new) || !is_below(&new, &root) {
        return Err(Errno::EINVAL.into());
    }
    mount::exchange(&new.mount, &root.mount, old)?;
    // Whoever stood at the old root stands at the new one: all processes, as on Linux.
    table::for_each_thread(|thread| {
        if let Some(context) = thread.try_fs() {
            context.change_root(&root, &new);
        }
    });
    Ok(())
}

/// Whether a place lies at or below another one.
fn is_below(place: &Location, top: &Location) -> bool {
    let mut place = place.clone();
    while !Arc::ptr_eq(&place.mount, &top.mount) {
        match place.mount.place() {
            Some(outside) => place = outside,
            None => return false,
        }
    }
    top.dentry.is_ancestor_of(&place.dentry)
}
