//! What each CPU's time went into.
//!
//! How long a CPU was idle is measured, and for how long it was not run a hypervisor says. The rest goes, with each
//! sample of a thread that it runs, to what the sample met. What a CPU did since its last sample is in none of the sums
//! yet.

use core::sync::atomic::AtomicU64;
use core::sync::atomic::Ordering::Relaxed;

use hal::cpu::MAX_CPUS;
use hal::sync::PerCpu;

use super::QUEUES;

/// What a CPU was busy with.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// A program.
    User,
    /// A program with a nice value above zero.
    Nice,
    /// The kernel.
    System,
}

const MODES: usize = 3;

/// One CPU's sums. It alone writes them.
struct Account {
    /// In nanoseconds, by mode.
    times: [AtomicU64; MODES],
    interrupts: AtomicU64,
}

impl Account {
    const fn new() -> Account {
        Account { times: [const { AtomicU64::new(0) }; MODES], interrupts: AtomicU64::new(0) }
    }
}

static ACCOUNTS: PerCpu<Account> = PerCpu::new([const { Account::new() }; MAX_CPUS]);

/// Adds to a count that only the executing task or CPU changes, which others may read.
#[inline]
pub fn add(sum: &AtomicU64, more: u64) {
    sum.store(sum.load(Relaxed).wrapping_add(more), Relaxed);
}

/// What the CPU that runs this did since the last call was in this mode.
pub fn charge(mode: Mode) {
    ACCOUNTS.with(|account| {
        // What a hypervisor took away is nobody's.
        let elsewhere_ns = super::idle_ns(hal::cpu::id()) + hal::cpu::stolen_ns(hal::cpu::id());
        let charged_ns: u64 = account.times.iter().map(|sum| sum.load(Relaxed)).sum();
        let new_ns = hal::time::now_ns().saturating_sub(elsewhere_ns + charged_ns);
        add(&account.times[mode as usize], new_ns);
    });
}

/// The CPU that runs this has taken an interrupt. Interrupt context.
pub fn count_interrupt() {
    ACCOUNTS.with(|account| add(&account.interrupts, 1));
}

/// How many interrupts a CPU has taken.
pub fn interrupts(cpu: usize) -> u64 {
    ACCOUNTS.of(cpu).map_or(0, |account| account.interrupts.load(Relaxed))
}

/// A CPU's time in one mode, in nanoseconds.
pub fn time_ns(cpu: usize, mode: Mode) -> u64 {
    ACCOUNTS.of(cpu).map_or(0, |account| account.times[mode as usize].load(Relaxed))
}

/// How often a CPU has switched to another task.
pub fn switches(cpu: usize) -> u64 {
    QUEUES.of(cpu).map_or(0, super::RunQueue::switches)
}
