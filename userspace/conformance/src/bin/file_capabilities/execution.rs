//! What a program has that executes a file with capabilities: the formula of capabilities(7), and what else changes
//! with it.

use super::{AT_ONCE, LAST, NET_BIND, NET_RAW, THIRD, give, is_root, remove, set_bytes, set_words};
use abi::Errno;
use abi::fs::*;
use abi::native::nr;
use abi::process::*;
use abi::resource::{RLIM_INFINITY, RLIMIT_STACK, Rlimit};
use abi::signal::{SIGCHLD, SIGUSR1};
use alloc::vec::Vec;
use conformance::capabilities::get as own;
pub use conformance::capabilities::set as set_own;
use conformance::{Failure, Outcome, check, check_eq, child, files, raw, scratch};
use core::ffi::CStr;
use libsyscall::file::*;
use libsyscall::process::*;
use libsyscall::system::mount;

/// What a program has: capabilities in effect, permitted and inheritable, whether any is ambient; whether it is not to
/// trust its environment, its effective user; and what it inherited: whether it may be looked at, its personality, the
/// limit of its stack, and the signal at its parent's end.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
struct Shown {
    sets: [u64; 3],
    ambient: u64,
    secure: u64,
    user: u64,
    inherited: [u64; 4],
}

/// A helper: writes the words of [`Shown`] to a descriptor.
pub fn show(arguments: &[&'static [u8]]) -> i32 {
    let fd = arguments.first().and_then(|digits| core::str::from_utf8(digits).ok()?.parse().ok());
    let prctl = |option: u32, word: u64| raw::call(nr::prctl, &[option.into(), word]).unwrap_or(9);
    let ambient = raw::call(nr::prctl, &[PR_CAP_AMBIENT.into(), PR_CAP_AMBIENT_IS_SET.into(), 10, 0, 0]);
    let secure = ulib::auxv::value(abi::auxv::AT_SECURE).unwrap_or(9);
    let mut signal = 0u32;
    prctl(PR_GET_PDEATHSIG, (&raw mut signal) as u64);
    let stack = prlimit64(0, RLIMIT_STACK, None).map_or(9, |limit| limit.rlim_cur);
    let personality = personality(u32::MAX).unwrap_or(9).into();
    let inherited = [prctl(PR_GET_DUMPABLE, 0), personality, stack, signal.into()];
    let words = [&own()[..], &[ambient.unwrap_or(9), secure, geteuid().into()], &inherited].concat();
    let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_ne_bytes()).collect();
    fd.map_or(1, |fd| i32::from(write(fd, &bytes) != Ok(bytes.len())))
}

const STACK: u64 = 64 << 20;
const SECURE_STACK: u64 = 8 << 20;

/// Executes a copy of this program after `prepare`, with a personality, a limit and a signal that a program with more
/// rights does not inherit; returns what it has, or the error.
fn execute(
    path: &CStr,
    prepare: impl FnOnce() -> Result<(), Errno>,
) -> Result<Result<Shown, Errno>, Failure> {
    let (reader, writer) = pipe2(0)?;
    let pid = child::start(|| {
        let fd = alloc::format!("{writer}\0");
        let words = [c"x", c"--helper", c"show"].map(CStr::as_ptr);
        let arguments = [words[0], words[1], words[2], fd.as_ptr().cast(), core::ptr::null()];
        let limit = Rlimit { rlim_cur: STACK, rlim_max: RLIM_INFINITY };
        let ready = prlimit64(0, RLIMIT_STACK, Some(&limit))
            .and_then(|_| prepare())
            .and_then(|()| personality(ADDR_NO_RANDOMIZE))
            .and_then(|_| raw::call(nr::prctl, &[PR_SET_PDEATHSIG.into(), SIGUSR1.into()]));
        let error = match ready {
            // SAFETY: the array holds NUL-terminated strings and ends with a null pointer; there is no environment.
            Ok(_) => unsafe { execve(path, arguments.as_ptr(), [core::ptr::null()].as_ptr()) },
            Err(error) => error,
        };
        i32::from(error.number() as u8)
    })?;
    close(writer)?;
    let mut bytes = [0; 80];
    let count = read(reader, &mut bytes)?;
    close(reader)?;
    let status = child::wait(pid)?;
    if count == 0 {
        return Ok(Err(Errno::from_return(-i64::from(status.0 >> 8)).err().unwrap_or(Errno::ECHILD)));
    }
    check_eq!((count, status), (80, WaitStatus(0)));
    let mut words = [0; 10];
    for (word, bytes) in words.iter_mut().zip(bytes.as_chunks::<8>().0) {
        *word = u64::from_ne_bytes(*bytes);
    }
    let [effective, permitted, inheritable, ambient, secure, user, ref inherited @ ..] = words;
    let sets = [effective, permitted, inheritable];
    Ok(Ok(Shown { sets, ambient, secure, user, inherited: *inherited }))
}

