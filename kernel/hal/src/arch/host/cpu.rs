//! CPUs: who holds which baton, preemption count, current task, idling.
//!
//! [`Running`] is what the thread that holds a baton knows about its CPU. It is thread-local and travels with the baton
//! (see `context.rs`), so no two threads ever share one.
use super::Arch;
use crate::contract::Cpu;
use crate::cpu::MAX_CPUS;
use crate::sync::preempt;
use crate::task::Task;
use core::cell::{Cell, RefCell};
use core::ptr;
use core::sync::atomic::{AtomicU8, AtomicU32, AtomicU64};
use libkernel::addr::{PhysAddr, PhysRange};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// The state of a CPU, in the hands of the thread that runs on it.
#[derive(Clone, Copy)]
pub(super) struct Running {
    pub cpu: usize,
    pub preempt_count: u32,
    /// The CPU is wanted.
    pub requested: bool,
    pub interrupts: bool,
    pub task: *const Task,
    /// Root of the active user address space.
    pub root: Option<PhysAddr>,
    /// When the one-shot timer is due, in `now_ns` time.
    pub deadline_ns: Option<u64>,
    /// The thread pointer register.
    pub thread_pointer: u64,
}

// SAFETY: a plain record; the task it names is shared by design and outlives its time as the current one.
unsafe impl Send for Running {}

/// What other CPUs and the clock may touch.
struct Signals {
    kicked: Mutex<bool>,
    bell: Condvar,
}

static SIGNALS: [Signals; MAX_CPUS] =
    [const { Signals { kicked: Mutex::new(false), bell: Condvar::new() } }; MAX_CPUS];

/// CPUs that no thread has taken.
static FREE: Mutex<u64> = Mutex::new(u64::MAX);
static FREED: Condvar = Condvar::new();

std::thread_local! {
    static RUNNING: Cell<Option<Running>> = const { Cell::new(None) };
    static OWNED: RefCell<Option<OwnedCpu>> = const { RefCell::new(None) };
}

/// A CPU taken by a test's own thread; given back when that thread ends.
struct OwnedCpu(usize);

impl Drop for OwnedCpu {
    fn drop(&mut self) {
        *unpoisoned(&FREE) |= 1 << self.0;
        FREED.notify_one();
    }
}

/// A test that fails while it holds a lock must not fail all the others.
pub(super) fn unpoisoned<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The running CPU's state; takes a free CPU for a thread that has none.
pub(super) fn running() -> Running {
    RUNNING.get().unwrap_or_else(become_cpu)
}

/// Replaces the running CPU's state: the baton arrived, or something of it changed.
pub(super) fn set_running(running: Running) {
    RUNNING.set(Some(running));
}

fn become_cpu() -> Running {
    let mut free = unpoisoned(&FREE);
    while *free == 0 {
        free = FREED.wait(free).unwrap_or_else(PoisonError::into_inner);
    }
    let cpu = free.trailing_zeros() as usize;
    *free &= !(1 << cpu);
    OWNED.with(|owned| *owned.borrow_mut() = Some(OwnedCpu(cpu)));
    let running = Running {
        cpu,
        preempt_count: 0,
        requested: false,
        interrupts: true,
        task: ptr::null(),
        root: None,
        deadline_ns: None,
        thread_pointer: 0,
    };
    set_running(running);
    drop(free);
    boot();
    self::running()
}

/// What boot code does on a machine: memory once, and a first task for each CPU.
fn boot() {
    static MEMORY: std::sync::Once = std::sync::Once::new();
    MEMORY.call_once(|| {
        let memory = PhysRange::new(PhysAddr::new(0), super::paging::ARENA_BYTES as u64);
        crate::frame::add_region(memory);
        crate::frame::init(PhysAddr::new(0));
    });
    crate::task::init_boot_task();
}

/// Changes the running CPU's state.
pub(super) fn update(change: impl FnOnce(&mut Running)) {
    let mut state = running();
    change(&mut state);
    set_running(state);
}

