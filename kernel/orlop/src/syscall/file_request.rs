//! The requests of `ioctl` that files know whatever code is behind them, as Linux's `do_vfs_ioctl` serves them.
//!
//! No file system here can share blocks, be frozen or tell where a block lies: those requests are refused as Linux
//! refuses them for a file system that lacks the operation, once their arguments are right. Inode flags are none, and
//! none can be set.

use abi::Errno;
use abi::fs::{FALLOC_FL_KEEP_SIZE, FALLOC_FL_PUNCH_HOLE, FALLOC_FL_ZERO_RANGE, O_APPEND};
use abi::ioctl::{
    FIBMAP, FICLONE, FICLONERANGE, FIDEDUPERANGE, FIFREEZE, FIGETBSZ, FIONREAD, FIOQSIZE, FITHAW,
    FS_IOC_FIEMAP, FS_IOC_FSGETXATTR, FS_IOC_FSSETXATTR, FS_IOC_GETFLAGS, FS_IOC_RESVSP, FS_IOC_RESVSP64,
    FS_IOC_SETFLAGS, FS_IOC_UNRESVSP, FS_IOC_UNRESVSP64, FS_IOC_ZERO_RANGE, SpaceReservation,
};
use libkernel::addr::UserAddr;
use memory::user::{self, UserPtr};
use outcome::OrErrno;
use subject::capability;
use vfs::File;
use vfs::attributes::FileKind;
use vfs::{permission, writers::MountWriter};
use zerocopy::IntoBytes;

use super::at::file;
use super::offset::allocate;
use super::{Caller, Failure};

/// Serves a request; `None` for one that only the file's own code can know.
pub fn serve(
    caller: &Caller<'_>,
    file: &File,
    request: u32,
    argument: UserAddr,
) -> Result<Option<()>, Failure> {
    let inode = file.inode();
    let is_regular = inode.kind == FileKind::Regular;
    match request {
        FIOQSIZE if matches!(inode.kind, FileKind::Regular | FileKind::Directory | FileKind::Symlink) => {
            UserPtr::new(argument).write(&(inode.blocks() * BLOCK))?;
        }
        FIOQSIZE => return Err(Errno::ENOTTY.into()),
        FIFREEZE | FITHAW => {
            caller.thread.with_credentials(|own| own.require(capability::SYS_ADMIN))?;
            return Err(if request == FIFREEZE { Errno::EOPNOTSUPP } else { Errno::EINVAL }.into());
        }
        FS_IOC_FIEMAP => return Err(Errno::EOPNOTSUPP.into()),
        FIGETBSZ => UserPtr::new(argument).write(&file.inode().filesystem.kind.block_size())?,
        FICLONE => return Err(clone_refusal(caller, argument.as_u64() as i32, file).into()),
        FICLONERANGE => {
            let [source, ..]: [u64; 4] = UserPtr::new(argument).read()?;
            return Err(clone_refusal(caller, source as i32, file).into());
        }
        FIDEDUPERANGE => return Err(share_refusal(file, argument)?.into()),
        FIONREAD if is_regular => {
            let left = inode.size().wrapping_sub(*file.position().take().or_errno()?);
            UserPtr::new(argument).write(&(left as u32))?;
        }
        FS_IOC_GETFLAGS | FS_IOC_SETFLAGS | FS_IOC_FSGETXATTR | FS_IOC_FSSETXATTR => {
            if !has_inode_flags(file) {
                return Ok(None);
            }
            inode_flags(caller, file, request, argument)?;
        }
        FIBMAP if is_regular => return Err(block_number_refusal(caller, argument)?.into()),
        FS_IOC_RESVSP | FS_IOC_RESVSP64 if is_regular => reserve(file, 0, argument)?,
        FS_IOC_UNRESVSP | FS_IOC_UNRESVSP64 if is_regular => reserve(file, FALLOC_FL_PUNCH_HOLE, argument)?,
        FS_IOC_ZERO_RANGE if is_regular => reserve(file, FALLOC_FL_ZERO_RANGE, argument)?,
        _ => return Ok(None),
    }
    Ok(Some(()))
}

/// The unit of `st_blocks`, in bytes.
const BLOCK: u64 = 512;

