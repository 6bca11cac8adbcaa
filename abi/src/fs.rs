//! Files, directories, descriptors and mounts.
//!
//! Source: Linux 6.1, `include/uapi/asm-generic/{fcntl,statfs}.h`, `linux/{fcntl,stat,fs,mount,magic,falloc}.h`.
//! What differs between architectures (`Stat`, four open flags) comes from [`crate::native::fs`].

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

mod mount;

pub use crate::native::fs::{O_DIRECT, O_DIRECTORY, O_LARGEFILE, O_NOFOLLOW, O_TMPFILE, Stat};
pub use mount::*;

constants! { u32:
    O_ACCMODE = 0o3, "mask of the access mode";
    O_RDONLY = 0, "for reading";
    O_WRONLY = 0o1, "for writing";
    O_RDWR = 0o2, "for both";
    O_CREAT = 0o100, "create if absent";
    O_EXCL = 0o200, "fail if present";
    O_NOTIFICATION_PIPE = O_EXCL, "pipe2: a queue of notifications";
    O_NOCTTY = 0o400, "do not take a controlling terminal";
    O_TRUNC = 0o1000, "empty it";
    O_APPEND = 0o2000, "write at the end";
    O_NONBLOCK = 0o4000, "do not block";
    O_NDELAY = 0o4000, "as O_NONBLOCK";
    O_DSYNC = 0o10000, "data is stored when write returns";
    O_ASYNC = 0o20000, "SIGIO when ready";
    O_NOATIME = 0o1_000_000, "leave the access time";
    O_CLOEXEC = 0o2_000_000, "close on execve";
    __O_SYNC = 0o4_000_000, "the part of O_SYNC beyond O_DSYNC";
    O_SYNC = 0o4_010_000, "data and metadata are stored when write returns";
    O_PATH = 0o10_000_000, "a place in the tree, not the file's content";
    __O_TMPFILE = 0o20_000_000, "the part of O_TMPFILE beyond O_DIRECTORY";
}

constants! { i32:
    AT_FDCWD = -100, "relative to the working directory";
}

constants! { u32:
    AT_SYMLINK_NOFOLLOW = 0x100, "act on the link itself";
    AT_EACCESS = 0x200, "faccessat2: with effective ids";
    AT_REMOVEDIR = 0x200, "unlinkat: a directory";
    AT_SYMLINK_FOLLOW = 0x400, "linkat: follow the link";
    AT_NO_AUTOMOUNT = 0x800, "trigger no automount";
    AT_EMPTY_PATH = 0x1000, "an empty path is the descriptor itself";
    AT_STATX_SYNC_TYPE = 0x6000, "statx: mask of the freshness";
    AT_STATX_SYNC_AS_STAT = 0x0000, "statx: as stat";
    AT_STATX_FORCE_SYNC = 0x2000, "statx: ask the server";
    AT_STATX_DONT_SYNC = 0x4000, "statx: what is at hand";
    AT_RECURSIVE = 0x8000, "the whole subtree";
}

constants! { u32:
    S_IFMT = 0o170000, "mask of the type";
    S_IFSOCK = 0o140000, "socket";
    S_IFLNK = 0o120000, "symbolic link";
    S_IFREG = 0o100000, "regular file";
    S_IFBLK = 0o60000, "block device";
    S_IFDIR = 0o40000, "directory";
    S_IFCHR = 0o20000, "character device";
    S_IFIFO = 0o10000, "named pipe";
    S_ISUID = 0o4000, "set user at execve";
    S_ISGID = 0o2000, "set group at execve";
    S_ISVTX = 0o1000, "only owners delete";
    S_IRWXU = 0o700, "owner: all";
    S_IRUSR = 0o400, "owner: read";
    S_IWUSR = 0o200, "owner: write";
    S_IXUSR = 0o100, "owner: execute";
    S_IRWXG = 0o070, "group: all";
    S_IRGRP = 0o040, "group: read";
    S_IWGRP = 0o020, "group: write";
    S_IXGRP = 0o010, "group: execute";
    S_IRWXO = 0o007, "others: all";
    S_IROTH = 0o004, "others: read";
    S_IWOTH = 0o002, "others: write";
    S_IXOTH = 0o001, "others: execute";
}

