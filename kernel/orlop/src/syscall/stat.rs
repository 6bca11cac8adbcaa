//! Looking at files without opening them: the `stat` family, `statx`, `statfs`, `access`.

use alloc::sync::Arc;

use abi::Errno;
use abi::fs::{
    AT_EACCESS, AT_EMPTY_PATH, AT_FDCWD, AT_NO_AUTOMOUNT, AT_STATX_SYNC_TYPE, AT_SYMLINK_NOFOLLOW,
    MS_MANDLOCK, MS_NOATIME, MS_NODEV, MS_NODIRATIME, MS_NOEXEC, MS_NOSUID, MS_NOSYMFOLLOW, MS_RDONLY,
    MS_RELATIME, MS_SYNCHRONOUS, NAME_MAX, ST_MANDLOCK, ST_NOATIME, ST_NODEV, ST_NODIRATIME, ST_NOEXEC,
    ST_NOSUID, ST_NOSYMFOLLOW, ST_RDONLY, ST_RELATIME, ST_SYNCHRONOUS, ST_VALID, STATX__RESERVED,
    STATX_ATTR_APPEND, STATX_ATTR_AUTOMOUNT, STATX_ATTR_DAX, STATX_ATTR_IMMUTABLE, STATX_ATTR_MOUNT_ROOT,
    STATX_ATTR_NODUMP, STATX_BASIC_STATS, STATX_BTIME, STATX_MNT_ID, Stat, Statfs, Statx, StatxTimestamp,
};
use abi::time::Timespec;
use libkernel::addr::UserAddr;
use memory::user::{PathBuffer, UserPtr};
use subject::{Credentials, UserId, UserNamespace, capability};
use vfs::attributes::{DeviceNumber, FileKind};
use vfs::filesystem::Statistics;
use vfs::inode::{Body, Inode};
use vfs::mount::{Location, Mount};
use vfs::permission::{self, Access};
use vfs::walk::LastLink;

use super::at::{self, PathCall, follow_unless, only, path_argument};
use super::{Caller, Failure};

/// The size of transfers that suits every file here.
const BLOCK_SIZE: i32 = 4096;

/// What `statx` can say of every file.
const MOUNT_ATTRIBUTES: u32 = STATX_ATTR_AUTOMOUNT | STATX_ATTR_DAX | STATX_ATTR_MOUNT_ROOT;

/// What `statx` can say of a stored file: that none of its flags (`chattr`) is set.
const INODE_ATTRIBUTES: u32 = STATX_ATTR_APPEND | STATX_ATTR_IMMUTABLE | STATX_ATTR_NODUMP;

/// `stat(path, buffer)`.
pub fn stat(caller: &mut Caller<'_>, path: UserAddr, buffer: UserAddr) -> Result<(), Failure> {
    newfstatat(caller, AT_FDCWD, path, buffer, 0)
}

/// `lstat(path, buffer)`.
pub fn lstat(caller: &mut Caller<'_>, path: UserAddr, buffer: UserAddr) -> Result<(), Failure> {
    newfstatat(caller, AT_FDCWD, path, buffer, AT_SYMLINK_NOFOLLOW)
}

/// `fstat(fd, buffer)`.
pub fn fstat(caller: &mut Caller<'_>, fd: i32, buffer: UserAddr) -> Result<(), Failure> {
    let file = at::file(caller, fd)?;
    file.inode().check_shown()?;
    let owners = caller.thread.with_credentials(|own| owners(file.inode(), &own.user_namespace));
    Ok(UserPtr::new(buffer).write(&describe(file.inode(), owners))?)
}

