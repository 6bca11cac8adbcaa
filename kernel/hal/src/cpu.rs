//! CPUs: identity, count and sleeping until an interrupt.
use crate::arch::Arch;
use crate::contract::{Cpu as _, Platform as _, Smp as _};
use crate::sync::{Once, assert_may_block};
use core::sync::atomic::{AtomicUsize, Ordering};
use libkernel::topology::CpuPosition;

/// The most CPUs that per-CPU data has room for.
pub const MAX_CPUS: usize = 64;

/// Index of the executing CPU; stable only under a preemption guard.
pub fn id() -> usize {
    Arch::id()
}

static ONLINE: AtomicUsize = AtomicUsize::new(1);

/// CPUs that run; their indices are the numbers below.
#[inline]
pub fn count() -> usize {
    if cfg!(target_os = "linux") {
        // The host machine's CPUs come and go with the tests' threads.
        return MAX_CPUS;
    }
    ONLINE.load(Ordering::Acquire)
}

/// Where a CPU that runs sits among the others, as far as the machine says.
pub fn place(cpu: usize) -> CpuPosition {
    Arch::place(cpu)
}

/// Counts the executing CPU, whose index is the count so far.
pub(crate) fn add_online() {
    ONLINE.store(Arch::id() + 1, Ordering::Release);
}

/// Interrupts another CPU: it leaves user mode if work waits for its task, wakes if it sleeps, and calls
/// `Upcalls::reschedule_interrupt`.
pub fn send_reschedule(cpu: usize) {
    Arch::send_reschedule(cpu);
}

/// Whether an idle CPU does well to look for work for a while before it sleeps.
#[inline(always)]
pub fn polls_when_idle() -> bool {
    Arch::polls_when_idle()
}

/// Passes a moment in a loop that waits for time or work to come.
pub fn relax() {
    Arch::relax();
}

/// Calls `visit` with the number of each fault of the boot CPU's kind that concerns the kernel, and what is done about
/// it.
pub fn for_each_erratum(visit: &mut dyn FnMut(u32, &dyn core::fmt::Display)) {
    Arch::for_each_erratum(visit);
}

/// For how many nanoseconds a hypervisor has not run `cpu` though that had something to do.
pub fn stolen_ns(cpu: usize) -> u64 {
    Arch::stolen_ns(cpu)
}

/// What the CPU can do, as a program's auxiliary vector says it.
#[derive(Clone, Copy, Debug, Default)]
pub struct HardwareCapabilities {
    /// `AT_HWCAP`.
    pub hwcap: u64,
    /// `AT_HWCAP2`.
    pub hwcap2: u64,
    /// `AT_MINSIGSTKSZ`: stack bytes that a signal frame can take.
    pub minimum_signal_stack: u64,
}

/// What the CPU can do. Asked once: all CPUs are of one kind, and every program that is started wants to know.
pub fn hardware_capabilities() -> HardwareCapabilities {
    static CAPABILITIES: Once<HardwareCapabilities> = Once::new();
    CAPABILITIES.get().copied().unwrap_or_else(|| {
        let capabilities = Arch::hardware_capabilities();
        // Another CPU may be the first: it finds the same.
        let _ = CAPABILITIES.set(capabilities);
        capabilities
    })
}

/// Writes what `/proc/cpuinfo` says of the executing CPU, but for its number; all CPUs are taken to be of one kind.
pub fn describe(out: &mut dyn core::fmt::Write) -> core::fmt::Result {
    Arch::describe_cpu(out)
}

/// Sleeps until an interrupt, unless `ready` says that there is something to do already. The check runs with
/// interrupts masked, so a wake between the check and the sleep is not lost. Panics if the caller may not sleep: in an
/// interrupt handler, the next interrupt would be handled on the same stack.
pub fn wait_for_interrupt(ready: impl FnOnce() -> bool) {
    assert_may_block();
    Arch::interrupts_disable();
    if ready() {
        Arch::interrupts_enable();
    } else {
        Arch::wait_for_interrupt();
    }
}
