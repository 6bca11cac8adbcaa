//! Rules of files, each asked at every door that it stands at: docs/rules.md has the table.
#![no_std]
#![no_main]

extern crate alloc;

use abi::Errno;
use abi::fs::*;
use abi::native::nr;
use abi::resource::{RLIM_INFINITY, RLIMIT_FSIZE, Rlimit};
use abi::signal::SIGXFSZ;
use alloc::format;
use conformance::files::{as_user, create, exists, link, mode_of, rename, rmdir, symlink, unlink};
use conformance::{Failure, Outcome, check, check_eq, child, handler, raw, scratch};
use core::cell::Cell;
use core::ffi::CStr;
use libsyscall::file::*;
use libsyscall::process::{geteuid, prlimit64};

conformance::tests!(&[
    ("set_id_bits_go_with_a_change", set_id_bits_go_with_a_change),
    ("set_id_bits_stay_for_root_and_readers", set_id_bits_stay_for_root_and_readers),
    ("set_group_id_without_execution", set_group_id_without_execution),
    ("a_running_program_is_not_changed", a_running_program_is_not_changed),
    ("the_limit_on_a_file_s_size", the_limit_on_a_file_s_size),
    ("temporary_files_get_a_name_once_or_never", temporary_files_get_a_name_once_or_never),
    ("no_access_times_are_for_owners", no_access_times_are_for_owners),
    ("links_across_mounts", links_across_mounts),
    ("only_what_is_cached", only_what_is_cached),
    ("slashes_after_a_name", slashes_after_a_name),
    ("a_sticky_folder", a_sticky_folder),
]);

fn truncate(path: &CStr, size: u64) -> Result<(), Errno> {
    raw::call(nr::truncate, &[path.as_ptr() as u64, size]).map(drop)
}

fn fallocate(fd: i32, mode: u32, start: u64, count: u64) -> Result<(), Errno> {
    raw::call(nr::fallocate, &[fd as u64, u64::from(mode), start, count]).map(drop)
}

/// A way to change the content of the file `s`.
type Door = fn() -> Result<(), Errno>;

/// Every door to a file's content.
const CONTENT_DOORS: &[(&str, Door)] = &[
    ("write", || write(open(c"s", O_RDWR, 0)?, b"x").map(drop)),
    ("append", || write(open(c"s", O_WRONLY | O_APPEND, 0)?, b"x").map(drop)),
    ("pwrite", || pwrite64(open(c"s", O_RDWR, 0)?, b"x", 5).map(drop)),
    ("truncate", || truncate(c"s", 3)),
    ("truncate to the same size", || truncate(c"s", 10)),
    ("ftruncate", || ftruncate(open(c"s", O_RDWR, 0)?, 3)),
    ("open to read and truncate", || open(c"s", O_RDONLY | O_TRUNC, 0).map(drop)),
    ("open to write and truncate", || open(c"s", O_WRONLY | O_TRUNC, 0).map(drop)),
    ("create what is there", || open(c"s", O_WRONLY | O_CREAT | O_TRUNC, 0o644).map(drop)),
    ("fallocate", || fallocate(open(c"s", O_RDWR, 0)?, 0, 0, 8192)),
    ("fallocate without growth", || fallocate(open(c"s", O_RDWR, 0)?, FALLOC_FL_KEEP_SIZE, 0, 8192)),
    ("punch", || fallocate(open(c"s", O_RDWR, 0)?, FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE, 0, 4096)),
    ("sendfile", || {
        let (to, from) = (open(c"s", O_RDWR, 0)?, open(c"source", O_RDONLY, 0)?);
        raw::call(nr::sendfile, &[to as u64, from as u64, 0, 4]).map(drop)
    }),
    ("copy_file_range", || {
        let (to, from) = (open(c"s", O_RDWR, 0)?, open(c"source", O_RDONLY, 0)?);
        raw::call(nr::copy_file_range, &[from as u64, 0, to as u64, 0, 4, 0]).map(drop)
    }),
    ("splice", || {
        let (reader, writer) = pipe2(0)?;
        write(writer, b"four")?;
        raw::call(nr::splice, &[reader as u64, 0, open(c"s", O_RDWR, 0)? as u64, 0, 4, 0]).map(drop)
    }),
];

/// Makes `s` anew, of user 500 and group 600, with these permissions.
fn make(mode: u32) -> Outcome {
    let _ = unlink(c"s");
    close(create(c"s", b"0123456789")?)?;
    fchownat(AT_FDCWD, c"s", 500, 600, 0)?;
    fchmodat(AT_FDCWD, c"s", mode)?;
    Ok(())
}

