//! Locks on files: records of processes and of open files, whole files, and circles of processes that wait for each
//! other.
#![no_std]
#![no_main]

extern crate alloc;

use abi::Errno;
use abi::fs::*;
use abi::native::nr;
use conformance::files::create;
use conformance::{Failure, Outcome, check, check_eq, child, raw, scratch};
use libsyscall::file::*;
use libsyscall::process::getpid;

conformance::tests!(&[
    ("records_are_cut_and_joined", records_are_cut_and_joined),
    ("who_stands_in_the_way", who_stands_in_the_way),
    ("many_records", many_records),
    ("a_circle_of_two_is_refused", || circle(2)),
    ("a_circle_of_five_is_refused", || circle(5)),
    ("waiting_for_one_that_waits_is_no_circle", waiting_for_one_that_waits_is_no_circle),
    ("a_waiter_gets_what_is_given_up", a_waiter_gets_what_is_given_up),
    ("whole_files", whole_files),
]);

const READ: i16 = F_RDLCK;
const WRITE: i16 = F_WRLCK;
const UNLOCK: i16 = F_UNLCK;

fn request(kind: i16, start: i64, length: i64) -> Flock {
    Flock { l_type: kind, l_whence: SEEK_SET as i16, l_start: start, l_len: length, ..Flock::default() }
}

fn command(fd: i32, command: u32, lock: &mut Flock) -> Result<(), Errno> {
    fcntl(fd, command, (&raw mut *lock).addr() as u64).map(drop)
}

fn set(fd: i32, kind: i16, start: i64, length: i64) -> Result<(), Errno> {
    command(fd, F_SETLK, &mut request(kind, start, length))
}

fn wait(fd: i32, kind: i16, start: i64, length: i64) -> Result<(), Errno> {
    command(fd, F_SETLKW, &mut request(kind, start, length))
}

/// What stands in the way of a lock, as type, start and length.
fn obstacle(fd: i32, kind: i16, start: i64, length: i64) -> Result<(i16, i64, i64), Errno> {
    let mut lock = request(kind, start, length);
    command(fd, F_GETLK, &mut lock)?;
    Ok(if lock.l_type == UNLOCK { (UNLOCK, 0, 0) } else { (lock.l_type, lock.l_start, lock.l_len) })
}

/// Asks from another process.
fn elsewhere(body: impl FnOnce() -> Outcome) -> Outcome {
    check!(child::succeeds(body)?);
    Ok(())
}

fn records_are_cut_and_joined() -> Outcome {
    scratch::enter()?;
    let fd = create(c"f", b"")?;
    set(fd, WRITE, 0, 100)?;
    set(fd, UNLOCK, 40, 20)?;
    set(fd, READ, 10, 5)?;
    elsewhere(|| {
        check_eq!(obstacle(fd, WRITE, 0, 0), Ok((WRITE, 0, 10)));
        check_eq!(
            (obstacle(fd, WRITE, 12, 1), obstacle(fd, READ, 12, 1)),
            (Ok((READ, 10, 5)), Ok((UNLOCK, 0, 0)))
        );
        check_eq!(
            (obstacle(fd, WRITE, 40, 20), obstacle(fd, READ, 59, 2)),
            (Ok((UNLOCK, 0, 0)), Ok((WRITE, 60, 40)))
        );
        check_eq!((set(fd, READ, 10, 5), set(fd, READ, 9, 2)), (Ok(()), Err(Errno::EAGAIN)));
        Ok(())
    })?;
    for start in [200, 220, 210] {
        set(fd, READ, start, 10)?;
    }
    set(fd, READ, 300, 0)?;
    elsewhere(|| {
        check_eq!(obstacle(fd, WRITE, 150, 100), Ok((READ, 200, 30)));
        check_eq!(obstacle(fd, WRITE, 1 << 40, 1), Ok((READ, 300, 0)));
        Ok(())
    })?;
    // A negative length lies before the start; any close gives everything up.
    check_eq!((set(fd, READ, 5, -6), set(fd, READ, -1, 1)), (Err(Errno::EINVAL), Err(Errno::EINVAL)));
    close(dup(fd)?)?;
    elsewhere(|| {
        check_eq!(obstacle(fd, WRITE, 0, 0), Ok((UNLOCK, 0, 0)));
        Ok(())
    })
}

