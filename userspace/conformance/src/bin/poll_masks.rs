//! Signals and waiting for files: whom a temporary mask lets in, and what a wait that is interrupted goes on with.
#![no_std]
#![no_main]

extern crate alloc;

use abi::Errno;
use abi::fs::*;
use abi::native::nr;
use abi::poll::*;
use abi::signal::{SIG_BLOCK, SIG_UNBLOCK, SIGUSR1};
use abi::time::Timespec;
use conformance::handler::{count, record_signal};
use conformance::{Outcome, check_eq, raw};
use libsyscall::file::*;
use libsyscall::process::{getpid, kill};

conformance::tests!(&[
    ("a_pending_signal_ends_a_wait_of_no_time", a_pending_signal_ends_a_wait_of_no_time),
    ("an_answer_keeps_the_signal_out", an_answer_keeps_the_signal_out),
    ("only_the_answer_is_written", only_the_answer_is_written),
    ("a_place_is_in_every_set", a_place_is_in_every_set),
]);

static MASK: u64 = 1 << (SIGUSR1 - 1);
static NOW: Timespec = Timespec { tv_sec: 0, tv_nsec: 0 };

fn mask(how: u32) -> Result<u64, Errno> {
    raw::call(nr::rt_sigprocmask, &[how.into(), (&raw const MASK) as u64, 0, 8])
}

/// Runs `body` while a signal is blocked and pending; how often its handler had run at the end of that, and how often
/// after.
fn with_pending(body: impl FnOnce() -> Outcome) -> Result<(u32, u32), conformance::Failure> {
    record_signal(SIGUSR1, 0)?;
    mask(SIG_BLOCK)?;
    let before = count();
    kill(getpid(), SIGUSR1)?;
    body()?;
    let during = count() - before;
    mask(SIG_UNBLOCK)?;
    Ok((during, count() - before))
}

/// `ppoll` of one file for no time, with an empty mask.
fn poll(entry: &mut Pollfd) -> Result<u64, Errno> {
    let empty = 0_u64;
    let (at, time) = ((&raw mut *entry) as u64, (&raw const NOW) as u64);
    raw::call(nr::ppoll, &[at, 1, time, (&raw const empty) as u64, 8])
}

/// `epoll_pwait` of one file for no time, with an empty mask.
fn wait(file: i32) -> Result<u64, Errno> {
    let epoll = raw::call(nr::epoll_create1, &[0])?;
    let (mut event, empty) = (EpollEvent::new(POLLIN.into(), 0), 0_u64);
    let at = (&raw mut event) as u64;
    raw::call(nr::epoll_ctl, &[epoll, EPOLL_CTL_ADD.into(), file as u64, at])?;
    let outcome = raw::call(nr::epoll_pwait, &[epoll, at, 1, 0, (&raw const empty) as u64, 8]);
    close(epoll as i32)?;
    outcome
}

fn select(fd: i32, sets: &mut [u64; 3], with_mask: bool) -> Result<u64, Errno> {
    let empty = 0_u64;
    let sigmask = if with_mask { (&raw const empty) as u64 } else { 0 };
    let mask = PselectSigmask { sigmask, sigset_size: 8 };
    let [reading, writing, exceptional] = sets.each_mut().map(|set| (&raw mut *set) as u64);
    let rest = [(&raw const NOW) as u64, (&raw const mask) as u64];
    raw::call(nr::pselect6, &[fd as u64 + 1, reading, writing, exceptional, rest[0], rest[1]])
}

fn a_pending_signal_ends_a_wait_of_no_time() -> Outcome {
    let (reader, _writer) = pipe2(0)?;
    let mut entry = Pollfd { fd: reader, events: POLLIN, revents: 0 };
    let hits = with_pending(|| {
        check_eq!(poll(&mut entry), Err(Errno::EINTR));
        Ok(())
    })?;
    check_eq!(hits, (1, 1));
    let hits = with_pending(|| {
        check_eq!(select(reader, &mut [1 << reader, 0, 0], true), Err(Errno::EINTR));
        Ok(())
    })?;
    check_eq!(hits, (1, 1));
    // epoll looks at the time first.
    let hits = with_pending(|| {
        check_eq!(wait(reader), Ok(0));
        Ok(())
    })?;
    check_eq!(hits, (0, 1));
    Ok(())
}

fn an_answer_keeps_the_signal_out() -> Outcome {
    let (reader, writer) = pipe2(0)?;
    write(writer, b"x")?;
    let mut entry = Pollfd { fd: reader, events: POLLIN, revents: 0 };
    let hits = with_pending(|| {
        check_eq!(poll(&mut entry), Ok(1));
        check_eq!(select(reader, &mut [1 << reader, 0, 0], true), Ok(1));
        check_eq!(wait(reader), Ok(1));
        Ok(())
    })?;
    check_eq!(hits, (0, 1));
    Ok(())
}

/// What else stands in an entry is the program's, and other threads may change it.
fn only_the_answer_is_written() -> Outcome {
    let (reader, writer) = pipe2(0)?;
    write(writer, b"x")?;
    let mut entries: [Pollfd; 40] = core::array::from_fn(|index| Pollfd {
        fd: if index % 3 == 0 { -1 } else { reader },
        events: if index % 2 == 0 { POLLIN } else { POLLOUT },
        revents: 0x7777,
    });
    check_eq!(ppoll(&mut entries, Some(NOW)), Ok(13));
    for (index, entry) in entries.iter().enumerate() {
        let ready = if index % 3 != 0 && index % 2 == 0 { POLLIN } else { 0 };
        check_eq!((index, entry.revents), (index, ready));
    }
    Ok(())
}

fn a_place_is_in_every_set() -> Outcome {
    let place = openat(AT_FDCWD, c"/proc", O_PATH, 0)?;
    let mut sets = [1 << place; 3];
    check_eq!(select(place, &mut sets, false), Ok(3));
    check_eq!(sets, [1 << place; 3]);
    close(place)?;
    check_eq!(select(place, &mut sets, false), Err(Errno::EBADF));
    Ok(())
}
