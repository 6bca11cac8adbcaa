//! epoll: what is watched, who is told, and how instances watch each other.
#![no_std]
#![no_main]

extern crate alloc;

mod edges;
mod nesting;
mod sharing;

use abi::Errno;
use abi::fs::*;
use abi::native::nr;
use abi::poll::*;
use abi::time::{NANOSECONDS_PER_SECOND, Timespec};
use alloc::vec::Vec;
use conformance::{Outcome, check, check_eq, raw, scratch};
use libsyscall::file::*;

conformance::tests!(&[
    ("news_come_in_their_order", news_come_in_their_order),
    ("a_file_is_watched_once_under_each_descriptor", a_file_is_watched_once_under_each_descriptor),
    ("a_closed_file_is_watched_no_more", a_closed_file_is_watched_no_more),
    ("a_duplicate_keeps_the_file_watched", a_duplicate_keeps_the_file_watched),
    ("many_files_come_and_go", many_files_come_and_go),
    ("what_cannot_be_watched", what_cannot_be_watched),
    ("arguments_are_checked", arguments_are_checked),
    ("a_bad_address_loses_nothing", a_bad_address_loses_nothing),
    ("waiting_with_a_time", waiting_with_a_time),
    ("nameless_files_cannot_be_opened_again", nameless_files_cannot_be_opened_again),
    ("a_one_shot_item_fires_once", edges::a_one_shot_item_fires_once),
    ("a_part_is_no_edge", edges::a_part_is_no_edge),
    ("each_write_is_an_edge", edges::each_write_is_an_edge),
    ("edges_of_instances", edges::edges_of_instances),
    ("a_change_looks_again", edges::a_change_looks_again),
    ("hang_ups_are_told_unasked", edges::hang_ups_are_told_unasked),
    ("chains_have_an_end", nesting::chains_have_an_end),
    ("circles_are_refused", nesting::circles_are_refused),
    ("ways_are_counted", nesting::ways_are_counted),
    ("news_go_up_a_chain", nesting::news_go_up_a_chain),
    ("a_chain_ends_from_either_end", nesting::a_chain_ends_from_either_end),
    ("exclusive_flags", sharing::exclusive_flags),
    ("an_exclusive_item_wakes_one", sharing::an_exclusive_item_wakes_one),
    ("without_waiters_all_exclusive_items_hear", sharing::without_waiters_all_exclusive_items_hear),
    ("an_edge_wakes_one_of_many", sharing::an_edge_wakes_one_of_many),
    ("a_level_wakes_all", sharing::a_level_wakes_all),
]);

fn instance() -> Result<i32, Errno> {
    raw::call(nr::epoll_create1, &[0]).map(|fd| fd as i32)
}

fn counter(count: u32) -> Result<i32, Errno> {
    raw::call(nr::eventfd2, &[count.into(), EFD_NONBLOCK.into()]).map(|fd| fd as i32)
}

fn control(instance: i32, operation: u32, fd: i32, events: u32) -> Result<(), Errno> {
    let event = EpollEvent::new(events, fd as u64);
    let arguments = [instance as u64, operation.into(), fd as u64, (&raw const event) as u64];
    raw::call(nr::epoll_ctl, &arguments).map(drop)
}

fn add(instance: i32, fd: i32, events: u32) -> Result<(), Errno> {
    control(instance, EPOLL_CTL_ADD, fd, events)
}

/// The events of up to `limit` files; waits so many milliseconds for them.
fn wait(instance: i32, limit: usize, timeout: i32) -> Result<Vec<(u32, i32)>, Errno> {
    let mut events = alloc::vec![EpollEvent::new(0, 0); limit];
    let arguments = [instance as u64, events.as_mut_ptr() as u64, limit as u64, i64::from(timeout) as u64];
    let count = raw::call(nr::epoll_pwait, &arguments)? as usize;
    Ok(events.iter().take(count).map(|event| (event.events, event.data as i32)).collect())
}

/// Whose events are there now.
fn ready(instance: i32) -> Result<Vec<i32>, Errno> {
    Ok(wait(instance, 16, 0)?.into_iter().map(|(_, fd)| fd).collect())
}

fn raise(counter: i32) -> Result<(), Errno> {
    write(counter, &1_u64.to_ne_bytes()).map(drop)
}

fn lower(counter: i32) -> Result<(), Errno> {
    read(counter, &mut [0; 8]).map(drop)
}

const IN: u32 = POLLIN as u32;
const OUT: u32 = POLLOUT as u32;

