//! Opening: from a place, or a name that is to be made, to an open file.
//!
//! The checks stand in the order in which Linux makes them, since programs see which error comes first.

use alloc::sync::Arc;

use abi::Errno;
use abi::fs::{
    MS_NODEV, MS_NOEXEC, O_ACCMODE, O_APPEND, O_CREAT, O_DIRECT, O_DIRECTORY, O_DSYNC, O_EXCL, O_LARGEFILE,
    O_NOATIME, O_NOCTTY, O_NOFOLLOW, O_NONBLOCK, O_PATH, O_RDONLY, O_SYNC, O_TRUNC, O_WRONLY,
};
use outcome::Failure;
use subject::Credentials;

use super::attributes::FileKind;
use super::change::{self, NewFile};
use super::context::FsContext;
use super::dentry::{Dentry, Linkable};
use super::device;
use super::directory::Key;
use super::file::{self, File, Handle};
use super::inode::Body;
use super::limits;
use super::lock::{Blocking, LockKind};
use super::mount::Location;
use super::permission::{self, Access};
use super::shared_folders;
use super::walk::{self, Followed, Last, LastLink, Walk};
use super::writers::ContentWriter;

/// The bit by which `O_TMPFILE` differs from `O_DIRECTORY`.
pub const TMPFILE_BIT: u32 = abi::fs::__O_TMPFILE;

/// The flags that open(2) knows; it ignores the others, openat2(2) refuses them.
pub const KNOWN_FLAGS: u32 = O_ACCMODE
    | O_CREAT
    | O_EXCL
    | O_NOCTTY
    | O_TRUNC
    | O_APPEND
    | O_NONBLOCK
    | O_SYNC
    | O_DSYNC
    | abi::fs::O_ASYNC
    | O_DIRECT
    | O_LARGEFILE
    | O_DIRECTORY
    | O_NOFOLLOW
    | O_NOATIME
    | abi::fs::O_CLOEXEC
    | O_PATH
    | TMPFILE_BIT;

/// The flags that count beside `O_PATH`; openat2(2) refuses the others.
pub const PATH_FLAGS: u32 = O_DIRECTORY | O_NOFOLLOW | O_PATH | abi::fs::O_CLOEXEC;

/// The flags that mean something only while opening, and are forgotten then: open(2), "file creation flags".
const CREATION_FLAGS: u32 = O_CREAT | O_EXCL | O_NOCTTY | O_TRUNC | abi::fs::O_CLOEXEC;

/// How a file is to be opened.
#[derive(Clone, Copy)]
pub struct How {
    flags: u32,
    /// The permissions of a file that is made, umask applied.
    permissions: u32,
}

impl How {
    /// From the flags of open(2) and the permissions for a new file. EINVAL where they contradict each other.
    pub fn new(flags: u32, permissions: u32) -> Result<How, Errno> {
        let mut flags = flags & KNOWN_FLAGS | O_LARGEFILE;
        if flags & O_PATH != 0 {
            flags &= PATH_FLAGS;
        }
        if flags & TMPFILE_BIT != 0 {
            let writes = flags & O_ACCMODE != O_RDONLY;
            if flags & O_DIRECTORY == 0 || flags & O_CREAT != 0 || !writes {
                return Err(Errno::EINVAL);
            }
        } else if flags & (O_CREAT | O_DIRECTORY) == O_CREAT | O_DIRECTORY {
            return Err(Errno::EINVAL);
        }
        Ok(How { flags, permissions })
    }

    fn has(self, flag: u32) -> bool {
        self.flags & flag != 0
    }

    fn last_link(self) -> LastLink {
        if self.has(O_NOFOLLOW) { LastLink::Keep } else { LastLink::Follow }
    }

    /// The access that the flags ask for.
    fn access(self) -> Access {
        let access = match self.flags & O_ACCMODE {
            O_RDONLY => Access::READ,
            O_WRONLY => Access::WRITE,
            _ => Access::READ.and(Access::WRITE),
        };
        if self.has(O_TRUNC) { access.and(Access::WRITE) } else { access }
    }
}

/// Opens what `path` names, from `start` if it is relative.
pub fn open(
    walk: &mut Walk<'_>,
    start: Option<Location>,
    path: &[u8],
    how: How,
) -> Result<Arc<File>, Failure> {
    if how.has(TMPFILE_BIT) {
        return open_temporary(walk, start, path, how);
    }
    if how.has(O_CREAT) {
        return open_or_create(walk, start, path, how);
    }
    let place = walk.resolve(start, path, how.last_link())?;
    open_place(place, how, walk.credentials())
}

