//! Who waits for what other programs use without pause gets its turn: looks into a process that changes its memory,
//! `fork` beside signals to a large group, timers beside a program that holds its own. A kernel that lets others pass
//! for ever never ends this.
#![no_std]
#![no_main]

extern crate alloc;

use abi::native::nr;
use abi::process::WaitStatus;
use abi::signal::{SIG_BLOCK, Sigevent};
use abi::time::{Itimerspec, Timespec};
use alloc::format;
use alloc::vec::Vec;
use conformance::handler::bit;
use conformance::{Failure, Outcome, check_eq, child, files, raw};
use libsyscall::memory::{map_anonymous, munmap};
use libsyscall::process::{kill, setpgid};
use libsyscall::signal::rt_sigprocmask;
use ulib::thread::spawn;

conformance::tests!(&[
    ("a_busy_address_space_can_be_looked_into", a_busy_address_space_can_be_looked_into),
    ("processes_are_made_beside_signals_to_a_group", processes_are_made_beside_signals_to_a_group),
    ("timers_go_off_beside_a_program_that_holds_its_own", timers_go_off_beside_a_program_that_holds_its_own),
]);

/// How many do a thing without pause.
const BUSY: usize = 4;
const PAGE: usize = 4096;
const RT: u32 = 40;

/// Starts a process whose threads all do the same for ever.
fn start_threads(step: fn()) -> Result<i32, Failure> {
    child::start(move || {
        let again = move || {
            loop {
                step();
            }
        };
        for _ in 1..BUSY {
            if spawn(again).is_err() {
                return 1;
            }
        }
        again()
    })
}

fn a_busy_address_space_can_be_looked_into() -> Outcome {
    let busy = start_threads(|| {
        if let Ok(page) = map_anonymous(PAGE) {
            // SAFETY: nothing else is there, and nobody knows the page.
            let _ = unsafe { munmap(page, PAGE) };
        }
    })?;
    for _ in 0..100 {
        files::page(&format!("/proc/{busy}/statm"))?;
        files::page(&format!("/proc/{busy}/maps"))?;
    }
    child::end(busy)
}

fn processes_are_made_beside_signals_to_a_group() -> Outcome {
    /// So that a signal to all takes a while.
    const SLEEPERS: usize = 150;
    let mut group = Vec::new();
    for _ in 0..SLEEPERS {
        let pid = child::sleeper()?;
        setpgid(pid, group.first().copied().unwrap_or(pid))?;
        group.push(pid);
    }
    let leader = group[0];
    for _ in 0..BUSY {
        group.push(child::start(|| {
            let _ = setpgid(0, leader);
            loop {
                let _ = kill(0, 0);
            }
        })?);
    }
    for _ in 0..20 {
        check_eq!(child::run(|| i32::from(setpgid(0, 0).is_err()))?, WaitStatus(0));
    }
    group.into_iter().try_for_each(child::end)
}

fn arm(interval_ns: i64, value_ns: i64) -> Result<u64, Failure> {
    const MONOTONIC: u64 = 1;
    let event = Sigevent { sigev_signo: RT as i32, ..Sigevent::default() };
    let mut id = -1;
    raw::call(nr::timer_create, &[MONOTONIC, (&raw const event) as u64, (&raw mut id) as u64])?;
    let id = core::hint::black_box(id) as u64;
    let spec = |tv_nsec| Timespec { tv_sec: 0, tv_nsec };
    let setting = Itimerspec { it_interval: spec(interval_ns), it_value: spec(value_ns) };
    raw::call(nr::timer_settime, &[id, 0, (&raw const setting) as u64, 0])?;
    Ok(id)
}

fn wait_for_timer() -> Outcome {
    let wanted = bit(RT);
    check_eq!(raw::call(nr::rt_sigtimedwait, &[(&raw const wanted) as u64, 0, 0, 8]), Ok(u64::from(RT)));
    Ok(())
}

fn timers_go_off_beside_a_program_that_holds_its_own() -> Outcome {
    const MS: i64 = 1_000_000;
    rt_sigprocmask(SIG_BLOCK, bit(RT))?;
    // Its timer has number 0, and goes off all the time: somebody takes the signal.
    let busy = child::start(|| {
        let read_timers = || {
            let mut setting = Itimerspec::default();
            loop {
                let _ = raw::call(nr::timer_gettime, &[0, (&raw mut setting) as u64]);
            }
        };
        let is_armed = arm(MS, MS).is_ok();
        if !is_armed || (0..BUSY).any(|_| spawn(read_timers).is_err()) {
            return 1;
        }
        while wait_for_timer().is_ok() {}
        2
    })?;
    for _ in 0..10 {
        arm(0, 5 * MS)?;
        wait_for_timer()?;
    }
    child::end(busy)
}