/// What it inherits that gains nothing.
const ALL_INHERITED: [u64; 4] = [1, ADDR_NO_RANDOMIZE as u64, STACK, SIGUSR1 as u64];
/// What it inherits that is to be trusted no more than that it changes its rights.
const SECURED: [u64; 4] = [1, ADDR_NO_RANDOMIZE as u64, SECURE_STACK, 0];
/// What it inherits that gains something.
const GAINED: [u64; 4] = [0, 0, SECURE_STACK, 0];

fn plain(user: u64, sets: [u64; 3]) -> Result<Shown, Errno> {
    Ok(Shown { sets, user, inherited: ALL_INHERITED, ..Shown::default() })
}

fn secured(user: u64, sets: [u64; 3]) -> Result<Shown, Errno> {
    Ok(Shown { sets, user, secure: 1, inherited: SECURED, ..Shown::default() })
}

fn gained(user: u64, sets: [u64; 3]) -> Result<Shown, Errno> {
    Ok(Shown { sets, user, secure: 1, inherited: GAINED, ..Shown::default() })
}

fn to_user() -> Result<(), Errno> {
    raw::call(nr::setresgid, &[1000, 1000, 1000])?;
    raw::call(nr::setresuid, &[1000, 1000, 1000]).map(drop)
}

/// As a user with some permitted and effective capabilities, of which some are inheritable.
fn to_user_with(sets: u64, inheritable: u64) -> Result<(), Errno> {
    raw::call(nr::prctl, &[PR_SET_KEEPCAPS.into(), 1])?;
    to_user()?;
    set_own([sets, sets, inheritable])
}

fn renounce() -> Result<(), Errno> {
    raw::call(nr::prctl, &[PR_SET_NO_NEW_PRIVS.into(), 1, 0, 0, 0]).map(drop)
}

/// A tmpfs with a copy of this program, `f`.
fn enter_with_program() -> Outcome {
    scratch::enter_tmpfs()?;
    copy(c"f", 0o755)
}

fn copy(path: &CStr, mode: u32) -> Outcome {
    let own = ulib::args::args().next().unwrap_or_default();
    let (from, to) = (open(own, O_RDONLY, 0)?, open(path, O_WRONLY | O_CREAT, 0o700)?);
    while raw::call(nr::sendfile, &[to as u64, from as u64, 0, 1 << 20])? != 0 {}
    close(from)?;
    close(to)?;
    fchmodat(AT_FDCWD, path, mode)?;
    Ok(())
}

pub fn a_user_gets_them() -> Outcome {
    if !is_root() {
        return Ok(());
    }
    enter_with_program()?;
    check_eq!(execute(c"f", to_user)?, plain(1000, [0; 3]));
    give(c"f", NET_RAW, NET_BIND, AT_ONCE)?;
    check_eq!(execute(c"f", to_user)?, gained(1000, [NET_RAW, NET_RAW, 0]));
    give(c"f", NET_RAW, NET_BIND, 0)?;
    check_eq!(execute(c"f", to_user)?, gained(1000, [0, NET_RAW, 0]));
    give(c"f", u64::MAX, 0, AT_ONCE)?;
    let all = LAST | (LAST - 1);
    check_eq!(execute(c"f", to_user)?, gained(1000, [all, all, 0]));
    // For another's root they are none; for everybody's they are.
    set_words(c"f", &[THIRD | AT_ONCE, NET_RAW as u32, 0, 0, 0, 1000])?;
    check_eq!(execute(c"f", to_user)?, plain(1000, [0; 3]));
    set_words(c"f", &[THIRD | AT_ONCE, NET_RAW as u32, 0, 0, 0, 0])?;
    check_eq!(execute(c"f", to_user)?, gained(1000, [NET_RAW, NET_RAW, 0]));
    remove(c"f")?;
    check_eq!(execute(c"f", to_user)?, plain(1000, [0; 3]));
    Ok(())
}

