//! Privileges: what `prctl` says of them, and what changes of user and `execve` make of them.
#![no_std]
#![no_main]

extern crate alloc;

use abi::Errno;
use abi::fs::{AT_FDCWD, O_CREAT, O_RDONLY, O_WRONLY};
use abi::native::nr;
use abi::process::*;
use abi::signal::SIGUSR1;
use conformance::capabilities::{get as sets, set};
use conformance::{Outcome, check, check_eq, child, files, raw, scratch};
use core::ffi::CStr;
use libsyscall::file::{close, open, read, write};
use libsyscall::process::*;

conformance::tests!(
    &[
        ("the_bounding_set", the_bounding_set),
        ("securebits_and_their_locks", securebits_and_their_locks),
        ("kept_capabilities", kept_capabilities),
        ("ambient_capabilities", ambient_capabilities),
        ("changes_of_user", changes_of_user),
        ("the_user_towards_files", the_user_towards_files),
        ("root_without_root", root_without_root),
        ("execve_by_the_formula", execve_by_the_formula),
        ("renounced_privileges", renounced_privileges),
        ("who_may_look", who_may_look),
        ("timer_slack", timer_slack),
        ("odd_requests", odd_requests),
    ],
    &[("capabilities", show_capabilities), ("seen", show_seen)]
);

const SETUID: u64 = 7;
const SETPCAP: u64 = 8;
const CHOWN: u64 = 0;
const KILL: u64 = 5;

fn prctl(option: u32, arguments: &[u64]) -> Result<u64, Errno> {
    raw::call(nr::prctl, &[&[u64::from(option)], arguments].concat())
}

fn ambient(operation: u32, capability: u64) -> Result<u64, Errno> {
    prctl(PR_CAP_AMBIENT, &[operation.into(), capability, 0, 0])
}

fn become_user(user: u64) -> Result<(), Errno> {
    raw::call(nr::setresuid, &[user, user, user]).map(drop)
}

fn is_root() -> bool {
    geteuid() == 0 && sets()[0] & 1 << SETPCAP != 0
}

fn the_bounding_set() -> Outcome {
    if !is_root() {
        return Ok(());
    }
    check_eq!(prctl(PR_CAPBSET_READ, &[CHOWN]), Ok(1));
    check_eq!(prctl(PR_CAPBSET_READ, &[u64::from(CAP_LAST_CAP) + 1]), Err(Errno::EINVAL));
    check_eq!(prctl(PR_CAPBSET_DROP, &[u64::MAX]), Err(Errno::EINVAL));
    check_eq!(prctl(PR_CAPBSET_DROP, &[CHOWN]), Ok(0));
    check_eq!(prctl(PR_CAPBSET_READ, &[CHOWN]), Ok(0));
    become_user(1000)?;
    check_eq!(prctl(PR_CAPBSET_DROP, &[u64::MAX]), Err(Errno::EPERM));
    Ok(())
}

fn securebits_and_their_locks() -> Outcome {
    if !is_root() {
        return Ok(());
    }
    let set = |bits: u32| prctl(PR_SET_SECUREBITS, &[bits.into()]);
    check_eq!(prctl(PR_GET_SECUREBITS, &[]), Ok(0));
    check_eq!(set(0x100), Err(Errno::EPERM));
    check_eq!(prctl(PR_SET_SECUREBITS, &[1 << 32]), Err(Errno::EPERM));
    check_eq!(set(SECBIT_KEEP_CAPS), Ok(0));
    check_eq!(prctl(PR_GET_KEEPCAPS, &[]), Ok(1));
    check_eq!(prctl(PR_SET_KEEPCAPS, &[2]), Err(Errno::EINVAL));
    check_eq!(prctl(PR_SET_KEEPCAPS, &[0]), Ok(0));
    check_eq!(prctl(PR_GET_SECUREBITS, &[]), Ok(0));
    check_eq!(set(SECBIT_KEEP_CAPS_LOCKED), Ok(0));
    check_eq!(prctl(PR_SET_KEEPCAPS, &[1]), Err(Errno::EPERM));
    check_eq!(set(0), Err(Errno::EPERM));
    check_eq!(set(SECBIT_KEEP_CAPS_LOCKED | SECBIT_KEEP_CAPS), Err(Errno::EPERM));
    check_eq!(set(SECBIT_KEEP_CAPS_LOCKED | SECBIT_NO_CAP_AMBIENT_RAISE), Ok(0));
    become_user(1000)?;
    check_eq!(set(SECBIT_KEEP_CAPS_LOCKED), Err(Errno::EPERM));
    Ok(())
}