constants! { u32:
    F_DUPFD = 0, "duplicate at or above";
    F_GETFD = 1, "read descriptor flags";
    F_SETFD = 2, "set descriptor flags";
    F_GETFL = 3, "read status flags";
    F_SETFL = 4, "set status flags";
    F_GETLK = 5, "find a conflicting lock";
    F_SETLK = 6, "lock or unlock";
    F_SETLKW = 7, "lock, waiting";
    F_SETOWN = 8, "who gets SIGIO";
    F_GETOWN = 9, "read it";
    F_SETSIG = 10, "signal instead of SIGIO";
    F_GETSIG = 11, "read it";
    F_SETOWN_EX = 15, "F_SETOWN with a thread";
    F_GETOWN_EX = 16, "F_GETOWN with a thread";
    F_GETOWNER_UIDS = 17, "the users on whose behalf signals are sent";
    F_OWNER_TID = 0, "of OwnerEx: a thread";
    F_OWNER_PID = 1, "a process";
    F_OWNER_PGRP = 2, "a process group";
    F_OFD_GETLK = 36, "F_GETLK for open file descriptions";
    F_OFD_SETLK = 37, "F_SETLK for open file descriptions";
    F_OFD_SETLKW = 38, "F_SETLKW for open file descriptions";
    F_SETLEASE = 1024, "set a lease";
    F_GETLEASE = 1025, "read it";
    F_NOTIFY = 1026, "signal on changes of a directory";
    DN_ACCESS = 1, "F_NOTIFY: a file was read";
    DN_MODIFY = 2, "F_NOTIFY: a file was written";
    DN_CREATE = 4, "F_NOTIFY: a name came";
    DN_DELETE = 8, "F_NOTIFY: a name went";
    DN_RENAME = 16, "F_NOTIFY: a name changed";
    DN_ATTRIB = 32, "F_NOTIFY: attributes changed";
    DN_MULTISHOT = 0x8000_0000, "F_NOTIFY: not only once";
    F_DUPFD_CLOEXEC = 1030, "F_DUPFD with FD_CLOEXEC";
    F_SETPIPE_SZ = 1031, "size of a pipe";
    F_GETPIPE_SZ = 1032, "read it";
    F_ADD_SEALS = 1033, "add seals";
    F_GET_SEALS = 1034, "read them";
    F_GET_RW_HINT = 1035, "how long what is written will live";
    F_SET_RW_HINT = 1036, "say it";
    FD_CLOEXEC = 1, "descriptor flag: close on execve";
    F_SEAL_SEAL = 1, "no more seals";
    F_SEAL_SHRINK = 2, "cannot shrink";
    F_SEAL_GROW = 4, "cannot grow";
    F_SEAL_WRITE = 8, "cannot be written";
    F_SEAL_FUTURE_WRITE = 16, "no new writers";
    LOCK_SH = 1, "flock: shared";
    LOCK_EX = 2, "flock: exclusive";
    LOCK_NB = 4, "flock: do not wait";
    LOCK_MAND = 32, "flock: a mandatory lock, which no kernel since 5.18 heeds";
    LOCK_UN = 8, "flock: unlock";
}

constants! { i16:
    F_RDLCK = 0, "a read lock";
    F_WRLCK = 1, "a write lock";
    F_UNLCK = 2, "no lock";
}

