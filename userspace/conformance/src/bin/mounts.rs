//! Mounts: what read-only means and when it can be had, trees of mounts, flags and options.
#![no_std]
#![no_main]

extern crate alloc;

use abi::Errno;
use abi::fs::*;
use abi::native::nr;
use conformance::files::{create, exists, link, mode_of, rename, rmdir, symlink, unlink};
use conformance::{Failure, Outcome, check, check_eq, raw, scratch};
use core::ffi::CStr;
use libsyscall::file::*;
use libsyscall::process::geteuid;
use libsyscall::system::mount;

conformance::tests!(&[
    ("read_only_at_every_door", read_only_at_every_door),
    ("read_only_while_somebody_writes", read_only_while_somebody_writes),
    ("a_file_system_and_its_views", a_file_system_and_its_views),
    ("trees_of_mounts", trees_of_mounts),
    ("a_tree_is_taken_away_whole", a_tree_is_taken_away_whole),
    ("links_are_not_followed", links_are_not_followed),
    ("flags_and_options", flags_and_options),
    ("sources", sources),
    ("a_thousand_mounts", a_thousand_mounts),
]);

/// A scratch folder with a tmpfs on `m`; false where this process may not mount.
fn begin() -> Result<bool, Failure> {
    scratch::enter()?;
    mkdirat(AT_FDCWD, c"m", 0o755)?;
    if geteuid() != 0 {
        return Ok(false);
    }
    mount(c"t", c"m", c"tmpfs", 0, None)?;
    close(create(c"m/f", b"x")?)?;
    mkdirat(AT_FDCWD, c"m/d", 0o755)?;
    Ok(true)
}

fn remount(path: &CStr, flags: u64) -> Result<(), Errno> {
    mount(c"", path, c"", MS_REMOUNT | flags, None)
}

fn bind(from: &CStr, to: &CStr, flags: u64) -> Result<(), Errno> {
    mount(from, to, c"", MS_BIND | flags, None)
}

fn unmount(path: &CStr, flags: u32) -> Result<(), Errno> {
    raw::call(nr::umount2, &[path.as_ptr() as u64, u64::from(flags)]).map(drop)
}

fn truncate(path: &CStr) -> Result<(), Errno> {
    raw::call(nr::truncate, &[path.as_ptr() as u64, 0]).map(drop)
}

/// Every door that changes something below `m`, which nobody may.
fn check_refused() -> Outcome {
    let read_only = Err(Errno::EROFS);
    for flags in [O_WRONLY, O_RDWR, O_RDONLY | O_TRUNC, O_WRONLY | O_CREAT] {
        check_eq!(open(c"m/f", flags, 0o600).map(drop), read_only);
    }
    check_eq!(open(c"m/new", O_RDONLY | O_CREAT, 0o600).map(drop), read_only);
    check_eq!(open(c"m", O_TMPFILE | O_RDWR, 0o600).map(drop), read_only);
    check_eq!((mkdirat(AT_FDCWD, c"m/new", 0o755), symlink(c"x", c"m/new")), (read_only, read_only));
    check_eq!(mknodat(AT_FDCWD, c"m/new", S_IFIFO | 0o600, 0), read_only);
    check_eq!((link(c"m/f", c"m/new"), link(c"here", c"m/new")), (read_only, read_only));
    check_eq!((unlink(c"m/f"), unlink(c"m/none"), unlink(c"m/f/")), (read_only, read_only, read_only));
    check_eq!((rmdir(c"m/d"), rmdir(c"m/none")), (read_only, read_only));
    check_eq!((rename(c"m/f", c"m/g", 0), rename(c"m/none", c"m/g", 0)), (read_only, read_only));
    check_eq!(rename(c"m/f", c"m/f", 0), read_only);
    check_eq!((fchmodat(AT_FDCWD, c"m/f", 0), fchownat(AT_FDCWD, c"m/f", 0, 0, 0)), (read_only, read_only));
    check_eq!(utimensat(AT_FDCWD, c"m/f", None, 0), read_only);
    check_eq!((truncate(c"m/f"), faccessat(AT_FDCWD, c"m/f", 2)), (read_only, read_only));
    let fd = open(c"m/f", O_RDONLY, 0)?;
    check_eq!(raw::call(nr::fchmod, &[fd as u64, 0o600]).map(drop), read_only);
    // What is there is found first, and what is missing stays missing.
    check_eq!(mkdirat(AT_FDCWD, c"m/d", 0o755), Err(Errno::EEXIST));
    check_eq!((link(c"here", c"m/f"), link(c"m/none", c"m/new")), (Err(Errno::EEXIST), Err(Errno::ENOENT)));
    check_eq!(truncate(c"m/d"), Err(Errno::EISDIR));
    check!(open(c"m/f", O_RDONLY | O_CREAT, 0).is_ok() && open(c"m/p", O_RDWR, 0).is_ok());
    check_eq!(mode_of(c"m/f")?, S_IFREG | 0o644);
    Ok(())
}

