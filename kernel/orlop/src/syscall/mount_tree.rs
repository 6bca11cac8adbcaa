//! `open_tree`, `move_mount` and `mount_setattr`: trees of mounts by descriptors.

use alloc::sync::Arc;

use abi::Errno;
use abi::fs::{
    AT_EMPTY_PATH, AT_NO_AUTOMOUNT, AT_RECURSIVE, AT_SYMLINK_NOFOLLOW, MOUNT_ATTR__ATIME, MOUNT_ATTR_IDMAP,
    MOUNT_ATTR_NOATIME, MOUNT_ATTR_NODEV, MOUNT_ATTR_NODIRATIME, MOUNT_ATTR_NOEXEC, MOUNT_ATTR_NOSUID,
    MOUNT_ATTR_NOSYMFOLLOW, MOUNT_ATTR_RDONLY, MOUNT_ATTR_RELATIME, MOUNT_ATTR_STRICTATIME,
    MOVE_MOUNT_F_AUTOMOUNTS, MOVE_MOUNT_F_EMPTY_PATH, MOVE_MOUNT_F_SYMLINKS, MOVE_MOUNT_SET_GROUP,
    MOVE_MOUNT_T_AUTOMOUNTS, MOVE_MOUNT_T_EMPTY_PATH, MOVE_MOUNT_T_SYMLINKS, MS_NOATIME, MS_NODEV,
    MS_NODIRATIME, MS_NOEXEC, MS_NOSUID, MS_NOSYMFOLLOW, MS_RDONLY, MS_RELATIME, MountAttr, O_PATH,
    OPEN_TREE_CLOEXEC, OPEN_TREE_CLONE,
};
use libkernel::addr::UserAddr;
use memory::user::PathBuffer;
use subject::capability;
use vfs::fd_table::OnExec;
use vfs::file::{File, Handle};
use vfs::mount::{AttributeChange, Depth, DetachedTree, Location};

use super::at::{PathCall, follow_unless, only, path_argument};
use super::mount::propagation_kind;
use super::{Caller, Failure, extensible};
use crate::nsfs::{self, Namespace};

/// The size of the first version of [`MountAttr`]: all of it.
const FIRST_SIZE: usize = size_of::<MountAttr>();

/// `open_tree(dfd, path, flags)`: a place, or with `OPEN_TREE_CLONE` what is seen there as a tree that only the
/// descriptor keeps.
pub fn open_tree(caller: &mut Caller<'_>, dfd: i32, path: UserAddr, flags: u32) -> Result<u32, Failure> {
    let at_flags = AT_EMPTY_PATH | AT_NO_AUTOMOUNT | AT_RECURSIVE | AT_SYMLINK_NOFOLLOW;
    only(flags, at_flags | OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC)?;
    let is_clone = flags & OPEN_TREE_CLONE != 0;
    if flags & AT_RECURSIVE != 0 && !is_clone {
        return Err(Errno::EINVAL.into());
    }
    let call = PathCall::of(caller);
    if is_clone {
        call.credentials.require(capability::SYS_ADMIN)?;
    }
    let mut buffer = PathBuffer::new();
    let place = place(caller, &call, dfd, path_argument(path, flags, &mut buffer)?, flags)?;
    let on_exec = OnExec::from_open_flags(flags);
    if is_clone {
        let tree = caller.mount_turn().detached_view(&place, depth(flags))?;
        return descriptor_of_tree(caller, tree, on_exec);
    }
    let file = File::new(place, Handle::Path(None), O_PATH, None);
    Ok(caller.thread.files().insert(file, on_exec, caller.thread.descriptor_limit())?)
}

/// A descriptor that keeps a tree of mounts.
pub fn descriptor_of_tree(caller: &Caller<'_>, tree: DetachedTree, on_exec: OnExec) -> Result<u32, Failure> {
    let file = File::new(tree.root(), Handle::Path(Some(Arc::new(tree))), O_PATH, None);
    Ok(caller.thread.files().insert(file, on_exec, caller.thread.descriptor_limit())?)
}

fn depth(flags: u32) -> Depth {
    if flags & AT_RECURSIVE != 0 { Depth::Tree } else { Depth::One }
}

fn place(
    caller: &Caller<'_>,
    call: &PathCall,
    directory: i32,
    path: &[u8],
    flags: u32,
) -> Result<Location, Errno> {
    call.resolve_or_self(caller, directory, path, flags, follow_unless(flags))
}

/// `move_mount(from_dfd, from, to_dfd, to, flags)`.
pub fn move_mount(
    caller: &mut Caller<'_>,
    from_directory: i32,
    from: UserAddr,
    to_directory: i32,
    to: UserAddr,
    flags: u32,
) -> Result<(), Failure> {
    let call = PathCall::of(caller);
    call.credentials.require(capability::SYS_ADMIN)?;
    only(
        flags,
        MOVE_MOUNT_F_SYMLINKS
            | MOVE_MOUNT_F_AUTOMOUNTS
            | MOVE_MOUNT_F_EMPTY_PATH
            | MOVE_MOUNT_T_SYMLINKS
            | MOVE_MOUNT_T_AUTOMOUNTS
            | MOVE_MOUNT_T_EMPTY_PATH
            | MOVE_MOUNT_SET_GROUP,
    )?;
    let at_flags = |empty: u32, links: u32| {
        (if flags & empty != 0 { AT_EMPTY_PATH } else { 0 })
            | (if flags & links != 0 { 0 } else { AT_SYMLINK_NOFOLLOW })
    };
    let find = |directory: i32, path: UserAddr, flags: u32| {
        let mut buffer = PathBuffer::new();
        let path = path_argument(path, flags, &mut buffer)?;
        place(caller, &call, directory, path, flags)
    };
    let from = find(from_directory, from, at_flags(MOVE_MOUNT_F_EMPTY_PATH, MOVE_MOUNT_F_SYMLINKS))?;
    let to = find(to_directory, to, at_flags(MOVE_MOUNT_T_EMPTY_PATH, MOVE_MOUNT_T_SYMLINKS))?;
    let turn = caller.mount_turn();
    if flags & MOVE_MOUNT_SET_GROUP != 0 {
        return Ok(turn.join_group(&from, &to)?);
    }
    Ok(turn.relocate(&from, to)?)
}

