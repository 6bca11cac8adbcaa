//! Leases (`F_SETLEASE`), and the `lock:` lines of `fdinfo`.
#![no_std]
#![no_main]

extern crate alloc;

use abi::Errno;
use abi::fs::*;
use abi::native::nr;
use abi::poll::{POLLIN, POLLMSG, POLLRDNORM};
use abi::process::WaitStatus;
use abi::signal::*;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use conformance::{Failure, Outcome, check, check_eq, child, files, raw, scratch};
use libsyscall::file::*;
use libsyscall::process::getpid;
use libsyscall::signal::rt_sigprocmask;

conformance::tests!(&[
    ("who_may_have_one", who_may_have_one),
    ("others_who_have_it_open", others_who_have_it_open),
    ("several_leases", several_leases),
    ("an_opening_breaks_it", an_opening_breaks_it),
    ("a_shared_one_stands_readers", a_shared_one_stands_readers),
    ("a_reader_makes_it_shared", a_reader_makes_it_shared),
    ("who_opens_waits", who_opens_waits),
    ("truncation_and_execution_break_it", truncation_and_execution_break_it),
    ("its_time_runs_out", its_time_runs_out),
    ("a_close_ends_it", a_close_ends_it),
    ("the_owner_gets_the_signal", the_owner_gets_the_signal),
    ("settings", settings),
    ("leases_are_listed", leases_are_listed),
    ("descriptors_tell_their_locks", descriptors_tell_their_locks),
]);

const READ: u64 = F_RDLCK as u64;
const WRITE: u64 = F_WRLCK as u64;
const NONE: u64 = F_UNLCK as u64;

fn set(fd: i32, kind: u64) -> Result<u64, Errno> {
    fcntl(fd, F_SETLEASE, kind)
}

fn get(fd: i32) -> Result<u64, Errno> {
    fcntl(fd, F_GETLEASE, 0)
}

/// A scratch folder with a file, open with these flags; SIGIO is blocked.
fn begin(flags: u32) -> Result<i32, Failure> {
    scratch::enter()?;
    rt_sigprocmask(SIG_BLOCK, 1 << (SIGIO - 1) | 1 << (SIGUSR1 - 1))?;
    close(files::create(c"file", b"some bytes")?)?;
    Ok(open(c"file", flags, 0)?)
}

/// The next of our signals that is pending: its number, code, band and descriptor.
fn next_signal() -> Result<Option<(u32, i32, u64, i32)>, Failure> {
    let set: u64 = 1 << (SIGIO - 1) | 1 << (SIGUSR1 - 1);
    let mut info = SigInfo::default();
    let now = [0u64; 2];
    let arguments = [(&raw const set) as u64, (&raw mut info) as u64, now.as_ptr() as u64, 8];
    match raw::call(nr::rt_sigtimedwait, &arguments) {
        Ok(_) => Ok(Some((info.signal(), info.si_code, info.si_band(), info.si_fd()))),
        Err(Errno::EAGAIN) => Ok(None),
        Err(errno) => Err(errno.into()),
    }
}

fn is_told() -> Result<bool, Failure> {
    Ok(next_signal()?.is_some_and(|(signal, ..)| signal == SIGIO))
}

fn try_open(flags: u32) -> Result<(), Errno> {
    open(c"file", flags | O_NONBLOCK, 0).and_then(close)
}