fn kept_capabilities() -> Outcome {
    if !is_root() {
        return Ok(());
    }
    let [_, permitted, _] = sets();
    prctl(PR_SET_KEEPCAPS, &[1])?;
    become_user(1000)?;
    check_eq!((sets()[0], sets()[1]), (0, permitted));
    check_eq!(become_user(0), Err(Errno::EPERM));
    set([1 << SETUID, permitted, 0])?;
    check_eq!(become_user(0), Ok(()));
    check_eq!((sets()[0], sets()[1]), (permitted, permitted));
    Ok(())
}

fn ambient_capabilities() -> Outcome {
    if !is_root() {
        return Ok(());
    }
    let all = sets()[1];
    check_eq!(ambient(PR_CAP_AMBIENT_IS_SET, KILL), Ok(0));
    check_eq!(ambient(PR_CAP_AMBIENT_RAISE, KILL), Err(Errno::EPERM));
    set([all, all, 1 << KILL | 1 << CHOWN])?;
    check_eq!(ambient(PR_CAP_AMBIENT_RAISE, KILL), Ok(0));
    check_eq!(ambient(PR_CAP_AMBIENT_IS_SET, KILL), Ok(1));
    check_eq!(ambient(PR_CAP_AMBIENT_RAISE, CHOWN), Ok(0));
    check_eq!(ambient(PR_CAP_AMBIENT_LOWER, CHOWN), Ok(0));
    check_eq!(ambient(PR_CAP_AMBIENT_IS_SET, CHOWN), Ok(0));
    // What is no longer inheritable is no longer ambient.
    set([all, all, 0])?;
    check_eq!(ambient(PR_CAP_AMBIENT_IS_SET, KILL), Ok(0));
    check_eq!(ambient(9, KILL), Err(Errno::EINVAL));
    check_eq!(ambient(PR_CAP_AMBIENT_RAISE, 63), Err(Errno::EINVAL));
    check_eq!(prctl(PR_CAP_AMBIENT, &[PR_CAP_AMBIENT_RAISE.into(), KILL, 1, 0]), Err(Errno::EINVAL));
    check_eq!(ambient(PR_CAP_AMBIENT_CLEAR_ALL, KILL), Err(Errno::EINVAL));
    check_eq!(ambient(PR_CAP_AMBIENT_CLEAR_ALL, 0), Ok(0));
    set([all, all, 1 << KILL])?;
    prctl(PR_SET_SECUREBITS, &[SECBIT_NO_CAP_AMBIENT_RAISE.into()])?;
    check_eq!(ambient(PR_CAP_AMBIENT_RAISE, KILL), Err(Errno::EPERM));
    Ok(())
}

fn changes_of_user() -> Outcome {
    if !is_root() {
        return Ok(());
    }
    let all = sets()[1];
    raw::call(nr::setresuid, &[u64::MAX, 1000, u64::MAX])?;
    check_eq!((sets()[0], sets()[1]), (0, all));
    raw::call(nr::setresuid, &[u64::MAX, 0, u64::MAX])?;
    check_eq!(sets()[0], all);
    prctl(PR_SET_SECUREBITS, &[SECBIT_NO_SETUID_FIXUP.into()])?;
    become_user(1000)?;
    check_eq!((sets()[0], sets()[1]), (all, all));
    Ok(())
}

/// Which capabilities go with that user.
fn the_user_towards_files() -> Outcome {
    if !is_root() {
        return Ok(());
    }
    let all = sets()[1];
    let of_files: u64 = 0b1_1111 | 1 << 9 | 1 << 27 | 1 << 32;
    raw::call(nr::setfsuid, &[1000])?;
    check_eq!(sets()[0], all & !of_files);
    raw::call(nr::setfsuid, &[0])?;
    check_eq!(sets()[0], all);
    // The others leave alone what `setfsuid` took.
    raw::call(nr::setfsuid, &[1000])?;
    raw::call(nr::setresuid, &[0, 0, 0])?;
    check_eq!(sets()[0], all & !of_files);
    check_eq!(raw::call(nr::setfsuid, &[u64::MAX]), Ok(0));
    Ok(())
}

