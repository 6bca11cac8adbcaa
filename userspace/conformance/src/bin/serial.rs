//! The machine's serial line: its node, as a controlling terminal, and what `/proc` and `/sys` say of it.
#![no_std]
#![no_main]

extern crate alloc;

use abi::Errno;
use abi::fs::*;
use abi::native::nr;
use abi::native::terminal::SERIAL;
use abi::poll::{POLLERR, POLLHUP, POLLIN, Pollfd};
use abi::signal::{SIG_BLOCK, SIGCONT, SIGHUP};
use abi::terminal::*;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use conformance::{Failure, Outcome, check, check_eq, child, files, raw};
use libsyscall::file::*;
use libsyscall::process::{getpid, setsid};
use libsyscall::signal::rt_sigprocmask;

conformance::tests!(&[
    ("the_line_has_a_node", the_line_has_a_node),
    ("the_console_is_the_line", the_console_is_the_line),
    ("who_opens_it_may_come_to_be_controlled", who_opens_it_may_come_to_be_controlled),
    ("opening_the_console_controls_nobody", opening_the_console_controls_nobody),
    ("without_a_controlling_terminal_there_is_none", without_a_controlling_terminal_there_is_none),
    ("the_end_of_a_session_hangs_its_terminal_up", the_end_of_a_session_hangs_its_terminal_up),
    ("vhangup_takes_a_terminal_away", vhangup_takes_a_terminal_away),
    ("a_terminal_is_hung_up_on_request", a_terminal_is_hung_up_on_request),
    ("who_loses_a_terminal_takes_none_away", who_loses_a_terminal_takes_none_away),
    ("requests_for_other_terminals_are_refused", requests_for_other_terminals_are_refused),
    ("proc_lists_it", proc_lists_it),
    ("sys_lists_it", sys_lists_it),
]);

const SERIAL_MAJOR: u32 = SERIAL.major;
const SERIAL_MINOR: u32 = SERIAL.minor;
const SERIAL_NAME: &str = SERIAL.name;
const SERIAL_NAMES: &str = SERIAL.names;
const SERIAL_NUMBER: &str = SERIAL.number;
const SERIAL_DRIVER: &str = SERIAL.driver;

fn device() -> u64 {
    make_device(SERIAL_MAJOR, SERIAL_MINOR)
}

fn open_line(flags: u32) -> Result<i32, Failure> {
    Ok(open(&ulib::c_string(format!("/dev/{SERIAL_NAME}"))?, O_RDWR | flags, 0)?)
}