fn read_only_at_every_door() -> Outcome {
    if !begin()? {
        return Ok(());
    }
    close(create(c"here", b"")?)?;
    mknodat(AT_FDCWD, c"m/p", S_IFIFO | 0o600, 0)?;
    remount(c"m", MS_RDONLY)?;
    check_refused()?;
    remount(c"m", 0)?;
    check!(open(c"m/f", O_WRONLY, 0).map(close).is_ok());
    remount(c"m", MS_BIND | MS_RDONLY)?;
    check_refused()
}

fn read_only_while_somebody_writes() -> Outcome {
    if !begin()? {
        return Ok(());
    }
    let refused =
        || remount(c"m", MS_RDONLY) == Err(Errno::EBUSY) && open(c"m/f", O_RDWR, 0).map(close).is_ok();
    let fd = open(c"m/f", O_RDWR, 0)?;
    check!(refused() && remount(c"m", MS_BIND | MS_RDONLY) == Err(Errno::EBUSY));
    let address = raw::call(nr::mmap, &[0, 4096, 1, 2, fd as u64, 0])?;
    close(fd)?;
    check!(refused());
    raw::call(nr::munmap, &[address, 4096])?;
    // One that is open without a name is to be removed yet.
    let fd = create(c"m/g", b"")?;
    close(fd)?;
    let fd = open(c"m/g", O_RDONLY, 0)?;
    unlink(c"m/g")?;
    check!(refused());
    close(fd)?;
    let fd = open(c"m", O_TMPFILE | O_RDWR, 0o600)?;
    check!(refused());
    close(fd)?;
    // Pipes are not stored there, and readers do not write.
    mknodat(AT_FDCWD, c"m/p", S_IFIFO | 0o600, 0)?;
    let _pipe = open(c"m/p", O_RDWR, 0)?;
    let _reader = open(c"m/f", O_RDONLY, 0)?;
    remount(c"m", MS_RDONLY)?;
    check_eq!(open(c"m/f", O_RDWR, 0), Err(Errno::EROFS));
    Ok(())
}

fn a_file_system_and_its_views() -> Outcome {
    if !begin()? {
        return Ok(());
    }
    mkdirat(AT_FDCWD, c"b", 0o755)?;
    bind(c"m", c"b", 0)?;
    let fd = open(c"m/f", O_WRONLY, 0)?;
    check_eq!(remount(c"b", MS_RDONLY), Err(Errno::EBUSY));
    remount(c"b", MS_BIND | MS_RDONLY)?;
    check_eq!(open(c"b/f", O_WRONLY, 0), Err(Errno::EROFS));
    check!(open(c"m/f", O_WRONLY, 0).map(close).is_ok());
    close(fd)?;
    remount(c"b", MS_BIND)?;
    remount(c"m", MS_RDONLY)?;
    check_eq!(fchmodat(AT_FDCWD, c"b/f", 0), Err(Errno::EROFS));
    check!(statfs(c"b")?.f_flags & ST_RDONLY != 0);
    Ok(())
}