/// Why a file's blocks cannot become those of another one.
fn clone_refusal(caller: &Caller<'_>, source: i32, target: &File) -> Errno {
    let source = match file(caller, source) {
        Ok(source) => source,
        Err(errno) => return errno,
    };
    let kinds = [source.inode().kind, target.inode().kind];
    if !alloc::sync::Arc::ptr_eq(&source.inode().filesystem, &target.inode().filesystem) {
        Errno::EXDEV
    } else if kinds.contains(&FileKind::Directory) {
        Errno::EISDIR
    } else if kinds != [FileKind::Regular; 2] {
        Errno::EINVAL
    } else if !source.is_readable() || !target.is_writable() || target.flags() & O_APPEND != 0 {
        Errno::EBADF
    } else {
        Errno::EOPNOTSUPP
    }
}

/// Why equal ranges cannot come to share blocks. EFAULT where the description cannot be read.
fn share_refusal(file: &File, argument: UserAddr) -> Result<Errno, Errno> {
    /// `struct file_dedupe_range` (`linux/fs.h`): offset, length, the number of targets and reserved bytes, then the
    /// targets.
    const HEAD: usize = 24;
    const TARGET: usize = 32;
    const PAGE: usize = 4096;
    let counted = user::offset_address(argument, 16)?;
    let count: u16 = UserPtr::new(counted).read()?;
    if HEAD + TARGET * usize::from(count) > PAGE {
        return Ok(Errno::ENOMEM);
    }
    let [_offset, _length, counts]: [u64; 3] = UserPtr::new(argument).read()?;
    let is_reserved_set = counts >> u16::BITS != 0;
    Ok(match file.inode().kind {
        _ if !file.is_readable() || is_reserved_set => Errno::EINVAL,
        FileKind::Directory => Errno::EISDIR,
        FileKind::Regular => Errno::EOPNOTSUPP,
        _ => Errno::EINVAL,
    })
}

/// Why no block has a number; 0 is written in its place.
fn block_number_refusal(caller: &Caller<'_>, argument: UserAddr) -> Result<Errno, Errno> {
    caller.thread.with_credentials(|own| own.require(capability::SYS_RAWIO))?;
    let number = UserPtr::<i32>::new(argument);
    if number.read()? >= 0 {
        number.write(&0)?;
    }
    Ok(Errno::EINVAL)
}

/// Whether the file's file system knows inode flags: tmpfs does.
fn has_inode_flags(file: &File) -> bool {
    let inode = file.inode();
    inode.filesystem.kind.knows_inode_flags() && matches!(inode.kind, FileKind::Regular | FileKind::Directory)
}

/// Inode flags, in the older form and in that of XFS: none of them is ever set.
fn inode_flags(caller: &Caller<'_>, file: &File, request: u32, argument: UserAddr) -> Result<(), Errno> {
    /// `struct fsxattr` (`linux/fs.h`).
    const EXTENDED: usize = 28;
    let length =
        if matches!(request, FS_IOC_GETFLAGS | FS_IOC_SETFLAGS) { size_of::<u32>() } else { EXTENDED };
    let mut bytes = [0u8; EXTENDED];
    let bytes = bytes.get_mut(..length).unwrap_or_default();
    if matches!(request, FS_IOC_GETFLAGS | FS_IOC_FSGETXATTR) {
        return user::write_bytes(argument, bytes.as_bytes());
    }
    user::read_bytes(argument, bytes)?;
    let _writer = MountWriter::enter(&file.location().mount)?;
    permission::require_owner(file.inode(), &caller.thread.credentials())?;
    if bytes.iter().any(|&byte| byte != 0) { Err(Errno::EOPNOTSUPP) } else { Ok(()) }
}

/// XFS's form of `fallocate`, which never changes the size.
fn reserve(file: &File, mode: u32, argument: UserAddr) -> Result<(), Errno> {
    let wanted: SpaceReservation = UserPtr::new(argument).read()?;
    let base = match wanted.l_whence {
        0 => 0,
        1 => *file.position().take().or_errno()?,
        2 => file.inode().size(),
        _ => return Err(Errno::EINVAL),
    };
    allocate(file, mode | FALLOC_FL_KEEP_SIZE, wanted.l_start.wrapping_add_unsigned(base), wanted.l_len)
}
