//! Signals in masses: none is lost, none comes twice.

use crate::round::Round;
use crate::teams::{self, meet, shared, until};
use abi::Errno;
use abi::native::nr;
use abi::process::WaitStatus;
use abi::signal::*;
use conformance::handler::{bit, install};
use conformance::{Outcome, check, check_eq, child, raw};
use core::sync::atomic::{AtomicI32, AtomicU32, AtomicU64, Ordering};
use libsyscall::process::{getpid, getuid, kill};
use libsyscall::signal::{rt_sigprocmask, rt_sigsuspend, tgkill};
use libsyscall::thread::gettid;

const MOST: usize = 64;

static THREADS: [AtomicI32; MOST] = [const { AtomicI32::new(0) }; MOST];
/// Signals sent to each thread, and how often its handler has run.
static SENT: [AtomicU64; MOST] = [const { AtomicU64::new(0) }; MOST];
static RUN: [AtomicU64; MOST] = [const { AtomicU64::new(0) }; MOST];
/// What `SENT` was when the handler last ran.
static NOTICED: [AtomicU64; MOST] = [const { AtomicU64::new(0) }; MOST];

extern "C" fn notice(_signal: i32, _info: *const SigInfo, _context: *mut UContext) {
    let me = gettid();
    if let Some(number) = THREADS.iter().position(|thread| thread.load(Ordering::Relaxed) == me) {
        NOTICED[number].fetch_max(SENT[number].load(Ordering::SeqCst), Ordering::SeqCst);
        RUN[number].fetch_add(1, Ordering::SeqCst);
    }
}

/// All threads signal each other: a handler runs after the last signal to its thread, and not more often than was sent.
pub fn standard(round: Round) -> Outcome {
    const EACH: usize = 150;
    static GATE: AtomicU32 = AtomicU32::new(0);
    let threads = round.threads.min(MOST);
    install(SIGUSR1, notice, SA_RESTART)?;
    install(SIGUSR2, notice, SA_RESTART)?;
    teams::threads(threads, move |worker| {
        THREADS[worker].store(gettid(), Ordering::SeqCst);
        meet(&GATE, threads);
        let mut random = round.random(worker);
        for _ in 0..EACH {
            let other = random.below(threads);
            SENT[other].fetch_add(1, Ordering::SeqCst);
            let signal = if random.below(2) == 0 { SIGUSR1 } else { SIGUSR2 };
            tgkill(getpid(), THREADS[other].load(Ordering::SeqCst), signal)?;
        }
        // Nobody ends before all have sent.
        meet(&GATE, 2 * threads);
        until(|| NOTICED[worker].load(Ordering::SeqCst) == SENT[worker].load(Ordering::SeqCst));
        let (run, sent) = (RUN[worker].load(Ordering::SeqCst), SENT[worker].load(Ordering::SeqCst));
        check!(run <= sent, "{run} signals came of {sent}");
        Ok(())
    })
}

const QUEUED: u32 = 40;
/// How many values of each sender have come, which is also the next one that must.
static NEXT: [AtomicU64; MOST] = [const { AtomicU64::new(0) }; MOST];
static DISORDER: AtomicU64 = AtomicU64::new(0);

extern "C" fn count_value(_signal: i32, info: *const SigInfo, _context: *mut UContext) {
    // SAFETY: the kernel passes a `SigInfo` on the handler's stack.
    let value = unsafe { (*info).si_value() };
    let (sender, number) = ((value >> 32) as usize % MOST, value & 0xffff_ffff);
    if NEXT[sender].fetch_add(1, Ordering::SeqCst) != number {
        DISORDER.fetch_add(1, Ordering::SeqCst);
    }
}

/// Threads queue values for one thread: each value comes once, and those of one sender in their order.
pub fn queued(round: Round) -> Outcome {
    const EACH: u64 = 100;
    let senders = (round.threads - 1).clamp(1, MOST);
    install(QUEUED, count_value, SA_RESTART)?;
    let receiver = gettid();
    // Made by this thread, so only it takes them: the senders block the signal by inheritance.
    rt_sigprocmask(SIG_BLOCK, bit(QUEUED))?;
    let team = teams::start(senders, move |sender| {
        for number in 0..EACH {
            let value = ((sender as u64) << 32) | number;
            let info = SigInfo::queued(QUEUED, SI_QUEUE, getpid(), getuid(), value);
            let address = (&raw const info) as u64;
            let to_thread = [getpid() as u64, receiver as u64, QUEUED.into(), address];
            let to_process = [getpid() as u64, QUEUED.into(), address];
            loop {
                let result = match sender % 2 {
                    0 => raw::call(nr::rt_tgsigqueueinfo, &to_thread),
                    _ => raw::call(nr::rt_sigqueueinfo, &to_process),
                };
                if result != Err(Errno::EAGAIN) {
                    result?;
                    break;
                }
                libsyscall::thread::sched_yield();
            }
        }
        Ok(())
    })?;
    rt_sigprocmask(SIG_UNBLOCK, bit(QUEUED))?;
    team.into_iter().try_for_each(|sender| sender.join())?;
    until(|| (0..senders).all(|sender| NEXT[sender].load(Ordering::SeqCst) >= EACH));
    for next in &NEXT[..senders] {
        check_eq!(next.load(Ordering::SeqCst), EACH);
    }
    check_eq!(DISORDER.load(Ordering::SeqCst), 0);
    Ok(())
}

static ARRIVED: AtomicU32 = AtomicU32::new(0);

extern "C" fn arrive(_signal: i32, _info: *const SigInfo, _context: *mut UContext) {
    ARRIVED.fetch_add(1, Ordering::SeqCst);
}

/// Pairs of processes play ping-pong with `kill` and `rt_sigsuspend`, where a signal lost is a game without end.
pub fn between_processes(round: Round) -> Outcome {
    const TURNS: u32 = 60;
    install(SIGUSR1, arrive, 0)?;
    rt_sigprocmask(SIG_BLOCK, bit(SIGUSR1))?;
    let ends = shared::<AtomicU32>()?;
    teams::processes(round.threads, |_| {
        let first = getpid();
        let second = child::start(|| play(first, TURNS, ends))?;
        for turn in 1..=TURNS {
            kill(second, SIGUSR1)?;
            await_turn(turn);
        }
        check_eq!(child::wait(second)?, WaitStatus(0));
        check_eq!(ARRIVED.load(Ordering::SeqCst), TURNS);
        Ok(())
    })?;
    check_eq!(ends.load(Ordering::SeqCst) as usize, round.threads);
    Ok(())
}

fn play(first: i32, turns: u32, ends: &AtomicU32) -> i32 {
    for turn in 1..=turns {
        await_turn(turn);
        if kill(first, SIGUSR1).is_err() {
            return 1;
        }
    }
    ends.fetch_add(1, Ordering::SeqCst);
    0
}

fn await_turn(turn: u32) {
    while ARRIVED.load(Ordering::SeqCst) < turn {
        let _ = rt_sigsuspend(0);
    }
}