fn trees_of_mounts() -> Outcome {
    if !begin()? {
        return Ok(());
    }
    mount(c"t", c"m/d", c"tmpfs", 0, None)?;
    mkdirat(AT_FDCWD, c"m/d/e", 0o755)?;
    mount(c"t", c"m/d/e", c"tmpfs", MS_NOSUID, None)?;
    close(create(c"m/d/e/deep", b"")?)?;
    for name in [c"one", c"all", c"part"] {
        mkdirat(AT_FDCWD, name, 0o755)?;
    }
    bind(c"m", c"one", 0)?;
    check!(exists(c"one/f") && !exists(c"one/d/e"));
    bind(c"m", c"all", MS_REC)?;
    check!(exists(c"all/d/e/deep") && statfs(c"all/d/e")?.f_flags & ST_NOSUID != 0);
    bind(c"m/d", c"part", MS_REC)?;
    check!(exists(c"part/e/deep"));
    // Into itself: the copy is of what was there before.
    mkdirat(AT_FDCWD, c"m/self", 0o755)?;
    bind(c"m", c"m/self", MS_REC)?;
    check!(exists(c"m/self/d/e/deep") && !exists(c"m/self/self/f"));
    // They are mounts of their own.
    unmount(c"m/d/e", 0)?;
    check!(exists(c"all/d/e/deep") && exists(c"part/e/deep") && !exists(c"m/d/e/deep"));
    check_eq!(bind(c"f", c"m", MS_REC), Err(Errno::ENOENT));
    check_eq!(mount(c"", c"m", c"", MS_BIND, None), Err(Errno::EINVAL));
    Ok(())
}

fn mounts() -> Result<usize, Failure> {
    let text = conformance::files::content(c"/proc/self/mountinfo")?;
    Ok(text.split(|&byte| byte == b'\n').count())
}

fn a_tree_is_taken_away_whole() -> Outcome {
    let before = mounts()?;
    if !begin()? {
        return Ok(());
    }
    mount(c"t", c"m/d", c"tmpfs", 0, None)?;
    mkdirat(AT_FDCWD, c"m/d/e", 0o755)?;
    mount(c"t", c"m/d/e", c"tmpfs", 0, None)?;
    check_eq!((mounts()?, unmount(c"m", 0)), (before + 3, Err(Errno::EBUSY)));
    let fd = open(c"m/f", O_RDONLY, 0)?;
    unmount(c"m", MNT_DETACH)?;
    check_eq!((mounts()?, exists(c"m/f"), read(fd, &mut [0; 4])), (before, false, Ok(1)));
    Ok(())
}

fn links_are_not_followed() -> Outcome {
    if !begin()? {
        return Ok(());
    }
    symlink(c"f", c"m/l")?;
    symlink(c"d", c"m/ld")?;
    remount(c"m", MS_BIND | MS_NOSYMFOLLOW)?;
    check_eq!(open(c"m/l", O_RDONLY, 0), Err(Errno::ELOOP));
    check_eq!(open(c"m/ld/x", O_RDONLY, 0), Err(Errno::ELOOP));
    check!(readlinkat(AT_FDCWD, c"m/l", &mut [0; 9])? == 1);
    Ok(())
}

