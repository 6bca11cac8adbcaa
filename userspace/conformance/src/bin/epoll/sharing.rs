//! Several who wait for the same news: which of them are woken.
use super::*;
use conformance::child;
use libsyscall::thread::sched_yield;

pub fn exclusive_flags() -> Outcome {
    let (epoll, fd, inner) = (instance()?, counter(1)?, instance()?);
    for wrong in [EPOLLONESHOT, u32::from(POLLPRI), u32::from(POLLRDHUP), u32::from(POLLRDNORM)] {
        check_eq!(add(epoll, fd, IN | EPOLLEXCLUSIVE | wrong), Err(Errno::EINVAL));
    }
    check_eq!(add(epoll, inner, IN | EPOLLEXCLUSIVE), Err(Errno::EINVAL));
    check_eq!(control(epoll, EPOLL_CTL_MOD, fd, IN | EPOLLEXCLUSIVE), Err(Errno::EINVAL));
    let all = IN | OUT | u32::from(POLLERR | POLLHUP) | EPOLLET | EPOLLWAKEUP | EPOLLEXCLUSIVE;
    check_eq!(add(epoll, fd, all), Ok(()));
    check_eq!(control(epoll, EPOLL_CTL_MOD, fd, IN), Err(Errno::EINVAL));
    check_eq!(control(epoll, EPOLL_CTL_MOD, fd, IN | EPOLLEXCLUSIVE), Err(Errno::EINVAL));
    check_eq!(control(epoll, EPOLL_CTL_DEL, fd, 0), Ok(()));
    // Linux takes unknown bits, and shows none of them.
    check_eq!(add(epoll, fd, IN | 1 << 20), Ok(()));
    check_eq!(wait(epoll, 1, 0)?, [(IN, fd)]);
    Ok(())
}

/// Whether a process sleeps in a call.
fn is_asleep(pid: i32) -> Result<bool, conformance::Failure> {
    let path = alloc::ffi::CString::new(alloc::format!("/proc/{pid}/stat")).unwrap_or_default();
    let text = conformance::files::content(&path)?;
    let after_name = text.iter().rposition(|&byte| byte == b')').unwrap_or_default();
    Ok(text.get(after_name + 2) == Some(&b'S'))
}

/// Starts processes that each wait once and report by a byte; returns them asleep.
fn start_waiters<const N: usize>(
    report: i32,
    wait_once: impl Fn() -> Result<usize, Errno>,
) -> Result<[i32; N], conformance::Failure> {
    let mut waiters = [0; N];
    for waiter in &mut waiters {
        *waiter = child::start(|| match wait_once() {
            Ok(1) => i32::from(write(report, b"x") != Ok(1)),
            _ => 1,
        })?;
    }
    for &waiter in &waiters {
        while !is_asleep(waiter)? {
            sched_yield();
        }
    }
    Ok(waiters)
}

/// How many of the waiters are still asleep, once one has reported.
fn asleep_after_report(waiters: &[i32], reports: i32) -> Result<usize, conformance::Failure> {
    read(reports, &mut [0])?;
    // Time for another one to wake, if it were woken: it would not be found asleep any more.
    for _ in 0..20 {
        sched_yield();
    }
    let mut asleep = 0;
    for &waiter in waiters {
        asleep += usize::from(is_asleep(waiter)?);
    }
    Ok(asleep)
}

/// Each waits by an instance of its own.
pub fn an_exclusive_item_wakes_one() -> Outcome {
    let (reports, report) = pipe2(0)?;
    let (reader, writer) = pipe2(0)?;
    let fd = counter(0)?;
    for (watched, tell) in [(fd, fd), (reader, writer)] {
        let waiters: [i32; 3] = start_waiters(report, || {
            let epoll = instance()?;
            add(epoll, watched, IN | EPOLLEXCLUSIVE)?;
            wait(epoll, 1, -1).map(|events| events.len())
        })?;
        for left in [2, 1, 0] {
            check_eq!(write(tell, &1_u64.to_ne_bytes()), Ok(8));
            check_eq!(asleep_after_report(&waiters, reports)?, left);
        }
        for waiter in waiters {
            child::wait(waiter)?;
        }
    }
    Ok(())
}

pub fn without_waiters_all_exclusive_items_hear() -> Outcome {
    let fd = counter(0)?;
    let instances = [instance()?, instance()?, instance()?];
    for epoll in instances {
        add(epoll, fd, IN | EPOLLEXCLUSIVE | EPOLLET)?;
    }
    raise(fd)?;
    for epoll in instances {
        check_eq!((ready(epoll)?.len(), ready(epoll)?.len()), (1, 0));
    }
    Ok(())
}

/// All wait by the same instance.
fn wake_by_one_instance(events: u32) -> Result<usize, conformance::Failure> {
    let (reports, report) = pipe2(0)?;
    let (epoll, fd) = (instance()?, counter(0)?);
    add(epoll, fd, IN | events)?;
    let waiters: [i32; 3] = start_waiters(report, || wait(epoll, 1, -1).map(|events| events.len()))?;
    raise(fd)?;
    if events & EPOLLET == 0 {
        for waiter in waiters {
            child::wait(waiter)?;
        }
        return Ok(0);
    }
    let asleep = asleep_after_report(&waiters, reports)?;
    for waiter in waiters {
        let _ = libsyscall::process::kill(waiter, abi::signal::SIGKILL);
    }
    Ok(asleep)
}

pub fn an_edge_wakes_one_of_many() -> Outcome {
    check_eq!(wake_by_one_instance(EPOLLET)?, 2);
    Ok(())
}

/// Who finds the level leaves it to the next.
pub fn a_level_wakes_all() -> Outcome {
    check_eq!(wake_by_one_instance(0)?, 0);
    Ok(())
}
