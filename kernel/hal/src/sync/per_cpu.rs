//! Data of which each CPU has its own.
use super::preempt::{self, PreemptGuard};
use crate::arch::Arch;
use crate::contract::Cpu as _;
use crate::cpu::MAX_CPUS;

/// One `T` for each CPU, built at compile time.
///
/// An interrupt handler of the same CPU may come to its element while the interrupted code is there, so outside of hal
/// `T` is `Sync`: a handler is as good as another CPU.
pub struct PerCpu<T>([Line<T>; MAX_CPUS]);

/// Keeps neighbours off each other's cache lines.
#[repr(align(64))]
struct Line<T>(T);

// SAFETY: what is not `Sync` is given out by `with_own` and `with_masked` only, to hal, which keeps preemption off or
// interrupts masked inside: an element is never used by two CPUs at once. It may move between tasks, hence `Send`.
unsafe impl<T: Send> Sync for PerCpu<T> {}

impl<T> PerCpu<T> {
    /// Wraps one value for each CPU: `PerCpu::new([const { Cell::new(0) }; MAX_CPUS])`.
    pub const fn new(values: [T; MAX_CPUS]) -> Self {
        // SAFETY: `Line<T>` is built element by element below from moved values.
        let mut lines: [core::mem::MaybeUninit<Line<T>>; MAX_CPUS] =
            [const { core::mem::MaybeUninit::uninit() }; MAX_CPUS];
        let values = core::mem::ManuallyDrop::new(values);
        let mut index = 0;
        while index < MAX_CPUS {
            // SAFETY: each element is read once, and the array itself is never dropped.
            let value = unsafe { core::ptr::read((&raw const values).cast::<T>().add(index)) };
            lines[index] = core::mem::MaybeUninit::new(Line(value));
            index += 1;
        }
        // SAFETY: all elements are initialised, and the wrapper has the array's layout.
        Self(unsafe { core::mem::transmute_copy(&lines) })
    }

    /// Calls `action` with this CPU's element, preemption off.
    #[inline]
    pub fn with<R>(&self, action: impl FnOnce(&T) -> R) -> R
    where
        T: Sync,
    {
        let _guard = preempt::disable();
        action(&self.0[Arch::id()].0)
    }

    /// This CPU's element, for as long as the guard keeps the task here.
    #[inline(always)]
    pub fn get<'guard>(&'guard self, _guard: &'guard PreemptGuard) -> &'guard T
    where
        T: Sync,
    {
        &self.0[Arch::id()].0
    }

    /// As [`PerCpu::with`], for what bears that a handler enters in the middle of `action`, or is used by no handler.
    /// `action` neither sleeps nor switches.
    #[inline]
    #[allow(dead_code, reason = "not every architecture has such parts")]
    pub(crate) fn with_own<R>(&self, action: impl FnOnce(&T) -> R) -> R {
        let _guard = preempt::disable();
        action(&self.0[Arch::id()].0)
    }

    /// Calls `action` with this CPU's element, interrupts masked: no handler enters meanwhile, and nothing is
    /// preempted. `action` neither sleeps nor switches, nor does it unmask interrupts.
    #[inline(always)]
    pub(crate) fn with_masked<R>(&self, action: impl FnOnce(&T) -> R) -> R {
        let were_enabled = Arch::interrupts_disable();
        let result = action(&self.0[Arch::id()].0);
        if were_enabled {
            Arch::interrupts_enable();
        }
        result
    }

    /// The elements of all CPUs, for statistics and cross-CPU wakes.
    pub fn iter(&self) -> impl Iterator<Item = &T>
    where
        T: Sync,
    {
        self.0.iter().map(|line| &line.0)
    }

    /// The element of `cpu`.
    pub fn of(&self, cpu: usize) -> Option<&T>
    where
        T: Sync,
    {
        self.0.get(cpu).map(|line| &line.0)
    }
}