/// Has every door passed by user 1000, or by root, and looks at the permissions that are left.
fn pass_all(root: bool, mode: u32, left: u32) -> Outcome {
    close(create(c"source", b"abcdefgh")?)?;
    for (name, door) in CONTENT_DOORS {
        make(mode)?;
        let pass = || door().map_err(|errno| Failure::new(format!("{name}: {errno:?}")));
        if root {
            pass()?
        } else {
            as_user(pass)?
        }
        let mode = mode_of(c"s")? & 0o7777;
        if mode != left {
            return Err(Failure::new(format!("{name} leaves {mode:o}, not {left:o}")));
        }
    }
    Ok(())
}

fn as_root() -> Result<bool, Failure> {
    scratch::enter()?;
    Ok(geteuid() == 0)
}

fn set_id_bits_go_with_a_change() -> Outcome {
    if !as_root()? {
        return Ok(());
    }
    pass_all(false, 0o6777, 0o777)?;
    pass_all(false, 0o4666, 0o666)?;
    // Root gives away no set-user-id bit with a new owner either.
    make(0o6777)?;
    fchownat(AT_FDCWD, c"s", 500, 600, 0)?;
    check_eq!(mode_of(c"s")? & 0o7777, 0o777);
    make(0o6777)?;
    as_user(|| {
        check_eq!(fchownat(AT_FDCWD, c"s", u32::MAX, u32::MAX, 0), Err(Errno::EPERM));
        Ok(())
    })?;
    check_eq!(mode_of(c"s")? & 0o7777, 0o6777);
    Ok(())
}

fn set_id_bits_stay_for_root_and_readers() -> Outcome {
    if !as_root()? {
        return Ok(());
    }
    pass_all(true, 0o6777, 0o6777)?;
    make(0o6777)?;
    as_user(|| {
        let fd = open(c"s", O_RDWR, 0)?;
        check_eq!(write(fd, b""), Ok(0));
        read(fd, &mut [0; 4])?;
        // What is made with the bits keeps them, be it made empty.
        close(open(c"new", O_RDWR | O_CREAT | O_TRUNC, 0o4755)?)?;
        check_eq!(mode_of(c"new")? & 0o7777, 0o4755);
        Ok(())
    })?;
    check_eq!(mode_of(c"s")? & 0o7777, 0o6777);
    Ok(())
}

fn set_group_id_without_execution() -> Outcome {
    if !as_root()? {
        return Ok(());
    }
    pass_all(false, 0o2766, 0o766)?;
    // Root, who may set such a bit, keeps it.
    make(0o6766)?;
    fchownat(AT_FDCWD, c"s", 500, 600, 0)?;
    check_eq!(mode_of(c"s")? & 0o7777, 0o2766);
    mkdirat(AT_FDCWD, c"d", 0o777)?;
    fchmodat(AT_FDCWD, c"d", 0o6777)?;
    fchownat(AT_FDCWD, c"d", 500, 600, 0)?;
    check_eq!(mode_of(c"d")? & 0o7777, 0o6777);
    Ok(())
}

fn a_running_program_is_not_changed() -> Outcome {
    scratch::enter()?;
    // This one runs.
    let program = c"/proc/self/exe";
    let busy = |result: Result<(), Errno>| result == Err(Errno::ETXTBSY);
    check!(busy(open(program, O_WRONLY, 0).map(drop)) && busy(open(program, O_RDWR, 0).map(drop)));
    check!(busy(open(program, O_RDONLY | O_TRUNC, 0).map(drop)));
    check!(busy(open(program, O_WRONLY | O_CREAT | O_TRUNC, 0o755).map(drop)));
    check!(busy(truncate(program, 0)));
    check!(open(program, O_RDONLY, 0).is_ok() && open(program, O_PATH, 0).is_ok());
    Ok(())
}

fn limited(limit: u64, body: impl FnOnce() -> Outcome) -> Outcome {
    check!(child::succeeds(|| {
        handler::record_signal(SIGXFSZ, 0)?;
        prlimit64(0, RLIMIT_FSIZE, Some(&Rlimit { rlim_cur: limit, rlim_max: RLIM_INFINITY }))?;
        body()
    })?);
    Ok(())
}

