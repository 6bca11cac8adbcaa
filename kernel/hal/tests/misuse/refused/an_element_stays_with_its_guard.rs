//! Without the guard the task may be on another CPU.
// refused: E0505

use core::sync::atomic::AtomicU32;
use hal::cpu::MAX_CPUS;
use hal::sync::{PerCpu, preempt};

static COUNTS: PerCpu<AtomicU32> = PerCpu::new([const { AtomicU32::new(0) }; MAX_CPUS]);

fn main() {
    let guard = preempt::disable();
    let own = COUNTS.get(&guard);
    drop(guard);
    own.load(core::sync::atomic::Ordering::Relaxed);
}
