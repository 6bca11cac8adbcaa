//! Mounts that expire (`MNT_EXPIRE`), and roots that are exchanged (`pivot_root`).
#![no_std]
#![no_main]

extern crate alloc;

use abi::Errno;
use abi::fs::*;
use abi::native::nr;
use conformance::files::{content, create, exists};
use conformance::{Failure, Outcome, check, check_eq, child, files, raw, scratch};
use core::ffi::CStr;
use libsyscall::file::*;
use libsyscall::process::geteuid;
use libsyscall::system::mount;

conformance::tests!(&[
    ("unused_mounts_expire", unused_mounts_expire),
    ("used_mounts_do_not_expire", used_mounts_do_not_expire),
    ("what_cannot_expire", what_cannot_expire),
    ("roots_are_exchanged", roots_are_exchanged),
    ("a_root_on_top_of_the_old_one", a_root_on_top_of_the_old_one),
    ("all_processes_follow", all_processes_follow),
    ("roots_that_cannot_be_exchanged", roots_that_cannot_be_exchanged),
    ("the_first_root_stays", the_first_root_stays),
]);

fn unmount(path: &CStr, flags: u32) -> Result<(), Errno> {
    raw::call(nr::umount2, &[path.as_ptr() as u64, u64::from(flags)]).map(drop)
}

fn pivot_root(new: &CStr, old: &CStr) -> Result<(), Errno> {
    raw::call(nr::pivot_root, &[new.as_ptr() as u64, old.as_ptr() as u64]).map(drop)
}

fn enter(root: &CStr) -> Outcome {
    raw::call(nr::chroot, &[root.as_ptr() as u64])?;
    Ok(chdir(c"/")?)
}

fn folder(path: &CStr) -> Result<(), Errno> {
    mkdirat(AT_FDCWD, path, 0o755)
}

fn mount_here(path: &CStr) -> Result<(), Errno> {
    mount(c"t", path, c"tmpfs", 0, None)
}

/// A scratch folder with a tmpfs on `m`; false where this process may not mount.
fn begin() -> Result<bool, Failure> {
    scratch::enter()?;
    folder(c"m")?;
    if geteuid() != 0 {
        return Ok(false);
    }
    mount_here(c"m")?;
    close(create(c"m/file", b"x")?)?;
    Ok(true)
}

fn unused_mounts_expire() -> Outcome {
    if !begin()? {
        return Ok(());
    }
    check_eq!(unmount(c"m", MNT_EXPIRE), Err(Errno::EAGAIN));
    check_eq!(unmount(c"m", MNT_EXPIRE), Ok(()));
    check_eq!((exists(c"m/file"), unmount(c"m", MNT_EXPIRE)), (false, Err(Errno::EINVAL)));
    // Each of these is a visit.
    mount_here(c"m")?;
    let visits: [fn() -> bool; 4] = [
        || exists(c"m"),
        || !exists(c"m/none"),
        || open(c"m", O_RDONLY, 0).and_then(close).is_ok(),
        || chdir(c"m").and_then(|()| chdir(c"..")).is_ok(),
    ];
    for visit in visits {
        check_eq!(unmount(c"m", MNT_EXPIRE), Err(Errno::EAGAIN));
        check!(visit());
        check_eq!(unmount(c"m", MNT_EXPIRE), Err(Errno::EAGAIN));
        check!(visit());
    }
    check_eq!(unmount(c"m", MNT_EXPIRE), Err(Errno::EAGAIN));
    check_eq!(unmount(c"m", MNT_EXPIRE | UMOUNT_NOFOLLOW), Ok(()));
    Ok(())
}