/// A helper: effective, permitted, inheritable and ambient `CAP_KILL` of a new program, and `AT_SECURE`.
fn show_capabilities(arguments: &[&'static [u8]]) -> i32 {
    let fd = arguments.first().and_then(|digits| core::str::from_utf8(digits).ok()?.parse().ok());
    let [effective, permitted, inheritable] = sets();
    let ambient = ambient(PR_CAP_AMBIENT_IS_SET, KILL).unwrap_or(9);
    let secure = ulib::auxv::value(abi::auxv::AT_SECURE).unwrap_or(9);
    let kept = prctl(PR_GET_KEEPCAPS, &[]).unwrap_or(9);
    let words = [effective, permitted, inheritable, ambient, secure, kept, geteuid().into()];
    let bytes: alloc::vec::Vec<u8> = words.iter().flat_map(|word| word.to_ne_bytes()).collect();
    fd.map_or(1, |fd| i32::from(write(fd, &bytes) != Ok(bytes.len())))
}

/// What a new program has, executed from this path after `prepare`.
fn after_execve(
    path: &CStr,
    prepare: impl FnOnce() -> Result<(), Errno>,
) -> Result<[u64; 7], conformance::Failure> {
    let (reader, writer) = libsyscall::file::pipe2(0)?;
    let pid = child::start(|| {
        let fd = alloc::format!("{writer}\0");
        let arguments = [
            c"x".as_ptr(),
            c"--helper".as_ptr(),
            c"capabilities".as_ptr(),
            fd.as_ptr().cast(),
            core::ptr::null(),
        ];
        match prepare() {
            // SAFETY: the array holds NUL-terminated strings and ends with a null pointer; there is no environment.
            Ok(()) => unsafe { execve(path, arguments.as_ptr(), [core::ptr::null()].as_ptr()) },
            Err(error) => error,
        };
        111
    })?;
    let mut bytes = [0; 56];
    close(writer)?;
    let count = read(reader, &mut bytes)?;
    close(reader)?;
    check_eq!((child::wait(pid)?, count), (WaitStatus(0), 56));
    let mut words = [0; 7];
    for (word, bytes) in words.iter_mut().zip(bytes.as_chunks::<8>().0) {
        *word = u64::from_ne_bytes(*bytes);
    }
    Ok(words)
}

fn own_path() -> &'static CStr {
    ulib::args::args().next().unwrap_or_default()
}

/// A copy of this program with this mode, owned by root.
fn copy(path: &CStr, mode: u64) -> Outcome {
    let (from, to) = (open(own_path(), O_RDONLY, 0)?, open(path, O_WRONLY | O_CREAT, 0o700)?);
    let mut buffer = alloc::vec![0; 1 << 16];
    loop {
        match read(from, &mut buffer)? {
            0 => break,
            count => check_eq!(write(to, &buffer[..count]), Ok(count)),
        }
    }
    close(from)?;
    close(to)?;
    raw::call(nr::fchmodat, &[AT_FDCWD as u64, path.as_ptr() as u64, mode])?;
    Ok(())
}

fn root_without_root() -> Outcome {
    if !is_root() {
        return Ok(());
    }
    let all = sets()[1];
    let found = after_execve(own_path(), || Ok(()))?;
    check_eq!(found, [all, all, 0, 0, 0, 0, 0]);
    let found = after_execve(own_path(), || {
        prctl(PR_SET_SECUREBITS, &[u64::from(SECBIT_NOROOT | SECBIT_KEEP_CAPS)])?;
        set([all, all, 1 << KILL])?;
        ambient(PR_CAP_AMBIENT_RAISE, KILL).map(drop)
    })?;
    let kill = 1 << KILL;
    check_eq!(found, [kill, kill, kill, 1, 0, 0, 0]);
    Ok(())
}

fn execve_by_the_formula() -> Outcome {
    if !is_root() {
        return Ok(());
    }
    scratch::enter()?;
    let all = sets()[1];
    let (kill, setuid) = (1 << KILL, c"setuid");
    copy(setuid, 0o4755)?;
    let to_user = || {
        set([all, all, kill])?;
        prctl(PR_SET_KEEPCAPS, &[1])?;
        become_user(1000)?;
        ambient(PR_CAP_AMBIENT_RAISE, KILL).map(drop)
    };
    check_eq!(after_execve(own_path(), to_user)?, [kill, kill, kill, 1, 0, 0, 1000]);
    check_eq!(after_execve(setuid, to_user)?, [all, all, kill, 0, 1, 0, 0]);
    check_eq!(after_execve(setuid, || become_user(1000))?, [all, all, 0, 0, 1, 0, 0]);
    // Only the real user is root: permitted, but not in effect.
    let effective = || raw::call(nr::setresuid, &[0, 1000, 1000]).map(drop);
    check_eq!(after_execve(own_path(), effective)?, [0, all, 0, 0, 1, 0, 1000]);
    // The bounding set bounds root.
    let bound = || prctl(PR_CAPBSET_DROP, &[KILL]).map(drop);
    check_eq!(after_execve(own_path(), bound)?, [all & !kill, all & !kill, 0, 0, 0, 0, 0]);
    Ok(())
}

fn renounced_privileges() -> Outcome {
    if !is_root() {
        return Ok(());
    }
    scratch::enter()?;
    copy(c"setuid", 0o4755)?;
    check_eq!(prctl(PR_SET_NO_NEW_PRIVS, &[1, 1, 0, 0]), Err(Errno::EINVAL));
    check_eq!(prctl(PR_SET_NO_NEW_PRIVS, &[0, 0, 0, 0]), Err(Errno::EINVAL));
    let renounce = || {
        become_user(1000)?;
        prctl(PR_SET_NO_NEW_PRIVS, &[1, 0, 0, 0]).map(drop)
    };
    check_eq!(after_execve(c"setuid", renounce)?, [0, 0, 0, 0, 0, 0, 1000]);
    Ok(())
}

