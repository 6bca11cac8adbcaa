//! Many files watched at once, by epoll and by poll and select.

use super::MANY;
use crate::Operation;
use crate::measure::repeat;
use abi::Errno;
use abi::native::nr;
use abi::poll::{EFD_NONBLOCK, EPOLL_CTL_ADD, EPOLL_CTL_DEL, EPOLL_CTL_MOD, EpollEvent, POLLIN, Pollfd};
use abi::resource::{RLIMIT_NOFILE, Rlimit};
use alloc::vec::Vec;
use libsyscall::file::{close, ppoll, write};
use libsyscall::process::prlimit64;

pub const OPERATIONS: &[(&str, Operation)] = &[
    ("epoll_ctl ADD + DEL beside 10,000", add_remove),
    ("epoll_ctl MOD beside 10,000", modify),
    ("epoll_ctl DEL of one of 10,000 ready, ADD", remove_ready),
    ("epoll_wait, 1 ready of 10,000", wait_for_one),
    ("epoll_wait, 10,000 ready", wait_for_all),
    ("eventfd, epoll_ctl ADD, close beside 10,000", close_watched),
    ("epoll_wait after 4,000 closed files", wait_after_closing),
    ("write to an eventfd that 1,000 instances watch", write_to_many),
    ("poll of 1,000 eventfds", poll),
    ("pselect6 of 1,000 eventfds", select),
];

const FEW: usize = 1000;
const IN: u32 = POLLIN as u32;

/// Calls with integers only, or with addresses of what the caller holds.
fn call(number: u64, arguments: [u64; 6]) -> Result<i32, Errno> {
    let [a, b, c, d, e, f] = arguments;
    // SAFETY: the addresses among the arguments are those of live values of the size that the call expects.
    let result = unsafe { libsyscall::syscall(number, a, b, c, d, e, f) };
    Errno::from_return(result).map(|value| value as i32)
}

fn instance() -> Result<i32, Errno> {
    call(nr::epoll_create1, [0; 6])
}

fn counter(count: u32) -> Result<i32, Errno> {
    call(nr::eventfd2, [count.into(), EFD_NONBLOCK.into(), 0, 0, 0, 0])
}

fn control(instance: i32, operation: u32, fd: i32) -> Result<(), Errno> {
    let event = EpollEvent::new(IN, 0);
    call(nr::epoll_ctl, [instance as u64, operation.into(), fd as u64, (&raw const event) as u64, 0, 0])
        .map(drop)
}

fn wait(instance: i32, events: &mut [EpollEvent]) -> Result<i32, Errno> {
    let (at, count) = (events.as_mut_ptr() as u64, events.len() as u64);
    call(nr::epoll_pwait, [instance as u64, at, count, 0, 0, 0])
}

/// Runs `operation` on so many counters, each with `count`.
fn with_counters(
    number: usize,
    count: u32,
    operation: impl FnOnce(&[i32]) -> Result<u64, Errno>,
) -> Result<u64, Errno> {
    let room = number as u64 + 1100;
    prlimit64(0, RLIMIT_NOFILE, Some(&Rlimit { rlim_cur: room, rlim_max: room.max(1 << 20) }))?;
    let counters = (0..number).map(|_| counter(count)).collect::<Result<Vec<_>, _>>()?;
    let result = operation(&counters);
    counters.into_iter().try_for_each(close)?;
    result
}

/// Runs `operation` on an instance that watches [`MANY`] counters.
fn with_watched(count: u32, operation: impl FnOnce(i32, &[i32]) -> Result<u64, Errno>) -> Result<u64, Errno> {
    with_counters(MANY, count, |counters| {
        let epoll = instance()?;
        counters.iter().try_for_each(|&fd| control(epoll, EPOLL_CTL_ADD, fd))?;
        let result = operation(epoll, counters);
        close(epoll)?;
        result
    })
}

fn add_remove() -> Result<u64, Errno> {
    with_watched(0, |epoll, _| {
        let fd = counter(0)?;
        let result = repeat(300, || {
            control(epoll, EPOLL_CTL_ADD, fd)?;
            control(epoll, EPOLL_CTL_DEL, fd)
        });
        close(fd)?;
        result
    })
}

fn modify() -> Result<u64, Errno> {
    with_watched(0, |epoll, counters| {
        let mut number = 0;
        repeat(300, || {
            number = (number + 37) % MANY;
            control(epoll, EPOLL_CTL_MOD, counters[number])
        })
    })
}

fn remove_ready() -> Result<u64, Errno> {
    with_watched(1, |epoll, counters| {
        let mut number = 0;
        repeat(100, || {
            number = (number + 37) % MANY;
            control(epoll, EPOLL_CTL_DEL, counters[number])?;
            control(epoll, EPOLL_CTL_ADD, counters[number])
        })
    })
}

fn wait_for_one() -> Result<u64, Errno> {
    with_watched(0, |epoll, counters| {
        write(counters[MANY / 2], &1_u64.to_ne_bytes())?;
        let mut events = [EpollEvent::new(0, 0); 16];
        repeat(300, || wait(epoll, &mut events).map(drop))
    })
}

fn wait_for_all() -> Result<u64, Errno> {
    with_watched(1, |epoll, _| {
        let mut events = alloc::vec![EpollEvent::new(0, 0); MANY];
        repeat(3, || wait(epoll, &mut events).map(drop))
    })
}

fn close_watched() -> Result<u64, Errno> {
    with_watched(0, |epoll, _| {
        repeat(300, || {
            let fd = counter(1)?;
            control(epoll, EPOLL_CTL_ADD, fd)?;
            close(fd)
        })
    })
}

fn wait_after_closing() -> Result<u64, Errno> {
    const CLOSED: usize = 4000;
    let epoll = instance()?;
    let mut events = [EpollEvent::new(0, 0); 16];
    let result = repeat(1, || {
        for _ in 0..CLOSED {
            let fd = counter(1)?;
            control(epoll, EPOLL_CTL_ADD, fd)?;
            close(fd)?;
        }
        wait(epoll, &mut events).map(drop)
    });
    close(epoll)?;
    result
}

fn write_to_many() -> Result<u64, Errno> {
    with_counters(1, 0, |counters| {
        let instances = (0..FEW).map(|_| instance()).collect::<Result<Vec<_>, _>>()?;
        instances.iter().try_for_each(|&epoll| control(epoll, EPOLL_CTL_ADD, counters[0]))?;
        let result = repeat(10, || write(counters[0], &1_u64.to_ne_bytes()).map(drop));
        instances.into_iter().try_for_each(close)?;
        result
    })
}

fn poll() -> Result<u64, Errno> {
    with_counters(FEW, 0, |counters| {
        let mut fds: Vec<_> = counters.iter().map(|&fd| Pollfd { fd, events: POLLIN, revents: 0 }).collect();
        repeat(10, || ppoll(&mut fds, Some(abi::time::Timespec { tv_sec: 0, tv_nsec: 0 })).map(drop))
    })
}

fn select() -> Result<u64, Errno> {
    with_counters(FEW, 0, |counters| {
        let time = abi::time::Timespec { tv_sec: 0, tv_nsec: 0 };
        let most = counters.iter().max().map_or(0, |&fd| fd as usize + 1);
        repeat(10, || {
            let mut set = [0_u64; 32];
            for &fd in counters {
                set[fd as usize / 64] |= 1 << (fd % 64);
            }
            let arguments = [most as u64, (&raw mut set) as u64, 0, 0, (&raw const time) as u64, 0];
            call(nr::pselect6, arguments).map(drop)
        })
    })
}
