//! Files with capabilities: what `security.capability` may hold, what takes it away, and what `execve` makes of it.
#![no_std]
#![no_main]

extern crate alloc;

mod execution;

use abi::Errno;
use abi::fs::*;
use abi::native::nr;
use abi::process::*;
use alloc::vec;
use alloc::vec::Vec;
use conformance::{Outcome, check, check_eq, child, files, raw, scratch};
use core::ffi::CStr;
use libsyscall::file::*;
use libsyscall::process::*;

conformance::tests!(
    &[
        ("values", values),
        ("who_may_give_them", who_may_give_them),
        ("what_takes_them_away", what_takes_them_away),
        ("what_leaves_them", what_leaves_them),
        ("a_user_gets_them", execution::a_user_gets_them),
        ("inherited_and_ambient", execution::inherited_and_ambient),
        ("root_and_set_user_id", execution::root_and_set_user_id),
        ("what_is_not_gained", execution::what_is_not_gained),
        ("programs_that_know_nothing_of_them", execution::programs_that_know_nothing_of_them),
        ("what_comes_with_gaining", execution::what_comes_with_gaining),
    ],
    &[("show", execution::show)]
);

const ATTRIBUTE: &CStr = c"security.capability";

/// The two revisions, as their first words have them, and the flag that all is in effect at once.
const SECOND: u32 = 0x0200_0000;
const THIRD: u32 = 0x0300_0000;
const AT_ONCE: u32 = 1;

const NET_RAW: u64 = 1 << 13;
const NET_BIND: u64 = 1 << 10;
const LAST: u64 = 1 << CAP_LAST_CAP;

fn is_root() -> bool {
    geteuid() == 0
}

fn bytes_of(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_le_bytes()).collect()
}

fn set_bytes(path: &CStr, value: &[u8], flags: u32) -> Result<u64, Errno> {
    let (path, name) = (path.as_ptr() as u64, ATTRIBUTE.as_ptr() as u64);
    raw::call(nr::lsetxattr, &[path, name, value.as_ptr() as u64, value.len() as u64, flags.into()])
}

fn set_words(path: &CStr, words: &[u32]) -> Result<u64, Errno> {
    set_bytes(path, &bytes_of(words), 0)
}

/// Gives a file the capabilities: permitted, inheritable, and whether they are in effect at once.
fn give(path: &CStr, permitted: u64, inheritable: u64, flag: u32) -> Outcome {
    let halves = [permitted as u32, inheritable as u32, (permitted >> 32) as u32, (inheritable >> 32) as u32];
    set_words(path, &[&[SECOND | flag], &halves[..]].concat())?;
    Ok(())
}

fn get(path: &CStr) -> Result<Vec<u8>, Errno> {
    let mut value = vec![0; 100];
    let (path, name) = (path.as_ptr() as u64, ATTRIBUTE.as_ptr() as u64);
    let length = raw::call(nr::lgetxattr, &[path, name, value.as_mut_ptr() as u64, 100])?;
    value.truncate(length as usize);
    Ok(value)
}

fn remove(path: &CStr) -> Result<u64, Errno> {
    raw::call(nr::lremovexattr, &[path.as_ptr() as u64, ATTRIBUTE.as_ptr() as u64])
}