/// A door that grows the file whose descriptor it is given from 0 to 50, to 100, and beyond.
fn the_limit_on_a_file_s_size() -> Outcome {
    scratch::enter()?;
    close(create(c"source", &[b's'; 300])?)?;
    limited(100, || {
        // Some doors signal already when they stop at the limit.
        let signals = Cell::new(0);
        let refused = |result: Result<u64, Errno>| {
            result == Err(Errno::EFBIG) && signals.replace(handler::count()) < handler::count()
        };
        let fresh = || create(c"f", b"");
        let bytes = [b'x'; 200];
        let fd = fresh()?;
        check_eq!((write(fd, &bytes[..50]), write(fd, &bytes)), (Ok(50), Ok(50)));
        check!(refused(write(fd, &bytes).map(|count| count as u64)));
        check_eq!(write(fd, b""), Ok(0));
        let fd = fresh()?;
        check_eq!(pwrite64(fd, &bytes, 80), Ok(20));
        check!(refused(pwrite64(fd, &bytes, 100).map(|count| count as u64)));
        check!(refused(truncate(c"f", 101).map(|()| 0)) && truncate(c"f", 100).is_ok());
        check!(refused(ftruncate(fd, 101).map(|()| 0)));
        check!(refused(fallocate(fd, 0, 0, 101).map(|()| 0)));
        check!(refused(fallocate(fd, FALLOC_FL_KEEP_SIZE, 0, 101).map(|()| 0)));
        // What is larger already may become smaller.
        check!(truncate(c"source", 200).is_ok() && refused(truncate(c"source", 300).map(|()| 0)));
        let fd = open(c"f", O_WRONLY | O_APPEND | O_TRUNC, 0)?;
        check_eq!(write(fd, &bytes), Ok(100));
        check!(refused(write(fd, b"x").map(|count| count as u64)));
        let from = open(c"source", O_RDONLY, 0)?;
        let fd = fresh()?;
        let send = || raw::call(nr::sendfile, &[fd as u64, from as u64, 0, 200]);
        check_eq!(send(), Ok(100));
        check!(refused(send()));
        lseek(from, 0, SEEK_SET)?;
        let fd = fresh()?;
        let copy = || raw::call(nr::copy_file_range, &[from as u64, 0, fd as u64, 0, 200, 0]);
        check_eq!(copy(), Ok(100));
        check!(refused(copy()));
        let fd = fresh()?;
        let (reader, writer) = pipe2(0)?;
        write(writer, &bytes)?;
        let splice = || raw::call(nr::splice, &[reader as u64, 0, fd as u64, 0, 200, 0]);
        check_eq!(splice(), Ok(100));
        check!(refused(splice()));
        Ok(())
    })
}

fn temporary_files_get_a_name_once_or_never() -> Outcome {
    scratch::enter()?;
    let name_it = |fd: i32, name: &CStr| {
        let path = ulib::c_string(format!("/proc/self/fd/{fd}"))?;
        linkat((AT_FDCWD, &path), (AT_FDCWD, name), AT_SYMLINK_FOLLOW)
    };
    let alone = open(c".", O_TMPFILE | O_RDWR | O_EXCL, 0o600)?;
    check_eq!(name_it(alone, c"a"), Err(Errno::ENOENT));
    let fd = open(c".", O_TMPFILE | O_RDWR, 0o600)?;
    check_eq!((fstat(fd)?.st_nlink as u64, name_it(fd, c"b")), (0, Ok(())));
    check_eq!((fstat(fd)?.st_nlink as u64, name_it(fd, c"c")), (1, Ok(())));
    unlink(c"b")?;
    unlink(c"c")?;
    check_eq!(name_it(fd, c"d"), Err(Errno::ENOENT));
    let gone = create(c"e", b"")?;
    unlink(c"e")?;
    check_eq!(name_it(gone, c"e"), Err(Errno::ENOENT));
    check!(!exists(c"a") && !exists(c"d") && !exists(c"e"));
    Ok(())
}

fn no_access_times_are_for_owners() -> Outcome {
    if !as_root()? {
        return Ok(());
    }
    make(0o666)?;
    as_user(|| {
        check_eq!(open(c"s", O_RDONLY | O_NOATIME, 0), Err(Errno::EPERM));
        let fd = open(c"s", O_RDONLY, 0)?;
        check_eq!(fcntl(fd, F_SETFL, u64::from(O_NOATIME)), Err(Errno::EPERM));
        check_eq!(fcntl(fd, F_GETFL, 0)? as u32 & O_NOATIME, 0);
        close(open(c"mine", O_RDWR | O_CREAT | O_NOATIME, 0o600)?)?;
        Ok(())
    })
}

fn resolve(path: &CStr, flags: u32, rules: u64) -> Result<(), Errno> {
    let how = OpenHow { flags: u64::from(flags), mode: 0, resolve: rules };
    let size = size_of::<OpenHow>() as u64;
    let fd = raw::call(
        nr::openat2,
        &[AT_FDCWD as u64, path.as_ptr() as u64, (&raw const how).addr() as u64, size],
    )?;
    close(fd as i32)
}

