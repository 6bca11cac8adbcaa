//! `mount`, `umount2` and `pivot_root`.

use alloc::sync::Arc;
use alloc::vec::Vec;

use abi::Errno;
use abi::fs::{
    AT_FDCWD, MNT_DETACH, MNT_EXPIRE, MNT_FORCE, MS_BIND, MS_MGC_MSK, MS_MGC_VAL, MS_MOVE, MS_NOATIME,
    MS_NODEV, MS_NODIRATIME, MS_NOEXEC, MS_NOSUID, MS_NOSYMFOLLOW, MS_NOUSER, MS_PRIVATE, MS_RDONLY, MS_REC,
    MS_RELATIME, MS_REMOUNT, MS_SHARED, MS_SILENT, MS_SLAVE, MS_STRICTATIME, MS_UNBINDABLE, UMOUNT_NOFOLLOW,
};
use libkernel::addr::UserAddr;
use memory::user::string::read_string;
use memory::user::{IoSource, PathBuffer};
use outcome::OrErrno;
use subject::capability;
use vfs::FsContext;
use vfs::configuration::{Configuration, FILE_SYSTEM_FLAGS};
use vfs::mount::{self, Depth, InUse, Location, Mount, PropagationKind, Turn};
use vfs::parameter::Value;
use vfs::types;
use vfs::walk::{LastLink, Walk};

use super::at::{PathCall, only, path_argument};
use super::{Caller, Failure};
use crate::process::table;

/// The flags that stay with a mount.
const KEPT_FLAGS: u64 =
    MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC | MS_NOATIME | MS_NODIRATIME | MS_RELATIME | MS_NOSYMFOLLOW;

/// The flags that say how access times are kept.
const ATIME_FLAGS: u64 = MS_NOATIME | MS_NODIRATIME | MS_RELATIME;

/// Flags that change how mounts propagate.
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
    if flags & MS_REMOUNT != 0 {
        let turn = caller.mount_turn();
        return Ok(remount(&turn, &call, &place, flags, &data.unwrap_or_default())?);
    }
    let depth = if flags & MS_REC != 0 { Depth::Tree } else { Depth::One };
    if flags & MS_BIND == 0 && flags & PROPAGATION != 0 {
        let kind = propagation_kind(flags & !(MS_REC | MS_SILENT))?;
        return Ok(caller.mount_turn().set_propagation(&place, kind, depth)?);
    }
    if flags & (MS_BIND | MS_MOVE) != 0 {
        let source = source.filter(|source| !source.is_empty()).ok_or(Errno::EINVAL)?;
        let from = call.resolve(caller, AT_FDCWD, &source, LastLink::Follow)?;
        let turn = caller.mount_turn();
        let is_bind = flags & MS_BIND != 0;
        return Ok(if is_bind { turn.bind(&from, place, depth) } else { turn.relocate(&from, place) }?);
    }
    let kind = kind.ok_or(Errno::EINVAL)?;
    let made = create(&call, source, &kind, flags, &data.unwrap_or_default())?;
    Ok(caller.mount_turn().attach(&made, place)?)
}

/// A mount of a file system of this type, attached nowhere.
fn create(
    call: &PathCall,
    source: Option<Vec<u8>>,
    kind: &[u8],
    flags: u64,
    options: &[u8],
) -> Result<Arc<Mount>, Errno> {
    let mut configuration = Configuration::of_new(types::find(kind)?, call.credentials.clone(), flags);
    if let Some(source) = source {
        configuration.set(b"source", Value::Text(&source))?;
    }
    configuration.set_all(options)?;
    configuration.make(&call.context, &call.credentials)?;
    configuration.mount(kept_flags(flags))
}

/// What one flag says about propagation, alone. EINVAL for more.
pub(super) fn propagation_kind(flags: u64) -> Result<PropagationKind, Errno> {
    match flags {
        MS_SHARED => Ok(PropagationKind::Shared),
        MS_PRIVATE => Ok(PropagationKind::Private),
        MS_SLAVE => Ok(PropagationKind::Slave),
        MS_UNBINDABLE => Ok(PropagationKind::Unbindable),
        _ => Err(Errno::EINVAL),
    }
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
    text.try_reserve_exact(PAGE).or_errno()?;
    text.resize(PAGE, 0);
    let there = IoSource::user(address, PAGE).take(&mut text)?;
    let end = text.iter().take(there.min(PAGE - 1)).position(|&byte| byte == 0);
    text.truncate(end.unwrap_or(there.min(PAGE - 1)));
    Ok(Some(text))
}

/// `MS_REMOUNT`: new flags for the mount whose root is given and, without `MS_BIND`, for its file system. Without a
/// word about access times they stay as they are. EBUSY if there are writers where there shall be none.
fn remount(turn: &Turn, call: &PathCall, place: &Location, flags: u64, options: &[u8]) -> Result<(), Errno> {
    turn.check_own(&place.mount)?;
    if !place.is_mount_root() {
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
    let mut configuration =
        Configuration::of_existing(mount, call.credentials.clone(), flags, FILE_SYSTEM_FLAGS);
    configuration.set_all(options)?;
    configuration.change(&call.credentials)?;
    mount.set_flags(own)
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
    if !place.is_mount_root() {
        return Err(Errno::EINVAL.into());
    }
    check_not_root(&call.context, &place)?;
    let ending = place.mount.filesystem.ending();
    take_away(caller.mount_turn(), &place.mount, flags)?;
    drop(place);
    // Where that was the last mount and nobody uses it, all of the file system is stored when the call returns.
    Ok(ending.wait()?)
}

fn take_away(turn: Turn, mount: &Arc<Mount>, flags: u32) -> Result<(), Errno> {
    if flags & MNT_EXPIRE != 0 {
        only(flags, MNT_EXPIRE | UMOUNT_NOFOLLOW)?;
        turn.expire(mount)?;
    }
    let in_use = if flags & MNT_DETACH != 0 { InUse::DetachAnyway } else { InUse::Refuse };
    turn.detach(mount, in_use)
}

/// The caller's own root stays.
fn check_not_root(context: &FsContext, place: &Location) -> Result<(), Errno> {
    if context.root().same_as(place) { Err(Errno::EINVAL) } else { Ok(()) }
}

/// `pivot_root(new_root, put_old)`: the mount whose root is the caller's goes to `put_old`, and the one at `new_root`
/// comes in its place. The very first mount cannot go anywhere: EINVAL.
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
    caller.mount_turn().exchange_root(&root, &new, old)?;
    // Whoever stood at the old root stands at the new one: all processes, as on Linux.
    table::for_each_thread(|thread| {
        if let Some(context) = thread.try_fs() {
            context.change_root(&root, &new);
        }
    });
    Ok(())
}