fn values() -> Outcome {
    if !is_root() {
        return Ok(());
    }
    scratch::enter_tmpfs()?;
    close(files::create(c"f", b"")?)?;
    check_eq!(get(c"f"), Err(Errno::ENODATA));
    for (words, shown) in [
        (&[SECOND | AT_ONCE, 1, 2, 3, 4][..], &[SECOND | AT_ONCE, 1, 2, 3, 4][..]),
        (&[SECOND, u32::MAX, 2, u32::MAX, 4], &[SECOND, u32::MAX, 2, u32::MAX, 4]),
        // What is for everybody is shown as of the older revision.
        (&[THIRD | AT_ONCE, 1, 2, 3, 4, 0], &[SECOND | AT_ONCE, 1, 2, 3, 4]),
        (&[THIRD, 1, 2, 3, 4, 1000], &[THIRD, 1, 2, 3, 4, 1000]),
    ] {
        set_words(c"f", words)?;
        check_eq!(get(c"f")?, bytes_of(shown));
    }
    let before = get(c"f")?;
    for words in [
        &[THIRD, 1, 2, 3, 4, u32::MAX][..],
        &[0x0100_0000, 1, 2],
        &[SECOND | 2, 1, 2, 3, 4],
        &[SECOND, 1, 2, 3, 4, 0],
        &[THIRD, 1, 2, 3, 4],
        &[SECOND],
    ] {
        check_eq!((words.len(), set_words(c"f", words)), (words.len(), Err(Errno::EINVAL)));
    }
    check_eq!(set_bytes(c"f", &before[..19], 0), Err(Errno::EINVAL));
    check_eq!(get(c"f")?, before);
    check_eq!(set_bytes(c"f", &before, XATTR_CREATE), Err(Errno::EEXIST));
    check_eq!((remove(c"f"), remove(c"f")), (Ok(0), Err(Errno::ENODATA)));
    check_eq!(set_bytes(c"f", &before, XATTR_REPLACE), Err(Errno::ENODATA));
    // The value is looked at before the file is.
    let (path, bad) = (c"/proc/self/stat", &before[..19]);
    check_eq!(
        (set_bytes(path, bad, 0), set_bytes(path, &before, 0)),
        (Err(Errno::EINVAL), Err(Errno::EOPNOTSUPP))
    );
    mkdirat(AT_FDCWD, c"d", 0o755)?;
    files::symlink(c"f", c"l")?;
    for path in [c"d", c"l"] {
        set_bytes(path, &before, 0)?;
        check_eq!(get(path)?, before);
    }
    // No bytes make a value that nobody can read, nor execute.
    set_bytes(c"f", b"", 0)?;
    check_eq!(get(c"f"), Err(Errno::EINVAL));
    Ok(())
}

fn who_may_give_them() -> Outcome {
    if !is_root() {
        return Ok(());
    }
    scratch::enter_tmpfs()?;
    close(files::create(c"f", b"")?)?;
    close(files::create(c"own", b"")?)?;
    raw::call(nr::fchownat, &[AT_FDCWD as u64, c"own".as_ptr() as u64, 1000, 1000, 0])?;
    give(c"f", NET_RAW, 0, AT_ONCE)?;
    files::as_user(|| {
        let value = get(c"f")?;
        check_eq!(value, bytes_of(&[SECOND | AT_ONCE, NET_RAW as u32, 0, 0, 0]));
        check_eq!(
            (set_bytes(c"f", &value, 0), set_bytes(c"own", &value, 0)),
            (Err(Errno::EPERM), Err(Errno::EPERM))
        );
        check_eq!(set_bytes(c"own", b"nothing", 0), Err(Errno::EINVAL));
        Ok(())
    })?;
    check!(child::succeeds(|| {
        // The capability alone will do, whoever has it.
        const SETFCAP: u32 = 31;
        raw::call(nr::prctl, &[PR_SET_KEEPCAPS.into(), 1])?;
        raw::call(nr::setresuid, &[1000, 1000, 1000])?;
        execution::set_own([1 << SETFCAP, 1 << SETFCAP, 0])?;
        give(c"own", NET_BIND, 0, 0)
    })?);
    check_eq!(get(c"own")?, bytes_of(&[SECOND, NET_BIND as u32, 0, 0, 0]));
    Ok(())
}