fn who_may_have_one() -> Outcome {
    let fd = begin(O_RDONLY)?;
    check_eq!((get(fd), set(fd, NONE)), (Ok(NONE), Err(Errno::EAGAIN)));
    for kind in [3, 99, u64::MAX, 1 << 32] {
        check_eq!((kind, set(fd, kind)), (kind, Err(Errno::EINVAL)));
    }
    check_eq!((set(fd, READ), get(fd)), (Ok(0), Ok(READ)));
    check_eq!((set(fd, NONE), get(fd), set(fd, NONE)), (Ok(0), Ok(NONE), Err(Errno::EAGAIN)));
    let (reader, _writer) = pipe2(0)?;
    for other in [open(c".", O_RDONLY, 0)?, reader, open(c"/dev/null", O_RDONLY, 0)?] {
        check_eq!(
            (set(other, READ), get(other), set(other, NONE)),
            (Err(Errno::EINVAL), Ok(NONE), Err(Errno::EINVAL))
        );
    }
    let path = open(c"file", O_PATH, 0)?;
    check_eq!(
        (set(path, READ), get(path), set(-1, READ)),
        (Err(Errno::EBADF), Err(Errno::EBADF), Err(Errno::EBADF))
    );
    files::as_user(|| {
        check_eq!(
            (set(fd, READ), set(fd, NONE), set(fd, 9)),
            (Err(Errno::EACCES), Err(Errno::EACCES), Err(Errno::EINVAL))
        );
        check_eq!(get(fd), Ok(NONE));
        let own = files::create(c"own", b"")?;
        check_eq!((set(own, WRITE), get(own)), (Ok(0), Ok(WRITE)));
        Ok(())
    })
}

fn others_who_have_it_open() -> Outcome {
    let reader = begin(O_RDONLY)?;
    check_eq!((set(reader, WRITE), set(reader, READ), set(reader, WRITE)), (Ok(0), Ok(0), Ok(0)));
    check_eq!(set(reader, NONE), Ok(0));
    // A second reader excludes the exclusive one, a writer both; a place excludes none.
    let place = open(c"file", O_PATH, 0)?;
    check_eq!((set(reader, WRITE), set(reader, NONE)), (Ok(0), Ok(0)));
    let second = open(c"file", O_RDONLY, 0)?;
    check_eq!((set(reader, WRITE), set(reader, READ), set(reader, NONE)), (Err(Errno::EAGAIN), Ok(0), Ok(0)));
    close(second)?;
    for flags in [O_WRONLY, O_RDWR] {
        let writer = open(c"file", flags, 0)?;
        check_eq!((set(reader, WRITE), set(reader, READ)), (Err(Errno::EAGAIN), Err(Errno::EAGAIN)));
        check_eq!((set(writer, READ), set(writer, WRITE)), (Err(Errno::EAGAIN), Err(Errno::EAGAIN)));
        close(writer)?;
    }
    close(reader)?;
    let writer = open(c"file", O_RDWR, 0)?;
    check_eq!((set(writer, READ), set(writer, WRITE), get(writer)), (Err(Errno::EAGAIN), Ok(0), Ok(WRITE)));
    // A descriptor of the same opening is no other.
    let copy = fcntl(writer, F_DUPFD, 0)? as i32;
    check_eq!(
        (get(copy), set(copy, WRITE), set(copy, NONE), get(writer)),
        (Ok(WRITE), Ok(0), Ok(0), Ok(NONE))
    );
    close(place)?;
    Ok(())
}

fn several_leases() -> Outcome {
    let first = begin(O_RDONLY)?;
    let second = open(c"file", O_RDONLY, 0)?;
    check_eq!((set(first, READ), set(second, READ)), (Ok(0), Ok(0)));
    check_eq!((set(first, WRITE), get(first), get(second)), (Err(Errno::EAGAIN), Ok(READ), Ok(READ)));
    // While one is to go nobody else gets one.
    check_eq!(set(second, NONE), Ok(0));
    check_eq!((try_open(O_WRONLY), get(first)), (Err(Errno::EAGAIN), Ok(NONE)));
    check_eq!(set(second, READ), Err(Errno::EAGAIN));
    check_eq!((set(first, NONE), set(second, READ), try_open(O_WRONLY)), (Ok(0), Ok(0), Err(Errno::EAGAIN)));
    Ok(())
}