/// `mount_setattr(dfd, path, flags, attributes, size)`.
pub fn mount_setattr(
    caller: &mut Caller<'_>,
    dfd: i32,
    path: UserAddr,
    flags: u32,
    attributes: UserAddr,
    size: usize,
) -> Result<(), Failure> {
    const PAGE: usize = 4096;
    only(flags, AT_EMPTY_PATH | AT_RECURSIVE | AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT)?;
    if size > PAGE {
        return Err(Errno::E2BIG.into());
    }
    if size < FIRST_SIZE {
        return Err(Errno::EINVAL.into());
    }
    let call = PathCall::of(caller);
    call.credentials.require(capability::SYS_ADMIN)?;
    let attributes: MountAttr = extensible::read(attributes, size)?;
    if (attributes.attr_set, attributes.attr_clr, attributes.propagation) == (0, 0, 0) {
        return Ok(());
    }
    let change = change_of(caller, &attributes)?;
    let mut buffer = PathBuffer::new();
    let place = place(caller, &call, dfd, path_argument(path, flags, &mut buffer)?, flags)?;
    Ok(caller.mount_turn().set_attributes(&place, &change, depth(flags))?)
}

/// The attributes that are single bits, and their flags.
const SINGLE: [(u64, u64); 6] = [
    (MOUNT_ATTR_RDONLY, MS_RDONLY),
    (MOUNT_ATTR_NOSUID, MS_NOSUID),
    (MOUNT_ATTR_NODEV, MS_NODEV),
    (MOUNT_ATTR_NOEXEC, MS_NOEXEC),
    (MOUNT_ATTR_NODIRATIME, MS_NODIRATIME),
    (MOUNT_ATTR_NOSYMFOLLOW, MS_NOSYMFOLLOW),
];

/// The flags of single attributes.
pub fn single_flags(attributes: u64) -> u64 {
    SINGLE.iter().filter(|(attribute, _)| attributes & attribute != 0).fold(0, |all, (_, flag)| all | flag)
}

/// The flag for how access times are kept. EINVAL for what is no way.
pub fn times_flag(attributes: u64) -> Result<u64, Errno> {
    match attributes & MOUNT_ATTR__ATIME {
        MOUNT_ATTR_RELATIME => Ok(MS_RELATIME),
        MOUNT_ATTR_NOATIME => Ok(MS_NOATIME),
        MOUNT_ATTR_STRICTATIME => Ok(0),
        _ => Err(Errno::EINVAL),
    }
}

/// All attributes there are, without that of mapped users.
pub const ATTRIBUTES: u64 = MOUNT_ATTR_RDONLY
    | MOUNT_ATTR_NOSUID
    | MOUNT_ATTR_NODEV
    | MOUNT_ATTR_NOEXEC
    | MOUNT_ATTR__ATIME
    | MOUNT_ATTR_NODIRATIME
    | MOUNT_ATTR_NOSYMFOLLOW;

/// What is to be changed: EINVAL for what nobody knows, and for half a word about access times.
fn change_of(caller: &Caller<'_>, attributes: &MountAttr) -> Result<AttributeChange, Errno> {
    let MountAttr { attr_set, attr_clr, propagation, .. } = *attributes;
    let propagation = if propagation == 0 { None } else { Some(propagation_kind(propagation)?) };
    if (attr_set | attr_clr) & !(ATTRIBUTES | MOUNT_ATTR_IDMAP) != 0 {
        return Err(Errno::EINVAL);
    }
    let (mut set, mut clear) = (single_flags(attr_set), single_flags(attr_clr));
    match attr_clr & MOUNT_ATTR__ATIME {
        0 if attr_set & MOUNT_ATTR__ATIME == 0 => {}
        MOUNT_ATTR__ATIME => {
            clear |= MS_RELATIME | MS_NOATIME;
            set |= times_flag(attr_set)?;
        }
        _ => return Err(Errno::EINVAL),
    }
    if (attr_set | attr_clr) & MOUNT_ATTR_IDMAP != 0 {
        check_users(caller, attributes)?;
    }
    Ok(AttributeChange { set, clear, propagation })
}

/// There is one namespace of users, and nothing can be mapped to that: EPERM, once all else is right (Linux:
/// `build_mount_idmapped`).
fn check_users(caller: &Caller<'_>, attributes: &MountAttr) -> Result<(), Errno> {
    if attributes.attr_clr & MOUNT_ATTR_IDMAP != 0 {
        return Err(Errno::EINVAL);
    }
    let fd = i32::try_from(attributes.userns_fd).map_err(|_| Errno::EINVAL)?;
    let file = super::at::content_file(caller, fd)?;
    match nsfs::of_file(&file) {
        Some(Namespace::Users(_)) => Err(Errno::EPERM),
        _ => Err(Errno::EINVAL),
    }
}