/// `newfstatat(dirfd, path, buffer, flags)`.
pub fn newfstatat(
    caller: &mut Caller<'_>,
    directory: i32,
    path: UserAddr,
    buffer: UserAddr,
    flags: u32,
) -> Result<(), Failure> {
    only(flags, AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | AT_EMPTY_PATH | AT_STATX_SYNC_TYPE)?;
    let call = PathCall::of(caller);
    let place = place_of(caller, &call, directory, path, flags)?;
    let inode = place.dentry.inode();
    inode.check_shown()?;
    let shown = describe(inode, owners(inode, &call.credentials.user_namespace));
    Ok(UserPtr::new(buffer).write(&shown)?)
}

fn place_of(
    caller: &Caller<'_>,
    call: &PathCall,
    directory: i32,
    path: UserAddr,
    flags: u32,
) -> Result<Location, Errno> {
    let mut buffer = PathBuffer::new();
    let path = path_argument(path, flags, &mut buffer)?;
    call.resolve_or_self(caller, directory, path, flags, follow_unless(flags))
}

/// `statx(dirfd, path, flags, mask, buffer)`.
pub fn statx(
    caller: &mut Caller<'_>,
    directory: i32,
    path: UserAddr,
    flags: u32,
    mask: u32,
    buffer: UserAddr,
) -> Result<(), Failure> {
    only(flags, AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | AT_EMPTY_PATH | AT_STATX_SYNC_TYPE)?;
    if mask & STATX__RESERVED != 0 || flags & AT_STATX_SYNC_TYPE == AT_STATX_SYNC_TYPE {
        return Err(Errno::EINVAL.into());
    }
    let call = PathCall::of(caller);
    let place = place_of(caller, &call, directory, path, flags)?;
    place.dentry.inode().check_shown()?;
    let shown = describe_extended(&place, mask, &call.credentials.user_namespace);
    Ok(UserPtr::new(buffer).write(&shown)?)
}

fn special_device(inode: &Inode) -> DeviceNumber {
    match inode.body {
        Body::Device(number) => number,
        _ => DeviceNumber::default(),
    }
}

/// The owner and the group of an inode, as who reads them knows them.
fn owners(inode: &Inode, reader: &UserNamespace) -> (u32, u32) {
    (inode.attributes.owner().number_in(reader), inode.attributes.group().number_in(reader))
}

/// What `stat` says of an inode that has these owners.
#[allow(clippy::useless_conversion, reason = "some fields have other widths on the other architecture")]
fn describe(inode: &Inode, (user, group): (u32, u32)) -> Stat {
    let attributes = &inode.attributes;
    let times = attributes.times();
    Stat {
        st_dev: inode.filesystem.device.encode(),
        st_ino: inode.number,
        st_nlink: attributes.links().into(),
        st_mode: inode.mode(),
        st_uid: user,
        st_gid: group,
        st_rdev: special_device(inode).encode(),
        st_size: inode.size().cast_signed(),
        st_blksize: BLOCK_SIZE.into(),
        st_blocks: inode.blocks().cast_signed(),
        st_atime: times.accessed.tv_sec,
        st_atime_nsec: times.accessed.tv_nsec,
        st_mtime: times.modified.tv_sec,
        st_mtime_nsec: times.modified.tv_nsec,
        st_ctime: times.changed.tv_sec,
        st_ctime_nsec: times.changed.tv_nsec,
        ..Stat::default()
    }
}