fn an_opening_breaks_it() -> Outcome {
    let fd = begin(O_RDONLY)?;
    check_eq!(set(fd, WRITE), Ok(0));
    check_eq!(next_signal()?, None);
    for flags in [O_RDONLY, O_WRONLY, O_RDWR, O_RDONLY | O_CREAT] {
        check_eq!((flags, try_open(flags)), (flags, Err(Errno::EAGAIN)));
    }
    // It is told once that it is to become shared, and once that it is to go.
    check_eq!((next_signal()?.map(|(signal, ..)| signal), next_signal()?), (Some(SIGIO), None));
    check_eq!((get(fd), try_open(O_RDONLY), next_signal()?), (Ok(NONE), Err(Errno::EAGAIN), None));
    // A place is not opened, and a name may come and go.
    check_eq!(open(c"file", O_PATH, 0).and_then(close), Ok(()));
    check_eq!(
        (files::link(c"file", c"name"), files::unlink(c"file"), files::rename(c"name", c"file", 0)),
        (Ok(()), Ok(()), Ok(()))
    );
    check_eq!(fchmodat(AT_FDCWD, c"file", 0o700), Ok(()));
    check_eq!((set(fd, NONE), try_open(O_RDONLY), next_signal()?), (Ok(0), Ok(()), None));
    Ok(())
}

fn a_shared_one_stands_readers() -> Outcome {
    let fd = begin(O_RDONLY)?;
    check_eq!((set(fd, READ), try_open(O_RDONLY), get(fd), next_signal()?), (Ok(0), Ok(()), Ok(READ), None));
    check_eq!((try_open(O_WRONLY), get(fd), is_told()?), (Err(Errno::EAGAIN), Ok(NONE), true));
    check_eq!((try_open(O_RDONLY), set(fd, READ), get(fd)), (Ok(()), Ok(0), Ok(NONE)));
    check_eq!((set(fd, NONE), try_open(O_RDWR), next_signal()?), (Ok(0), Ok(()), None));
    Ok(())
}

fn a_reader_makes_it_shared() -> Outcome {
    let fd = begin(O_RDONLY)?;
    check_eq!(
        (set(fd, WRITE), try_open(O_RDONLY), get(fd), is_told()?),
        (Ok(0), Err(Errno::EAGAIN), Ok(READ), true)
    );
    check_eq!((set(fd, READ), get(fd), try_open(O_RDONLY)), (Ok(0), Ok(READ), Ok(())));
    check_eq!((try_open(O_WRONLY), get(fd), is_told()?), (Err(Errno::EAGAIN), Ok(NONE), true));
    Ok(())
}

fn who_opens_waits() -> Outcome {
    let fd = begin(O_RDONLY)?;
    for (lease, flags, then) in
        [(WRITE, O_RDONLY, READ), (WRITE, O_RDONLY, NONE), (READ, O_WRONLY, NONE), (WRITE, O_RDWR, NONE)]
    {
        check_eq!(set(fd, lease), Ok(0));
        let opening = child::start(|| i32::from(open(c"file", flags, 0).is_err()))?;
        let set_of_io: u64 = 1 << (SIGIO - 1);
        raw::call(nr::rt_sigtimedwait, &[(&raw const set_of_io) as u64, 0, 0, 8])?;
        // It goes on only when the lease does.
        check_eq!((set(fd, then), child::wait(opening)?), (Ok(0), WaitStatus(0)));
        let _ = set(fd, NONE);
    }
    // A signal ends the wait.
    check_eq!(set(fd, WRITE), Ok(0));
    let opening = child::start(|| i32::from(open(c"file", O_RDONLY, 0).is_err()))?;
    let set_of_io: u64 = 1 << (SIGIO - 1);
    raw::call(nr::rt_sigtimedwait, &[(&raw const set_of_io) as u64, 0, 0, 8])?;
    libsyscall::process::kill(opening, SIGKILL)?;
    check_eq!((child::wait(opening)?, get(fd)), (WaitStatus::signaled(SIGKILL), Ok(READ)));
    Ok(())
}

