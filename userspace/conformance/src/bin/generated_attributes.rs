//! Mode, owner, times and attributes of what the kernel makes up: which of them can be changed.
#![no_std]
#![no_main]

extern crate alloc;

use abi::Errno;
use abi::fs::*;
use abi::native::nr;
use abi::time::Timespec;
use conformance::{Outcome, check_eq, files, raw};
use core::ffi::CStr;
use libsyscall::file::*;

conformance::tests!(&[
    ("the_directory_of_a_process_is_immutable", the_directory_of_a_process_is_immutable),
    ("what_is_in_it_keeps_its_mode", what_is_in_it_keeps_its_mode),
    ("links_to_what_is_open", links_to_what_is_open),
    ("settings_keep_mode_and_owner", settings_keep_mode_and_owner),
    ("times_of_the_system", times_of_the_system),
]);

const OWN: &CStr = c"/proc/self/.";

fn set_times(path: &CStr, times: Option<[Timespec; 2]>, flags: u32) -> Result<(), Errno> {
    let times = times.as_ref().map_or(0, |times| times.as_ptr() as u64);
    raw::call(nr::utimensat, &[AT_FDCWD as u64, path.as_ptr() as u64, times, flags.into()]).map(drop)
}

const FIFTH: Timespec = Timespec { tv_sec: 5, tv_nsec: 0 };

/// Sets one attribute; `None` removes it.
fn attribute(path: &CStr, name: &CStr, value: Option<&[u8]>) -> Result<(), Errno> {
    let (path, name) = (path.as_ptr() as u64, name.as_ptr() as u64);
    match value {
        Some(value) => {
            raw::call(nr::setxattr, &[path, name, value.as_ptr() as u64, value.len() as u64, 0]).map(drop)
        }
        None => raw::call(nr::removexattr, &[path, name]).map(drop),
    }
}

fn attribute_of(path: &CStr, name: &CStr) -> Result<(), Errno> {
    raw::call(nr::getxattr, &[path.as_ptr() as u64, name.as_ptr() as u64, 0, 0]).map(drop)
}

/// `chmod`, `chown`, `utimensat` with no times and with some.
fn changes(path: &CStr, flags: u32) -> [Result<(), Errno>; 4] {
    [
        if flags == 0 { fchmodat(AT_FDCWD, path, 0o700) } else { Ok(()) },
        fchownat(AT_FDCWD, path, 7, 7, flags),
        set_times(path, None, flags),
        set_times(path, Some([FIFTH; 2]), flags),
    ]
}

const REFUSED: Result<(), Errno> = Err(Errno::EPERM);

fn the_directory_of_a_process_is_immutable() -> Outcome {
    files::mount_proc()?;
    for path in [OWN, c"/proc/1", c"/proc/thread-self/."] {
        check_eq!((path, changes(path, 0)), (path, [REFUSED; 4]));
        check_eq!((path, fchownat(AT_FDCWD, path, u32::MAX, u32::MAX, 0)), (path, Ok(())));
        check_eq!(faccessat(AT_FDCWD, path, 2), REFUSED);
        check_eq!(faccessat(AT_FDCWD, path, 5), Ok(()));
        for name in [c"user.a", c"trusted.a"] {
            check_eq!(attribute(path, name, Some(b"x")), REFUSED);
            check_eq!(attribute(path, name, None), REFUSED);
            check_eq!(attribute_of(path, name), Err(Errno::EOPNOTSUPP));
        }
        let stat = newfstatat(AT_FDCWD, path, 0)?;
        check_eq!((stat.st_mode, stat.st_uid, stat.st_gid), (S_IFDIR | 0o555, 0, 0));
    }
    let fd = open(OWN, O_RDONLY | O_DIRECTORY, 0)?;
    check_eq!(raw::call(nr::fchmod, &[fd as u64, 0o700]), Err(Errno::EPERM));
    check_eq!(raw::call(nr::fchown, &[fd as u64, 7, 7]), Err(Errno::EPERM));
    check_eq!(raw::call(nr::utimensat, &[fd as u64, 0, 0, 0]), Err(Errno::EPERM));
    close(fd)?;
    // An owner who is nobody's root is asked first.
    files::as_user(|| {
        check_eq!(changes(c"/proc/1", 0), [REFUSED; 4]);
        check_eq!(faccessat(AT_FDCWD, c"/proc/1", 2), REFUSED);
        Ok(())
    })
}

fn what_is_in_it_keeps_its_mode() -> Outcome {
    files::mount_proc()?;
    for path in
        [c"/proc/self/status", c"/proc/self/comm", c"/proc/self/fd", c"/proc/self/fdinfo", c"/proc/self/task"]
    {
        let before = newfstatat(AT_FDCWD, path, 0)?;
        check_eq!((path, changes(path, 0)), (path, [REFUSED, Ok(()), Ok(()), Ok(())]));
        // The owner is the process's, whatever was said.
        let stat = newfstatat(AT_FDCWD, path, 0)?;
        check_eq!((stat.st_mode, stat.st_uid, stat.st_gid), (before.st_mode, 0, 0));
        check_eq!(attribute(path, c"user.a", Some(b"x")), Err(Errno::EOPNOTSUPP));
        check_eq!(attribute_of(path, c"user.a"), Err(Errno::EOPNOTSUPP));
    }
    Ok(())
}

fn links_to_what_is_open() -> Outcome {
    files::mount_proc()?;
    for path in [c"/proc/self/fd/0", c"/proc/self/exe", c"/proc/self/cwd"] {
        check_eq!((path, changes(path, AT_SYMLINK_NOFOLLOW)), (path, [Ok(()); 4]));
        check_eq!(newfstatat(AT_FDCWD, path, AT_SYMLINK_NOFOLLOW)?.st_uid, 0);
    }
    Ok(())
}

fn settings_keep_mode_and_owner() -> Outcome {
    files::mount_proc()?;
    for path in [c"/proc/sys", c"/proc/sys/kernel", c"/proc/sys/kernel/hostname"] {
        check_eq!((path, changes(path, 0)), (path, [REFUSED, REFUSED, Ok(()), Ok(())]));
    }
    // Root has no more rights than the mode says.
    for path in [c"/proc/sys", c"/proc/sys/kernel"] {
        check_eq!(faccessat(AT_FDCWD, path, 2), Err(Errno::EACCES));
        check_eq!(attribute(path, c"user.a", Some(b"x")), Err(Errno::EACCES));
    }
    check_eq!(attribute(c"/proc/sys/kernel/hostname", c"user.a", Some(b"x")), Err(Errno::EOPNOTSUPP));
    Ok(())
}

fn times_of_the_system() -> Outcome {
    files::mount_proc()?;
    files::mount_sys()?;
    for path in
        [c"/proc", c"/proc/version", c"/proc/tty", c"/sys", c"/sys/kernel", c"/sys/devices/system/cpu/online"]
    {
        check_eq!(
            (path, set_times(path, None, 0), set_times(path, Some([FIFTH; 2]), 0)),
            (path, Ok(()), Ok(()))
        );
        check_eq!(fchownat(AT_FDCWD, path, u32::MAX, u32::MAX, 0), Ok(()));
    }
    Ok(())
}
