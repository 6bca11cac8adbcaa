//! The limits of tmpfs: what they are where nothing is said, what they stop, and how they change.
#![no_std]
#![no_main]

extern crate alloc;

use abi::Errno;
use abi::fs::*;
use alloc::format;
use conformance::files::{create, unlink};
use conformance::{Outcome, check, check_eq, child, scratch};
use core::ffi::CStr;
use libsyscall::file::*;
use libsyscall::process::geteuid;
use libsyscall::system::mount;

conformance::tests!(&[
    ("without_a_word", without_a_word),
    ("inodes", inodes),
    ("other_limits_of_inodes", other_limits_of_inodes),
    ("other_sizes", other_sizes),
    ("words", words),
    ("many_who_make_files", many_who_make_files),
]);

/// A tmpfs on `t` with these options. False for who may not mount.
fn begin(options: &CStr) -> Result<bool, conformance::Failure> {
    if geteuid() != 0 {
        return Ok(false);
    }
    scratch::enter_tmpfs()?;
    mkdirat(AT_FDCWD, c"t", 0o755)?;
    mount(c"t", c"t", c"tmpfs", 0, Some(options))?;
    Ok(true)
}

fn remount(options: &CStr) -> Result<(), Errno> {
    mount(c"t", c"t", c"tmpfs", MS_REMOUNT, Some(options))
}

/// Inodes in all and free ones.
fn inodes_of(place: &CStr) -> Result<[u64; 2], Errno> {
    statfs(place).map(|shown| [shown.f_files, shown.f_ffree])
}

/// Half of memory's pages, of pages and inodes alike; the root is one of these.
fn without_a_word() -> Outcome {
    if !begin(c"")? {
        return Ok(());
    }
    let shown = statfs(c"t")?;
    check!(shown.f_blocks > 1000 && shown.f_files == shown.f_blocks && shown.f_bfree == shown.f_blocks);
    check_eq!(shown.f_ffree, shown.f_files - 1);
    close(create(c"t/a", b"x")?)?;
    let shown = statfs(c"t")?;
    check_eq!((shown.f_ffree, shown.f_bfree), (shown.f_files - 2, shown.f_blocks - 1));
    Ok(())
}

fn inodes() -> Outcome {
    if !begin(c"nr_inodes=4")? {
        return Ok(());
    }
    check_eq!(inodes_of(c"t")?, [4, 3]);
    close(create(c"t/a", b"")?)?;
    mkdirat(AT_FDCWD, c"t/d", 0o755)?;
    linkat((AT_FDCWD, c"t/a"), (AT_FDCWD, c"t/d/a"), 0)?;
    check_eq!(inodes_of(c"t")?, [4, 0]);
    check_eq!(mkdirat(AT_FDCWD, c"t/e", 0o755), Err(Errno::ENOSPC));
    check_eq!(open(c"t", O_TMPFILE | O_RDWR, 0o600), Err(Errno::ENOSPC));
    check_eq!(linkat((AT_FDCWD, c"t/a"), (AT_FDCWD, c"t/b"), 0), Err(Errno::ENOSPC));
    check_eq!(symlinkat(c"x", AT_FDCWD, c"t/l"), Err(Errno::ENOSPC));
    unlink(c"t/a")?;
    // What has no name yet gets its first one for nothing.
    let nameless = open(c"t", O_TMPFILE | O_RDWR, 0o600)?;
    check_eq!(inodes_of(c"t")?, [4, 0]);
    conformance::files::mount_proc()?;
    let path = format!("/proc/self/fd/{nameless}\0");
    let path = CStr::from_bytes_with_nul(path.as_bytes()).unwrap_or_default();
    linkat((AT_FDCWD, path), (AT_FDCWD, c"t/n"), AT_SYMLINK_FOLLOW)?;
    check_eq!(linkat((AT_FDCWD, path), (AT_FDCWD, c"t/m"), AT_SYMLINK_FOLLOW), Err(Errno::ENOSPC));
    unlink(c"t/n")?;
    check_eq!(inodes_of(c"t")?, [4, 0]);
    close(nameless)?;
    check_eq!(inodes_of(c"t")?, [4, 1]);
    Ok(())
}

fn other_limits_of_inodes() -> Outcome {
    if !begin(c"nr_inodes=4,size=64k")? {
        return Ok(());
    }
    for path in [c"t/a", c"t/b"] {
        close(create(path, b"")?)?;
    }
    check_eq!((remount(c"nr_inodes=2"), inodes_of(c"t")?), (Err(Errno::EINVAL), [4, 1]));
    check_eq!((remount(c"nr_inodes=3"), inodes_of(c"t")?), (Ok(()), [3, 0]));
    check_eq!(mkdirat(AT_FDCWD, c"t/d", 0o755), Err(Errno::ENOSPC));
    // All or nothing.
    check_eq!((remount(c"nr_inodes=9,size=x"), inodes_of(c"t")?), (Err(Errno::EINVAL), [3, 0]));
    check_eq!((remount(c"size=128k,nr_inodes=2"), statfs(c"t")?.f_blocks), (Err(Errno::EINVAL), 16));
    check_eq!((remount(c"nr_inodes=9"), inodes_of(c"t")?), (Ok(()), [9, 6]));
    mkdirat(AT_FDCWD, c"t/d", 0o755)?;
    check_eq!((remount(c""), inodes_of(c"t")?, statfs(c"t")?.f_blocks), (Ok(()), [9, 5], 16));
    check_eq!((remount(c"nr_inodes=0"), inodes_of(c"t")?), (Ok(()), [0, 0]));
    check_eq!((remount(c"nr_inodes=100"), inodes_of(c"t")?), (Err(Errno::EINVAL), [0, 0]));
    Ok(())
}