fn truncation_and_execution_break_it() -> Outcome {
    let fd = begin(O_RDONLY)?;
    let io: u64 = 1 << (SIGIO - 1);
    check_eq!(set(fd, READ), Ok(0));
    let cutting =
        child::start(|| i32::from(raw::call(nr::truncate, &[c"file".as_ptr() as u64, 3]).is_err()))?;
    raw::call(nr::rt_sigtimedwait, &[(&raw const io) as u64, 0, 0, 8])?;
    check_eq!((fstat(fd)?.st_size, set(fd, NONE), child::wait(cutting)?), (10, Ok(0), WaitStatus(0)));
    check_eq!(fstat(fd)?.st_size, 3);
    // `O_TRUNC` cuts after the lease has gone.
    check_eq!(
        (set(fd, READ), try_open(O_WRONLY | O_TRUNC), fstat(fd)?.st_size),
        (Ok(0), Err(Errno::EAGAIN), 3)
    );
    check_eq!((is_told()?, set(fd, NONE)), (true, Ok(0)));
    fchmodat(AT_FDCWD, c"file", 0o755)?;
    check_eq!(set(fd, WRITE), Ok(0));
    let executing = child::start(|| {
        let arguments = [c"file".as_ptr(), core::ptr::null()];
        let result = raw::call(nr::execve, &[c"file".as_ptr() as u64, arguments.as_ptr() as u64, 0]);
        i32::from(result != Err(Errno::ENOEXEC))
    })?;
    raw::call(nr::rt_sigtimedwait, &[(&raw const io) as u64, 0, 0, 8])?;
    check_eq!((set(fd, READ), child::wait(executing)?), (Ok(0), WaitStatus(0)));
    Ok(())
}

fn setting(path: &core::ffi::CStr, value: &str) -> Outcome {
    let fd = open(path, O_WRONLY, 0)?;
    write(fd, value.as_bytes())?;
    Ok(close(fd)?)
}

fn its_time_runs_out() -> Outcome {
    let fd = begin(O_RDONLY)?;
    if libsyscall::process::geteuid() != 0 {
        return Ok(());
    }
    setting(c"/proc/sys/fs/lease-break-time", "1\n")?;
    check_eq!(set(fd, WRITE), Ok(0));
    // By then it is a shared one; a writer takes that away, too.
    let reader = open(c"file", O_RDONLY, 0);
    check_eq!((reader.is_ok(), get(fd)), (true, Ok(READ)));
    let writer = open(c"file", O_WRONLY, 0);
    check_eq!((writer.is_ok(), get(fd), set(fd, NONE)), (true, Ok(NONE), Err(Errno::EAGAIN)));
    setting(c"/proc/sys/fs/lease-break-time", "45\n")
}

fn a_close_ends_it() -> Outcome {
    let fd = begin(O_RDONLY)?;
    check_eq!(set(fd, WRITE), Ok(0));
    let copy = fcntl(fd, F_DUPFD, 0)? as i32;
    close(fd)?;
    check_eq!((get(copy), try_open(O_RDONLY)), (Ok(WRITE), Err(Errno::EAGAIN)));
    close(copy)?;
    check_eq!(try_open(O_RDWR), Ok(()));
    // A process that ends closes, too.
    let holder = child::run(|| {
        let fd = open(c"file", O_RDONLY, 0);
        i32::from(fd.and_then(|fd| set(fd, WRITE)).is_err())
    })?;
    check_eq!((holder, try_open(O_RDWR)), (WaitStatus(0), Ok(())));
    Ok(())
}