fn text(path: &str) -> Result<String, Failure> {
    let bytes = files::content(&ulib::c_string(path)?)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// The terminal's number in the process's own `stat`.
fn controlling() -> Result<u64, Failure> {
    let stat = text("/proc/self/stat")?;
    let field = stat.rsplit(") ").next().and_then(|rest| rest.split(' ').nth(4));
    field.and_then(|field| field.parse().ok()).ok_or_else(|| Failure::new(stat))
}

fn the_line_has_a_node() -> Outcome {
    let stat = newfstatat(AT_FDCWD, &ulib::c_string(format!("/dev/{SERIAL_NAME}"))?, 0)?;
    check_eq!(stat.st_mode & (S_IFMT | 0o7), S_IFCHR);
    check_eq!(stat.st_rdev, device());
    let fd = open_line(O_NOCTTY)?;
    check!(terminal_modes(fd).is_ok());
    check_eq!(lseek(fd, 0, SEEK_CUR), Err(Errno::ESPIPE));
    Ok(())
}

fn the_console_is_the_line() -> Outcome {
    let (line, console) = (open_line(O_NOCTTY)?, open(c"/dev/console", O_RDWR, 0)?);
    let old = window_size(line)?;
    let set =
        |size: Winsize| raw::call(nr::ioctl, &[line as u64, TIOCSWINSZ.into(), (&raw const size) as u64]);
    let new = Winsize { ws_row: 41, ws_col: 131, ..old };
    set(new)?;
    let seen = window_size(console);
    set(old)?;
    check_eq!(seen, Ok(new));
    let mut number = 0u32;
    raw::call(nr::ioctl, &[console as u64, TIOCGDEV.into(), (&raw mut number) as u64])?;
    check_eq!(u64::from(number), device());
    Ok(())
}

/// In a session of its own, with the line free: whoever had it has lost it. To give it up sends a SIGHUP.
fn in_new_session(body: impl FnOnce() -> Outcome) -> Outcome {
    let passed = child::succeeds(|| {
        rt_sigprocmask(SIG_BLOCK, 1 << (SIGHUP - 1))?;
        setsid()?;
        let fd = open_line(O_NOCTTY)?;
        raw::call(nr::ioctl, &[fd as u64, TIOCSCTTY.into(), 1])?;
        raw::call(nr::ioctl, &[fd as u64, TIOCNOTTY.into()])?;
        check_eq!(controlling()?, 0);
        body()
    })?;
    check!(passed);
    Ok(())
}

fn who_opens_it_may_come_to_be_controlled() -> Outcome {
    in_new_session(|| {
        open_line(O_NOCTTY)?;
        check_eq!(controlling()?, 0);
        open(&ulib::c_string(format!("/dev/{SERIAL_NAME}"))?, O_WRONLY, 0)?;
        check_eq!(controlling()?, 0);
        let fd = open_line(0)?;
        check_eq!(controlling()?, device());
        check_eq!(foreground_group(fd)?, getpid());
        let own = open(c"/dev/tty", O_RDWR, 0)?;
        check_eq!(foreground_group(own)?, getpid());
        check_eq!(fstat(own)?.st_rdev, make_device(5, 0));
        // Another session's leader cannot have it.
        let other = child::succeeds(|| {
            setsid()?;
            let fd = open_line(0)?;
            check_eq!(controlling()?, 0);
            check_eq!(foreground_group(fd), Err(Errno::ENOTTY));
            check_eq!(raw::call(nr::ioctl, &[fd as u64, TIOCSCTTY.into(), 0]), Err(Errno::EPERM));
            Ok(())
        })?;
        check!(other);
        Ok(())
    })
}

fn opening_the_console_controls_nobody() -> Outcome {
    in_new_session(|| {
        let console = open(c"/dev/console", O_RDWR, 0)?;
        check_eq!(controlling()?, 0);
        raw::call(nr::ioctl, &[console as u64, TIOCSCTTY.into(), 0])?;
        check_eq!(controlling()?, device());
        Ok(())
    })
}

fn without_a_controlling_terminal_there_is_none() -> Outcome {
    in_new_session(|| {
        check_eq!(open(c"/dev/tty", O_RDWR, 0), Err(Errno::ENXIO));
        Ok(())
    })
}

/// What a terminal that was hung up answers to whoever had it open.
fn check_hung_up(fd: i32) -> Outcome {
    let (mut group, mut watched) = (getpid(), Pollfd { fd, events: POLLIN, revents: 0 });
    let group = (&raw mut group) as u64;
    check_eq!(read(fd, &mut [0]), Ok(0));
    check_eq!(write(fd, b"x"), Err(Errno::EIO));
    check_eq!(window_size(fd), Err(Errno::EIO));
    check_eq!(raw::call(nr::ioctl, &[fd as u64, TIOCSPGRP.into(), group]), Err(Errno::ENOTTY));
    let now = [0u64; 2];
    raw::call(nr::ppoll, &[(&raw mut watched) as u64, 1, now.as_ptr() as u64, 0, 8])?;
    check_eq!(watched.revents, POLLIN | POLLERR | POLLHUP);
    check_eq!(fstat(fd)?.st_rdev, device());
    Ok(())
}

fn pending() -> Result<u64, Errno> {
    let mut set = 0u64;
    raw::call(nr::rt_sigpending, &[(&raw mut set) as u64, 8])?;
    Ok(set)
}

fn the_end_of_a_session_hangs_its_terminal_up() -> Outcome {
    in_new_session(|| {
        let both = 1 << (SIGHUP - 1) | 1 << (SIGCONT - 1);
        rt_sigprocmask(SIG_BLOCK, both)?;
        let (own, console) = (open_line(O_NOCTTY)?, open(c"/dev/console", O_RDWR, 0)?);
        // It waits to read, or comes when it is over.
        let reader = child::start(|| i32::from(read(own, &mut [0]) != Ok(0)))?;
        let (told, teller) = pipe2(0)?;
        let (answers, answer) = pipe2(0)?;
        let leader = child::start(|| {
            let member = |fd: i32| -> Outcome {
                close(teller)?;
                read(told, &mut [0])?;
                check_eq!(pending()?, 1 << (SIGHUP - 1));
                check_hung_up(fd)?;
                check_eq!(open(c"/dev/tty", O_RDWR, 0), Err(Errno::ENXIO));
                check_eq!(controlling()?, 0);
                write(answer, b"y")?;
                Ok(())
            };
            let lead = || -> Outcome {
                setsid()?;
                let fd = open_line(0)?;
                check_eq!(controlling()?, device());
                child::start(|| i32::from(member(fd).is_err()))?;
                Ok(())
            };
            i32::from(lead().is_err())
        })?;
        check_eq!(child::wait(leader)?.exit_code(), Some(0));
        check_eq!(child::wait(reader)?.exit_code(), Some(0));
        check_hung_up(own)?;
        // Whoever has it as the console keeps it, and who opens it again has it anew.
        check!(window_size(console).is_ok() && write(console, b"").is_ok());
        check!(window_size(open_line(O_NOCTTY)?).is_ok());
        close(teller)?;
        close(answer)?;
        check_eq!(read(answers, &mut [0]), Ok(1));
        Ok(())
    })
}

/// Hangs up by `hang_up` the terminal that controls this process, and looks at what it and another member of its
/// session get.
fn check_taken_away(hang_up: impl Fn(i32) -> Result<u64, Errno>) -> Outcome {
    in_new_session(|| {
        let both = 1 << (SIGHUP - 1) | 1 << (SIGCONT - 1);
        rt_sigprocmask(SIG_BLOCK, both)?;
        let console = open(c"/dev/console", O_RDWR, 0)?;
        let fd = open_line(0)?;
        check_eq!(controlling()?, device());
        let (told, teller) = pipe2(0)?;
        let member = child::start(|| {
            let looks = || -> Outcome {
                check_eq!(read(told, &mut [0]), Ok(1));
                check_eq!((pending()?, controlling()?), (0, 0));
                check_hung_up(fd)
            };
            i32::from(looks().is_err())
        })?;
        check_eq!(hang_up(fd), Ok(0));
        write(teller, b"x")?;
        check_eq!(child::wait(member)?.exit_code(), Some(0));
        check_eq!((pending()? & both, controlling()?), (both, 0));
        check_hung_up(fd)?;
        check_eq!(open(c"/dev/tty", O_RDWR, 0), Err(Errno::ENXIO));
        check!(window_size(console).is_ok());
        // It may be had anew.
        let fd = open_line(0)?;
        check_eq!((controlling()?, window_size(fd).is_ok()), (device(), true));
        Ok(())
    })
}

fn vhangup_takes_a_terminal_away() -> Outcome {
    check_taken_away(|_| raw::call(nr::vhangup, &[]))?;
    // Without a terminal there is nothing to do.
    in_new_session(|| {
        check_eq!(raw::call(nr::vhangup, &[]), Ok(0));
        Ok(())
    })?;
    files::as_user(|| {
        check_eq!(raw::call(nr::vhangup, &[]), Err(Errno::EPERM));
        Ok(())
    })
}

fn a_terminal_is_hung_up_on_request() -> Outcome {
    let request = |fd: i32| raw::call(nr::ioctl, &[fd as u64, TIOCVHANGUP.into(), 0]);
    check_taken_away(request)?;
    let fd = open_line(O_NOCTTY)?;
    files::as_user(|| {
        check_eq!(request(fd), Err(Errno::EPERM));
        Ok(())
    })?;
    check_eq!(request(fd), Ok(0));
    check_eq!(request(fd), Err(Errno::EIO));
    Ok(())
}

fn who_loses_a_terminal_takes_none_away() -> Outcome {
    in_new_session(|| {
        let (told, teller) = pipe2(0)?;
        let (readiness, ready) = pipe2(0)?;
        let loser = child::start(|| {
            let lose = || -> Outcome {
                close(teller)?;
                setsid()?;
                open_line(0)?;
                write(ready, b"y")?;
                read(told, &mut [0])?;
                check_eq!(controlling()?, 0);
                Ok(())
            };
            i32::from(lose().is_err())
        })?;
        check_eq!(read(readiness, &mut [0]), Ok(1));
        let fd = open_line(O_NOCTTY)?;
        raw::call(nr::ioctl, &[fd as u64, TIOCSCTTY.into(), 1])?;
        check_eq!(controlling()?, device());
        close(teller)?;
        check_eq!(child::wait(loser)?.exit_code(), Some(0));
        check_eq!(controlling()?, device());
        check_eq!(foreground_group(fd)?, getpid());
        Ok(())
    })
}

fn requests_for_other_terminals_are_refused() -> Outcome {
    let console = open(c"/dev/console", O_RDWR, 0)? as u64;
    let mut word = 0u32;
    let place = (&raw mut word) as u64;
    for request in [TIOCGPTN, TIOCSPTLCK, TIOCGPTLCK, TIOCGPKT, TIOCPKT] {
        check_eq!(raw::call(nr::ioctl, &[console, request.into(), place]), Err(Errno::ENOTTY));
    }
    check_eq!(raw::call(nr::ioctl, &[console, TIOCGPTPEER.into(), 0]), Err(Errno::EIO));
    check_eq!(raw::call(nr::ioctl, &[console, TIOCGETD.into(), place]), Ok(0));
    check_eq!(word, 0);
    check_eq!(raw::call(nr::ioctl, &[console, TIOCSETD.into(), place]), Ok(0));
    let unknown = 12345u32;
    let place = (&raw const unknown) as u64;
    check_eq!(raw::call(nr::ioctl, &[console, TIOCSETD.into(), place]), Err(Errno::EINVAL));
    Ok(())
}

/// The words of the line that starts with `start`.
fn line(path: &str, start: &str) -> Result<Vec<String>, Failure> {
    let all = text(path)?;
    let found = all.lines().find(|line| line.trim_start().starts_with(start));
    let words = |line: &str| line.split_ascii_whitespace().map(String::from).collect();
    found.map(words).ok_or_else(|| Failure::new(format!("{path}: {all}")))
}

fn proc_lists_it() -> Outcome {
    let consoles = line("/proc/consoles", SERIAL_NAME)?;
    check_eq!(consoles.last().map(String::as_str), Some(SERIAL_NUMBER));
    let driver = line("/proc/tty/drivers", SERIAL_DRIVER)?;
    check_eq!(driver[1], format!("/dev/{SERIAL_NAMES}"));
    check_eq!(driver[2], format!("{SERIAL_MAJOR}"));
    check!(driver[3].starts_with(&format!("{SERIAL_MINOR}")), "{driver:?}");
    check_eq!(driver[4], "serial");
    check_eq!(line("/proc/tty/drivers", "/dev/console")?[1..], ["/dev/console", "5", "1", "system:console"]);
    check_eq!(line("/proc/tty/ldiscs", "n_tty")?, ["n_tty", "0"]);
    check!(text("/proc/devices")?.contains(&format!("{SERIAL_MAJOR:3} {SERIAL_NAMES}\n")));
    Ok(())
}

fn sys_lists_it() -> Outcome {
    check_eq!(text("/sys/class/tty/console/active")?.trim_end(), SERIAL_NAME);
    for path in [format!("/sys/class/tty/{SERIAL_NAME}"), format!("/sys/dev/char/{SERIAL_NUMBER}")] {
        check_eq!(text(&format!("{path}/dev"))?.trim_end(), SERIAL_NUMBER);
        let event = format!("MAJOR={SERIAL_MAJOR}\nMINOR={SERIAL_MINOR}\nDEVNAME={SERIAL_NAME}\n");
        check_eq!(text(&format!("{path}/uevent"))?, event);
        check_eq!(text(&format!("{path}/subsystem/tty/dev"))?, "5:0\n");
    }
    Ok(())
}
