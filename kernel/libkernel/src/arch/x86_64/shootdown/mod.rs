//! Making other CPUs forget translations (SDM volume 3, 4.10.5): who asks whom, who has answered, who sleeps.
//!
//! Each CPU has one request at a time, since it waits for the answers; requests of several CPUs run side by side. While
//! it waits it answers others, so two CPUs that ask each other do not wait for ever. A CPU that uses no user memory
//! says so ([`Shootdown::rest`]) and is not interrupted: it learns that it must forget when it is to use some again.
//!
//! What a CPU forgets may be more than was asked: neighbours in time are taken together.

use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use crate::addr::UserAddr;

/// CPUs at most: a mask is a `u64`.
const CPUS: usize = 64;

/// As the last page to be forgotten: everything, what is kept of the kernel's own pages included.
pub const KERNEL_TOO: UserAddr = UserAddr::new(u64::MAX);

/// What the executing CPU can do.
pub trait Machine {
    /// Makes the CPUs of a mask call [`Shootdown::answer`] soon.
    fn interrupt(&self, cpus: u64);
    /// Whether `cpu` is stopped by a hypervisor, which makes it forget everything before it goes on. What this CPU
    /// stored is seen by then.
    fn forgets_by_itself(&self, _cpu: usize) -> bool {
        false
    }
    /// Forgets the pages from `first` to `last` of whatever address space is active; up to [`KERNEL_TOO`], everything.
    fn forget(&self, first: UserAddr, last: UserAddr);
    /// Passes a moment.
    fn relax(&self);
}

/// All requests of a machine.
pub struct Shootdown {
    cpus: [Cpu; CPUS],
    requests: [Request; CPUS],
}

/// What others write for one CPU.
#[repr(align(64))]
struct Cpu {
    /// The CPUs whose requests it has not seen.
    inbox: AtomicU64,
    attention: AtomicU32,
}

/// It uses user memory, and must be interrupted.
const ATTENTIVE: u32 = 0;
/// It uses none.
const RESTING: u32 = 1;
/// It uses none, and has been asked to forget since.
const STALE: u32 = 2;

/// What one CPU asks of others.
#[repr(align(64))]
struct Request {
    first: AtomicU64,
    last: AtomicU64,
    /// The CPUs that have not answered.
    unanswered: AtomicU64,
}

impl Cpu {
    const fn new() -> Self {
        Self { inbox: AtomicU64::new(0), attention: AtomicU32::new(ATTENTIVE) }
    }
}

impl Request {
    const fn new() -> Self {
        Self { first: AtomicU64::new(0), last: AtomicU64::new(0), unanswered: AtomicU64::new(0) }
    }
}

impl Shootdown {
    /// All CPUs attentive, nothing asked.
    pub const fn new() -> Self {
        Self { cpus: [const { Cpu::new() }; CPUS], requests: [const { Request::new() }; CPUS] }
    }

    /// Returns when `cpus`, all others than `this`, have forgotten the pages from `first` to `last`, or will have
    /// before they use them. The page tables were changed before. `this` is the executing CPU, which stays the same
    /// meanwhile.
    pub fn ask(&self, this: usize, cpus: u64, (first, last): (UserAddr, UserAddr), machine: &impl Machine) {
        let must_hear = |cpu: &usize| !self.puts_off(*cpu) && !machine.forgets_by_itself(*cpu);
        let attentive = members(cpus).filter(must_hear).fold(0, |all, cpu| all | 1 << cpu);
        self.interrupt(this, attentive, (first, last), machine);
    }

    /// Returns when `cpus`, all others than `this`, have forgotten everything, the kernel's own pages included. Also
    /// those that rest: what they run is the kernel.
    pub fn ask_kernel(&self, this: usize, cpus: u64, machine: &impl Machine) {
        self.interrupt(this, cpus, (UserAddr::new(0), KERNEL_TOO), machine);
    }

    fn interrupt(&self, this: usize, cpus: u64, (first, last): (UserAddr, UserAddr), machine: &impl Machine) {
        if cpus == 0 {
            return;
        }
        let request = &self.requests[this];
        request.first.store(first.as_u64(), Ordering::Relaxed);
        request.last.store(last.as_u64(), Ordering::Relaxed);
        request.unanswered.store(cpus, Ordering::Relaxed);
        // Who finds another request in the inbox knows that an interrupt is on its way.
        let is_first = |cpu: &usize| self.cpus[*cpu].inbox.fetch_or(1 << this, Ordering::AcqRel) == 0;
        let interrupted = members(cpus).filter(is_first).fold(0, |all, cpu| all | 1 << cpu);
        if interrupted != 0 {
            machine.interrupt(interrupted);
        }
        while request.unanswered.load(Ordering::Acquire) != 0 {
            self.answer(this, machine);
            machine.relax();
        }
    }

    /// Answers what others ask of the executing CPU. An interrupt may call it while it is running already.
    #[inline]
    pub fn answer(&self, this: usize, machine: &impl Machine) {
        let inbox = &self.cpus[this].inbox;
        if inbox.load(Ordering::Relaxed) == 0 {
            return;
        }
        let senders = inbox.swap(0, Ordering::AcqRel);
        let pages = members(senders).map(|sender| {
            let request = &self.requests[sender];
            (request.first.load(Ordering::Relaxed), request.last.load(Ordering::Relaxed))
        });
        let both = |one: (u64, u64), other: (u64, u64)| (one.0.min(other.0), one.1.max(other.1));
        if let Some((first, last)) = pages.reduce(both) {
            machine.forget(UserAddr::new(first), UserAddr::new(last));
        }
        for sender in members(senders) {
            self.requests[sender].unanswered.fetch_and(!(1 << this), Ordering::Release);
        }
    }

    /// The executing CPU uses no user memory from here on.
    #[inline]
    pub fn rest(&self, this: usize) {
        self.cpus[this].attention.store(RESTING, Ordering::Release);
    }

    /// The executing CPU is going to use user memory. True if it must forget everything before.
    #[inline]
    pub fn wake(&self, this: usize) -> bool {
        let attention = &self.cpus[this].attention;
        // Others write only what is not ATTENTIVE.
        attention.load(Ordering::Relaxed) != ATTENTIVE && attention.swap(ATTENTIVE, Ordering::SeqCst) == STALE
    }

    /// Whether `cpu` rests, and so will forget by itself.
    fn puts_off(&self, cpu: usize) -> bool {
        let attention = &self.cpus[cpu].attention;
        let found = attention.compare_exchange(RESTING, STALE, Ordering::SeqCst, Ordering::SeqCst);
        found != Err(ATTENTIVE)
    }
}

impl Default for Shootdown {
    fn default() -> Self {
        Self::new()
    }
}

/// The numbers of the CPUs in a mask.
fn members(mut cpus: u64) -> impl Iterator<Item = usize> {
    core::iter::from_fn(move || {
        let cpu = cpus.trailing_zeros() as usize;
        cpus &= cpus.wrapping_sub(1);
        (cpu < CPUS).then_some(cpu)
    })
}

#[cfg(test)]
mod tests;
