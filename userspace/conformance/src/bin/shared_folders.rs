//! What protects users from each other's names in a folder that all share: `/proc/sys/fs/protected_*`.
#![no_std]
#![no_main]

extern crate alloc;

use abi::Errno;
use abi::fs::*;
use alloc::vec::Vec;
use conformance::files::{as_user, content, create, link, mount_proc, symlink, unlink};
use conformance::{Outcome, check_eq, scratch};
use core::ffi::CStr;
use libsyscall::file::*;
use libsyscall::process::geteuid;

conformance::tests!(&[
    ("links_of_others", links_of_others),
    ("names_for_files_of_others", names_for_files_of_others),
    ("creating_what_is_there", creating_what_is_there),
]);

const USER: u32 = 1000;
const OTHER: u32 = 1001;

fn set(setting: &CStr, value: &[u8]) -> Outcome {
    let fd = open(setting, O_WRONLY, 0)?;
    write(fd, value)?;
    Ok(close(fd)?)
}

/// A folder of root's that all may write, where only owners delete, and beside it one where all may. False for whom
/// cannot make it.
fn begin() -> Result<bool, conformance::Failure> {
    if geteuid() != 0 {
        return Ok(false);
    }
    scratch::enter()?;
    mount_proc()?;
    umask(0);
    mkdirat(AT_FDCWD, c"shared", 0o777)?;
    fchmodat(AT_FDCWD, c"shared", 0o1777)?;
    mkdirat(AT_FDCWD, c"open", 0o777)?;
    fchmodat(AT_FDCWD, c".", 0o755)?;
    Ok(true)
}

fn chown(path: &CStr, user: u32) -> Result<(), Errno> {
    fchownat(AT_FDCWD, path, user, user, AT_SYMLINK_NOFOLLOW)
}

fn links_of_others() -> Outcome {
    if !begin()? {
        return Ok(());
    }
    check_eq!(content(c"/proc/sys/fs/protected_symlinks")?, b"1\n");
    close(create(c"target", b"t")?)?;
    mkdirat(AT_FDCWD, c"folder", 0o777)?;
    close(create(c"folder/file", b"f")?)?;
    for (name, owner) in
        [(c"shared/own", USER), (c"shared/root", 0), (c"shared/other", OTHER), (c"open/other", OTHER)]
    {
        symlink(c"../target", name)?;
        chown(name, owner)?;
    }
    symlink(c"../folder", c"shared/inner")?;
    symlink(c"../new", c"shared/dangling")?;
    symlink(c"shared/other", c"twice")?;
    for name in [c"shared/inner", c"shared/dangling"] {
        chown(name, OTHER)?;
    }
    let open_all = || -> Vec<Result<(), Errno>> {
        let names = [c"shared/own", c"shared/root", c"open/other", c"shared/other", c"twice"];
        let opened = |name: &CStr, flags| open(name, flags, 0o600).and_then(close);
        let mut all: Vec<_> = names.iter().map(|name| opened(name, O_RDONLY)).collect();
        all.push(opened(c"shared/other", O_RDWR | O_CREAT));
        all.push(opened(c"shared/dangling", O_RDWR | O_CREAT));
        all.push(opened(c"shared/inner", O_RDONLY));
        all.push(opened(c"shared/inner/", O_RDONLY));
        // Only the last place counts.
        all.push(opened(c"shared/inner/file", O_RDONLY));
        all.push(opened(c"shared/other", O_PATH | O_NOFOLLOW));
        all
    };
    let no = Err(Errno::EACCES);
    let expected = [Ok(()), Ok(()), Ok(()), no, no, no, no, no, no, Ok(()), Ok(())];
    as_user(|| {
        check_eq!(open_all(), expected);
        Ok(())
    })?;
    // Root is led astray as little; here, the folder's owner's own links are others'.
    chown(c"shared", OTHER)?;
    chown(c"shared/other", USER)?;
    check_eq!(open(c"shared/other", O_RDONLY, 0), Err(Errno::EACCES));
    chown(c"shared/other", OTHER)?;
    check_eq!(open(c"shared/other", O_RDONLY, 0).and_then(close), Ok(()));
    chown(c"shared", 0)?;
    set(c"/proc/sys/fs/protected_symlinks", b"0")?;
    let allowed = as_user(|| {
        check_eq!(open(c"shared/other", O_RDONLY, 0).and_then(close), Ok(()));
        Ok(())
    });
    set(c"/proc/sys/fs/protected_symlinks", b"1")?;
    allowed
}

