//! ioctl numbers that every file knows. Source: Linux 6.1, `include/uapi/asm-generic/ioctls.h`, `linux/fs.h`,
//! `linux/nsfs.h`, `linux/random.h`.
//!
//! Those of terminals stand in [`crate::terminal`].

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

constants! { u32:
    FIONREAD = 0x541b, "bytes that can be read";
    TIOCINQ = 0x541b, "as FIONREAD";
    FIONBIO = 0x5421, "set O_NONBLOCK";
    FIONCLEX = 0x5450, "clear close-on-execve";
    FIOCLEX = 0x5451, "set close-on-execve";
    FIOASYNC = 0x5452, "set O_ASYNC";
    FIOQSIZE = 0x5460, "size of a file or directory";
    FIGETBSZ = 2, "block size of the file system";
    FIFREEZE = 0xc004_5877, "stop changes of the file system";
    FITHAW = 0xc004_5878, "let them go on";
    FIDEDUPERANGE = 0xc018_9436, "share equal ranges of files";
    FS_IOC_FIEMAP = 0xc020_660b, "where the file's extents lie";
    FS_IOC_FSGETXATTR = 0x801c_581f, "read inode flags in XFS's form";
    FS_IOC_FSSETXATTR = 0x401c_5820, "set inode flags in XFS's form";
    FS_IOC_RESVSP = 0x4030_5828, "allocate a range";
    FS_IOC_UNRESVSP = 0x4030_5829, "free a range";
    FS_IOC_RESVSP64 = 0x4030_582a, "allocate a range";
    FS_IOC_UNRESVSP64 = 0x4030_582b, "free a range";
    FS_IOC_ZERO_RANGE = 0x4030_5839, "zero a range";
    FIBMAP = 1, "block number of a file's block";
    FICLONE = 0x4004_9409, "share another file's blocks";
    FICLONERANGE = 0x4020_940d, "share a range of another file's blocks";
    FS_IOC_GETFLAGS = 0x8008_6601, "read inode flags";
    FS_IOC_SETFLAGS = 0x4008_6602, "set inode flags";
    NS_GET_USERNS = 0xb701, "open the user namespace that owns a namespace";
    NS_GET_PARENT = 0xb702, "open the namespace above";
    NS_GET_NSTYPE = 0xb703, "the CLONE_NEW* flag of a namespace";
    NS_GET_OWNER_UID = 0xb704, "who made a user namespace";
    RNDGETENTCNT = 0x8004_5200, "random: bits that the generator counts";
    RNDADDTOENTCNT = 0x4004_5201, "random: count more bits";
    RNDADDENTROPY = 0x4008_5203, "random: stir bytes in and count bits for them";
    RNDZAPENTCNT = 0x5204, "random: count none";
    RNDCLEARPOOL = 0x5206, "random: forget";
    RNDRESEEDCRNG = 0x5207, "random: seed again";
}

/// `struct space_resv` (`linux/falloc.h`): a range for `FS_IOC_RESVSP` and its like.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct SpaceReservation {
    /// Kind of lock, which nobody looks at.
    pub l_type: i16,
    /// Where the start is counted from: `SEEK_*`.
    pub l_whence: i16,
    /// Padding.
    pub pad: u32,
    /// The start, in bytes.
    pub l_start: i64,
    /// The length, in bytes.
    pub l_len: i64,
    /// Not used.
    pub l_sysid: i32,
    /// Not used.
    pub l_pid: u32,
    /// Not used.
    pub l_pad: [u32; 4],
}
