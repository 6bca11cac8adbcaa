//! ioctl numbers that every file knows. Source: Linux 6.1, `include/uapi/asm-generic/ioctls.h`, `linux/fs.h`, `linux/random.h`.
//!
//! Those of terminals stand in [`crate::terminal`].

constants! { u32:
    FIONREAD = 0x541b, "bytes that can be read";
    TIOCINQ = 0x541b, "as FIONREAD";
    FIONBIO = 0x5421, "set O_NONBLOCK";
    FIONCLEX = 0x5450, "clear close-on-execve";
    FIOCLEX = 0x5451, "set close-on-execve";
    FIOASYNC = 0x5452, "set O_ASYNC";
    FIOQSIZE = 0x5460, "size of a file or directory";
    FIGETBSZ = 2, "block size of the file system";
    FIBMAP = 1, "block number of a file's block";
    FICLONE = 0x4004_9409, "share another file's blocks";
    FICLONERANGE = 0x4020_940d, "share a range of another file's blocks";
    FS_IOC_GETFLAGS = 0x8008_6601, "read inode flags";
    FS_IOC_SETFLAGS = 0x4008_6602, "set inode flags";
    RNDGETENTCNT = 0x8004_5200, "random: bits that the generator counts";
    RNDADDTOENTCNT = 0x4004_5201, "random: count more bits";
    RNDADDENTROPY = 0x4008_5203, "random: stir bytes in and count bits for them";
    RNDZAPENTCNT = 0x5204, "random: count none";
    RNDCLEARPOOL = 0x5206, "random: forget";
    RNDRESEEDCRNG = 0x5207, "random: seed again";
}