fn flags_and_options() -> Outcome {
    if !begin()? {
        return Ok(());
    }
    check_eq!(mount(c"t", c"m", c"tmpfs", 1 << 31, None), Err(Errno::EINVAL));
    check_eq!(mount(c"t", c"m", c"tmpfs", 0, Some(c"colour=red")), Err(Errno::EINVAL));
    check_eq!(mount(c"", c"m", c"", MS_REMOUNT, Some(c"colour=red")), Err(Errno::EINVAL));
    mount(c"", c"m", c"", MS_REMOUNT, Some(c"size=8m"))?;
    check_eq!(statfs(c"m")?.f_blocks, 2048);
    // Access times stay as they are where nothing is said of them.
    remount(c"m", MS_NOATIME)?;
    remount(c"m", 0)?;
    check_eq!(statfs(c"m")?.f_flags & (ST_NOATIME | ST_RELATIME), ST_NOATIME);
    mkdirat(AT_FDCWD, c"few", 0o755)?;
    mount(c"t", c"few", c"tmpfs", 0, Some(c"nr_inodes=3"))?;
    close(create(c"few/a", b"")?)?;
    close(create(c"few/b", b"")?)?;
    check_eq!(open(c"few/c", O_RDWR | O_CREAT, 0o600), Err(Errno::ENOSPC));
    // Each further name counts as an inode.
    let again = || linkat((AT_FDCWD, c"few/b"), (AT_FDCWD, c"few/again"), 0);
    check_eq!(again(), Err(Errno::ENOSPC));
    unlink(c"few/a")?;
    check_eq!((again(), statfs(c"few")?.f_ffree), (Ok(()), 0));
    unlink(c"few/b")?;
    check_eq!(statfs(c"few")?.f_ffree, 1);
    check_eq!((unmount(c"m/d", 0), unmount(c"few", 0x100)), (Err(Errno::EINVAL), Err(Errno::EINVAL)));
    Ok(())
}

/// What is mounted may be said among the options, once.
fn sources() -> Outcome {
    if !begin()? {
        return Ok(());
    }
    let place = c"place";
    mkdirat(AT_FDCWD, place, 0o755)?;
    let mount = |source: Option<&CStr>, kind: &CStr, flags: u64, options: &CStr| {
        let source = source.map_or(0, |source| source.as_ptr() as u64);
        let [place, kind, options] = [place, kind, options].map(|text| text.as_ptr() as u64);
        raw::call(nr::mount, &[source, place, kind, flags, options]).map(drop)
    };
    let is_listed = |source: &str| -> Result<bool, Failure> {
        let table = conformance::files::content(c"/proc/self/mounts")?;
        Ok(table.split(|&byte| byte == b'\n').any(|line| line.starts_with(source.as_bytes())))
    };
    for kind in [c"tmpfs", c"proc", c"sysfs"] {
        check_eq!(mount(None, kind, 0, c"source=from-options"), Ok(()));
        check!(is_listed("from-options ")?);
        // Of one that is mounted it is passed over.
        check_eq!(mount(Some(c"x"), kind, MS_REMOUNT, c"source=other"), Ok(()));
        check_eq!(mount(None, kind, MS_REMOUNT, c"source=a,source=b"), Err(Errno::EINVAL));
        check!(is_listed("from-options ")? && !is_listed("other ")?);
        unmount(place, 0)?;
        check_eq!(mount(Some(c"given"), kind, 0, c"source=other"), Err(Errno::EINVAL));
        check_eq!(mount(None, kind, 0, c"source=a,source=b"), Err(Errno::EINVAL));
        check_eq!(mount(None, kind, 0, c"source"), Err(Errno::EINVAL));
    }
    Ok(())
}

fn a_thousand_mounts() -> Outcome {
    const COUNT: usize = 1000;
    if !begin()? {
        return Ok(());
    }
    let name = |number: usize| ulib::c_string(alloc::format!("m/{number}"));
    for number in 0..COUNT {
        mkdirat(AT_FDCWD, &name(number)?, 0o755)?;
        bind(c"m/d", &name(number)?, 0)?;
    }
    close(create(c"m/d/seen", b"")?)?;
    for number in (0..COUNT).step_by(7) {
        check!(exists(&ulib::c_string(alloc::format!("m/{number}/seen"))?));
    }
    check!(mounts()? > COUNT);
    for number in (0..COUNT).rev() {
        unmount(&name(number)?, 0)?;
    }
    check!(!exists(c"m/0/seen") && unmount(c"m", 0).is_ok());
    Ok(())
}