fn used_mounts_do_not_expire() -> Outcome {
    if !begin()? {
        return Ok(());
    }
    let fd = open(c"m/file", O_RDONLY, 0)?;
    for _ in 0..3 {
        check_eq!(unmount(c"m", MNT_EXPIRE), Err(Errno::EBUSY));
    }
    close(fd)?;
    check_eq!(unmount(c"m", MNT_EXPIRE), Err(Errno::EAGAIN));
    // What is used between two calls is used.
    let fd = open(c"m/file", O_RDONLY, 0)?;
    check_eq!(unmount(c"m", MNT_EXPIRE), Err(Errno::EBUSY));
    close(fd)?;
    check_eq!(unmount(c"m", MNT_EXPIRE), Err(Errno::EAGAIN));
    // So is what another one is mounted in.
    folder(c"m/inner")?;
    mount_here(c"m/inner")?;
    check_eq!(unmount(c"m", MNT_EXPIRE), Err(Errno::EBUSY));
    check_eq!(unmount(c"m/inner", MNT_EXPIRE), Err(Errno::EAGAIN));
    check_eq!(unmount(c"m/inner", MNT_EXPIRE), Ok(()));
    // That it would expire keeps nobody from taking it away.
    check_eq!(unmount(c"m", MNT_EXPIRE), Err(Errno::EAGAIN));
    check_eq!(unmount(c"m", 0), Ok(()));
    Ok(())
}

fn what_cannot_expire() -> Outcome {
    if !begin()? {
        return Ok(());
    }
    for with in [MNT_FORCE, MNT_DETACH, MNT_FORCE | MNT_DETACH] {
        check_eq!(unmount(c"m", MNT_EXPIRE | with), Err(Errno::EINVAL));
    }
    check_eq!(unmount(c"m", MNT_EXPIRE | 16), Err(Errno::EINVAL));
    check_eq!(
        (unmount(c"m/file", MNT_EXPIRE), unmount(c"none", MNT_EXPIRE)),
        (Err(Errno::EINVAL), Err(Errno::ENOENT))
    );
    check_eq!(unmount(c"/", MNT_EXPIRE), Err(Errno::EINVAL));
    files::as_user(|| {
        check_eq!(unmount(c"m", MNT_EXPIRE), Err(Errno::EPERM));
        check_eq!(unmount(c"m/file", MNT_EXPIRE), Err(Errno::EPERM));
        check_eq!(unmount(c"none", MNT_EXPIRE), Err(Errno::ENOENT));
        Ok(())
    })?;
    check_eq!(unmount(c"m", MNT_EXPIRE), Err(Errno::EAGAIN));
    check_eq!(unmount(c"m", MNT_EXPIRE), Ok(()));
    Ok(())
}

/// Makes `m` the root of this process, with a tmpfs on `new` in which is a folder `old`.
fn prepare() -> Result<bool, Failure> {
    if !begin()? {
        return Ok(false);
    }
    folder(c"m/new")?;
    mount_here(c"m/new")?;
    folder(c"m/new/old")?;
    close(create(c"m/new/mark", b"new")?)?;
    close(create(c"m/mark", b"old")?)?;
    enter(c"m")?;
    Ok(true)
}

fn roots_are_exchanged() -> Outcome {
    if !prepare()? {
        return Ok(());
    }
    chdir(c"/new")?;
    let inside = open(c"/new", O_RDONLY, 0)?;
    check_eq!(pivot_root(c"/new", c"/new/old"), Ok(()));
    check_eq!((content(c"/mark")?, content(c"/old/mark")?), (b"new".to_vec(), b"old".to_vec()));
    // The working directory was not the root, so it stays where it is, which is the new root.
    check_eq!(content(c"mark")?, b"new");
    check_eq!((exists(c"/old/new/mark"), exists(c"/old/new/old"), exists(c"/../mark")), (false, false, true));
    check_eq!(fstat(inside)?.st_ino, newfstatat(AT_FDCWD, c"/", 0)?.st_ino);
    // Back again, and forth with names of one place.
    check_eq!(pivot_root(c"/old", c"/old/new"), Ok(()));
    check_eq!((content(c"/mark")?, content(c"/new/mark")?), (b"old".to_vec(), b"new".to_vec()));
    check_eq!(pivot_root(c"new", c"new/old"), Ok(()));
    check_eq!((content(c"/mark")?, content(c"mark")?), (b"new".to_vec(), b"new".to_vec()));
    // The old root goes for good.
    check_eq!(unmount(c"/old", 0), Ok(()));
    check!(!exists(c"/old/mark"));
    Ok(())
}

fn a_root_on_top_of_the_old_one() -> Outcome {
    if !prepare()? {
        return Ok(());
    }
    chdir(c"/new")?;
    check_eq!(pivot_root(c".", c"."), Ok(()));
    // The old root lies on the new one.
    check_eq!((content(c"mark")?, content(c"/mark")?), (b"new".to_vec(), b"new".to_vec()));
    check_eq!((content(c"/../mark")?, unmount(c".", MNT_DETACH)), (b"old".to_vec(), Ok(())));
    check_eq!((content(c"/../mark")?, content(c"mark")?), (b"new".to_vec(), b"new".to_vec()));
    Ok(())
}

