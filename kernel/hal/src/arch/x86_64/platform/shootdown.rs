//! Making other CPUs forget translations (SDM volume 3, 4.10.5): by interrupt, and waiting until they have.
//!
//! Each CPU has one request at a time, since it waits with preemption off; requests of several CPUs run side by side. The
//! sender's interrupts are on, so two CPUs that wait for each other answer each other.
use super::apic;
use crate::arch::Arch;
use crate::arch::x86_64::paging::flush_here;
use crate::arch::x86_64::trap::VECTOR_FLUSH;
use crate::contract::Cpu as _;
use crate::cpu::MAX_CPUS;
use crate::task::switch;
use core::sync::atomic::{AtomicU64, Ordering};
use libkernel::addr::UserAddr;

/// What one CPU asks of others.
#[repr(align(64))]
struct Request {
    first: AtomicU64,
    last: AtomicU64,
    /// The CPUs that have not answered.
    unanswered: AtomicU64,
}

/// The CPUs whose requests one CPU has not seen.
#[repr(align(64))]
struct Inbox(AtomicU64);

static REQUESTS: [Request; MAX_CPUS] =
    [const { Request { first: AtomicU64::new(0), last: AtomicU64::new(0), unanswered: AtomicU64::new(0) } };
        MAX_CPUS];
static INBOXES: [Inbox; MAX_CPUS] = [const { Inbox(AtomicU64::new(0)) }; MAX_CPUS];

/// The numbers of the CPUs in a mask.
fn each(mut cpus: u64) -> impl Iterator<Item = usize> {
    core::iter::from_fn(move || {
        let cpu = cpus.trailing_zeros() as usize;
        cpus &= cpus.wrapping_sub(1);
        (cpu < MAX_CPUS).then_some(cpu)
    })
}

/// Makes `cpus`, all others than this one, forget the pages from `first` to `last` of what they run on. Preemption off.
pub fn request(cpus: u64, first: UserAddr, last: UserAddr) {
    debug_assert!(Arch::interrupts_enabled(), "a flush with interrupts off can wait for ever");
    let this = Arch::id();
    let request = &REQUESTS[this];
    request.first.store(first.as_u64(), Ordering::Relaxed);
    request.last.store(last.as_u64(), Ordering::Relaxed);
    request.unanswered.store(cpus, Ordering::Relaxed);
    for cpu in each(cpus) {
        // Who finds another request in the inbox knows that an interrupt is on its way.
        if INBOXES[cpu].0.fetch_or(1 << this, Ordering::AcqRel) == 0 {
            apic::send(cpu, VECTOR_FLUSH);
        }
    }
    while request.unanswered.load(Ordering::Acquire) != 0 {
        Arch::relax();
    }
}

/// This CPU's answer to the requests of others. Interrupt context.
pub fn answer() {
    let this = Arch::id();
    let senders = INBOXES[this].0.swap(0, Ordering::AcqRel);
    // An idle CPU is asked once, and not again for what it does not use.
    let is_left = switch::leave_borrowed_address_space();
    for sender in each(senders) {
        let request = &REQUESTS[sender];
        let page = |word: &AtomicU64| UserAddr::new(word.load(Ordering::Relaxed));
        if !is_left {
            flush_here(page(&request.first), page(&request.last));
        }
        request.unanswered.fetch_and(!(1 << this), Ordering::Release);
    }
}
