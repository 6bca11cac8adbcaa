//! How many readers are inside a lock: one count at first, then one for each CPU.
//!
//! A reader counts itself and then looks for a writer; a writer raises its flag and then looks at the counts. Both
//! steps are sequentially consistent, so at least one of two that meet sees the other.
//!
//! Once counted per CPU, each has a count in a line of its own: readers on different CPUs write to no common line, and
//! a writer has as many counts to look at as there are CPUs.
use super::{Once, spin_until};
use crate::arch::Arch;
use crate::contract::Cpu as _;
use alloc::boxed::Box;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicUsize, Ordering};

/// The counts of one lock.
pub(super) struct ReaderCounts {
    /// Readers inside that are counted here.
    common: AtomicUsize,
    /// Readers inside, by the CPU on which they came.
    per_cpu: Once<Box<[Count]>>,
}

/// Readers that came on one CPU. They may leave on another.
#[repr(align(64))]
pub(super) struct Count(AtomicUsize);

impl ReaderCounts {
    /// Nobody.
    pub const fn new() -> Self {
        Self { common: AtomicUsize::new(0), per_cpu: Once::new() }
    }

    /// Whether each CPU has a count.
    #[inline(always)]
    pub fn counts_per_cpu(&self) -> bool {
        self.per_cpu.get().is_some()
    }

    /// Counts a reader, who leaves by taking one off again, and returns where; or `None` if the writer's flag is up, by
    /// a sequentially consistent load: the reader is not counted then, but a writer may have seen it for a moment.
    #[inline(always)]
    pub fn enter(&self, is_flag_up: impl FnOnce() -> bool) -> Option<&AtomicUsize> {
        let count = self.here();
        count.fetch_add(1, Ordering::SeqCst);
        if is_flag_up() {
            count.fetch_sub(1, Ordering::Release);
            return None;
        }
        Some(count)
    }

    /// Where a reader on this CPU is counted. It need not stay here: any count will do.
    #[inline(always)]
    fn here(&self) -> &AtomicUsize {
        match self.per_cpu.get() {
            Some(counts) => counts.get(Arch::id()).map_or(&self.common, |count| &count.0),
            None => &self.common,
        }
    }

    /// Whether a reader is inside. Asked by a writer whose flag is up.
    #[inline(always)]
    pub fn is_any(&self) -> bool {
        let is_any = |count: &AtomicUsize| count.load(Ordering::SeqCst) != 0;
        is_any(&self.common)
            || self.per_cpu.get().is_some_and(|counts| counts.iter().any(|count| is_any(&count.0)))
    }

    /// Spins until no reader is inside, for a writer whose flag is up.
    #[cold]
    #[inline(never)]
    pub fn wait_for_none(&self) {
        // One after the other: who comes from now on sees the flag and does not stay.
        spin_until(&self.common, |readers| readers == 0);
        for count in self.per_cpu.get().into_iter().flatten() {
            spin_until(&count.0, |readers| readers == 0);
        }
    }

    /// Counts for all CPUs; `None` if there are some already, or one CPU, or no memory.
    pub fn prepare(&self) -> Option<Box<[Count]>> {
        let cpus = crate::cpu::count();
        let mut counts = Vec::new();
        if cpus == 1 || self.counts_per_cpu() || counts.try_reserve_exact(cpus).is_err() {
            return None;
        }
        counts.resize_with(cpus, || Count(AtomicUsize::new(0)));
        Some(counts.into_boxed_slice())
    }

    /// From now on readers are counted there; gives the counts back if there are some already. By a writer alone:
    /// whoever finds the new counts comes after it, and so does each writer who must look at them.
    pub fn count_per_cpu(&self, counts: Box<[Count]>) -> Option<Box<[Count]>> {
        self.per_cpu.set(counts).err()
    }
}
