//! Permissions of files, as root and as another user.
#![no_std]
#![no_main]

extern crate alloc;

use abi::Errno;
use abi::fs::*;
use conformance::files::{as_user, create, mode_of, rename, unlink};
use conformance::{Outcome, check, check_eq, scratch};
use libsyscall::file::*;

conformance::tests!(&[
    ("the_mask_of_new_files", the_mask_of_new_files),
    ("permissions_of_others", permissions_of_others),
    ("the_sticky_bit", the_sticky_bit),
    ("access_is_asked", access_is_asked),
]);

fn the_mask_of_new_files() -> Outcome {
    scratch::enter()?;
    umask(0o027);
    close(open(c"file", O_RDWR | O_CREAT, 0o666)?)?;
    mkdirat(AT_FDCWD, c"dir", 0o777)?;
    check_eq!((mode_of(c"file")?, mode_of(c"dir")?), (S_IFREG | 0o640, S_IFDIR | 0o750));
    fchmodat(AT_FDCWD, c"file", 0o6755)?;
    check_eq!(mode_of(c"file")?, S_IFREG | 0o6755);
    check_eq!(umask(0o777), 0o027);
    Ok(())
}

fn permissions_of_others() -> Outcome {
    scratch::enter()?;
    for (name, mode) in [(c"private", 0o600), (c"readable", 0o644), (c"writable", 0o622)] {
        close(create(name, b"x")?)?;
        fchmodat(AT_FDCWD, name, mode)?;
    }
    mkdirat(AT_FDCWD, c"closed", 0o700)?;
    close(create(c"closed/file", b"")?)?;
    mkdirat(AT_FDCWD, c"fixed", 0o755)?;
    close(create(c"fixed/file", b"")?)?;
    as_user(|| {
        check_eq!(open(c"private", O_RDONLY, 0), Err(Errno::EACCES));
        check_eq!(open(c"readable", O_RDWR, 0), Err(Errno::EACCES));
        check!(open(c"readable", O_RDONLY, 0).is_ok() && open(c"writable", O_WRONLY, 0).is_ok());
        check_eq!(open(c"writable", O_RDONLY, 0), Err(Errno::EACCES));
        check_eq!(open(c"closed/file", O_RDONLY, 0), Err(Errno::EACCES));
        check_eq!(newfstatat(AT_FDCWD, c"closed/file", 0).map(drop), Err(Errno::EACCES));
        check_eq!(open(c"closed", O_RDONLY, 0), Err(Errno::EACCES));
        check_eq!(unlink(c"fixed/file"), Err(Errno::EACCES));
        check_eq!(open(c"fixed/new", O_RDWR | O_CREAT, 0o600), Err(Errno::EACCES));
        check_eq!(fchmodat(AT_FDCWD, c"readable", 0o777), Err(Errno::EPERM));
        check_eq!(fchownat(AT_FDCWD, c"readable", 1000, 1000, 0), Err(Errno::EPERM));
        close(open(c"mine", O_RDWR | O_CREAT, 0o600)?)?;
        let stat = newfstatat(AT_FDCWD, c"mine", 0)?;
        check_eq!((stat.st_uid, stat.st_gid), (1000, 1000));
        check_eq!(fchownat(AT_FDCWD, c"mine", 0, u32::MAX, 0), Err(Errno::EPERM));
        fchmodat(AT_FDCWD, c"mine", 0o000)?;
        check_eq!(open(c"mine", O_RDONLY, 0), Err(Errno::EACCES));
        Ok(())
    })?;
    check!(open(c"private", O_RDWR, 0).is_ok());
    Ok(())
}

fn the_sticky_bit() -> Outcome {
    scratch::enter()?;
    mkdirat(AT_FDCWD, c"all", 0o777)?;
    fchmodat(AT_FDCWD, c"all", 0o1777)?;
    close(create(c"all/roots", b"")?)?;
    as_user(|| {
        check_eq!(unlink(c"all/roots"), Err(Errno::EPERM));
        check_eq!(rename(c"all/roots", c"all/other", 0), Err(Errno::EPERM));
        close(open(c"all/mine", O_RDWR | O_CREAT, 0o600)?)?;
        check_eq!(unlink(c"all/mine"), Ok(()));
        Ok(())
    })
}

fn access_is_asked() -> Outcome {
    scratch::enter()?;
    close(create(c"a", b"")?)?;
    check_eq!(faccessat(AT_FDCWD, c"a", F_OK), Ok(()));
    check_eq!(faccessat(AT_FDCWD, c"none", F_OK), Err(Errno::ENOENT));
    check_eq!(faccessat(AT_FDCWD, c"a", 8), Err(Errno::EINVAL));
    // Even root executes only what somebody may execute.
    check_eq!(faccessat(AT_FDCWD, c"a", X_OK), Err(Errno::EACCES));
    fchmodat(AT_FDCWD, c"a", 0o600)?;
    as_user(|| {
        check_eq!(faccessat(AT_FDCWD, c"a", R_OK), Err(Errno::EACCES));
        check_eq!(faccessat(AT_FDCWD, c"a", F_OK), Ok(()));
        Ok(())
    })
}
