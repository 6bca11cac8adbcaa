//! Mounts: the words of mount(2), umount2(2) and the calls that work with trees of mounts and with configurations.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use super::O_CLOEXEC;

constants! { u64:
    MS_RDONLY = 1, "read-only";
    MS_NOSUID = 2, "ignore set-id bits";
    MS_NODEV = 4, "no device files";
    MS_NOEXEC = 8, "no execution";
    MS_SYNCHRONOUS = 16, "write at once";
    MS_REMOUNT = 32, "change an existing mount";
    MS_MANDLOCK = 64, "mandatory locks, which Linux no longer has either";
    MS_DIRSYNC = 128, "write directories at once";
    MS_NOSYMFOLLOW = 256, "do not follow symbolic links";
    MS_NOATIME = 1024, "do not update access times";
    MS_NODIRATIME = 2048, "do not update access times of directories";
    MS_BIND = 4096, "make a subtree visible at a second place";
    MS_MOVE = 8192, "move a mount";
    MS_REC = 16384, "the whole subtree";
    MS_SILENT = 32768, "fewer messages";
    MS_UNBINDABLE = 1 << 17, "propagation: cannot be bound";
    MS_PRIVATE = 1 << 18, "propagation: none";
    MS_SLAVE = 1 << 19, "propagation: receives";
    MS_SHARED = 1 << 20, "propagation: both ways";
    MS_RELATIME = 1 << 21, "access times updated when older than the last change";
    MS_STRICTATIME = 1 << 24, "access times always updated";
    MS_LAZYTIME = 1 << 25, "times are written late";
    MS_NOUSER = 1 << 31, "of the kernel's own: EINVAL from programs";
    MS_MGC_VAL = 0xc0ed_0000, "old magic in the upper half, ignored";
    MS_MGC_MSK = 0xffff_0000, "its mask";
}

constants! { u32:
    MNT_FORCE = 1, "umount2: even if busy";
    MNT_DETACH = 2, "umount2: from the tree now, the rest when unused";
    MNT_EXPIRE = 4, "umount2: if unused since the last such call";
    UMOUNT_NOFOLLOW = 8, "umount2: do not follow a symbolic link";
}

constants! { u32:
    OPEN_TREE_CLONE = 1, "open_tree: a copy, attached nowhere";
    OPEN_TREE_CLOEXEC = O_CLOEXEC, "open_tree: closed by execve";
    MOVE_MOUNT_F_SYMLINKS = 0x1, "move_mount: follow the last link of the source";
    MOVE_MOUNT_F_AUTOMOUNTS = 0x2, "move_mount: trigger an automount at the source";
    MOVE_MOUNT_F_EMPTY_PATH = 0x4, "move_mount: an empty source is the descriptor itself";
    MOVE_MOUNT_T_SYMLINKS = 0x10, "move_mount: follow the last link of the target";
    MOVE_MOUNT_T_AUTOMOUNTS = 0x20, "move_mount: trigger an automount at the target";
    MOVE_MOUNT_T_EMPTY_PATH = 0x40, "move_mount: an empty target is the descriptor itself";
    MOVE_MOUNT_SET_GROUP = 0x100, "move_mount: nothing moves; the target shares with whom the source shares";
}

constants! { u32:
    FSOPEN_CLOEXEC = 1, "fsopen: closed by execve";
    FSPICK_CLOEXEC = 1, "fspick: closed by execve";
    FSPICK_SYMLINK_NOFOLLOW = 2, "fspick: do not follow the last link";
    FSPICK_NO_AUTOMOUNT = 4, "fspick: trigger no automount";
    FSPICK_EMPTY_PATH = 8, "fspick: an empty path is the descriptor itself";
    FSMOUNT_CLOEXEC = 1, "fsmount: closed by execve";
    FSCONFIG_SET_FLAG = 0, "fsconfig: a parameter without a value";
    FSCONFIG_SET_STRING = 1, "fsconfig: a parameter with a text";
    FSCONFIG_SET_BINARY = 2, "fsconfig: a parameter with bytes";
    FSCONFIG_SET_PATH = 3, "fsconfig: a parameter with a path";
    FSCONFIG_SET_PATH_EMPTY = 4, "fsconfig: a parameter with a path that may be empty";
    FSCONFIG_SET_FD = 5, "fsconfig: a parameter with a descriptor";
    FSCONFIG_CMD_CREATE = 6, "fsconfig: make the instance";
    FSCONFIG_CMD_RECONFIGURE = 7, "fsconfig: change the instance";
}

constants! { u64:
    MOUNT_ATTR_RDONLY = 0x1, "a mount's attribute: read-only";
    MOUNT_ATTR_NOSUID = 0x2, "ignore set-id bits";
    MOUNT_ATTR_NODEV = 0x4, "no device files";
    MOUNT_ATTR_NOEXEC = 0x8, "no execution";
    MOUNT_ATTR__ATIME = 0x70, "mask of how access times are kept";
    MOUNT_ATTR_RELATIME = 0, "access times updated when older than the last change";
    MOUNT_ATTR_NOATIME = 0x10, "no access times";
    MOUNT_ATTR_STRICTATIME = 0x20, "access times always updated";
    MOUNT_ATTR_NODIRATIME = 0x80, "do not update access times of directories";
    MOUNT_ATTR_IDMAP = 0x10_0000, "users are those of a user namespace";
    MOUNT_ATTR_NOSYMFOLLOW = 0x20_0000, "do not follow symbolic links";
}

/// What `mount_setattr` changes.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct MountAttr {
    /// `MOUNT_ATTR_*` to be set.
    pub attr_set: u64,
    /// `MOUNT_ATTR_*` to be cleared, before that.
    pub attr_clr: u64,
    /// `MS_SHARED` and its like, or 0.
    pub propagation: u64,
    /// The user namespace of `MOUNT_ATTR_IDMAP`.
    pub userns_fd: u64,
}