/// What `statx` says: always what `stat` has, and when the inode was made if that is asked for and stored.
fn describe_extended(place: &Location, wanted: u32, reader: &UserNamespace) -> Statx {
    let inode = place.dentry.inode();
    let attributes = &inode.attributes;
    let times = attributes.times();
    let (device, own_device) = (special_device(inode), inode.filesystem.device);
    let (stx_uid, stx_gid) = owners(inode, reader);
    let is_mount_root = Arc::ptr_eq(&place.dentry, &place.mount.root);
    let is_stored = inode.filesystem.kind.keeps_attributes();
    let birth = if is_stored { wanted & STATX_BTIME } else { 0 };
    let stored_attributes = if is_stored { INODE_ATTRIBUTES } else { 0 };
    Statx {
        stx_mask: STATX_BASIC_STATS | STATX_MNT_ID | birth,
        stx_blksize: BLOCK_SIZE.cast_unsigned(),
        stx_attributes: if is_mount_root { u64::from(STATX_ATTR_MOUNT_ROOT) } else { 0 },
        stx_attributes_mask: u64::from(MOUNT_ATTRIBUTES | stored_attributes),
        stx_nlink: attributes.links(),
        stx_uid,
        stx_gid,
        stx_mode: inode.mode() as u16,
        stx_ino: inode.number,
        stx_size: inode.size(),
        stx_blocks: inode.blocks(),
        stx_atime: timestamp(times.accessed),
        stx_btime: if birth == 0 { StatxTimestamp::default() } else { timestamp(attributes.born()) },
        stx_mtime: timestamp(times.modified),
        stx_ctime: timestamp(times.changed),
        stx_rdev_major: device.major,
        stx_rdev_minor: device.minor,
        stx_dev_major: own_device.major,
        stx_dev_minor: own_device.minor,
        stx_mnt_id: u64::from(place.mount.id),
        ..Statx::default()
    }
}

fn timestamp(time: Timespec) -> StatxTimestamp {
    StatxTimestamp { tv_sec: time.tv_sec, tv_nsec: time.tv_nsec as u32, __reserved: 0 }
}

/// `statfs(path, buffer)`.
pub fn statfs(caller: &mut Caller<'_>, path: UserAddr, buffer: UserAddr) -> Result<(), Failure> {
    let place = place_of(caller, &PathCall::of(caller), AT_FDCWD, path, 0)?;
    Ok(UserPtr::new(buffer).write(&describe_filesystem(&place.mount))?)
}

/// `fstatfs(fd, buffer)`.
pub fn fstatfs(caller: &mut Caller<'_>, fd: i32, buffer: UserAddr) -> Result<(), Failure> {
    let file = at::file(caller, fd)?;
    Ok(UserPtr::new(buffer).write(&describe_filesystem(&file.location().mount))?)
}

fn describe_filesystem(mount: &Mount) -> Statfs {
    let filesystem = &mount.filesystem;
    let Statistics { blocks, free_blocks: free, inodes, free_inodes } = filesystem.statistics();
    let device = filesystem.device.encode();
    Statfs {
        f_type: filesystem.kind.magic(),
        f_bsize: i64::from(BLOCK_SIZE),
        f_blocks: blocks,
        f_bfree: free,
        f_bavail: free,
        f_files: inodes,
        f_ffree: free_inodes,
        f_fsid: [device as i32, (device >> 32) as i32],
        f_namelen: NAME_MAX as i64,
        f_frsize: i64::from(BLOCK_SIZE),
        f_flags: filesystem_flags(mount.flags()),
        f_spare: [0; 4],
    }
}

fn filesystem_flags(flags: u64) -> i64 {
    let pairs = [
        (MS_RDONLY, ST_RDONLY),
        (MS_NOSUID, ST_NOSUID),
        (MS_NODEV, ST_NODEV),
        (MS_NOEXEC, ST_NOEXEC),
        (MS_SYNCHRONOUS, ST_SYNCHRONOUS),
        (MS_MANDLOCK, ST_MANDLOCK),
        (MS_NOATIME, ST_NOATIME),
        (MS_NODIRATIME, ST_NODIRATIME),
        (MS_NOSYMFOLLOW, ST_NOSYMFOLLOW),
        (MS_RELATIME, ST_RELATIME),
    ];
    let set = pairs.iter().filter(|(mount_flag, _)| flags & mount_flag != 0);
    set.fold(ST_VALID, |all, (_, flag)| all | flag)
}

/// `access(path, mode)`.
pub fn access(caller: &mut Caller<'_>, path: UserAddr, mode: u32) -> Result<(), Failure> {
    faccessat2(caller, AT_FDCWD, path, mode, 0)
}

