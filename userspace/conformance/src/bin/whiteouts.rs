//! Whiteouts: what `RENAME_WHITEOUT` leaves behind, and who may make one.
#![no_std]
#![no_main]

extern crate alloc;

use abi::Errno;
use abi::fs::*;
use conformance::files::{as_user, create, exists, link, rename};
use conformance::{Outcome, check, check_eq, scratch};
use libsyscall::file::*;

conformance::tests!(&[
    ("a_whiteout_is_left", a_whiteout_is_left),
    ("a_target_is_replaced", a_target_is_replaced),
    ("directories_move_too", directories_move_too),
    ("flags_that_exclude_each_other", flags_that_exclude_each_other),
    ("names_of_one_file", names_of_one_file),
    ("everybody_may_make_one", everybody_may_make_one),
]);

/// A tmpfs of its own with a file.
fn enter() -> Outcome {
    scratch::enter_tmpfs()?;
    close(create(c"f", b"content")?)?;
    Ok(())
}

fn is_whiteout(path: &core::ffi::CStr) -> Result<bool, Errno> {
    let stat = newfstatat(AT_FDCWD, path, AT_SYMLINK_NOFOLLOW)?;
    Ok((stat.st_mode, stat.st_rdev, stat.st_nlink as u64) == (S_IFCHR, 0, 1))
}

fn size(path: &core::ffi::CStr) -> Result<i64, Errno> {
    Ok(newfstatat(AT_FDCWD, path, AT_SYMLINK_NOFOLLOW)?.st_size)
}

fn a_whiteout_is_left() -> Outcome {
    enter()?;
    let before = newfstatat(AT_FDCWD, c"f", 0)?.st_ino;
    rename(c"f", c"g", RENAME_WHITEOUT)?;
    check!(is_whiteout(c"f")?);
    check_eq!((newfstatat(AT_FDCWD, c"g", 0)?.st_ino, size(c"g")?), (before, 7));
    check_eq!(open(c"f", O_RDONLY, 0), Err(Errno::ENXIO));
    // It is a file as any other.
    rename(c"f", c"h", RENAME_WHITEOUT)?;
    check!(is_whiteout(c"f")? && is_whiteout(c"h")?);
    rename(c"g", c"f", 0)?;
    check_eq!((size(c"f")?, exists(c"g")), (7, false));
    unlinkat(AT_FDCWD, c"h", 0)?;
    Ok(())
}

fn a_target_is_replaced() -> Outcome {
    enter()?;
    close(create(c"g", b"other")?)?;
    check_eq!(rename(c"f", c"g", RENAME_WHITEOUT | RENAME_NOREPLACE), Err(Errno::EEXIST));
    rename(c"f", c"g", RENAME_WHITEOUT)?;
    check!(is_whiteout(c"f")? && size(c"g")? == 7);
    rename(c"g", c"new", RENAME_WHITEOUT | RENAME_NOREPLACE)?;
    check!(is_whiteout(c"g")? && size(c"new")? == 7);
    check_eq!(rename(c"none", c"new", RENAME_WHITEOUT), Err(Errno::ENOENT));
    check!(!exists(c"none"));
    Ok(())
}

fn directories_move_too() -> Outcome {
    enter()?;
    for name in [c"from", c"to", c"from/d"] {
        mkdirat(AT_FDCWD, name, 0o755)?;
    }
    close(create(c"from/d/inside", b"")?)?;
    rename(c"from/d", c"to/d", RENAME_WHITEOUT)?;
    check!(is_whiteout(c"from/d")? && exists(c"to/d/inside"));
    let links = |path| Ok::<_, Errno>(newfstatat(AT_FDCWD, path, 0)?.st_nlink as u64);
    check_eq!((links(c"from")?, links(c"to")?), (2, 3));
    check_eq!(unlinkat(AT_FDCWD, c"from", AT_REMOVEDIR), Err(Errno::ENOTEMPTY));
    mkdirat(AT_FDCWD, c"full", 0o755)?;
    close(create(c"full/x", b"")?)?;
    check_eq!(rename(c"to", c"full", RENAME_WHITEOUT), Err(Errno::ENOTEMPTY));
    check!(exists(c"to/d"));
    Ok(())
}

fn flags_that_exclude_each_other() -> Outcome {
    enter()?;
    close(create(c"g", b"")?)?;
    check_eq!(rename(c"f", c"g", RENAME_WHITEOUT | RENAME_EXCHANGE), Err(Errno::EINVAL));
    check_eq!(rename(c"f", c"g", RENAME_WHITEOUT | 8), Err(Errno::EINVAL));
    check_eq!((size(c"f")?, size(c"g")?), (7, 0));
    Ok(())
}

fn names_of_one_file() -> Outcome {
    enter()?;
    link(c"f", c"g")?;
    rename(c"f", c"g", RENAME_WHITEOUT)?;
    rename(c"f", c"f", RENAME_WHITEOUT)?;
    check_eq!((size(c"f")?, size(c"g")?), (7, 7));
    Ok(())
}

fn everybody_may_make_one() -> Outcome {
    enter()?;
    fchownat(AT_FDCWD, c"f", 1000, 1000, 0)?;
    as_user(|| {
        rename(c"f", c"g", RENAME_WHITEOUT)?;
        check!(is_whiteout(c"f")?);
        mknodat(AT_FDCWD, c"made", S_IFCHR, 0)?;
        check!(is_whiteout(c"made")?);
        check_eq!(mknodat(AT_FDCWD, c"null", S_IFCHR, make_device(1, 3)), Err(Errno::EPERM));
        check_eq!(mknodat(AT_FDCWD, c"block", S_IFBLK, 0), Err(Errno::EPERM));
        Ok(())
    })
}