fn the_owner_gets_the_signal() -> Outcome {
    let fd = begin(O_RDONLY)?;
    check_eq!((set(fd, WRITE), fcntl(fd, F_GETOWN, 0)), (Ok(0), Ok(getpid() as u64)));
    fcntl(fd, F_SETSIG, SIGUSR1.into())?;
    check_eq!(try_open(O_RDONLY), Err(Errno::EAGAIN));
    let band = u64::from(POLLIN | POLLRDNORM | POLLMSG);
    check_eq!(next_signal()?, Some((SIGUSR1, POLL_MSG, band, fd)));
    // With the lease the owner goes, and its signal.
    check_eq!((set(fd, NONE), fcntl(fd, F_GETOWN, 0), fcntl(fd, F_GETSIG, 0)), (Ok(0), Ok(0), Ok(0)));
    // Another owner stays.
    let other = child::start(|| i32::from(raw::call(nr::ppoll, &[0, 0, 0, 0, 0]).is_err()))?;
    fcntl(fd, F_SETOWN, other as u64)?;
    check_eq!((set(fd, WRITE), fcntl(fd, F_GETOWN, 0)), (Ok(0), Ok(other as u64)));
    rt_sigprocmask(SIG_UNBLOCK, 0)?;
    check_eq!((try_open(O_RDONLY), next_signal()?), (Err(Errno::EAGAIN), None));
    libsyscall::process::kill(other, SIGKILL)?;
    child::wait(other)?;
    Ok(())
}

fn settings() -> Outcome {
    let fd = begin(O_RDONLY)?;
    for (path, value) in [(c"/proc/sys/fs/leases-enable", "1\n"), (c"/proc/sys/fs/lease-break-time", "45\n")]
    {
        check_eq!(files::content(path)?, value.as_bytes());
        check_eq!(files::mode_of(path)? & 0o777, 0o644);
    }
    if libsyscall::process::geteuid() != 0 {
        return Ok(());
    }
    check_eq!(set(fd, READ), Ok(0));
    setting(c"/proc/sys/fs/leases-enable", "0\n")?;
    // Who has one may change it, and nobody gets a new one.
    let second = open(c"file", O_RDONLY, 0)?;
    check_eq!(
        (set(second, READ), set(fd, READ), set(fd, NONE), set(fd, READ)),
        (Err(Errno::EINVAL), Ok(0), Ok(0), Err(Errno::EINVAL))
    );
    setting(c"/proc/sys/fs/leases-enable", "1\n")?;
    check_eq!(set(fd, READ), Ok(0));
    Ok(())
}

/// Lines of a text that say something of leases or locks, without their numbers.
fn lines(path: &core::ffi::CStr, start: &str) -> Result<Vec<String>, Failure> {
    let text = String::from_utf8_lossy(&files::content(path)?).into_owned();
    let found = text.lines().filter_map(|line| line.split_once(start));
    Ok(found.filter_map(|(_, rest)| rest.split_once(": ")).map(|(_, line)| String::from(line)).collect())
}

/// What `/proc/locks` and `fdinfo` say of where a file is.
fn place(fd: i32) -> Result<String, Failure> {
    let stat = fstat(fd)?;
    Ok(format!("{:02x}:{:02x}:{}", device_major(stat.st_dev), device_minor(stat.st_dev), stat.st_ino))
}