impl Cpu for Arch {
    #[inline]
    fn id() -> usize {
        running().cpu
    }

    #[inline]
    fn preempt_disable() {
        Self::preempt_add(1);
    }

    #[inline]
    fn preempt_enable() {
        Self::preempt_sub(1);
        if running().preempt_count == 0 && running().requested {
            crate::task::give_way();
        }
    }

    fn preempt_enable_interrupts() {
        Self::interrupts_enable();
        Self::preempt_enable();
    }

    #[inline]
    fn preempt_add(amount: u32) {
        update(|running| running.preempt_count += amount);
    }

    #[inline]
    fn preempt_sub(amount: u32) {
        update(|running| running.preempt_count -= amount);
    }

    #[inline]
    fn preempt_count() -> u32 {
        running().preempt_count
    }

    fn preempt_request() {
        update(|running| running.requested = true);
    }

    fn preempt_clear_request() {
        update(|running| running.requested = false);
    }

    fn preempt_is_requested() -> bool {
        running().requested
    }

    #[inline]
    fn current_task() -> *const Task {
        running().task
    }

    unsafe fn set_current_task(task: *const Task) {
        update(|running| running.task = task);
    }

    fn interrupts_enabled() -> bool {
        running().interrupts
    }

    fn interrupts_disable() -> bool {
        let were_enabled = running().interrupts;
        update(|running| running.interrupts = false);
        were_enabled
    }

    fn interrupts_enable() {
        update(|running| running.interrupts = true);
    }

    fn relax() {
        std::thread::yield_now();
    }

    fn pause_while_u8(_word: &AtomicU8, _value: u8) {
        Self::relax();
    }

    fn pause_while_u32(_word: &AtomicU32, _value: u32) {
        Self::relax();
    }

    fn pause_while_u64(_word: &AtomicU64, _value: u64) {
        Self::relax();
    }

    /// Sleeps until a reschedule request or this CPU's deadline, then delivers the timer interrupt if it is due.
    fn wait_for_interrupt() {
        let signals = &SIGNALS[running().cpu];
        let mut kicked = unpoisoned(&signals.kicked);
        if !*kicked {
            kicked = match time_to_deadline() {
                Some(time) => {
                    signals.bell.wait_timeout(kicked, time).unwrap_or_else(PoisonError::into_inner).0
                }
                None => signals.bell.wait(kicked).unwrap_or_else(PoisonError::into_inner),
            };
        }
        *kicked = false;
        drop(kicked);
        deliver_timer();
        Arch::interrupts_enable();
    }

    fn frame_pointer() -> u64 {
        0
    }

    fn send_reschedule(cpu: usize) {
        if let Some(signals) = SIGNALS.get(cpu) {
            *unpoisoned(&signals.kicked) = true;
            signals.bell.notify_one();
        }
    }
}

fn time_to_deadline() -> Option<Duration> {
    let deadline_ns = running().deadline_ns?;
    Some(Duration::from_nanos(deadline_ns.saturating_sub(super::platform::now_ns())))
}

/// The timer interrupt, if its time has come.
fn deliver_timer() {
    if time_to_deadline() != Some(Duration::ZERO) {
        return;
    }
    update(|running| running.deadline_ns = None);
    preempt::enter_interrupt();
    crate::upcalls::upcalls().timer();
    preempt::leave_interrupt();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_that_run_at_once_are_different_cpus() {
        let here = Arch::id();
        let there = std::thread::spawn(Arch::id).join().unwrap();
        assert_ne!(here, there);
        assert_eq!(here, Arch::id());
    }

    #[test]
    fn a_request_made_before_the_sleep_is_not_lost() {
        Arch::interrupts_disable();
        Arch::send_reschedule(Arch::id());
        Arch::wait_for_interrupt();
        assert!(Arch::interrupts_enabled());
    }
}