fn news_come_in_their_order() -> Outcome {
    let epoll = instance()?;
    let [a, b, c] = [counter(0)?, counter(0)?, counter(0)?];
    for fd in [a, b, c] {
        add(epoll, fd, IN)?;
    }
    check_eq!(ready(epoll)?, []);
    for fd in [c, a, b] {
        raise(fd)?;
    }
    // One at a time, each in turn: what is still ready goes to the end.
    for fd in [c, a, b, c, a] {
        check_eq!(wait(epoll, 1, 0)?, [(IN, fd)]);
    }
    check_eq!(ready(epoll)?, [b, c, a]);
    lower(c)?;
    check_eq!(ready(epoll)?, [b, a]);
    control(epoll, EPOLL_CTL_DEL, b, 0)?;
    check_eq!(ready(epoll)?, [a]);
    Ok(())
}

fn a_file_is_watched_once_under_each_descriptor() -> Outcome {
    let (epoll, fd) = (instance()?, counter(1)?);
    check_eq!((add(epoll, fd, IN), add(epoll, fd, IN)), (Ok(()), Err(Errno::EEXIST)));
    let other = dup(fd)?;
    check_eq!(control(epoll, EPOLL_CTL_MOD, other, IN), Err(Errno::ENOENT));
    check_eq!(control(epoll, EPOLL_CTL_DEL, other, 0), Err(Errno::ENOENT));
    check_eq!(add(epoll, other, IN), Ok(()));
    check_eq!(ready(epoll)?, [fd, other]);
    check_eq!(control(epoll, EPOLL_CTL_DEL, fd, 0), Ok(()));
    check_eq!(ready(epoll)?, [other]);
    Ok(())
}

fn a_closed_file_is_watched_no_more() -> Outcome {
    let (epoll, fd) = (instance()?, counter(1)?);
    add(epoll, fd, IN)?;
    close(fd)?;
    check_eq!(ready(epoll)?, []);
    // The number means another file now.
    let again = counter(1)?;
    check_eq!(again, fd);
    check_eq!(control(epoll, EPOLL_CTL_MOD, again, IN), Err(Errno::ENOENT));
    check_eq!(add(epoll, again, IN), Ok(()));
    check_eq!(ready(epoll)?, [again]);
    Ok(())
}

fn a_duplicate_keeps_the_file_watched() -> Outcome {
    let (epoll, fd) = (instance()?, counter(1)?);
    add(epoll, fd, IN)?;
    let other = dup(fd)?;
    close(fd)?;
    check_eq!(ready(epoll)?, [fd]);
    // Another file of the same number is another item.
    let again = counter(1)?;
    check_eq!((again, add(epoll, again, IN)), (fd, Ok(())));
    check_eq!(ready(epoll)?, [fd, fd]);
    close(other)?;
    check_eq!(ready(epoll)?, [fd]);
    Ok(())
}

/// Each turn is over before the next: neither news nor files pile up.
fn many_files_come_and_go() -> Outcome {
    let epoll = instance()?;
    let stays = counter(1)?;
    add(epoll, stays, IN)?;
    for _ in 0..3000 {
        let fd = counter(1)?;
        add(epoll, fd, IN)?;
        close(fd)?;
    }
    check_eq!(ready(epoll)?, [stays]);
    // An instance goes before what it watches.
    for _ in 0..300 {
        let other = instance()?;
        add(other, stays, IN)?;
        close(other)?;
    }
    raise(stays)?;
    check_eq!(ready(epoll)?, [stays]);
    Ok(())
}

fn what_cannot_be_watched() -> Outcome {
    scratch::enter()?;
    let epoll = instance()?;
    let file = open(c"file", O_RDWR | O_CREAT, 0o600)?;
    check_eq!(add(epoll, file, IN), Err(Errno::EPERM));
    for path in [
        c".",
        c"/dev/null",
        c"/dev/zero",
        c"/dev/full",
        c"/proc/self/maps",
        c"/proc/self/status",
        c"/proc/self",
    ] {
        let fd = open(path, O_RDONLY, 0)?;
        check_eq!((path, add(epoll, fd, IN)), (path, Err(Errno::EPERM)));
    }
    for path in [c"/dev/random", c"/proc/uptime", c"/proc/sys/kernel/ostype", c"/proc/mounts", c"/dev/kmsg"] {
        let fd = open(path, O_RDONLY, 0)?;
        check_eq!((path, add(epoll, fd, IN)), (path, Ok(())));
        check_eq!((path, control(epoll, EPOLL_CTL_DEL, fd, 0)), (path, Ok(())));
    }
    let urandom = open(c"/dev/urandom", O_RDONLY, 0)?;
    check_eq!(add(epoll, urandom, IN), Err(Errno::EPERM));
    let path_only = open(c"file", O_PATH, 0)?;
    check_eq!(add(epoll, path_only, IN), Err(Errno::EBADF));
    Ok(())
}

