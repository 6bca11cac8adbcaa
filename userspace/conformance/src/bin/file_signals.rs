//! Signals that files send: `O_ASYNC`, `F_SETSIG`, and who may be signalled.
#![no_std]
#![no_main]

extern crate alloc;

use abi::Errno;
use abi::fs::*;
use abi::ioctl::FIOASYNC;
use abi::native::nr;
use abi::resource::{RLIMIT_SIGPENDING, Rlimit};
use abi::signal::*;
use abi::terminal::{ECHO, ICANON, TIOCSTI, Termios};
use abi::time::Timespec;
use conformance::{Failure, Outcome, check, check_eq, child, files, raw, scratch};
use libsyscall::file::*;
use libsyscall::process::{getpid, getppid, prlimit64, setpgid, setsid};
use libsyscall::signal::rt_sigprocmask;
use libsyscall::thread::gettid;

conformance::tests!(&[
    ("a_write_signals_the_reader", a_write_signals_the_reader),
    ("a_read_signals_the_writer", a_read_signals_the_writer),
    ("a_refused_call_signals_too", a_refused_call_signals_too),
    ("an_end_that_goes_signals_the_other", an_end_that_goes_signals_the_other),
    ("who_waits_has_signalled_before", who_waits_has_signalled_before),
    ("a_chosen_signal_says_what_is_new", a_chosen_signal_says_what_is_new),
    ("signals_with_codes_of_their_own", signals_with_codes_of_their_own),
    ("without_room_it_is_a_plain_signal", without_room_it_is_a_plain_signal),
    ("a_thread_a_process_and_a_group", a_thread_a_process_and_a_group),
    ("nobody_gets_none", nobody_gets_none),
    ("others_may_not_be_signalled", others_may_not_be_signalled),
    ("the_flag_follows_the_file", the_flag_follows_the_file),
    ("the_last_close_ends_it", the_last_close_ends_it),
    ("a_terminal_signals_its_input", a_terminal_signals_its_input),
]);

const RT: u32 = SIGRTMIN + 3;

/// Blocks the signals of these tests.
fn block() -> Outcome {
    let set = [SIGIO, SIGBUS, SIGPIPE, RT].iter().fold(0, |set, signal| set | 1 << (signal - 1));
    rt_sigprocmask(SIG_BLOCK, set)?;
    Ok(())
}

/// The next of the blocked signals, if one is pending: number, code, and `si_band` and `si_fd`.
fn next() -> Result<Option<(u32, i32, u64, i32)>, Failure> {
    let set = !0u64;
    let (mut info, timeout) = (SigInfo::default(), Timespec::default());
    let arguments =
        [(&raw const set) as u64, (&raw mut info).addr() as u64, (&raw const timeout).addr() as u64, 8];
    match raw::call(nr::rt_sigtimedwait, &arguments) {
        Ok(_) => Ok(Some((info.signal(), info.si_code, info.si_band(), info.si_fd()))),
        Err(Errno::EAGAIN) => Ok(None),
        Err(errno) => Err(errno.into()),
    }
}

/// Whether a plain SIGIO is pending and nothing else; takes it.
fn plain() -> Result<bool, Failure> {
    let first = next()?;
    let is_plain = first.is_some_and(|(signal, code, ..)| (signal, code) == (SIGIO, SI_KERNEL));
    check!(first.is_none() || is_plain, "{first:?}");
    check_eq!(next()?, None);
    Ok(is_plain)
}

fn asynchronous(fd: i32) -> Outcome {
    fcntl(fd, F_SETFL, (fcntl(fd, F_GETFL, 0)? | u64::from(O_ASYNC)) & !u64::from(O_ACCMODE))?;
    Ok(())
}

fn own(fd: i32, owner: i32) -> Outcome {
    fcntl(fd, F_SETOWN, i64::from(owner) as u64)?;
    Ok(())
}

/// A pipe of which one end signals this process.
fn pipe_signalling(end: usize) -> Result<(i32, i32), Failure> {
    block()?;
    let (reader, writer) = pipe2(O_NONBLOCK)?;
    let fd = [reader, writer][end];
    own(fd, getpid())?;
    asynchronous(fd)?;
    Ok((reader, writer))
}