constants! { u32:
    SEEK_SET = 0, "from the start";
    SEEK_CUR = 1, "from here";
    SEEK_END = 2, "from the end";
    SEEK_DATA = 3, "to the next data";
    SEEK_HOLE = 4, "to the next hole";
    F_OK = 0, "access: exists";
    X_OK = 1, "access: execute";
    W_OK = 2, "access: write";
    R_OK = 4, "access: read";
    RENAME_NOREPLACE = 1, "EEXIST if the target exists";
    RENAME_EXCHANGE = 2, "swap both";
    RENAME_WHITEOUT = 4, "leave a whiteout";
    FALLOC_FL_KEEP_SIZE = 0x01, "do not extend the size";
    FALLOC_FL_PUNCH_HOLE = 0x02, "free the range";
    FALLOC_FL_COLLAPSE_RANGE = 0x08, "cut the range out";
    FALLOC_FL_ZERO_RANGE = 0x10, "zero the range";
    FALLOC_FL_INSERT_RANGE = 0x20, "insert a hole";
    FALLOC_FL_UNSHARE_RANGE = 0x40, "unshare the range";
    RWF_HIPRI = 0x01, "preadv2: poll for completion";
    RWF_DSYNC = 0x02, "pwritev2: as O_DSYNC";
    RWF_SYNC = 0x04, "pwritev2: as O_SYNC";
    RWF_NOWAIT = 0x08, "preadv2: EAGAIN instead of waiting";
    RWF_APPEND = 0x10, "pwritev2: as O_APPEND";
    SPLICE_F_MOVE = 1, "splice: move pages";
    SPLICE_F_NONBLOCK = 2, "splice: do not block";
    SPLICE_F_MORE = 4, "splice: more will follow";
    SPLICE_F_GIFT = 8, "vmsplice: the pages are the kernel's from now on";
    CLOSE_RANGE_UNSHARE = 2, "close_range: unshare the table first";
    CLOSE_RANGE_CLOEXEC = 4, "close_range: mark instead of closing";
}

constants! { usize:
    PATH_MAX = 4096, "bytes of a path with its NUL";
    NAME_MAX = 255, "bytes of a name";
    IOV_MAX = 1024, "buffers of a vectored transfer";
    PIPE_BUF = 4096, "bytes a pipe takes as one";
    MAX_RW_COUNT = 0x7fff_f000, "bytes one read or write transfers at most";
}

/// One buffer of a vectored transfer.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct Iovec {
    /// Address.
    pub iov_base: u64,
    /// Length, bytes.
    pub iov_len: u64,
}

/// A record lock (`F_SETLK`).
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct Flock {
    /// `F_RDLCK`, `F_WRLCK`, `F_UNLCK`.
    pub l_type: i16,
    /// What `l_start` counts from.
    pub l_whence: i16,
    /// Zero.
    pub pad: u32,
    /// Start.
    pub l_start: i64,
    /// Length; 0 is to the end.
    pub l_len: i64,
    /// Owner.
    pub l_pid: i32,
    /// Zero.
    pub pad2: u32,
}

/// Who gets the signals of an open file: `struct f_owner_ex`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct OwnerEx {
    /// `F_OWNER_*`.
    pub kind: u32,
    /// The number; 0 is nobody.
    pub pid: i32,
}

/// A time in [`Statx`].
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct StatxTimestamp {
    /// Seconds since 1970.
    pub tv_sec: i64,
    /// Nanoseconds.
    pub tv_nsec: u32,
    /// Zero.
    pub __reserved: i32,
}