/// `faccessat(dirfd, path, mode)`.
pub fn faccessat(caller: &mut Caller<'_>, directory: i32, path: UserAddr, mode: u32) -> Result<(), Failure> {
    faccessat2(caller, directory, path, mode, 0)
}

/// `faccessat2(dirfd, path, mode, flags)`: with the real identity, unless `AT_EACCESS`.
pub fn faccessat2(
    caller: &mut Caller<'_>,
    directory: i32,
    path: UserAddr,
    mode: u32,
    flags: u32,
) -> Result<(), Failure> {
    only(mode, 7)?;
    only(flags, AT_EACCESS | AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH)?;
    let mut call = PathCall::of(caller);
    if flags & AT_EACCESS == 0 {
        call.credentials = with_real_identity(call.credentials);
    }
    let mut buffer = PathBuffer::new();
    let path = path_argument(path, flags, &mut buffer)?;
    let place = call.resolve_or_self(caller, directory, path, flags, follow_unless(flags))?;
    Ok(check_access(&place, Access::from_bits(mode), &call.credentials)?)
}

fn check_access(place: &Location, access: Access, credentials: &Credentials) -> Result<(), Errno> {
    let inode = place.dentry.inode();
    if access.includes(Access::EXECUTE)
        && inode.kind == FileKind::Regular
        && place.mount.flags() & MS_NOEXEC != 0
    {
        return Err(Errno::EACCES);
    }
    permission::check(inode, credentials, access)?;
    if matches!(inode.kind, FileKind::Regular | FileKind::Directory | FileKind::Symlink) {
        permission::check_mount(&place.mount, access)?;
    }
    Ok(())
}

/// The credentials as they would be without set-id: access(2).
fn with_real_identity(credentials: Arc<Credentials>) -> Arc<Credentials> {
    let unchanged = credentials.user.file_system == credentials.user.real
        && credentials.group.file_system == credentials.group.real;
    if unchanged && credentials.user.real == credentials.user.effective {
        return credentials;
    }
    let mut real = Credentials::clone(&credentials);
    real.user.file_system = real.user.real;
    real.group.file_system = real.group.real;
    let permitted = real.capabilities.permitted;
    real.capabilities.effective =
        if real.user.real == UserId::ROOT { permitted & capability::ALL } else { 0 };
    Arc::new(real)
}

/// `readlink(path, buffer, size)`.
pub fn readlink(
    caller: &mut Caller<'_>,
    path: UserAddr,
    buffer: UserAddr,
    size: i32,
) -> Result<usize, Failure> {
    readlinkat(caller, AT_FDCWD, path, buffer, size)
}

/// `readlinkat(dirfd, path, buffer, size)`: an empty path reads the link behind the descriptor.
pub fn readlinkat(
    caller: &mut Caller<'_>,
    directory: i32,
    path: UserAddr,
    buffer: UserAddr,
    size: i32,
) -> Result<usize, Failure> {
    let size = usize::try_from(size).ok().filter(|&size| size > 0).ok_or(Errno::EINVAL)?;
    let mut path_buffer = PathBuffer::new();
    let path = path_argument(path, AT_EMPTY_PATH, &mut path_buffer)?;
    if path.is_empty() && directory == AT_FDCWD {
        return Err(Errno::ENOENT.into());
    }
    let call = PathCall::of(caller);
    let place = call.resolve_or_self(caller, directory, path, AT_EMPTY_PATH, LastLink::Keep)?;
    let inode = place.dentry.inode();
    let text = match &inode.body {
        Body::Symlink(text) => text.clone(),
        Body::Magic(magic) => magic.text()?,
        _ => return Err(if path.is_empty() { Errno::ENOENT } else { Errno::EINVAL }.into()),
    };
    vfs::clock::touch_accessed(&place);
    let shown = text.get(..size).unwrap_or(&text);
    memory::user::write_bytes(buffer, shown)?;
    Ok(shown.len())
}
