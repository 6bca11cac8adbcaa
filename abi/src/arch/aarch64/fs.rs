//! File layouts and flags of AArch64.
//!
//! Source: Linux 6.1, `include/uapi/asm-generic/stat.h`, `arch/arm64/include/uapi/asm/fcntl.h`.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

constants! { u32:
    O_DIRECTORY = 0o40000, "must be a directory";
    O_NOFOLLOW = 0o100000, "must not be a symbolic link";
    O_DIRECT = 0o200000, "past the page cache";
    O_LARGEFILE = 0o400000, "large files; always so on 64-bit machines";
    O_TMPFILE = crate::fs::__O_TMPFILE | O_DIRECTORY, "an unnamed file in the directory";
}

/// What `fstat` stores.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct Stat {
    /// Device of the file system.
    pub st_dev: u64,
    /// Inode number.
    pub st_ino: u64,
    /// Type and permissions.
    pub st_mode: u32,
    /// Hard links.
    pub st_nlink: u32,
    /// Owner.
    pub st_uid: u32,
    /// Group.
    pub st_gid: u32,
    /// Device, if it is a device file.
    pub st_rdev: u64,
    /// Zero.
    pub __pad1: u64,
    /// Size, bytes.
    pub st_size: i64,
    /// Preferred size of a transfer.
    pub st_blksize: i32,
    /// Zero.
    pub __pad2: i32,
    /// Blocks of 512 bytes.
    pub st_blocks: i64,
    /// Last access, s.
    pub st_atime: i64,
    /// Last access, ns.
    pub st_atime_nsec: i64,
    /// Last change of the content, s.
    pub st_mtime: i64,
    /// Last change of the content, ns.
    pub st_mtime_nsec: i64,
    /// Last change of the inode, s.
    pub st_ctime: i64,
    /// Last change of the inode, ns.
    pub st_ctime_nsec: i64,
    /// Zero.
    pub __unused: [u32; 2],
}