/// What `statx` stores.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct Statx {
    /// `STATX_*` that are filled in.
    pub stx_mask: u32,
    /// Preferred size of a transfer.
    pub stx_blksize: u32,
    /// `STATX_ATTR_*`.
    pub stx_attributes: u64,
    /// Hard links.
    pub stx_nlink: u32,
    /// Owner.
    pub stx_uid: u32,
    /// Group.
    pub stx_gid: u32,
    /// Type and permissions.
    pub stx_mode: u16,
    /// Zero.
    pub __spare0: u16,
    /// Inode number.
    pub stx_ino: u64,
    /// Size, bytes.
    pub stx_size: u64,
    /// Blocks of 512 bytes.
    pub stx_blocks: u64,
    /// Attributes the file system knows.
    pub stx_attributes_mask: u64,
    /// Last access.
    pub stx_atime: StatxTimestamp,
    /// Creation.
    pub stx_btime: StatxTimestamp,
    /// Last change of the inode.
    pub stx_ctime: StatxTimestamp,
    /// Last change of the content.
    pub stx_mtime: StatxTimestamp,
    /// Major number of a device file.
    pub stx_rdev_major: u32,
    /// Minor number of a device file.
    pub stx_rdev_minor: u32,
    /// Major number of the file system's device.
    pub stx_dev_major: u32,
    /// Minor number of the file system's device.
    pub stx_dev_minor: u32,
    /// Mount.
    pub stx_mnt_id: u64,
    /// Memory alignment of direct transfers.
    pub stx_dio_mem_align: u32,
    /// Offset alignment of direct transfers.
    pub stx_dio_offset_align: u32,
    /// Zero.
    pub __spare3: [u64; 12],
}

constants! { u32:
    STATX_TYPE = 0x0001, "the type in stx_mode";
    STATX_MODE = 0x0002, "the permissions in stx_mode";
    STATX_NLINK = 0x0004, "stx_nlink";
    STATX_UID = 0x0008, "stx_uid";
    STATX_GID = 0x0010, "stx_gid";
    STATX_ATIME = 0x0020, "stx_atime";
    STATX_MTIME = 0x0040, "stx_mtime";
    STATX_CTIME = 0x0080, "stx_ctime";
    STATX_INO = 0x0100, "stx_ino";
    STATX_SIZE = 0x0200, "stx_size";
    STATX_BLOCKS = 0x0400, "stx_blocks";
    STATX_BASIC_STATS = 0x07ff, "all that stat has";
    STATX_BTIME = 0x0800, "stx_btime";
    STATX_MNT_ID = 0x1000, "stx_mnt_id";
    STATX_DIOALIGN = 0x2000, "stx_dio_*";
    STATX__RESERVED = 0x8000_0000, "EINVAL";
    STATX_ATTR_IMMUTABLE = 0x10, "attribute: cannot change";
    STATX_ATTR_APPEND = 0x20, "attribute: only grows";
    STATX_ATTR_NODUMP = 0x40, "attribute: not for dump(8)";
    STATX_ATTR_AUTOMOUNT = 0x1000, "attribute: a mount comes when it is entered";
    STATX_ATTR_DAX = 0x20_0000, "attribute: memory without a page cache";
    STATX_ATTR_MOUNT_ROOT = 0x2000, "attribute: root of a mount";
}

/// The fixed part of a record of `getdents64`; the NUL-terminated name follows, the record is padded to 8 bytes.
#[repr(C, packed)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct Dirent64 {
    /// Inode number.
    pub d_ino: u64,
    /// Where the next record starts, for lseek.
    pub d_off: i64,
    /// Bytes of this record with its name and padding.
    pub d_reclen: u16,
    /// `DT_*`.
    pub d_type: u8,
}

/// The fixed part of a record of the old `getdents`; the name follows, the type is the record's last byte.
#[repr(C, packed)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct Dirent {
    /// Inode number.
    pub d_ino: u64,
    /// Where the next record starts, for lseek.
    pub d_off: i64,
    /// Bytes of this record.
    pub d_reclen: u16,
}

constants! { u8:
    RWH_WRITE_LIFE_EXTREME = 5, "F_SET_RW_HINT: the longest life";
}

constants! { u8:
    DT_UNKNOWN = 0, "ask stat";
    DT_FIFO = 1, "named pipe";
    DT_CHR = 2, "character device";
    DT_DIR = 4, "directory";
    DT_BLK = 6, "block device";
    DT_REG = 8, "regular file";
    DT_LNK = 10, "symbolic link";
    DT_SOCK = 12, "socket";
}

/// The `DT_*` of a mode: its type bits, shifted down.
pub const fn mode_to_dirent_type(mode: u32) -> u8 {
    ((mode & S_IFMT) >> 12) as u8
}