fn all_processes_follow() -> Outcome {
    if !prepare()? {
        return Ok(());
    }
    let (told, teller) = pipe2(0)?;
    let (ready, is_ready) = pipe2(0)?;
    let waiting = child::start(|| {
        let looks = || -> Outcome {
            read(told, &mut [0])?;
            check_eq!((content(c"/mark")?, content(c"mark")?), (b"new".to_vec(), b"new".to_vec()));
            Ok(())
        };
        i32::from(looks().is_err())
    })?;
    // Who stands elsewhere stays there.
    let elsewhere = child::start(|| {
        let looks = || -> Outcome {
            chdir(c"/new/old")?;
            raw::call(nr::chroot, &[c".".as_ptr() as u64])?;
            write(is_ready, b"x")?;
            read(told, &mut [0])?;
            check_eq!((exists(c"/mark"), exists(c"mark")), (false, false));
            // What lies on its root now it sees from above only.
            check_eq!(content(c"/../mark")?, b"old");
            Ok(())
        };
        i32::from(looks().is_err())
    })?;
    check_eq!(read(ready, &mut [0]), Ok(1));
    check_eq!(pivot_root(c"/new", c"/new/old"), Ok(()));
    write(teller, b"xx")?;
    check_eq!((child::wait(waiting)?.exit_code(), child::wait(elsewhere)?.exit_code()), (Some(0), Some(0)));
    Ok(())
}

fn roots_that_cannot_be_exchanged() -> Outcome {
    if !prepare()? {
        return Ok(());
    }
    folder(c"/plain")?;
    folder(c"/new/in")?;
    check_eq!(pivot_root(c"/new", c"/plain"), Err(Errno::EBUSY));
    check_eq!(
        (pivot_root(c"/", c"/new"), pivot_root(c"/plain", c"/new")),
        (Err(Errno::EBUSY), Err(Errno::EBUSY))
    );
    check_eq!(pivot_root(c"/new/in", c"/new/old"), Err(Errno::EINVAL));
    check_eq!(
        (pivot_root(c"/none", c"/new"), pivot_root(c"/new", c"/none")),
        (Err(Errno::ENOENT), Err(Errno::ENOENT))
    );
    check_eq!(
        (pivot_root(c"/mark", c"/new"), pivot_root(c"/new", c"/mark")),
        (Err(Errno::ENOTDIR), Err(Errno::ENOTDIR))
    );
    // Not in the new root.
    folder(c"/other")?;
    mount_here(c"/other")?;
    check_eq!(pivot_root(c"/new", c"/other"), Err(Errno::EINVAL));
    // A root that is no mount's.
    check!(child::succeeds(|| {
        folder(c"/plain/new")?;
        mount_here(c"/plain/new")?;
        folder(c"/plain/new/old")?;
        enter(c"/plain")?;
        check_eq!(pivot_root(c"/new", c"/new/old"), Err(Errno::EINVAL));
        Ok(())
    })?);
    check!(child::succeeds(|| {
        folder(c"/other/root")?;
        folder(c"/other/root/new")?;
        mount_here(c"/other/root/new")?;
        folder(c"/other/root/new/old")?;
        enter(c"/other/root")?;
        check_eq!(pivot_root(c"/new", c"/new/old"), Err(Errno::EINVAL));
        Ok(())
    })?);
    files::as_user(|| {
        check_eq!(
            (pivot_root(c"/new", c"/new/old"), pivot_root(c"/none", c"/none")),
            (Err(Errno::EPERM), Err(Errno::EPERM))
        );
        Ok(())
    })
}

fn the_first_root_stays() -> Outcome {
    if !begin()? {
        return Ok(());
    }
    folder(c"m/old")?;
    check_eq!(pivot_root(c"m", c"m/old"), Err(Errno::EINVAL));
    check_eq!((pivot_root(c"/", c"/"), pivot_root(c"m", c"/")), (Err(Errno::EINVAL), Err(Errno::EBUSY)));
    check_eq!(pivot_root(c"m/old", c"m/old"), Err(Errno::EINVAL));
    Ok(())
}
