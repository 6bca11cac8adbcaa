//! The terminal on standard input, where there is one: a guest's console.
#![no_std]
#![no_main]

extern crate alloc;

use abi::Errno;
use abi::fs::{O_NOCTTY, O_NONBLOCK, O_RDWR};
use abi::native::nr;
use abi::process::WUNTRACED;
use abi::signal::{SIG_BLOCK, SIG_SETMASK, SIGKILL, SIGTTIN, SIGTTOU};
use abi::terminal::*;
use conformance::{Failure, Outcome, check, check_eq, child, raw};
use libsyscall::file::*;
use libsyscall::process::{getpgid, kill, setpgid, setsid, wait4};
use libsyscall::signal::rt_sigprocmask;

conformance::tests!(&[
    ("other_files_are_no_terminals", other_files_are_no_terminals),
    ("modes_can_be_set", modes_can_be_set),
    ("the_size_can_be_set", the_size_can_be_set),
    ("unknown_requests_are_refused", unknown_requests_are_refused),
    ("groups_of_the_terminal", groups_of_the_terminal),
    ("the_console_may_be_used_from_the_background", the_console_may_be_used_from_the_background),
]);

/// The console. Tests run in the background, where changing a terminal stops the process that does not block this
/// signal.
fn terminal() -> Option<i32> {
    rt_sigprocmask(SIG_BLOCK, 1 << (SIGTTOU - 1)).ok()?;
    let fd = open(c"/dev/console", O_RDWR | O_NOCTTY, 0).unwrap_or(0);
    terminal_modes(fd).is_ok().then_some(fd)
}

fn other_files_are_no_terminals() -> Outcome {
    let null = open(c"/dev/null", O_RDWR, 0)?;
    let (pipe, _) = pipe2(0)?;
    for fd in [null, pipe] {
        check_eq!(terminal_modes(fd), Err(Errno::ENOTTY));
        check_eq!(window_size(fd), Err(Errno::ENOTTY));
    }
    check_eq!(terminal_modes(99), Err(Errno::EBADF));
    Ok(())
}

fn modes_can_be_set() -> Outcome {
    let Some(fd) = terminal() else { return Ok(()) };
    let modes = terminal_modes(fd)?;
    let raw_modes = Termios { c_lflag: modes.c_lflag & !(ICANON | ECHO), ..modes };
    set_terminal_modes(fd, When::Now, &raw_modes)?;
    let seen = terminal_modes(fd);
    set_terminal_modes(fd, When::Drained, &modes)?;
    check_eq!(seen?.c_lflag, raw_modes.c_lflag);
    check_eq!(terminal_modes(fd)?, modes);
    check_eq!(raw::call(nr::ioctl, &[fd as u64, TCGETS.into(), 8]), Err(Errno::EFAULT));
    check_eq!(raw::call(nr::ioctl, &[fd as u64, TCSETS.into(), u64::MAX]), Err(Errno::EFAULT));
    Ok(())
}

fn the_size_can_be_set() -> Outcome {
    let Some(fd) = terminal() else { return Ok(()) };
    let old = window_size(fd)?;
    let set = |size: Winsize| raw::call(nr::ioctl, &[fd as u64, TIOCSWINSZ.into(), (&raw const size) as u64]);
    let new = Winsize { ws_row: 43, ws_col: 132, ..old };
    set(new)?;
    let seen = window_size(fd);
    set(old)?;
    check_eq!(seen, Ok(new));
    Ok(())
}

fn unknown_requests_are_refused() -> Outcome {
    let Some(fd) = terminal() else { return Ok(()) };
    let result = raw::call(nr::ioctl, &[fd as u64, 0xdead_beef, 0]);
    check!(matches!(result, Err(Errno::ENOTTY | Errno::EINVAL)), "{result:?}");
    Ok(())
}

fn groups_of_the_terminal() -> Outcome {
    let Some(fd) = terminal() else { return Ok(()) };
    match foreground_group(fd) {
        // Not this process's terminal.
        Err(error) => check_eq!(error, Errno::ENOTTY),
        Ok(group) => {
            check!(group >= 0);
            check!(set_foreground_group(fd, -5).is_err());
            check!(set_foreground_group(fd, 0x3fff_fff0).is_err());
            check!(getpgid(0).is_ok());
        }
    }
    Ok(())
}

/// `/dev/console` is exempt from job control's checks of reading and writing, by whatever process of the session; its
/// requests and the same terminal opened as `/dev/tty` are not (Linux, `n_tty.c`: `job_control`).
fn the_console_may_be_used_from_the_background() -> Outcome {
    if terminal().is_none() {
        return Ok(());
    }
    check!(child::succeeds(|| {
        setsid()?;
        let console = open(c"/dev/console", O_RDWR | O_NONBLOCK | O_NOCTTY, 0)?;
        raw::call(nr::ioctl, &[console as u64, TIOCSCTTY.into(), 1])?;
        let modes = terminal_modes(console)?;
        let outcome = from_the_background(console);
        set_terminal_modes(console, When::Now, &modes)?;
        outcome
    })?);
    Ok(())
}

/// What a background group of the running session meets.
fn from_the_background(console: i32) -> Outcome {
    let modes = terminal_modes(console)?;
    let terminal = open(c"/dev/tty", O_RDWR | O_NONBLOCK, 0)?;
    check_eq!(stopped_by(|| read(console, &mut [0]).err())?, Err(Some(Errno::EAGAIN)));
    check_eq!(stopped_by(|| read(terminal, &mut [0]).err())?, Ok(SIGTTIN));
    check_eq!(stopped_by(|| write(terminal, b"\n").err())?, Err(None));
    check_eq!(stopped_by(|| set_terminal_modes(console, When::Now, &modes).err())?, Ok(SIGTTOU));
    set_terminal_modes(console, When::Now, &Termios { c_lflag: modes.c_lflag | TOSTOP, ..modes })?;
    check_eq!(stopped_by(|| write(console, b"\n").err())?, Err(None));
    check_eq!(stopped_by(|| write(terminal, b"\n").err())?, Ok(SIGTTOU));
    Ok(())
}

/// Lets a child in a group of its own make a call: the signal that stops it, or else the call's error.
fn stopped_by(body: impl FnOnce() -> Option<Errno>) -> Result<Result<u32, Option<Errno>>, Failure> {
    let pid = child::start(|| {
        if setpgid(0, 0).and_then(|()| rt_sigprocmask(SIG_SETMASK, 0)).is_err() {
            return 255;
        }
        body().map_or(0, |error| i32::from(error.number()))
    })?;
    let status = loop {
        match wait4(pid, WUNTRACED) {
            Ok(Some((_, status))) => break status,
            Ok(None) | Err(Errno::EINTR) => {}
            Err(error) => return Err(error.into()),
        }
    };
    if let Some(signal) = status.stop_signal() {
        kill(pid, SIGKILL)?;
        child::wait(pid)?;
        return Ok(Ok(signal));
    }
    let code = status.exit_code().ok_or(Failure::new("the child was killed"))?;
    Ok(Err(Errno::from_return(-i64::from(code)).err()))
}
