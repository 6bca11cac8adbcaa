//! Where randomness comes from: what loaders left, CPU and firmware give, and interrupts bring. Who collects it judges
//! it (`libkernel::entropy`).
use crate::arch::Arch;
use crate::contract::{Cpu as _, Platform as _};
use crate::sync::{PerCpu, SpinLock};
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use libkernel::entropy::{Interrupts, worth};

/// Random bytes of loaders and firmware, and what they are worth.
pub struct LoaderSeed {
    /// The bytes; what did not fit is folded in.
    pub bytes: [u8; 64],
    /// Bits in them.
    pub bits: u32,
    used: usize,
}

impl LoaderSeed {
    const NONE: Self = Self { bytes: [0; 64], bits: 0, used: 0 };
}

static LOADER: SpinLock<LoaderSeed> = SpinLock::new(LoaderSeed::NONE);

/// Adds random bytes of a loader.
#[cfg_attr(target_os = "linux", allow(dead_code, reason = "nobody loads the host machine"))]
pub(crate) fn add_loader_seed(bytes: &[u8]) {
    let mut seed = LOADER.lock();
    seed.bits = seed.bits.saturating_add(worth(bytes));
    for byte in bytes {
        let place = seed.used % seed.bytes.len();
        seed.used += 1;
        let slot = &mut seed.bytes[place];
        // No exclusive or alone: what is given twice would undo itself.
        *slot = slot.wrapping_mul(0x9d).wrapping_add(*byte);
    }
}

/// What loaders gave, for once: it is forgotten here.
pub fn take_loader_seed() -> LoaderSeed {
    core::mem::replace(&mut *LOADER.lock(), LoaderSeed::NONE)
}

/// Calls `visit` with the name of each source of CPU and firmware, and how a word is got from it. `None`: it has none
/// at the moment.
pub fn for_each_source(visit: &mut dyn FnMut(&'static str, fn() -> Option<u64>)) {
    Arch::for_each_random_source(visit);
}

/// The counter that the clocks run by.
#[inline(always)]
pub fn timestamp() -> u64 {
    Arch::counter()
}

/// The times of a CPU's interrupts. Only that CPU writes, in its interrupt handler; who reads may meet it halfway, and
/// loses nothing by that.
struct Times {
    state: [AtomicU64; 2],
    count: AtomicU32,
}

static TIMES: PerCpu<Times> = PerCpu::new(
    [const { Times { state: [const { AtomicU64::new(0) }; 2], count: AtomicU32::new(0) } };
        crate::cpu::MAX_CPUS],
);

/// Notes when an interrupt of a timer or a device came. Interrupts are masked.
#[inline(always)]
#[cfg_attr(target_os = "linux", allow(dead_code, reason = "the host machine has no interrupts"))]
pub(crate) fn note_interrupt() {
    let Some(times) = TIMES.of(Arch::id()) else { return };
    let [first, second] = &times.state;
    let state = Interrupts([first.load(Ordering::Relaxed), second.load(Ordering::Relaxed)]);
    let Interrupts(state) = state.with(Arch::counter());
    first.store(state[0], Ordering::Relaxed);
    second.store(state[1], Ordering::Relaxed);
    times.count.store(times.count.load(Ordering::Relaxed).wrapping_add(1), Ordering::Relaxed);
}

/// Calls `take` with what each CPU's interrupts have come to. Returns how many there were in all; the count wraps.
pub fn for_each_cpu_times(take: &mut dyn FnMut([u64; 2])) -> u32 {
    TIMES.iter().take(crate::cpu::count()).fold(0, |all: u32, times| {
        take(times.state.each_ref().map(|word| word.load(Ordering::Relaxed)));
        all.wrapping_add(times.count.load(Ordering::Relaxed))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds_of_loaders_add_up_and_are_taken_once() {
        let seed: [u8; 32] = core::array::from_fn(|index| (index as u8).wrapping_mul(37));
        // One that nobody filled takes nothing away.
        [&seed[..], &[0; 32], &seed].into_iter().for_each(add_loader_seed);
        let taken = take_loader_seed();
        assert_eq!(taken.bits, 512);
        assert_ne!(taken.bytes[..32], [0; 32]);
        assert_ne!(taken.bytes[..32], seed);
        assert_eq!(take_loader_seed().bits, 0);
    }

    #[test]
    fn times_of_interrupts_are_counted() {
        let before = for_each_cpu_times(&mut |_| ());
        (0..3).for_each(|_| note_interrupt());
        let mut states = 0;
        let after = for_each_cpu_times(&mut |state| states += u32::from(state != [0; 2]));
        assert!(after.wrapping_sub(before) >= 3 && states > 0);
    }
}