fn links_across_mounts() -> Outcome {
    if !as_root()? {
        return Ok(());
    }
    mkdirat(AT_FDCWD, c"m", 0o755)?;
    libsyscall::system::mount(c"t", c"m", c"tmpfs", 0, None)?;
    close(create(c"m/in", b"")?)?;
    close(create(c"out", b"")?)?;
    symlink(c"m/in", c"down")?;
    symlink(c"../out", c"m/up")?;
    symlink(c"/", c"m/root")?;
    let across = |path| resolve(path, O_PATH, RESOLVE_NO_XDEV);
    for path in [c"m", c"m/in", c"down", c"/proc/self/exe", c"/proc/self/cwd"] {
        check_eq!(across(path), Err(Errno::EXDEV));
    }
    check_eq!((across(c"out"), across(c".."), across(c"/")), (Ok(()), Ok(()), Ok(())));
    chdir(c"m")?;
    for path in [c"up", c"root", c".."] {
        check_eq!(across(path), Err(Errno::EXDEV));
    }
    check_eq!(across(c"in"), Ok(()));
    Ok(())
}

fn only_what_is_cached() -> Outcome {
    scratch::enter()?;
    close(create(c"f", b"x")?)?;
    let cached = |path, flags| resolve(path, flags, RESOLVE_CACHED);
    check_eq!((cached(c"f", O_RDONLY), cached(c".", O_RDONLY)), (Ok(()), Ok(())));
    check_eq!(cached(c"none", O_RDONLY), Err(Errno::EAGAIN));
    check_eq!(cached(c"/proc/self/fd/0", O_PATH), Err(Errno::EAGAIN));
    for flags in [O_TRUNC | O_RDWR, O_CREAT | O_RDWR, O_TMPFILE | O_RDWR] {
        check_eq!(cached(c"f", flags), Err(Errno::EAGAIN));
    }
    check_eq!(conformance::files::content(c"f")?, b"x");
    Ok(())
}

fn slashes_after_a_name() -> Outcome {
    scratch::enter()?;
    close(create(c"f", b"")?)?;
    mkdirat(AT_FDCWD, c"d", 0o755)?;
    symlink(c"d", c"l")?;
    check_eq!(open(c"f/", O_RDONLY, 0), Err(Errno::ENOTDIR));
    check_eq!(open(c"none/", O_RDWR | O_CREAT, 0o600), Err(Errno::EISDIR));
    check_eq!(
        (unlink(c"f/"), unlink(c"d/"), rmdir(c"l/")),
        (Err(Errno::ENOTDIR), Err(Errno::EISDIR), Err(Errno::ENOTDIR))
    );
    check_eq!((truncate(c"f/", 0), fchmodat(AT_FDCWD, c"f/", 0)), (Err(Errno::ENOTDIR), Err(Errno::ENOTDIR)));
    check_eq!((link(c"f", c"g/"), link(c"f/", c"g")), (Err(Errno::ENOENT), Err(Errno::ENOTDIR)));
    check_eq!((rename(c"f/", c"g", 0), rename(c"f", c"g/", 0)), (Err(Errno::ENOTDIR), Err(Errno::ENOTDIR)));
    check_eq!(rename(c"d", c"f/", RENAME_EXCHANGE), Err(Errno::ENOTDIR));
    check_eq!((rename(c"d/", c"e/", 0), mkdirat(AT_FDCWD, c"d//", 0o755)), (Ok(()), Ok(())));
    Ok(())
}

fn a_sticky_folder() -> Outcome {
    if !as_root()? {
        return Ok(());
    }
    mkdirat(AT_FDCWD, c"t", 0o777)?;
    fchmodat(AT_FDCWD, c"t", 0o1777)?;
    close(create(c"t/root", b"")?)?;
    mkdirat(AT_FDCWD, c"t/dir", 0o777)?;
    as_user(|| {
        close(create(c"t/mine", b"")?)?;
        check_eq!((unlink(c"t/root"), rmdir(c"t/dir")), (Err(Errno::EPERM), Err(Errno::EPERM)));
        check_eq!(rename(c"t/root", c"t/x", 0), Err(Errno::EPERM));
        check_eq!(rename(c"t/root", c"x", 0), Err(Errno::EPERM));
        check_eq!(rename(c"t/mine", c"t/root", 0), Err(Errno::EPERM));
        check_eq!(rename(c"t/mine", c"t/root", RENAME_EXCHANGE), Err(Errno::EPERM));
        check_eq!((rename(c"t/mine", c"t/y", 0), unlink(c"t/y")), (Ok(()), Ok(())));
        Ok(())
    })
}