fn names_for_files_of_others() -> Outcome {
    if !begin()? {
        return Ok(());
    }
    check_eq!(content(c"/proc/sys/fs/protected_hardlinks")?, b"1\n");
    let files = [
        (c"public", 0, 0o666),
        (c"readable", 0, 0o644),
        (c"own", USER, 0o000),
        (c"set-user", 0, 0o4666),
        (c"set-group", 0, 0o2676),
        (c"locked", 0, 0o2666),
    ];
    for (name, owner, mode) in files {
        close(create(name, b"")?)?;
        chown(name, owner)?;
        fchmodat(AT_FDCWD, name, mode)?;
    }
    symlink(c"public", c"link")?;
    let link_all = || -> Vec<Result<(), Errno>> {
        let names = files.iter().map(|(name, ..)| *name).chain([c"link", c"folder"]);
        names.map(|name| link(name, c"open/new").and_then(|()| unlink(c"open/new"))).collect()
    };
    mkdirat(AT_FDCWD, c"folder", 0o777)?;
    let no = Err(Errno::EPERM);
    as_user(|| {
        check_eq!(link_all(), [Ok(()), no, Ok(()), no, no, Ok(()), no, no]);
        // Where no name can be made that is said later, but a name that is there first.
        check_eq!(link(c"readable", c"forbidden"), Err(Errno::EPERM));
        check_eq!(link(c"public", c"forbidden"), Err(Errno::EACCES));
        check_eq!(link(c"readable", c"public"), Err(Errno::EEXIST));
        Ok(())
    })?;
    check_eq!(link(c"set-user", c"open/by-root"), Ok(()));
    set(c"/proc/sys/fs/protected_hardlinks", b"0")?;
    let allowed = as_user(|| {
        check_eq!(link_all(), [Ok(()), Ok(()), Ok(()), Ok(()), Ok(()), Ok(()), Ok(()), no]);
        Ok(())
    });
    set(c"/proc/sys/fs/protected_hardlinks", b"1")?;
    allowed
}

fn creating_what_is_there() -> Outcome {
    if !begin()? {
        return Ok(());
    }
    mkdirat(AT_FDCWD, c"group", 0o770)?;
    fchownat(AT_FDCWD, c"group", 0, USER, 0)?;
    fchmodat(AT_FDCWD, c"group", 0o1770)?;
    for (name, owner) in [
        (c"shared/own", USER),
        (c"shared/root", 0),
        (c"shared/other", OTHER),
        (c"open/other", OTHER),
        (c"group/other", OTHER),
    ] {
        close(create(name, b"")?)?;
        chown(name, owner)?;
        fchmodat(AT_FDCWD, name, 0o666)?;
    }
    mknodat(AT_FDCWD, c"shared/fifo", S_IFIFO | 0o666, 0)?;
    chown(c"shared/fifo", OTHER)?;
    let open_all = || -> Vec<bool> {
        let names =
            [c"shared/own", c"shared/root", c"shared/other", c"open/other", c"group/other", c"shared/fifo"];
        names
            .iter()
            .map(|name| match open(name, O_RDWR | O_CREAT, 0o600) {
                Err(Errno::EACCES) => false,
                opened => opened.and_then(close).is_ok(),
            })
            .collect()
    };
    let with = |regular: &[u8], fifos: &[u8], expected: [bool; 6]| -> Outcome {
        set(c"/proc/sys/fs/protected_regular", regular)?;
        set(c"/proc/sys/fs/protected_fifos", fifos)?;
        as_user(|| {
            check_eq!(open_all(), expected);
            // Who does not want to make it may have it.
            check_eq!(open(c"shared/other", O_RDWR, 0).and_then(close), Ok(()));
            Ok(())
        })
    };
    let outcome = with(b"0", b"0", [true; 6])
        .and_then(|()| with(b"1", b"0", [true, true, false, true, true, true]))
        .and_then(|()| with(b"0", b"1", [true, true, true, true, true, false]))
        .and_then(|()| with(b"2", b"2", [true, true, false, true, false, false]));
    set(c"/proc/sys/fs/protected_regular", b"0")?;
    set(c"/proc/sys/fs/protected_fifos", b"0")?;
    outcome
}
