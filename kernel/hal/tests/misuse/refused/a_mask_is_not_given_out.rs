//! What runs inside could unmask interrupts, or sleep.
// refused: E0624

use core::sync::atomic::AtomicU32;
use hal::cpu::MAX_CPUS;
use hal::sync::PerCpu;

static COUNTS: PerCpu<AtomicU32> = PerCpu::new([const { AtomicU32::new(0) }; MAX_CPUS]);

fn main() {
    COUNTS.with_masked(|_| hal::cpu::wait_for_interrupt(|| true));
}