/// Each of these, by root, takes the capabilities of the file `f`, open as `fd`.
fn what_takes_them_away() -> Outcome {
    if !is_root() {
        return Ok(());
    }
    scratch::enter_tmpfs()?;
    let fd = files::create(c"f", b"content")?;
    let (number, path) = (fd as u64, c"f".as_ptr() as u64);
    let at = AT_FDCWD as u64;
    let (reader, writer) = pipe2(0)?;
    let from = files::create(c"from", b"content")?;
    raw::call(nr::lseek, &[from as u64, 0, 0])?;
    write(writer, b"piped")?;
    let text = b"x".as_ptr() as u64;
    let vector = [text, 1];
    let doors: &[(&str, u64, [u64; 6])] = &[
        ("write", nr::write, [number, text, 1, 0, 0, 0]),
        ("pwrite64", nr::pwrite64, [number, text, 1, 0, 0, 0]),
        ("writev", nr::writev, [number, vector.as_ptr() as u64, 1, 0, 0, 0]),
        ("sendfile", nr::sendfile, [number, from as u64, 0, 1, 0, 0]),
        ("copy_file_range", nr::copy_file_range, [from as u64, 0, number, 0, 1, 0]),
        ("splice", nr::splice, [reader as u64, 0, number, 0, 1, 0]),
        ("ftruncate", nr::ftruncate, [number, 9, 0, 0, 0, 0]),
        ("ftruncate to the same size", nr::ftruncate, [number, 9, 0, 0, 0, 0]),
        ("truncate", nr::truncate, [path, 7, 0, 0, 0, 0]),
        ("open", nr::openat, [at, path, u64::from(O_WRONLY | O_TRUNC), 0, 0, 0]),
        ("fallocate", nr::fallocate, [number, 0, 0, 8192, 0, 0]),
        ("fallocate beyond the end", nr::fallocate, [number, 1, 8192, 8192, 0, 0]),
        ("fallocate a hole", nr::fallocate, [number, 3, 0, 4096, 0, 0]),
        ("fchown", nr::fchown, [number, 7, 7, 0, 0, 0]),
        ("fchownat to the same", nr::fchownat, [at, path, 7, 7, 0, 0]),
        ("fchownat to nobody", nr::fchownat, [at, path, u32::MAX.into(), u32::MAX.into(), 0, 0]),
    ];
    for (name, call, arguments) in doors {
        give(c"f", NET_RAW, NET_BIND, AT_ONCE)?;
        check_eq!((name, raw::call(*call, arguments).map(drop)), (name, Ok(())));
        check_eq!((name, get(c"f")), (name, Err(Errno::ENODATA)));
    }
    files::symlink(c"f", c"l")?;
    give(c"l", NET_RAW, 0, 0)?;
    raw::call(nr::fchownat, &[at, c"l".as_ptr() as u64, 7, 7, AT_SYMLINK_NOFOLLOW.into()])?;
    check_eq!(get(c"l"), Err(Errno::ENODATA));
    Ok(())
}

fn what_leaves_them() -> Outcome {
    if !is_root() {
        return Ok(());
    }
    scratch::enter_tmpfs()?;
    let fd = files::create(c"f", b"content")?;
    give(c"f", NET_RAW, NET_BIND, AT_ONCE)?;
    let value = get(c"f")?;
    check_eq!(write(fd, b""), Ok(0));
    close(open(c"f", O_RDWR, 0)?)?;
    fchmodat(AT_FDCWD, c"f", 0o755)?;
    raw::call(nr::utimensat, &[AT_FDCWD as u64, c"f".as_ptr() as u64, 0, 0])?;
    files::rename(c"f", c"g", 0)?;
    files::link(c"g", c"f")?;
    check_eq!(get(c"f")?, value);
    // Who may not change the file takes nothing away.
    files::as_user(|| {
        let chown =
            |user: u64| raw::call(nr::fchownat, &[AT_FDCWD as u64, c"f".as_ptr() as u64, user, user, 0]);
        check_eq!((chown(1000), chown(0)), (Err(Errno::EPERM), Err(Errno::EPERM)));
        check_eq!(raw::call(nr::truncate, &[c"f".as_ptr() as u64, 0]), Err(Errno::EACCES));
        Ok(())
    })?;
    check_eq!(get(c"f")?, value);
    mkdirat(AT_FDCWD, c"d", 0o755)?;
    set_bytes(c"d", &value, 0)?;
    raw::call(nr::fchownat, &[AT_FDCWD as u64, c"d".as_ptr() as u64, 7, 7, 0])?;
    check_eq!(get(c"d")?, value);
    Ok(())
}