/// Opens a place that exists.
pub fn open_place(place: Location, how: How, credentials: &Credentials) -> Result<Arc<File>, Failure> {
    let inode = place.dentry.inode();
    if how.has(O_DIRECTORY) && !inode.is_directory() {
        return Err(Errno::ENOTDIR.into());
    }
    if how.has(O_PATH) {
        return Ok(File::new(place, Handle::Path(None), how.flags & !CREATION_FLAGS, None));
    }
    check_access(&place, how, credentials)?;
    open_checked(place, how, credentials)
}

/// What stands between a found file and its opening, for files that were not just made.
fn check_access(place: &Location, how: How, credentials: &Credentials) -> Result<(), Errno> {
    let inode = place.dentry.inode();
    let access = how.access();
    match inode.kind {
        FileKind::Symlink => return Err(Errno::ELOOP),
        FileKind::Directory if access.includes(Access::WRITE) => return Err(Errno::EISDIR),
        FileKind::CharacterDevice | FileKind::BlockDevice if place.mount.flags() & MS_NODEV != 0 => {
            return Err(Errno::EACCES);
        }
        FileKind::Regular | FileKind::Directory => permission::check_mount(&place.mount, access)?,
        _ => {}
    }
    permission::check(inode, credentials, access)?;
    if how.has(O_NOATIME) {
        permission::require_owner(inode, credentials)?;
    }
    Ok(())
}

/// Opens a file that the caller may open.
fn open_checked(place: Location, how: How, credentials: &Credentials) -> Result<Arc<File>, Failure> {
    let flags = how.flags & !CREATION_FLAGS;
    let inode = place.dentry.inode();
    match &inode.body {
        Body::Bytes(object) => {
            if how.has(O_DIRECT) {
                return Err(Errno::EINVAL.into());
            }
            let writes = flags & O_ACCMODE != O_RDONLY;
            let mut writer = None;
            if writes || how.has(O_TRUNC) {
                writer = Some(ContentWriter::enter(&place.mount, object)?);
            }
            let (kept, for_now) = if writes { (writer, None) } else { (None, writer) };
            let file = File::new(place, Handle::Bytes, flags, kept);
            let opening = if writes { LockKind::Exclusive } else { LockKind::Shared };
            let blocking = if how.has(O_NONBLOCK) { Blocking::Fail } else { Blocking::Wait };
            // Who opens is counted by now, so that a lease that is taken meanwhile is seen, or is not given.
            file.inode().locks.break_leases(opening, blocking)?;
            if let Some(writer) = file.writer().or(for_now.as_ref()).filter(|_| how.has(O_TRUNC)) {
                limits::set_size(&file.location().dentry, 0, writer)?;
            }
            Ok(file)
        }
        Body::Fifo(pipe) => {
            let pipe = pipe.clone();
            pipe.open(place, flags, credentials)
        }
        Body::Device(number) => {
            let (kind, number) = (inode.kind.device_kind().ok_or(Errno::ENXIO)?, *number);
            let devices = device::devices()?;
            let operations = devices.open(kind, number, how.flags)?;
            let file = File::new(place, Handle::Special(operations), flags, None);
            devices.opened(&file, kind, number, how.flags);
            Ok(file)
        }
        // What has neither name nor type is opened by the call that makes it, and by no other.
        Body::Special(_) if inode.kind == FileKind::Untyped => Err(Errno::ENXIO.into()),
        Body::Socket => Err(Errno::ENXIO.into()),
        Body::Made(made) => {
            let operations = made.open()?;
            Ok(File::new(place, Handle::Special(operations), flags, None))
        }
        _ => {
            let handle = file::plain_handle(inode).ok_or(Errno::ELOOP)?;
            if how.has(O_DIRECT) {
                return Err(Errno::EINVAL.into());
            }
            Ok(File::new(place, handle, flags, None))
        }
    }
}