fn who_stands_in_the_way() -> Outcome {
    scratch::enter()?;
    let fd = create(c"f", b"")?;
    set(fd, WRITE, 5, 5)?;
    let own = getpid();
    elsewhere(|| {
        let mut lock = request(READ, 0, 0);
        command(fd, F_GETLK, &mut lock)?;
        check_eq!((lock.l_pid, lock.l_whence), (own, SEEK_SET as i16));
        Ok(())
    })?;
    check_eq!(obstacle(fd, WRITE, 0, 0), Ok((UNLOCK, 0, 0)));
    let other = open(c"f", O_RDWR, 0)?;
    let mut lock = request(WRITE, 0, 6);
    command(other, F_OFD_GETLK, &mut lock)?;
    check_eq!((lock.l_type, lock.l_start, lock.l_pid), (WRITE, 5, own));
    check_eq!(command(other, F_OFD_SETLK, &mut request(WRITE, 0, 6)), Err(Errno::EAGAIN));
    command(other, F_OFD_SETLK, &mut request(WRITE, 0, 5))?;
    let mut lock = request(WRITE, 0, 1);
    command(fd, F_GETLK, &mut lock)?;
    check_eq!((lock.l_type, lock.l_pid), (WRITE, -1));
    lock.l_type = 9;
    check_eq!(command(fd, F_GETLK, &mut lock), Err(Errno::EINVAL));
    let reader = open(c"f", O_RDONLY, 0)?;
    check_eq!(set(reader, WRITE, 50, 1), Err(Errno::EBADF));
    Ok(())
}

fn many_records() -> Outcome {
    const COUNT: i64 = 3000;
    scratch::enter()?;
    let fd = create(c"f", b"")?;
    for number in 0..COUNT {
        set(fd, if number % 3 == 0 { READ } else { WRITE }, number * 2, 1)?;
    }
    elsewhere(|| {
        for number in (0..COUNT).step_by(11) {
            check_eq!(
                obstacle(fd, WRITE, number * 2 - number.signum(), 2).map(|found| found.1),
                Ok(number * 2)
            );
            check_eq!(obstacle(fd, WRITE, number * 2 + 1, 1), Ok((UNLOCK, 0, 0)));
        }
        Ok(())
    })?;
    set(fd, WRITE, 0, 0)?;
    elsewhere(|| {
        check_eq!(obstacle(fd, READ, 77, 1), Ok((WRITE, 0, 0)));
        Ok(())
    })
}

/// Whether a process sleeps, by its `/proc/PID/stat`.
fn is_asleep(pid: i32) -> bool {
    let text =
        ulib::c_string(alloc::format!("/proc/{pid}/stat")).map(|path| conformance::files::content(&path));
    matches!(text, Ok(Ok(text)) if text.windows(3).any(|part| part == b") S"))
}

/// Process `n` holds byte `n` and waits for the next one; the last closes the circle and is refused, and then all get
/// theirs.
fn circle(count: i64) -> Outcome {
    scratch::enter()?;
    let fd = create(c"f", b"")?;
    let (ready, ready_to) = pipe2(0)?;
    let (go, go_to) = pipe2(0)?;
    set(fd, WRITE, 0, 1)?;
    let mut children = alloc::vec::Vec::new();
    for number in 1..count {
        children.push(child::start(|| {
            let body = || -> Result<(), Errno> {
                set(fd, WRITE, number, 1)?;
                write(ready_to, b"x")?;
                read(go, &mut [0; 1])?;
                // Said before it waits: it may still sleep where it waited for `go`.
                write(ready_to, b"y")?;
                wait(fd, WRITE, (number + 1) % count, 1)?;
                set(fd, UNLOCK, 0, 0)
            };
            i32::from(body().is_err())
        })?);
    }
    for _ in 1..count {
        read(ready, &mut [0; 1])?;
    }
    for _ in 1..count {
        write(go_to, b"x")?;
    }
    for _ in 1..count {
        read(ready, &mut [0; 1])?;
    }
    // Whether they wait by now shows in that the circle is refused; before that somebody's byte is merely taken.
    while !children.iter().all(|&pid| is_asleep(pid)) {
        libsyscall::thread::sched_yield();
    }
    check_eq!(wait(fd, WRITE, 1, 1), Err(Errno::EDEADLK));
    check_eq!(set(fd, WRITE, 1, 1), Err(Errno::EAGAIN));
    set(fd, UNLOCK, 0, 1)?;
    for pid in children {
        check_eq!(child::wait(pid)?.exit_code(), Some(0));
    }
    Ok(())
}