pub fn inherited_and_ambient() -> Outcome {
    if !is_root() {
        return Ok(());
    }
    enter_with_program()?;
    let both = NET_RAW | NET_BIND;
    let with_ambient = || {
        to_user_with(both, both)?;
        raw::call(nr::prctl, &[PR_CAP_AMBIENT.into(), PR_CAP_AMBIENT_RAISE.into(), 10, 0, 0]).map(drop)
    };
    let kept = Shown { sets: [NET_BIND, NET_BIND, both], ambient: 1, user: 1000, ..Shown::default() };
    check_eq!(execute(c"f", with_ambient)?, Ok(Shown { inherited: ALL_INHERITED, ..kept }));
    // A file with capabilities, be they none, lets nothing ambient through.
    give(c"f", NET_RAW, 0, AT_ONCE)?;
    check_eq!(execute(c"f", with_ambient)?, secured(1000, [NET_RAW, NET_RAW, both]));
    give(c"f", NET_RAW, 0, 0)?;
    check_eq!(execute(c"f", with_ambient)?, secured(1000, [0, NET_RAW, both]));
    give(c"f", 0, 0, AT_ONCE)?;
    check_eq!(execute(c"f", with_ambient)?, secured(1000, [0, 0, both]));
    check_eq!(execute(c"f", to_user)?, secured(1000, [0; 3]));
    give(c"f", 0, NET_BIND, AT_ONCE)?;
    check_eq!(execute(c"f", || to_user_with(both, NET_BIND))?, secured(1000, [NET_BIND, NET_BIND, NET_BIND]));
    check_eq!(execute(c"f", || to_user_with(both, NET_RAW))?, secured(1000, [0, 0, NET_RAW]));
    Ok(())
}

pub fn root_and_set_user_id() -> Outcome {
    if !is_root() {
        return Ok(());
    }
    enter_with_program()?;
    let all = own()[1];
    give(c"f", NET_RAW, NET_BIND, AT_ONCE)?;
    check_eq!(execute(c"f", || Ok(()))?, plain(0, [all, all, 0]));
    let without_root = || raw::call(nr::prctl, &[PR_SET_SECUREBITS.into(), SECBIT_NOROOT.into()]).map(drop);
    check_eq!(execute(c"f", without_root)?, plain(0, [NET_RAW, NET_RAW, 0]));
    // Only in effect, or only in truth.
    let acting = || raw::call(nr::setresuid, &[1000, 0, 0]).map(drop);
    let shown = execute(c"f", acting)?;
    check_eq!(shown.map(|shown| (shown.sets, shown.secure, shown.user)), Ok(([NET_RAW, NET_RAW, 0], 1, 0)));
    let real = || raw::call(nr::setresuid, &[0, 1000, 1000]).map(drop);
    let shown = execute(c"f", real)?;
    check_eq!(shown.map(|shown| (shown.sets, shown.secure, shown.user)), Ok(([all, all, 0], 1, 1000)));
    // A set-user-ID program of root's has these only, as a user starts it.
    copy(c"s", 0o4755)?;
    check_eq!(execute(c"s", to_user)?, gained(0, [all, all, 0]));
    give(c"s", NET_RAW, 0, AT_ONCE)?;
    check_eq!(execute(c"s", to_user)?, gained(0, [NET_RAW, NET_RAW, 0]));
    give(c"s", NET_RAW, 0, 0)?;
    check_eq!(execute(c"s", to_user)?, gained(0, [0, NET_RAW, 0]));
    let shown = execute(c"s", || Ok(()))?;
    check_eq!(shown.map(|shown| (shown.sets, shown.secure, shown.inherited[1])), Ok(([all, all, 0], 0, 0)));
    Ok(())
}

/// In a process that shares its directories with this one.
fn sharing(body: impl FnOnce() -> Result<(), Errno>) -> Result<(), Errno> {
    const CLONE_FS: u64 = 0x200;
    to_user()?;
    // The process that executes is the child; its parent stays until it is done.
    let pid = raw::call(nr::clone, &[CLONE_FS | u64::from(SIGCHLD), 0, 0, 0, 0])?;
    if pid == 0 {
        return body();
    }
    let _ = wait4(pid as i32, 0);
    exit_group(0);
}