/// What `statfs` stores.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct Statfs {
    /// `*_MAGIC`.
    pub f_type: i64,
    /// Block size.
    pub f_bsize: i64,
    /// Blocks.
    pub f_blocks: u64,
    /// Free blocks.
    pub f_bfree: u64,
    /// Free blocks for ordinary users.
    pub f_bavail: u64,
    /// Inodes.
    pub f_files: u64,
    /// Free inodes.
    pub f_ffree: u64,
    /// File system id.
    pub f_fsid: [i32; 2],
    /// Longest name.
    pub f_namelen: i64,
    /// Fragment size.
    pub f_frsize: i64,
    /// `ST_*`.
    pub f_flags: i64,
    /// Zero.
    pub f_spare: [i64; 4],
}

constants! { i64:
    TMPFS_MAGIC = 0x0102_1994, "tmpfs and devtmpfs";
    RAMFS_MAGIC = 0x8584_58f6, "ramfs";
    PROC_SUPER_MAGIC = 0x9fa0, "proc";
    SYSFS_MAGIC = 0x6265_6572, "sysfs";
    DEVPTS_SUPER_MAGIC = 0x1cd1, "devpts";
    NSFS_MAGIC = 0x6e73_6673, "namespaces";
    PIPEFS_MAGIC = 0x5049_5045, "pipes";
    SOCKFS_MAGIC = 0x534f_434b, "sockets";
    ANON_INODE_FS_MAGIC = 0x0904_1934, "eventfd and the like";
    ST_RDONLY = 0x01, "mounted read-only";
    ST_NOSUID = 0x02, "set-id bits ignored";
    ST_NODEV = 0x04, "device files unusable";
    ST_NOEXEC = 0x08, "no execution";
    ST_SYNCHRONOUS = 0x10, "written at once";
    ST_VALID = 0x20, "f_flags is filled in";
    ST_MANDLOCK = 0x40, "mandatory locks";
    ST_NOATIME = 0x400, "access times not updated";
    ST_NODIRATIME = 0x800, "access times of directories not updated";
    ST_RELATIME = 0x1000, "access times updated when older than the last change";
    ST_NOSYMFOLLOW = 0x2000, "symbolic links not followed";
}

constants! { u32:
    XATTR_CREATE = 1, "setxattr: EEXIST if it is there";
    XATTR_REPLACE = 2, "setxattr: ENODATA if it is not there";
}

/// Packs a device number as `stat` and `mknod` carry it (Linux's `new_encode_dev`, widened as glibc reads it).
pub const fn make_device(major: u32, minor: u32) -> u64 {
    let (major, minor) = (major as u64, minor as u64);
    (minor & 0xff) | (major & 0xfff) << 8 | (minor & !0xff) << 12 | (major & !0xfff) << 32
}

/// The major part of a device number.
pub const fn device_major(device: u64) -> u32 {
    ((device >> 8) & 0xfff | (device >> 32) & !0xfff) as u32
}

/// The minor part of a device number.
pub const fn device_minor(device: u64) -> u32 {
    (device & 0xff | (device >> 12) & !0xff) as u32
}

/// How `openat2` opens.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct OpenHow {
    /// `O_*`.
    pub flags: u64,
    /// Permissions of a new file; zero when none is made.
    pub mode: u64,
    /// `RESOLVE_*`.
    pub resolve: u64,
}

constants! { u64:
    RESOLVE_NO_XDEV = 0x01, "openat2: do not cross mounts";
    RESOLVE_NO_MAGICLINKS = 0x02, "openat2: do not follow magic links";
    RESOLVE_NO_SYMLINKS = 0x04, "openat2: do not follow any symbolic link";
    RESOLVE_BENEATH = 0x08, "openat2: stay below the directory";
    RESOLVE_IN_ROOT = 0x10, "openat2: the directory is the root";
    RESOLVE_CACHED = 0x20, "openat2: only what is cached";
}