fn a_write_signals_the_reader() -> Outcome {
    let (reader, writer) = pipe_signalling(0)?;
    check!(!plain()?);
    write(writer, b"x")?;
    check!(plain()?);
    // Also where there was something already.
    write(writer, b"x")?;
    check!(plain()?);
    read(reader, &mut [0; 2])?;
    check!(!plain()?);
    write(writer, b"")?;
    check!(!plain()?);
    fcntl(reader, F_SETFL, O_NONBLOCK.into())?;
    write(writer, b"x")?;
    check!(!plain()?);
    Ok(())
}

fn a_read_signals_the_writer() -> Outcome {
    let (reader, writer) = pipe_signalling(1)?;
    write(writer, b"xyz")?;
    check!(!plain()?);
    read(reader, &mut [0])?;
    check!(plain()?);
    read(reader, &mut [0; 9])?;
    check!(plain()?);
    read(reader, &mut [])?;
    check!(!plain()?);
    Ok(())
}

fn a_refused_call_signals_too() -> Outcome {
    let (reader, writer) = pipe_signalling(1)?;
    check_eq!(read(reader, &mut [0]), Err(Errno::EAGAIN));
    check!(plain()?);
    let (_reader, writer_of_full) = pipe_signalling(0)?;
    fcntl(writer_of_full, F_SETPIPE_SZ, 4096)?;
    check_eq!(write(writer_of_full, &[0; 4096])?, 4096);
    check!(plain()?);
    check_eq!(write(writer_of_full, b"x"), Err(Errno::EAGAIN));
    check!(plain()?);
    check_eq!(write(writer, b"y")?, 1);
    check!(!plain()?);
    Ok(())
}

fn an_end_that_goes_signals_the_other() -> Outcome {
    let (reader, writer) = pipe_signalling(0)?;
    fcntl(reader, F_SETSIG, RT.into())?;
    let other = dup(writer)?;
    close(writer)?;
    check_eq!(next()?, None);
    close(other)?;
    check_eq!(next()?, Some((RT, POLL_IN, 0x41, reader)));
    let (reader, writer) = pipe_signalling(1)?;
    fcntl(writer, F_SETSIG, RT.into())?;
    close(reader)?;
    check_eq!(next()?, Some((RT, POLL_OUT, 0x304, writer)));
    check_eq!(write(writer, b"x"), Err(Errno::EPIPE));
    check_eq!(next()?.map(|(signal, ..)| signal), Some(SIGPIPE));
    check_eq!(next()?, None);
    close(writer)?;
    check_eq!(next()?, None);
    Ok(())
}

/// A writer that must wait has told the reader what it has written: else both would wait.
fn who_waits_has_signalled_before() -> Outcome {
    block()?;
    let (reader, writer) = pipe2(0)?;
    fcntl(reader, F_SETPIPE_SZ, 4096)?;
    own(reader, getpid())?;
    fcntl(reader, F_SETSIG, RT.into())?;
    asynchronous(reader)?;
    let pid = child::start(|| i32::from(write(writer, &[7; 3 * 4096]) != Ok(3 * 4096)))?;
    close(writer)?;
    let (set, mut read_so_far) = (1u64 << (RT - 1), 0);
    while read_so_far < 3 * 4096 {
        raw::call(nr::rt_sigtimedwait, &[(&raw const set) as u64, 0, 0, 8])?;
        fcntl(reader, F_SETFL, u64::from(O_NONBLOCK | O_ASYNC))?;
        while let Ok(count @ 1..) = read(reader, &mut [0; 4096]) {
            read_so_far += count;
        }
        fcntl(reader, F_SETFL, O_ASYNC.into())?;
    }
    check_eq!(child::wait(pid)?.exit_code(), Some(0));
    Ok(())
}