/// `O_CREAT`: opens the file, or makes it if its directory exists and it does not.
fn open_or_create(
    walk: &mut Walk<'_>,
    start: Option<Location>,
    path: &[u8],
    how: How,
) -> Result<Arc<File>, Failure> {
    let mut tail = walk.to_parent(start, path)?;
    loop {
        let Last::Name(name) = &tail.last else {
            return Err(if how.has(O_EXCL) { Errno::EEXIST } else { Errno::EISDIR }.into());
        };
        if tail.must_be_directory {
            return Err(Errno::EISDIR.into());
        }
        let key = Key::new(name);
        let found = match walk::child_by(&tail.directory.dentry, &key) {
            Ok(found) => found,
            Err(Errno::ENOENT) => match create(&tail.directory, &key, how, walk.credentials()) {
                // Somebody else was faster; the name may be gone again by now, and then it is to be made.
                Err(Failure::Errno(Errno::EEXIST)) if !how.has(O_EXCL) => continue,
                made => return made,
            },
            Err(errno) => return Err(errno.into()),
        };
        if how.has(O_EXCL) {
            return Err(Errno::EEXIST.into());
        }
        if found.inode().is_symlink() && how.last_link() == LastLink::Follow {
            let folder = tail.directory.dentry.clone();
            match walk.follow_last(tail, &found)? {
                Followed::Tail(next) => tail = next,
                Followed::Place(place) => return open_existing(&folder, place, how, walk.credentials()),
            }
            continue;
        }
        let place = walk.enter(Location { mount: tail.directory.mount.clone(), dentry: found })?;
        return open_existing(&tail.directory.dentry, place, how, walk.credentials());
    }
}

/// `O_CREAT` of a name in a folder that was there, and led to a place: the file that it meant is opened, even if the
/// name goes in the meantime.
fn open_existing(
    folder: &Dentry,
    place: Location,
    how: How,
    credentials: &Credentials,
) -> Result<Arc<File>, Failure> {
    let inode = place.dentry.inode();
    if inode.is_directory() {
        return Err(Errno::EISDIR.into());
    }
    shared_folders::may_open_instead_of_create(folder.inode(), inode, credentials)?;
    open_place(place, how, credentials)
}

/// Makes the file. EEXIST if the name is there.
fn create(
    directory: &Location,
    key: &Key<'_>,
    how: How,
    credentials: &Credentials,
) -> Result<Arc<File>, Failure> {
    let new = NewFile::regular(how.permissions);
    let dentry = change::create_as(directory, key, new, credentials)?;
    // There is nothing to cut off, and no set-id bit to lose.
    let how = How { flags: how.flags & !O_TRUNC, ..how };
    open_checked(Location { mount: directory.mount.clone(), dentry }, how, credentials)
}

/// `O_TMPFILE`: makes a file without a name in the directory that `path` names.
fn open_temporary(
    walk: &mut Walk<'_>,
    start: Option<Location>,
    path: &[u8],
    how: How,
) -> Result<Arc<File>, Failure> {
    let directory = walk.resolve(start, path, how.last_link())?;
    if !directory.dentry.inode().is_directory() {
        return Err(Errno::ENOTDIR.into());
    }
    let linkable = if how.has(O_EXCL) { Linkable::No } else { Linkable::Yes };
    let dentry = change::create_nameless(&directory, how.permissions, linkable, walk.credentials())?;
    // `F_GETFL` goes on to show both bits of O_TMPFILE; as above, there is nothing to cut off.
    let how = How { flags: how.flags & !O_TRUNC, ..how };
    open_checked(Location { mount: directory.mount, dentry }, how, walk.credentials())
}

/// Opens a program: a regular file with an `x` bit for the caller, on a mount that allows execution. EACCES otherwise.
/// A relative path starts at `start`, or else in the working directory.
pub fn open_for_exec(
    context: &FsContext,
    credentials: &Credentials,
    start: Option<Location>,
    path: &[u8],
    last_link: LastLink,
) -> Result<Arc<File>, Failure> {
    let start = start.or_else(|| Some(context.working_directory()));
    let place = Walk::new(context, credentials).resolve(start, path, last_link)?;
    open_place_for_exec(place, credentials)
}

/// [`open_for_exec`] of a place that is known already.
pub fn open_place_for_exec(place: Location, credentials: &Credentials) -> Result<Arc<File>, Failure> {
    let inode = place.dentry.inode();
    if inode.is_symlink() {
        return Err(Errno::ELOOP.into());
    }
    if inode.kind != FileKind::Regular || place.mount.flags() & MS_NOEXEC != 0 {
        return Err(Errno::EACCES.into());
    }
    permission::check(inode, credentials, Access::EXECUTE)?;
    let handle = file::plain_handle(inode).ok_or(Errno::EACCES)?;
    let file = File::new(place, handle, O_RDONLY | O_LARGEFILE, None);
    file.inode().locks.break_leases(LockKind::Shared, Blocking::Wait)?;
    Ok(file)
}
