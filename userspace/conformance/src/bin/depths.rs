//! Structures as deep as a program likes: nothing in the kernel may recurse along them.
#![no_std]
#![no_main]

extern crate alloc;

use abi::Errno;
use abi::fs::*;
use abi::process::WaitStatus;
use abi::signal::SIGKILL;
use conformance::{Failure, Outcome, check_eq, child, files, scratch};
use libsyscall::file::*;
use libsyscall::process::{fork, geteuid, getpid, kill};
use libsyscall::system::{mount, umount2};

conformance::tests!(&[
    ("deep_directories", deep_directories),
    ("a_removed_chain_goes_with_its_last_user", a_removed_chain_goes_with_its_last_user),
    ("a_deep_tree_goes_with_its_mount", a_deep_tree_goes_with_its_mount),
    ("mounts_in_mounts", mounts_in_mounts),
    ("mounts_on_mounts", mounts_on_mounts),
    ("a_long_line_of_descent", a_long_line_of_descent),
    ("a_long_chain_of_links", a_long_chain_of_links),
]);

/// More levels than a kernel stack has bytes for.
const DEPTH: usize = 10_000;

/// Makes a directory in the working directory and goes into it, so many times.
fn descend(depth: usize) -> Outcome {
    for _ in 0..depth {
        mkdirat(AT_FDCWD, c"d", 0o755)?;
        chdir(c"d")?;
    }
    Ok(())
}

/// Goes up so many times and removes what was below.
fn ascend(depth: usize) -> Outcome {
    for _ in 0..depth {
        chdir(c"..")?;
        files::rmdir(c"d")?;
    }
    Ok(())
}

fn deep_directories() -> Outcome {
    scratch::enter()?;
    let top = open(c".", O_RDONLY | O_DIRECTORY, 0)?;
    descend(DEPTH)?;
    let mut path = [0; 4096];
    check_eq!(getcwd(&mut path).map(drop), Err(Errno::ENAMETOOLONG));
    check_eq!(readlinkat(AT_FDCWD, c"/proc/self/cwd", &mut path), Err(Errno::ENAMETOOLONG));
    check_eq!(renameat2((top, c"d"), (AT_FDCWD, c"e"), 0), Err(Errno::EINVAL));
    mkdirat(AT_FDCWD, c"e", 0o755)?;
    check_eq!(renameat2((AT_FDCWD, c"e"), (top, c"e"), 0), Ok(()));
    check_eq!(files::rename(c"../d", c"../f", 0), Ok(()));
    check_eq!(files::rename(c"../f", c"../d", 0), Ok(()));
    ascend(DEPTH)?;
    check_eq!((files::exists(c"d"), files::exists(c"e")), (false, true));
    Ok(())
}

/// The lowest of removed directories holds all those above it.
fn a_removed_chain_goes_with_its_last_user() -> Outcome {
    scratch::enter()?;
    let (reports, report) = pipe2(0)?;
    descend(DEPTH)?;
    let user = child::start(|| {
        let _ = write(report, b"x");
        ulib::time::sleep(core::time::Duration::from_secs(100));
        0
    })?;
    read(reports, &mut [0])?;
    ascend(DEPTH)?;
    kill(user, SIGKILL)?;
    check_eq!(child::wait(user)?.term_signal(), Some(SIGKILL));
    check_eq!(files::exists(c"d"), false);
    Ok(())
}

fn as_root(body: impl FnOnce() -> Outcome) -> Outcome {
    if geteuid() == 0 { body() } else { Ok(()) }
}

fn a_deep_tree_goes_with_its_mount() -> Outcome {
    as_root(|| {
        for flags in [0, MNT_DETACH] {
            scratch::enter()?;
            mkdirat(AT_FDCWD, c"m", 0o755)?;
            mount(c"none", c"m", c"tmpfs", 0, None)?;
            let top = open(c".", O_PATH, 0)?;
            chdir(c"m")?;
            descend(DEPTH)?;
            fchdir(top)?;
            umount2(c"m", flags)?;
            check_eq!(files::rmdir(c"m"), Ok(()));
        }
        Ok(())
    })
}

fn fchdir(fd: i32) -> Outcome {
    conformance::raw::call(abi::native::nr::fchdir, &[fd as u64])?;
    Ok(())
}

/// Each is mounted in the one before, and all go at once.
fn mounts_in_mounts() -> Outcome {
    as_root(|| {
        scratch::enter()?;
        mkdirat(AT_FDCWD, c"m", 0o755)?;
        let top = open(c".", O_PATH, 0)?;
        mount(c"none", c"m", c"tmpfs", 0, None)?;
        chdir(c"m")?;
        for _ in 0..MOUNTS {
            mkdirat(AT_FDCWD, c"d", 0o755)?;
            mount(c"d", c"d", c"none", MS_BIND, None)?;
            chdir(c"d")?;
        }
        check_eq!(files::exists(c"../../../d"), true);
        fchdir(top)?;
        umount2(c"m", MNT_DETACH)?;
        check_eq!(files::rmdir(c"m"), Ok(()));
        Ok(())
    })
}

const MOUNTS: usize = 2000;

fn mounts_on_mounts() -> Outcome {
    as_root(|| {
        scratch::enter()?;
        mkdirat(AT_FDCWD, c"m", 0o755)?;
        for _ in 0..MOUNTS {
            mount(c"m", c"m", c"none", MS_BIND, None)?;
        }
        let inside = open(c"m/../m/.", O_PATH, 0)?;
        close(inside)?;
        for _ in 0..MOUNTS {
            umount2(c"m", 0)?;
        }
        check_eq!(umount2(c"m", 0), Err(Errno::EINVAL));
        check_eq!(files::rmdir(c"m"), Ok(()));
        Ok(())
    })
}

/// Each process has one child; the first ones end first.
fn a_long_line_of_descent() -> Outcome {
    const GENERATIONS: usize = 400;
    let (reports, report) = pipe2(0)?;
    let first = child::start(|| {
        let mut parent = getpid();
        for _ in 0..GENERATIONS {
            // SAFETY: these processes have one thread each.
            match unsafe { fork() } {
                Ok(0) => parent = getpid(),
                Ok(_) => return 0,
                Err(_) => return 1,
            }
        }
        i32::from(write(report, &parent.to_ne_bytes()) != Ok(4))
    })?;
    check_eq!(child::wait(first)?, WaitStatus(0));
    close(report)?;
    let mut last = [0; 4];
    check_eq!((read(reports, &mut last), read(reports, &mut [0])), (Ok(4), Ok(0)));
    Ok(())
}

/// A link to a link, so many times: by one name, and by a path of as many.
fn a_long_chain_of_links() -> Outcome {
    scratch::enter()?;
    let name = |number: usize| alloc::ffi::CString::new(alloc::format!("l{number}")).map_err(Failure::new);
    files::create(c"l0", b"end")?;
    for number in 1..=200 {
        files::symlink(&name(number - 1)?, &name(number)?)?;
    }
    check_eq!(files::content(&name(40)?)?, b"end");
    check_eq!(open(&name(41)?, O_RDONLY, 0), Err(Errno::ELOOP));
    check_eq!(open(&name(200)?, O_RDONLY, 0), Err(Errno::ELOOP));
    files::symlink(c"self/self", c"self")?;
    check_eq!(open(c"self", O_RDONLY, 0), Err(Errno::ELOOP));
    Ok(())
}
