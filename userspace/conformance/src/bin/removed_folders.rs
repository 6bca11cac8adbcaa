//! Folders that were removed while somebody stood in them: whatever else is wrong, there is no such name.
#![no_std]
#![no_main]

extern crate alloc;

use abi::Errno;
use abi::fs::*;
use conformance::files::{as_user, create, link, rename, rmdir, symlink, unlink};
use conformance::{Outcome, check, check_eq, scratch};
use core::ffi::CStr;
use libsyscall::file::*;
use libsyscall::process::geteuid;
use libsyscall::system::mount;

conformance::tests!(&[
    ("for_root", for_root),
    ("for_a_user", for_a_user),
    ("on_a_full_file_system", on_a_full_file_system),
    ("read_only", read_only),
    ("replaced_by_a_rename", replaced_by_a_rename),
]);

const NONE: Result<(), Errno> = Err(Errno::ENOENT);

/// A folder `d` beside a file `f` and a folder `g`; the program stands in `d`, which is no more.
fn stand_in_removed(mode: u32) -> Outcome {
    for (folder, mode) in [(c"d", mode), (c"g", 0o777)] {
        mkdirat(AT_FDCWD, folder, mode)?;
        fchmodat(AT_FDCWD, folder, mode)?;
    }
    close(create(c"f", b"x")?)?;
    chdir(c"d")?;
    rmdir(c"../d")?;
    Ok(())
}

/// Every call that makes a name.
fn check_no_name_is_made() -> Outcome {
    for flags in [O_RDONLY | O_CREAT, O_RDWR | O_CREAT | O_EXCL, O_WRONLY | O_CREAT | O_TRUNC] {
        check_eq!(open(c"x", flags, 0o600).map(drop), NONE);
    }
    check_eq!((mkdirat(AT_FDCWD, c"x", 0o755), symlink(c"t", c"x")), (NONE, NONE));
    for kind in [S_IFREG, S_IFIFO, S_IFSOCK] {
        check_eq!(mknodat(AT_FDCWD, c"x", kind | 0o600, 0), NONE);
    }
    // A device, the name of a folder, and what lies elsewhere, are refused by others.
    check_eq!(mknodat(AT_FDCWD, c"x", S_IFCHR | 0o600, 0x103), NONE);
    for old in [c"../f", c"../g", c"/proc"] {
        check_eq!(link(old, c"x"), NONE);
    }
    check_eq!((rename(c"../f", c"x", 0), rename(c"../g", c"x", 0)), (NONE, NONE));
    check_eq!(rename(c"../f", c"x", RENAME_NOREPLACE), NONE);
    Ok(())
}

/// Every call that takes a name away.
fn check_no_name_is_found(answer: Result<(), Errno>) -> Outcome {
    check_eq!((unlink(c"x"), rmdir(c"x")), (answer, answer));
    check_eq!((rename(c"x", c"../y", 0), rename(c"x", c"y", 0)), (answer, answer));
    Ok(())
}

fn for_root() -> Outcome {
    scratch::enter()?;
    stand_in_removed(0o777)?;
    check_no_name_is_made()?;
    check_no_name_is_found(NONE)?;
    check_eq!(open(c"x", O_RDONLY, 0).map(drop), NONE);
    check_eq!(open(c"./x/y", O_RDONLY | O_CREAT, 0o600).map(drop), NONE);
    // The folder itself is still there, and what is above it.
    close(open(c".", O_RDONLY, 0)?)?;
    check_eq!(fstat(open(c".", O_RDONLY, 0)?)?.st_nlink as u64, 0);
    check!(open(c"../f", O_RDONLY, 0).map(close).is_ok());
    Ok(())
}

fn for_a_user() -> Outcome {
    if geteuid() != 0 {
        return Ok(());
    }
    scratch::enter()?;
    stand_in_removed(0o555)?;
    as_user(|| {
        check_no_name_is_made()?;
        check_no_name_is_found(NONE)
    })
}

fn on_a_full_file_system() -> Outcome {
    scratch::enter()?;
    if geteuid() != 0 {
        return Ok(());
    }
    mkdirat(AT_FDCWD, c"few", 0o777)?;
    mount(c"t", c"few", c"tmpfs", 0, Some(c"nr_inodes=4"))?;
    chdir(c"few")?;
    stand_in_removed(0o777)?;
    // The removed one still counts.
    check_eq!(mkdirat(AT_FDCWD, c"../more", 0o755), Err(Errno::ENOSPC));
    check_no_name_is_made()
}

/// A mount becomes read-only; its file system cannot, while there is something without a name.
fn read_only() -> Outcome {
    scratch::enter()?;
    if geteuid() != 0 {
        return Ok(());
    }
    mkdirat(AT_FDCWD, c"m", 0o777)?;
    mount(c"t", c"m", c"tmpfs", 0, None)?;
    chdir(c"m")?;
    stand_in_removed(0o777)?;
    let remount = |flags: u64| mount(c"", c"..", c"", MS_REMOUNT | flags, None);
    check_eq!(remount(MS_RDONLY), Err(Errno::EBUSY));
    remount(MS_BIND | MS_RDONLY)?;
    for flags in [O_RDONLY | O_CREAT, O_RDWR | O_CREAT | O_EXCL] {
        check_eq!(open(c"x", flags, 0o600).map(drop), NONE);
    }
    check_eq!((mkdirat(AT_FDCWD, c"x", 0o755), symlink(c"t", c"x")), (NONE, NONE));
    check_eq!((mknodat(AT_FDCWD, c"x", S_IFIFO | 0o600, 0), link(c"../f", c"x")), (NONE, NONE));
    check_no_name_is_found(Err(Errno::EROFS))
}

fn replaced_by_a_rename() -> Outcome {
    scratch::enter()?;
    let stood_in: &CStr = c"old";
    mkdirat(AT_FDCWD, stood_in, 0o777)?;
    mkdirat(AT_FDCWD, c"new", 0o777)?;
    close(create(c"new/x", b"")?)?;
    close(create(c"f", b"")?)?;
    mkdirat(AT_FDCWD, c"g", 0o777)?;
    chdir(stood_in)?;
    rename(c"../new", c"../old", 0)?;
    check_no_name_is_made()?;
    check_no_name_is_found(NONE)
}