fn a_chosen_signal_says_what_is_new() -> Outcome {
    let (reader, writer) = pipe_signalling(0)?;
    check_eq!(fcntl(reader, F_GETSIG, 0)?, 0);
    for wrong in [65, 1000, u64::MAX, 1 << 32] {
        check_eq!(fcntl(reader, F_SETSIG, wrong), Err(Errno::EINVAL));
    }
    fcntl(reader, F_SETSIG, RT.into())?;
    check_eq!((fcntl(reader, F_GETSIG, 0)?, fcntl(writer, F_GETSIG, 0)?), (u64::from(RT), 0));
    // Real-time signals queue up.
    write(writer, b"x")?;
    write(writer, b"y")?;
    for _ in 0..2 {
        check_eq!(next()?, Some((RT, POLL_IN, 0x41, reader)));
    }
    check_eq!(next()?, None);
    // The descriptor is the one by which signals were asked for.
    let twin = dup(reader)?;
    fcntl(twin, F_SETFL, O_NONBLOCK.into())?;
    asynchronous(twin)?;
    close(twin)?;
    write(writer, b"z")?;
    check_eq!(next()?, Some((RT, POLL_IN, 0x41, twin)));
    own(writer, getpid())?;
    fcntl(writer, F_SETSIG, RT.into())?;
    asynchronous(writer)?;
    read(reader, &mut [0])?;
    check_eq!(next()?, Some((RT, POLL_OUT, 0x304, writer)));
    fcntl(reader, F_SETSIG, SIGIO.into())?;
    write(writer, b"x")?;
    check_eq!(next()?, Some((SIGIO, POLL_IN, 0x41, twin)));
    fcntl(reader, F_SETSIG, 0)?;
    write(writer, b"x")?;
    check!(plain()?);
    Ok(())
}

fn signals_with_codes_of_their_own() -> Outcome {
    let (reader, writer) = pipe_signalling(0)?;
    rt_sigprocmask(SIG_BLOCK, 1 << (SIGCHLD - 1))?;
    for signal in [SIGCHLD, SIGBUS] {
        fcntl(reader, F_SETSIG, signal.into())?;
        write(writer, b"x")?;
        check_eq!(next()?, Some((signal, SI_SIGIO, 0x41, reader)));
    }
    Ok(())
}

fn without_room_it_is_a_plain_signal() -> Outcome {
    let (reader, writer) = pipe_signalling(0)?;
    fcntl(reader, F_SETSIG, RT.into())?;
    let none = Rlimit { rlim_cur: 0, ..prlimit64(0, RLIMIT_SIGPENDING, None)? };
    let before = prlimit64(0, RLIMIT_SIGPENDING, Some(&none))?;
    write(writer, b"x")?;
    let by_a_thread = raw::call(nr::tgkill, &[getpid() as u64, gettid() as u64, RT.into()]);
    prlimit64(0, RLIMIT_SIGPENDING, Some(&before))?;
    check_eq!(by_a_thread, Err(Errno::EAGAIN));
    check!(plain()?);
    Ok(())
}

/// What the child, in a group of its own, finds pending once this process has written; `named` names the owner.
fn found_by_child(named: fn(i32) -> Outcome) -> Result<Option<u8>, Failure> {
    block()?;
    let (reader, writer) = pipe2(0)?;
    let (ready, is_ready) = pipe2(0)?;
    let (done, is_done) = pipe2(0)?;
    let pid = child::start(|| {
        let outcome = setpgid(0, 0)
            .map_err(Failure::from)
            .and_then(|()| named(reader))
            .and_then(|()| asynchronous(reader))
            .and_then(|()| Ok(write(is_ready, b"x")?))
            .and_then(|_| Ok(read(done, &mut [0])?))
            .and_then(|_| plain());
        outcome.map_or(2, i32::from)
    })?;
    read(ready, &mut [0])?;
    write(writer, b"x")?;
    check!(!plain()?);
    write(is_done, b"x")?;
    Ok(child::wait(pid)?.exit_code())
}

fn set_owner(fd: i32, kind: u32, pid: i32) -> Outcome {
    let owner = OwnerEx { kind, pid };
    fcntl(fd, F_SETOWN_EX, (&raw const owner).addr() as u64)?;
    Ok(())
}