pub fn what_is_not_gained() -> Outcome {
    if !is_root() {
        return Ok(());
    }
    enter_with_program()?;
    copy(c"s", 0o4755)?;
    give(c"f", NET_RAW, 0, AT_ONCE)?;
    let renounced = || {
        to_user()?;
        renounce()
    };
    let kept = |set: u64| {
        Ok(Shown {
            sets: [set, set, 0],
            user: 1000,
            secure: 1,
            inherited: [1, 0, SECURE_STACK, 0],
            ..Shown::default()
        })
    };
    check_eq!(execute(c"f", renounced)?, kept(0));
    check_eq!(execute(c"s", renounced)?, plain(1000, [0; 3]));
    let renounced_with_some = || {
        to_user_with(NET_RAW, 0)?;
        renounce()
    };
    check_eq!(execute(c"f", renounced_with_some)?, secured(1000, [NET_RAW, NET_RAW, 0]));
    check_eq!(execute(c"f", || sharing(|| Ok(())))?, kept(0));
    check_eq!(execute(c"s", || sharing(|| Ok(())))?, kept(0));
    // Whoever has directories of its own again gains by them.
    mkdirat(AT_FDCWD, c"m", 0o755)?;
    mount(c".", c"m", c"", MS_BIND, None)?;
    mount(c".", c"m", c"", MS_BIND | MS_REMOUNT | MS_NOSUID, None)?;
    check_eq!(execute(c"m/f", to_user)?, plain(1000, [0; 3]));
    check_eq!(execute(c"m/s", to_user)?, plain(1000, [0; 3]));
    Ok(())
}

pub fn programs_that_know_nothing_of_them() -> Outcome {
    if !is_root() {
        return Ok(());
    }
    enter_with_program()?;
    let bound = || raw::call(nr::prctl, &[PR_CAPBSET_DROP.into(), 13]).map(drop);
    let bound_user = || {
        bound()?;
        to_user()
    };
    give(c"f", NET_RAW | NET_BIND, 0, AT_ONCE)?;
    check_eq!((execute(c"f", bound)?, execute(c"f", bound_user)?), (Err(Errno::EPERM), Err(Errno::EPERM)));
    give(c"f", NET_RAW | NET_BIND, 0, 0)?;
    check_eq!(execute(c"f", bound_user)?, gained(1000, [0, NET_BIND, 0]));
    // What it would inherit is none of its own.
    give(c"f", 0, NET_RAW, AT_ONCE)?;
    check_eq!(execute(c"f", bound_user)?, secured(1000, [0; 3]));
    set_bytes(c"f", b"", 0)?;
    check_eq!((execute(c"f", to_user)?, execute(c"f", || Ok(()))?), (Err(Errno::EINVAL), Err(Errno::EINVAL)));
    // A script is its interpreter's matter.
    close(files::create(c"script", b"#!f --helper\n")?)?;
    fchmodat(AT_FDCWD, c"script", 0o755)?;
    set_bytes(c"script", b"", 0)?;
    remove(c"f")?;
    give(c"script", NET_RAW, 0, AT_ONCE)?;
    check!(execute(c"script", to_user)?.is_err());
    Ok(())
}

/// A set-id program that makes its user nobody else is placed as the kernel likes, and no more.
pub fn what_comes_with_gaining() -> Outcome {
    if !is_root() {
        return Ok(());
    }
    enter_with_program()?;
    raw::call(nr::fchownat, &[AT_FDCWD as u64, c"f".as_ptr() as u64, 1000, 1000, 0])?;
    for mode in [0o4755, 0o2755] {
        fchmodat(AT_FDCWD, c"f", mode)?;
        let placed = Shown { user: 1000, inherited: [1, 0, STACK, SIGUSR1.into()], ..Shown::default() };
        check_eq!(execute(c"f", to_user)?, Ok(placed));
    }
    // A limit that is lower stays.
    copy(c"s", 0o4755)?;
    let low = || {
        prlimit64(0, RLIMIT_STACK, Some(&Rlimit { rlim_cur: 1 << 20, rlim_max: RLIM_INFINITY }))?;
        to_user()
    };
    check_eq!(execute(c"s", low)?.map(|shown| shown.inherited), Ok([0, 0, 1 << 20, 0]));
    Ok(())
}
