//! What nobody gains or sees by meeting an `execve` half-way: the memory of a set-user-ID program, and an owner that
//! comes late.
#![no_std]
#![no_main]

extern crate alloc;

use abi::Errno;
use abi::fs::*;
use abi::native::nr;
use abi::process::*;
use alloc::format;
use conformance::{Failure, Outcome, check, check_eq, child, files, raw, scratch};
use core::ffi::CStr;
use core::hint::black_box;
use libsyscall::file::*;
use libsyscall::process::*;

conformance::tests!(
    &[
        ("memory_of_who_gains_rights", memory_of_who_gains_rights),
        ("a_file_that_changes_hands", a_file_that_changes_hands),
        ("whose_locks_may_be_listed", whose_locks_may_be_listed),
    ],
    &[("secret", secret), ("acts_as_root", acts_as_root)]
);

fn number(argument: Option<&&'static [u8]>) -> Option<i32> {
    core::str::from_utf8(argument?).ok()?.parse().ok()
}

/// A helper: says to its first descriptor where on its stack it has which secret, and stays until nothing more comes
/// from its second.
fn secret(arguments: &[&'static [u8]]) -> i32 {
    let (Some(tell), Some(gate)) = (number(arguments.first()), number(arguments.get(1))) else { return 1 };
    let mut secret = [0u64; 1];
    let address = secret.as_ptr() as u64;
    black_box(&mut secret)[0] = address ^ 0x5ec2_e75e_c2e7_5ec2;
    let told = [address, secret[0]].map(u64::to_ne_bytes).concat();
    let is_told = write(tell, &told) == Ok(16);
    let _ = read(gate, &mut [0]);
    i32::from(black_box(&secret)[0] == 0 || !is_told)
}

/// A helper: whether it acts as root.
fn acts_as_root(_arguments: &[&'static [u8]]) -> i32 {
    i32::from(geteuid() == 0)
}

/// A tmpfs with a copy of this program, `f`.
fn enter_with_program() -> Outcome {
    scratch::enter_tmpfs()?;
    let own = ulib::args::args().next().unwrap_or_default();
    let (from, to) = (open(own, O_RDONLY, 0)?, open(c"f", O_WRONLY | O_CREAT, 0o755)?);
    while raw::call(nr::sendfile, &[to as u64, from as u64, 0, 1 << 20])? != 0 {}
    close(from)?;
    close(to)?;
    Ok(())
}

/// Becomes the program with a helper's name and its arguments; returns where that cannot be.
fn become_helper(name: &CStr, arguments: [&str; 2]) -> i32 {
    let words = arguments.map(|word| format!("{word}\0"));
    let list = [
        c"f".as_ptr(),
        c"--helper".as_ptr(),
        name.as_ptr(),
        words[0].as_ptr().cast(),
        words[1].as_ptr().cast(),
        core::ptr::null(),
    ];
    // SAFETY: the array holds NUL-terminated strings and ends with a null pointer; there is no environment.
    let error = unsafe { execve(c"f", list.as_ptr(), [core::ptr::null()].as_ptr()) };
    100 + i32::from(error.number() as u8 & 15)
}

/// Files to be closed by `execve`, which takes its time then.
const FILES: usize = 600;

/// Looks at a child that executes a set-user-ID program as often as that is let happen: what was opened last shows
/// nothing of it.
fn look_while_it_executes() -> Outcome {
    let ((told, tell), (gate, hold), (start, begin)) = (pipe2(0)?, pipe2(0)?, pipe2(O_CLOEXEC)?);
    let pid = child::start(|| {
        let _ = (close(told), close(hold));
        for _ in 0..FILES {
            let _ = fcntl(tell, F_DUPFD_CLOEXEC, 0);
        }
        let _ = read(start, &mut [0]);
        become_helper(c"secret", [&format!("{tell}"), &format!("{gate}")])
    })?;
    close(tell)?;
    close(gate)?;
    let path = format!("/proc/{pid}/mem\0");
    let path = CStr::from_bytes_with_nul(path.as_bytes()).unwrap_or_default();
    let mut last = open(path, O_RDONLY, 0)?;
    check_eq!(write(begin, b"b"), Ok(1));
    loop {
        match open(path, O_RDONLY, 0) {
            Ok(fd) => close(core::mem::replace(&mut last, fd))?,
            Err(Errno::EACCES) => break,
            Err(other) => return Err(other.into()),
        }
    }
    let mut words = [0; 16];
    check_eq!(read(told, &mut words), Ok(16));
    let (address, secret) = words.split_at(8);
    let address = u64::from_ne_bytes(address.try_into().unwrap_or_default());
    let mut seen = [0; 8];
    let count = pread64(last, &mut seen, address);
    check!(count != Ok(8) || seen != secret);
    for fd in [last, told, hold, start, begin] {
        close(fd)?;
    }
    check_eq!(child::wait(pid)?, WaitStatus(0));
    Ok(())
}

fn memory_of_who_gains_rights() -> Outcome {
    if geteuid() != 0 {
        return Ok(());
    }
    files::mount_proc()?;
    enter_with_program()?;
    fchmodat(AT_FDCWD, c"f", 0o4755)?;
    files::as_user(|| {
        // Who changed its user is nobody's to look into any more, nor are its children, unless it says so.
        raw::call(nr::prctl, &[PR_SET_DUMPABLE.into(), 1, 0, 0, 0])?;
        (0..6).try_for_each(|_| look_while_it_executes())
    })
}

fn to_user(user: u64) -> Result<(), Errno> {
    raw::call(nr::setresgid, &[user, user, user])?;
    raw::call(nr::setresuid, &[user, user, user]).map(drop)
}

/// A user's set-user-ID program that is given to root runs as the user or as who executes it, and never as root.
fn a_file_that_changes_hands() -> Outcome {
    if geteuid() != 0 {
        return Ok(());
    }
    enter_with_program()?;
    for _ in 0..30 {
        fchownat(AT_FDCWD, c"f", 1000, 1000, 0)?;
        fchmodat(AT_FDCWD, c"f", 0o4755)?;
        let pid = child::start(|| match to_user(2000) {
            Ok(()) => become_helper(c"acts_as_root", ["", ""]),
            Err(_) => 2,
        })?;
        fchownat(AT_FDCWD, c"f", 0, 0, 0)?;
        check_eq!(child::wait(pid)?, WaitStatus(0));
    }
    Ok(())
}

fn list_of(pid: i32) -> Result<(), Errno> {
    let mut words = [0u64; 2];
    let [head, size] = &mut words;
    raw::call(nr::get_robust_list, &[pid as u64, head as *mut u64 as u64, size as *mut u64 as u64]).map(drop)
}

/// A process that says when it has prepared itself, and sleeps then.
fn prepared(is_hidden: bool) -> Result<i32, Failure> {
    let (ready, tell) = pipe2(0)?;
    let pid = child::start(|| {
        let dumpable = u64::from(!is_hidden);
        let is_ready = raw::call(nr::prctl, &[PR_SET_DUMPABLE.into(), dumpable, 0, 0, 0]).is_ok();
        let is_told = write(tell, b"r") == Ok(1);
        ulib::time::sleep(core::time::Duration::from_secs(1000));
        i32::from(is_ready && is_told)
    })?;
    check_eq!(read(ready, &mut [0]), Ok(1));
    close(ready)?;
    close(tell)?;
    Ok(pid)
}

/// A process of the same user may be asked for its list of robust locks, unless nobody may look into it.
fn whose_locks_may_be_listed() -> Outcome {
    let roots = prepared(false)?;
    check_eq!((list_of(0), list_of(roots)), (Ok(()), Ok(())));
    files::as_user(|| {
        let (shown, hidden) = (prepared(false)?, prepared(true)?);
        check_eq!(list_of(shown), Ok(()));
        check_eq!((list_of(hidden), list_of(roots)), (Err(Errno::EPERM), Err(Errno::EPERM)));
        child::end(shown)?;
        child::end(hidden)
    })?;
    child::end(roots)
}