fn a_thread_a_process_and_a_group() -> Outcome {
    check_eq!(found_by_child(|fd| set_owner(fd, F_OWNER_TID, gettid()))?, Some(1));
    check_eq!(found_by_child(|fd| set_owner(fd, F_OWNER_PID, getpid()))?, Some(1));
    check_eq!(found_by_child(|fd| own(fd, getpid()))?, Some(1));
    check_eq!(found_by_child(|fd| set_owner(fd, F_OWNER_PGRP, getpid()))?, Some(1));
    check_eq!(found_by_child(|fd| own(fd, -getpid()))?, Some(1));
    Ok(())
}

fn nobody_gets_none() -> Outcome {
    check_eq!(found_by_child(|_| Ok(()))?, Some(0));
    check_eq!(found_by_child(|fd| own(fd, getpid()).and_then(|()| own(fd, 0)))?, Some(0));
    let (reader, writer) = pipe_signalling(0)?;
    let pid = child::start(|| 0)?;
    own(reader, pid)?;
    child::wait(pid)?;
    write(writer, b"x")?;
    check!(!plain()?);
    Ok(())
}

/// The permission goes by who named the owner, whoever writes.
fn others_may_not_be_signalled() -> Outcome {
    block()?;
    let (reader, writer) = pipe2(0)?;
    asynchronous(reader)?;
    let mut users = [7u32; 2];
    let name_parent = || {
        own(reader, getppid())?;
        Ok(())
    };
    check!(child::succeeds(|| {
        raw::call(nr::setresuid, &[1000, 1000, 1000])?;
        name_parent()
    })?);
    check_eq!(fcntl(reader, F_GETOWN, 0)?, getpid() as u64);
    write(writer, b"x")?;
    check!(!plain()?);
    if fcntl(reader, F_GETOWNER_UIDS, (&raw mut users).addr() as u64).is_ok() {
        check_eq!(users, [1000; 2]);
    }
    check!(child::succeeds(|| {
        raw::call(nr::setresuid, &[0, 1000, 0])?;
        name_parent()
    })?);
    write(writer, b"x")?;
    check!(plain()?);
    check!(child::succeeds(|| {
        raw::call(nr::setresuid, &[1000, 0, 1000])?;
        name_parent()
    })?);
    write(writer, b"x")?;
    check!(plain()?);
    Ok(())
}

fn has_flag(fd: i32) -> Result<bool, Failure> {
    Ok(fcntl(fd, F_GETFL, 0)? & u64::from(O_ASYNC) != 0)
}

fn request(fd: i32, value: i32) -> Result<u64, Errno> {
    raw::call(nr::ioctl, &[fd as u64, FIOASYNC.into(), (&raw const value).addr() as u64])
}

fn the_flag_follows_the_file() -> Outcome {
    scratch::enter()?;
    let (reader, writer) = pipe_signalling(0)?;
    check!(has_flag(reader)? && !has_flag(writer)?);
    request(reader, 0)?;
    write(writer, b"x")?;
    check!(!has_flag(reader)? && !plain()?);
    request(reader, 7)?;
    write(writer, b"x")?;
    check!(has_flag(reader)? && plain()?);
    check_eq!(raw::call(nr::ioctl, &[reader as u64, FIOASYNC.into(), 8]), Err(Errno::EFAULT));
    // What sends no signals takes the flag by no door but `open`.
    let stored = files::create(c"stored", b"")?;
    let event = raw::call(nr::eventfd2, &[0, 0])? as i32;
    for fd in [stored, event, open(c"/", 0, 0)?, open(c"/dev/null", 0, 0)?] {
        asynchronous(fd)?;
        check!(!has_flag(fd)?);
        check_eq!((request(fd, 1), request(fd, 0)), (Err(Errno::ENOTTY), Ok(0)));
    }
    let random = open(c"/dev/random", O_RDONLY, 0)?;
    asynchronous(random)?;
    check!(has_flag(random)?);
    // By `open` it is shown, does nothing, and stays.
    mknodat(AT_FDCWD, c"fifo", S_IFIFO | 0o600, 0)?;
    let fifo = open(c"fifo", O_RDWR | O_NONBLOCK | O_ASYNC, 0)?;
    own(fifo, getpid())?;
    check!(has_flag(fifo)?);
    write(fifo, b"x")?;
    check!(!plain()?);
    asynchronous(fifo)?;
    write(fifo, b"x")?;
    check!(!plain()?);
    fcntl(fifo, F_SETFL, 0)?;
    request(fifo, 0)?;
    check!(has_flag(fifo)?);
    let opened = open(c"stored", O_RDONLY | O_ASYNC, 0)?;
    fcntl(opened, F_SETFL, 0)?;
    check!(has_flag(opened)?);
    check_eq!((request(opened, 1), request(opened, 0)), (Ok(0), Err(Errno::ENOTTY)));
    Ok(())
}

