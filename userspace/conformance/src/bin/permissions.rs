//! Permissions of files, as root and as another user.
#![no_std]
#![no_main]

extern crate alloc;

use abi::Errno;
use abi::fs::*;
use abi::native::nr;
use abi::resource::PRIO_USER;
use conformance::files::{as_user, create, mode_of, rename, unlink};
use conformance::{Outcome, check, check_eq, raw, scratch};
use libsyscall::file::*;
use libsyscall::system::mount;

conformance::tests!(&[
    ("the_mask_of_new_files", the_mask_of_new_files),
    ("permissions_of_others", permissions_of_others),
    ("the_sticky_bit", the_sticky_bit),
    ("access_is_asked", access_is_asked),
    ("extended_attributes_look_at_their_arguments", extended_attributes_look_at_their_arguments),
    ("minus_one_is_nobody", minus_one_is_nobody),
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

/// What no attribute is needed for: path, descriptor, name, flags and size.
fn extended_attributes_look_at_their_arguments() -> Outcome {
    scratch::enter()?;
    let fd = create(c"f", b"")?;
    let place_only = open(c"f", O_PATH, 0)?;
    mknodat(AT_FDCWD, c"fifo", S_IFIFO | 0o600, 0)?;
    let (file, none, fifo) = (c"f".as_ptr() as u64, c"none".as_ptr() as u64, c"fifo".as_ptr() as u64);
    let (user, value) = (c"user.a".as_ptr() as u64, c"v".as_ptr() as u64);
    let call = |number, arguments: &[u64]| raw::call(number, arguments);
    for number in [nr::listxattr, nr::llistxattr] {
        check_eq!((call(number, &[none, 0, 0]), call(number, &[file, 0, 0])), (Err(Errno::ENOENT), Ok(0)));
        check_eq!(call(number, &[8, 0, 0]), Err(Errno::EFAULT));
    }
    for (get, set, remove) in
        [(nr::getxattr, nr::setxattr, nr::removexattr), (nr::lgetxattr, nr::lsetxattr, nr::lremovexattr)]
    {
        for number in [get, set, remove] {
            check_eq!(call(number, &[none, user, value, 1, 0]), Err(Errno::ENOENT));
            check_eq!(call(number, &[file, user, value, 1, 0]), Err(Errno::EOPNOTSUPP));
            check_eq!(call(number, &[file, c"".as_ptr() as u64, value, 1, 0]), Err(Errno::ERANGE));
            check_eq!(call(number, &[file, 8, value, 1, 0]), Err(Errno::EFAULT));
        }
        check_eq!(call(get, &[fifo, user, value, 1]), Err(Errno::ENODATA));
        check_eq!(call(set, &[fifo, user, value, 1, 0]), Err(Errno::EPERM));
        check_eq!(call(set, &[file, user, value, 1, 4]), Err(Errno::EINVAL));
        check_eq!(call(set, &[file, user, value, 65537, 0]), Err(Errno::E2BIG));
        check_eq!(call(set, &[file, user, 8, 1, 0]), Err(Errno::EFAULT));
    }
    let fds = [u64::MAX, place_only as u64].map(|fd| {
        [nr::fgetxattr, nr::fsetxattr, nr::fremovexattr, nr::flistxattr]
            .map(|number| call(number, &[fd, user, value, 1, 0]))
    });
    check!(fds.as_flattened().iter().all(|result| *result == Err(Errno::EBADF)));
    check_eq!(call(nr::fgetxattr, &[fd as u64, user, value, 1]), Err(Errno::EOPNOTSUPP));
    Ok(())
}

/// The number -1 names no user and no group, in lists neither.
fn minus_one_is_nobody() -> Outcome {
    const NOBODY: u64 = u32::MAX as u64;
    for call in [nr::setuid, nr::setgid] {
        check_eq!(raw::call(call, &[NOBODY]), Err(Errno::EINVAL));
    }
    for groups in [&[u32::MAX][..], &[5, u32::MAX], &[u32::MAX, 5]] {
        check_eq!(
            raw::call(nr::setgroups, &[groups.len() as u64, groups.as_ptr() as u64]),
            Err(Errno::EINVAL)
        );
    }
    check_eq!(raw::call(nr::getgroups, &[0, 0]), Ok(0));
    check_eq!(raw::call(nr::getpriority, &[u64::from(PRIO_USER), NOBODY]), Err(Errno::ESRCH));
    // Where nobody can be meant it says that nothing is to change.
    check_eq!(raw::call(nr::setfsuid, &[NOBODY]), Ok(0));
    check_eq!(raw::call(nr::setresuid, &[NOBODY; 3]), Ok(0));
    scratch::enter_tmpfs()?;
    mkdirat(AT_FDCWD, c"t", 0o755)?;
    for options in [c"uid=4294967295", c"gid=4294967295"] {
        check_eq!(mount(c"t", c"t", c"tmpfs", 0, Some(options)), Err(Errno::EINVAL));
    }
    Ok(())
}