fn waiting_for_one_that_waits_is_no_circle() -> Outcome {
    scratch::enter()?;
    let fd = create(c"f", b"")?;
    set(fd, WRITE, 0, 1)?;
    let (ready, ready_to) = pipe2(0)?;
    let waits = |number: i64| {
        child::start(move || {
            let body = || -> Result<(), Errno> {
                set(fd, WRITE, number, 1)?;
                write(ready_to, b"x")?;
                wait(fd, WRITE, number - 1, 1)?;
                set(fd, UNLOCK, 0, 0)
            };
            i32::from(body().is_err())
        })
    };
    let mut children = alloc::vec::Vec::new();
    for number in 1..6 {
        children.push(waits(number)?);
        read(ready, &mut [0; 1])?;
    }
    set(fd, UNLOCK, 0, 1)?;
    for pid in children {
        check_eq!(child::wait(pid)?.exit_code(), Some(0));
    }
    Ok(())
}

fn a_waiter_gets_what_is_given_up() -> Outcome {
    scratch::enter()?;
    let fd = create(c"f", b"")?;
    for downgrade in [UNLOCK, READ] {
        set(fd, WRITE, 0, 100)?;
        let pid = child::start(|| i32::from(wait(fd, READ, 50, 10).is_err()))?;
        set(fd, UNLOCK, 0, 10)?;
        set(fd, downgrade, 40, 60)?;
        check_eq!(child::wait(pid)?.exit_code(), Some(0));
    }
    // By the end of the holder, and of open files.
    let (ready, ready_to) = pipe2(0)?;
    let holder = child::start(|| {
        let held = set(fd, WRITE, 200, 1).and_then(|()| write(ready_to, b"x"));
        i32::from(held.is_err())
    })?;
    read(ready, &mut [0; 1])?;
    wait(fd, WRITE, 200, 1)?;
    child::wait(holder)?;
    let other = open(c"f", O_RDWR, 0)?;
    command(other, F_OFD_SETLK, &mut request(WRITE, 300, 1))?;
    let pid = child::start(|| {
        let _ = close(other);
        i32::from(wait(fd, WRITE, 300, 1).is_err())
    })?;
    close(other)?;
    check_eq!(child::wait(pid)?.exit_code(), Some(0));
    Ok(())
}

fn flock(fd: i32, operation: u32) -> Result<(), Errno> {
    raw::call(nr::flock, &[fd as u64, u64::from(operation)]).map(drop)
}

fn whole_files() -> Result<(), Failure> {
    scratch::enter()?;
    let first = create(c"f", b"")?;
    let (second, third) = (open(c"f", O_RDONLY, 0)?, open(c"f", O_RDONLY, 0)?);
    flock(first, LOCK_EX)?;
    check_eq!(flock(second, LOCK_SH | LOCK_NB), Err(Errno::EAGAIN));
    flock(first, LOCK_SH)?;
    check_eq!((flock(second, LOCK_SH), flock(third, LOCK_SH)), (Ok(()), Ok(())));
    check_eq!(flock(first, LOCK_EX | LOCK_NB), Err(Errno::EAGAIN));
    close(second)?;
    flock(third, LOCK_UN)?;
    flock(first, LOCK_EX)?;
    check_eq!((flock(third, 0), flock(third, LOCK_SH | LOCK_EX)), (Err(Errno::EINVAL), Err(Errno::EINVAL)));
    let pid = child::start(|| {
        let _ = close(first);
        i32::from(flock(third, LOCK_EX).is_err())
    })?;
    close(first)?;
    check_eq!(child::wait(pid)?.exit_code(), Some(0));
    Ok(())
}