fn other_sizes() -> Outcome {
    if !begin(c"size=16k")? {
        return Ok(());
    }
    close(create(c"t/a", &[b'x'; 12_000])?)?;
    let blocks = || statfs(c"t").map(|shown| [shown.f_blocks, shown.f_bfree]);
    check_eq!((remount(c"size=8k"), blocks()?), (Err(Errno::EINVAL), [4, 1]));
    check_eq!((remount(c"nr_inodes=1000,nr_blocks=2"), blocks()?), (Err(Errno::EINVAL), [4, 1]));
    check!(statfs(c"t")?.f_files != 1000);
    check_eq!((remount(c"size=12k"), blocks()?), (Ok(()), [3, 0]));
    check_eq!((remount(c"size=0"), blocks()?), (Ok(()), [0, 0]));
    check_eq!((remount(c"size=1m"), blocks()?), (Err(Errno::EINVAL), [0, 0]));
    Ok(())
}

/// What values may be, and whose the root is by them.
fn words() -> Outcome {
    if !begin(c"")? {
        return Ok(());
    }
    mkdirat(AT_FDCWD, c"w", 0o755)?;
    let owner = |options: &CStr| {
        mount(c"w", c"w", c"tmpfs", 0, Some(options))?;
        let shown = newfstatat(AT_FDCWD, c"w", 0)?;
        libsyscall::system::umount2(c"w", 0)?;
        Ok((shown.st_uid, shown.st_gid, shown.st_mode & 0o7777))
    };
    let refused: [&CStr; 22] = [
        c"uid=4294967296",
        c"uid=4294967295",
        c"gid=4294967296",
        c"gid=-1",
        c"uid=",
        c"uid",
        c"uid=5x",
        c"uid=++5",
        c"uid=08",
        c"mode=8",
        c"mode=",
        c"mode=4294967296",
        c"size",
        c"size=",
        c"size=5q",
        c"size=-5",
        c"size=k5",
        c"size=50%%",
        c"nr_inodes=",
        c"nr_inodes=5%",
        c"nr_blocks=9223372036854775808",
        c"size=5kk",
    ];
    for options in refused {
        check_eq!((options, owner(options)), (options, Err(Errno::EINVAL)));
    }
    let taken: [(&CStr, (u32, u32, u32)); 8] = [
        (c"uid=5,gid=+6", (5, 6, 0o1777)),
        (c"uid=0x10,gid=010", (16, 8, 0o1777)),
        (c"uid=4294967294", (u32::MAX - 1, 0, 0o1777)),
        (c"mode=700", (0, 0, 0o700)),
        (c"mode=17777777", (0, 0, 0o7777)),
        (c"size=0x10k,nr_inodes=1K", (0, 0, 0o1777)),
        (c"size=200%,nr_blocks=1M", (0, 0, 0o1777)),
        (c",,size=1g,", (0, 0, 0o1777)),
    ];
    for (options, expected) in taken {
        check_eq!((options, owner(options)), (options, Ok(expected)));
    }
    Ok(())
}

/// Several who make files in directories of their own make as many together as there may be.
fn many_who_make_files() -> Outcome {
    const MAKERS: u64 = 4;
    const FILES: u64 = 200;
    if !begin(c"nr_inodes=205")? {
        return Ok(());
    }
    let (numbers, tell) = pipe2(0)?;
    // All directories before the first file: the makers leave no room.
    for number in 0..MAKERS {
        let folder = format!("t/{number}\0");
        mkdirat(AT_FDCWD, CStr::from_bytes_with_nul(folder.as_bytes()).unwrap_or_default(), 0o755)?;
    }
    let mut makers = [0; MAKERS as usize];
    for (number, maker) in makers.iter_mut().enumerate() {
        let make = move |file: u64| {
            let path = format!("t/{number}/{file}\0");
            open(CStr::from_bytes_with_nul(path.as_bytes()).unwrap_or_default(), O_CREAT | O_RDWR, 0o600)
        };
        *maker = child::start(move || {
            let made =
                (0..=FILES).find_map(|file| make(file).and_then(close).err().map(|error| (file, error)));
            match made {
                Some((made, Errno::ENOSPC)) => i32::from(write(tell, &made.to_ne_bytes()) != Ok(8)),
                _ => 1,
            }
        })?;
    }
    let mut sum = 0;
    for maker in makers {
        check_eq!(child::wait(maker)?.exit_code(), Some(0));
        let mut made = [0; 8];
        check_eq!(read(numbers, &mut made), Ok(8));
        sum += u64::from_ne_bytes(made);
    }
    check_eq!((sum, inodes_of(c"t")?), (FILES, [205, 0]));
    Ok(())
}