fn leases_are_listed() -> Outcome {
    let fd = begin(O_RDONLY)?;
    let (place, pid) = (place(fd)?, getpid());
    let info = ulib::c_string(format!("/proc/self/fdinfo/{fd}"))?;
    let listed = |line: &String| line.starts_with("LEASE") || line.starts_with("-> LEASE");
    let all = || -> Result<Vec<String>, Failure> {
        let text = String::from_utf8_lossy(&files::content(c"/proc/locks")?).into_owned();
        Ok(text
            .lines()
            .filter_map(|line| Some(String::from(line.split_once(": ")?.1)))
            .filter(listed)
            .collect())
    };
    check_eq!((all()?, lines(&info, "lock:\t")?), (Vec::new(), Vec::new()));
    for (kind, name) in [(WRITE, "WRITE"), (READ, "READ")] {
        check_eq!(set(fd, kind), Ok(0));
        let line = format!("LEASE  ACTIVE    {name} {pid} {place} 0 EOF");
        check_eq!((all()?, lines(&info, "lock:\t")?), (alloc::vec![line.clone()], alloc::vec![line]));
    }
    check_eq!(set(fd, WRITE), Ok(0));
    check_eq!(try_open(O_RDONLY), Err(Errno::EAGAIN));
    check_eq!(all()?, [format!("LEASE  BREAKING  READ {pid} {place} 0 EOF")]);
    let opening = child::start(|| i32::from(open(c"file", O_RDWR, 0).is_err()))?;
    let breaking = format!("LEASE  BREAKING  UNLCK {pid} {place} 0 EOF");
    let breaker = format!("-> LEASE  BREAKER   WRITE {opening} <none>:0 0 EOF");
    while all()?.len() < 2 {}
    check_eq!(all()?, [breaking.clone(), breaker]);
    check_eq!(lines(&info, "lock:\t")?, [breaking]);
    check_eq!((set(fd, NONE), child::wait(opening)?, all()?), (Ok(0), WaitStatus(0), Vec::new()));
    Ok(())
}

fn descriptors_tell_their_locks() -> Outcome {
    let fd = begin(O_RDWR)?;
    let other = open(c"file", O_RDWR, 0)?;
    let (place, pid) = (place(fd)?, getpid());
    let info = |fd: i32| -> Result<Vec<String>, Failure> {
        lines(&ulib::c_string(format!("/proc/self/fdinfo/{fd}"))?, "lock:\t")
    };
    let lock = |fd: i32, command: u32, kind: i16, start: i64, length: i64| -> Outcome {
        let lock = Flock { l_type: kind, l_whence: 0, l_start: start, l_len: length, ..Flock::default() };
        fcntl(fd, command, (&raw const lock).addr() as u64)?;
        Ok(())
    };
    raw::call(nr::flock, &[fd as u64, LOCK_SH.into()])?;
    lock(fd, F_SETLK, F_WRLCK, 10, 5)?;
    lock(fd, F_SETLK, F_RDLCK, 30, 0)?;
    lock(other, F_SETLK, F_WRLCK, 20, 5)?;
    lock(other, F_OFD_SETLK, F_RDLCK, 0, 2)?;
    let expected = [
        format!("FLOCK  ADVISORY  READ {pid} {place} 0 EOF"),
        format!("POSIX  ADVISORY  WRITE {pid} {place} 10 14"),
        format!("POSIX  ADVISORY  READ {pid} {place} 30 EOF"),
    ];
    check_eq!(info(fd)?, expected);
    let mut others = info(other)?;
    others.sort();
    let of_file = format!("OFDLCK ADVISORY  READ -1 {place} 0 1");
    check_eq!(others, [of_file.clone(), format!("POSIX  ADVISORY  WRITE {pid} {place} 20 24")]);
    // A lock that joins others is theirs.
    lock(other, F_SETLK, F_WRLCK, 15, 5)?;
    check_eq!(
        (info(fd)?.len(), info(fd)?[1].clone()),
        (3, format!("POSIX  ADVISORY  WRITE {pid} {place} 10 24"))
    );
    check_eq!(info(other)?, core::slice::from_ref(&of_file));
    lock(other, F_SETLK, F_WRLCK, 5, 40)?;
    check_eq!(info(other)?, [of_file]);
    check_eq!(
        (info(fd)?.len(), info(fd)?[1].clone()),
        (3, format!("POSIX  ADVISORY  WRITE {pid} {place} 5 44"))
    );
    // Another process has the open files, and not the locks of this one.
    let inherited = child::succeeds(|| {
        check_eq!(info(fd)?, [format!("FLOCK  ADVISORY  READ {pid} {place} 0 EOF")]);
        Ok(())
    })?;
    check!(inherited);
    Ok(())
}