fn the_last_close_ends_it() -> Outcome {
    scratch::enter()?;
    block()?;
    mknodat(AT_FDCWD, c"fifo", S_IFIFO | 0o600, 0)?;
    let keeper = open(c"fifo", O_RDWR | O_NONBLOCK, 0)?;
    let reader = open(c"fifo", O_RDONLY | O_NONBLOCK, 0)?;
    own(reader, getpid())?;
    asynchronous(reader)?;
    let twin = dup(reader)?;
    close(reader)?;
    write(keeper, b"x")?;
    check!(plain()?);
    close(twin)?;
    write(keeper, b"x")?;
    check!(!plain()?);
    // Both directions of one file.
    own(keeper, getpid())?;
    asynchronous(keeper)?;
    write(keeper, b"x")?;
    check!(plain()?);
    read(keeper, &mut [0])?;
    check!(plain()?);
    Ok(())
}

fn type_byte(fd: i32, byte: u8) -> Result<u64, Errno> {
    raw::call(nr::ioctl, &[fd as u64, TIOCSTI.into(), (&raw const byte).addr() as u64])
}

fn a_terminal_signals_its_input() -> Outcome {
    block()?;
    rt_sigprocmask(SIG_BLOCK, 1 << (SIGTTOU - 1))?;
    let Ok(fd) = open(c"/dev/console", O_RDWR | O_NOCTTY | O_NONBLOCK, 0) else { return Ok(()) };
    let Ok(modes) = terminal_modes(fd) else { return Ok(()) };
    let bytewise = Termios { c_lflag: modes.c_lflag & !(ICANON | ECHO), ..modes };
    let by_line = Termios { c_lflag: bytewise.c_lflag | ICANON, ..modes };
    set_terminal_modes(fd, When::Now, &bytewise)?;
    let outcome = input_is_signalled(fd, &by_line);
    set_terminal_modes(fd, When::Now, &modes)?;
    outcome
}

fn input_is_signalled(fd: i32, by_line: &Termios) -> Outcome {
    // Without an owner it is the foreground group, or who asks.
    check_eq!(fcntl(fd, F_GETOWN, 0)?, 0);
    asynchronous(fd)?;
    check!(has_flag(fd)? && raw::call_raw(nr::fcntl, &[fd as u64, F_GETOWN.into()]) != 0);
    own(fd, getpid())?;
    type_byte(fd, b'a')?;
    check!(plain()?);
    fcntl(fd, F_SETSIG, RT.into())?;
    type_byte(fd, b'b')?;
    check_eq!(next()?, Some((RT, POLL_IN, 0x41, fd)));
    let mut bytes = [0; 9];
    check_eq!((read(fd, &mut bytes)?, &bytes[..2]), (2, &b"ab"[..]));
    set_terminal_modes(fd, When::Now, by_line)?;
    type_byte(fd, b'c')?;
    check_eq!(next()?, None);
    type_byte(fd, b'\n')?;
    check_eq!(next()?, Some((RT, POLL_IN, 0x41, fd)));
    check_eq!((read(fd, &mut bytes)?, &bytes[..2]), (2, &b"c\n"[..]));
    check!(child::succeeds(|| {
        setsid()?;
        raw::call(nr::setresuid, &[1000, 1000, 1000])?;
        check_eq!(type_byte(fd, b'd'), Err(Errno::EPERM));
        Ok(())
    })?);
    check_eq!(type_byte_at(fd, 8), Err(Errno::EFAULT));
    Ok(())
}

fn type_byte_at(fd: i32, address: u64) -> Result<u64, Errno> {
    raw::call(nr::ioctl, &[fd as u64, TIOCSTI.into(), address])
}