/// A helper: whether this process is dumpable.
fn show_seen(_: &[&'static [u8]]) -> i32 {
    prctl(PR_GET_DUMPABLE, &[]).map_or(9, |seen| seen as i32)
}

fn who_may_look() -> Outcome {
    check_eq!(prctl(PR_SET_DUMPABLE, &[1]), Ok(0));
    check_eq!(prctl(PR_GET_DUMPABLE, &[]), Ok(1));
    check_eq!(prctl(PR_SET_DUMPABLE, &[2]), Err(Errno::EINVAL));
    check_eq!(prctl(PR_SET_DUMPABLE, &[0]), Ok(0));
    check_eq!(child::run(|| show_seen(&[]))?, WaitStatus(0));
    if !is_root() {
        return Ok(());
    }
    check_eq!(prctl(PR_SET_DUMPABLE, &[1]), Ok(0));
    let status = child::run(|| {
        let signal = |mut word: u32| prctl(PR_GET_PDEATHSIG, &[(&raw mut word) as u64]).map(|_| word);
        let set = prctl(PR_SET_PDEATHSIG, &[SIGUSR1.into()]).is_ok() && signal(0) == Ok(SIGUSR1);
        // Whoever becomes another is not to be looked at by that, and has another parent.
        let changed = become_user(1000).is_ok() && show_seen(&[]) == 0 && signal(9) == Ok(0);
        i32::from(!(set && changed))
    })?;
    check_eq!(status, WaitStatus(0));
    let status = child::run(|| {
        let _ = become_user(1000);
        let arguments = [c"x".as_ptr(), c"--helper".as_ptr(), c"seen".as_ptr(), core::ptr::null()];
        // SAFETY: the array holds NUL-terminated strings and ends with a null pointer; there is no environment.
        unsafe { execve(own_path(), arguments.as_ptr(), [core::ptr::null()].as_ptr()) };
        2
    })?;
    check_eq!(status, WaitStatus::exited(1));
    Ok(())
}

fn timer_slack() -> Outcome {
    let first = prctl(PR_GET_TIMERSLACK, &[])?;
    check_eq!(first, 50_000);
    check_eq!(prctl(PR_SET_TIMERSLACK, &[7]), Ok(0));
    check_eq!(prctl(PR_GET_TIMERSLACK, &[]), Ok(7));
    let of_child = || {
        let inherited = prctl(PR_GET_TIMERSLACK, &[]) == Ok(7);
        let _ = prctl(PR_SET_TIMERSLACK, &[9]);
        let _ = prctl(PR_SET_TIMERSLACK, &[0]);
        i32::from(!(inherited && prctl(PR_GET_TIMERSLACK, &[]) == Ok(7)))
    };
    check_eq!(child::run(of_child)?, WaitStatus(0));
    check_eq!(prctl(PR_SET_TIMERSLACK, &[1 << 40]), Ok(0));
    check_eq!(prctl(PR_GET_TIMERSLACK, &[]), Ok(1 << 40));
    check_eq!(prctl(PR_SET_TIMERSLACK, &[0]), Ok(0));
    check_eq!(prctl(PR_GET_TIMERSLACK, &[]), Ok(50_000));
    Ok(())
}

fn odd_requests() -> Outcome {
    check_eq!(prctl(PR_GET_SECCOMP, &[]), Ok(0));
    check_eq!(prctl(PR_GET_TIMING, &[]), Ok(0));
    check_eq!((prctl(PR_SET_TIMING, &[0]), prctl(PR_SET_TIMING, &[1])), (Ok(0), Err(Errno::EINVAL)));
    for option in [5, 6, 9, 10, 11, 12, 17, 18, 19, 20, 43, 44, 45, 46, 1000, u32::MAX] {
        check_eq!((option, prctl(option, &[0; 4])), (option, Err(Errno::EINVAL)));
    }
    check_eq!(prctl(PR_SET_MM, &[1, 0, 0, 1]), Err(Errno::EINVAL));
    check_eq!(prctl(PR_GET_NAME, &[8]), Err(Errno::EFAULT));
    check_eq!(prctl(PR_SET_NAME, &[8]), Err(Errno::EFAULT));
    check_eq!(prctl(PR_GET_CHILD_SUBREAPER, &[8]), Err(Errno::EFAULT));
    check_eq!(prctl(PR_GET_PDEATHSIG, &[8]), Err(Errno::EFAULT));
    files::as_user(|| {
        check_eq!(prctl(PR_SET_MM, &[1, 0, 0, 0]), Err(Errno::EPERM));
        check!(sets()[0] == 0);
        Ok(())
    })
}
