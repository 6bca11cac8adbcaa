//! What a CPU does when it has nothing to do: it looks for work for a while, where that is cheaper than to sleep and be
//! woken, and sleeps.
//!
//! Nobody has to interrupt a CPU that looks. It says that it does ([`LOOKING`]), and takes that back before it looks
//! for the last time and sleeps; who gives it work does that first and looks at the mask afterwards. Between the two
//! steps both have a full fence.
use core::sync::atomic::Ordering::{Relaxed, SeqCst};
use core::sync::atomic::{AtomicU64, fence};

use hal::cpu::MAX_CPUS;
use hal::sync::PerCpu;
use hal::time::now_ns;
use libkernel::sched::halt_poll::next_poll_ns;

use super::{QUEUES, placement};

/// The CPUs that look for work.
static LOOKING: AtomicU64 = AtomicU64::new(0);

/// How long each CPU looks before it sleeps, in nanoseconds.
static POLL_NS: PerCpu<AtomicU64> = PerCpu::new([const { AtomicU64::new(0) }; MAX_CPUS]);

/// Sleeps until an interrupt, unless there is work for this CPU, whose number is `cpu`.
pub(super) fn wait(cpu: usize) {
    if !hal::cpu::polls_when_idle() {
        return sleep(cpu);
    }
    let poll_ns = POLL_NS.with(|own| own.load(Relaxed));
    if poll_ns != 0 && look(cpu, poll_ns) {
        return;
    }
    let before_ns = now_ns();
    sleep(cpu);
    let slept_ns = now_ns().saturating_sub(before_ns);
    POLL_NS.with(|own| own.store(next_poll_ns(poll_ns, slept_ns), Relaxed));
}

fn sleep(cpu: usize) {
    hal::cpu::wait_for_interrupt(|| has_work(cpu));
}

/// Whether a task waits here, or somebody has taken this CPU out of those that are idle.
fn has_work(cpu: usize) -> bool {
    QUEUES.with(|queue| queue.waiting() != 0) || !placement::is_idle(cpu)
}

/// Looks for work for so long; whether there was some.
fn look(cpu: usize, poll_ns: u64) -> bool {
    LOOKING.fetch_or(1 << cpu, SeqCst);
    let end_ns = now_ns() + poll_ns;
    let mut found = has_work(cpu);
    while !found && now_ns() < end_ns {
        hal::cpu::relax();
        found = has_work(cpu);
    }
    LOOKING.fetch_and(!(1 << cpu), SeqCst);
    // Pairs with `rouse`: the work is seen here, or by `sleep`, or who gave it sees that this CPU does not look.
    fence(SeqCst);
    found
}

/// Makes an idle CPU see the work that it was given.
#[inline]
pub(super) fn rouse(cpu: usize) {
    if hal::cpu::polls_when_idle() {
        // Pairs with `look`.
        fence(SeqCst);
        if LOOKING.load(Relaxed) & 1 << cpu != 0 {
            return;
        }
    }
    hal::cpu::send_reschedule(cpu);
}