fn arguments_are_checked() -> Outcome {
    let (epoll, fd) = (instance()?, counter(1)?);
    check_eq!(add(epoll, epoll, IN), Err(Errno::EINVAL));
    check_eq!(add(fd, epoll, IN), Err(Errno::EINVAL));
    check_eq!((add(99, fd, IN), add(epoll, 99, IN)), (Err(Errno::EBADF), Err(Errno::EBADF)));
    check_eq!(control(epoll, 4, fd, IN), Err(Errno::EINVAL));
    check_eq!(control(epoll, 0, fd, IN), Err(Errno::EINVAL));
    let without_event =
        |operation: u32| raw::call(nr::epoll_ctl, &[epoll as u64, operation.into(), fd as u64, 0]);
    check_eq!(without_event(EPOLL_CTL_ADD), Err(Errno::EFAULT));
    check_eq!(without_event(EPOLL_CTL_DEL), Err(Errno::ENOENT));
    let mut events = [EpollEvent::new(0, 0); 2];
    let at = events.as_mut_ptr() as u64;
    let wait = |fd: i32, at: u64, limit: i64| raw::call(nr::epoll_pwait, &[fd as u64, at, limit as u64, 0]);
    check_eq!((wait(epoll, at, 0), wait(epoll, at, -1)), (Err(Errno::EINVAL), Err(Errno::EINVAL)));
    check_eq!(wait(epoll, at, i64::from(i32::MAX)), Err(Errno::EINVAL));
    check_eq!((wait(99, at, 1), wait(fd, at, 1)), (Err(Errno::EBADF), Err(Errno::EINVAL)));
    check_eq!(wait(epoll, u64::MAX - 4, 1), Err(Errno::EFAULT));
    // Nothing to tell, nothing to write.
    check_eq!(wait(epoll, 8, 1), Ok(0));
    check_eq!(raw::call(nr::epoll_create1, &[1]), Err(Errno::EINVAL));
    Ok(())
}

fn a_bad_address_loses_nothing() -> Outcome {
    let (epoll, once, edge) = (instance()?, counter(1)?, counter(1)?);
    add(epoll, once, IN | EPOLLONESHOT)?;
    add(epoll, edge, IN | EPOLLET)?;
    check_eq!(raw::call(nr::epoll_pwait, &[epoll as u64, 16, 4, 0]), Err(Errno::EFAULT));
    check_eq!(ready(epoll)?, [once, edge]);
    check_eq!(ready(epoll)?, []);
    Ok(())
}

fn waiting_with_a_time() -> Outcome {
    let epoll = instance()?;
    let mut event = EpollEvent::new(0, 0);
    let wait = |time: &Timespec| {
        let [at, time] = [(&raw const event) as u64, (&raw const *time) as u64];
        raw::call(nr::epoll_pwait2, &[epoll as u64, at, 1, time, 0, 8])
    };
    let start = ulib::time::monotonic();
    check_eq!(wait(&Timespec { tv_sec: 0, tv_nsec: 3_000_000 }), Ok(0));
    check!(ulib::time::monotonic() - start >= core::time::Duration::from_millis(3));
    check_eq!(wait(&Timespec { tv_sec: 0, tv_nsec: NANOSECONDS_PER_SECOND }), Err(Errno::EINVAL));
    check_eq!(wait(&Timespec { tv_sec: -1, tv_nsec: 0 }), Err(Errno::EINVAL));
    check_eq!(raw::call(nr::epoll_pwait2, &[epoll as u64, 0, 1, 8, 0, 8]), Err(Errno::EFAULT));
    let fd = counter(1)?;
    add(epoll, fd, IN)?;
    check_eq!(raw::call(nr::epoll_pwait2, &[epoll as u64, (&raw mut event) as u64, 1, 0, 0, 8]), Ok(1));
    Ok(())
}

fn nameless_files_cannot_be_opened_again() -> Outcome {
    for fd in [instance()?, counter(0)?] {
        let path = alloc::ffi::CString::new(alloc::format!("/proc/self/fd/{fd}")).unwrap_or_default();
        check_eq!(open(&path, O_RDONLY, 0), Err(Errno::ENXIO));
    }
    Ok(())
}
