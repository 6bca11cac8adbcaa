//! One CPU's queue of runnable tasks.

use alloc::collections::VecDeque;
use core::sync::atomic::{AtomicUsize, Ordering};

use hal::cpu::MAX_CPUS;
use hal::frame::OutOfMemory;
use hal::sync::{IrqLock, PerCpu};
use hal::task::{self, Runnable};

use super::timer;

/// The queues of all CPUs.
pub(super) static QUEUES: PerCpu<RunQueue> = PerCpu::new([const { RunQueue::new() }; MAX_CPUS]);

/// Tasks that wait for one CPU, in the order of their turns.
pub(super) struct RunQueue {
    /// The length of `ready`, to look at without the lock.
    length: AtomicUsize,
    tasks: IrqLock<Tasks>,
}

struct Tasks {
    ready: VecDeque<Runnable>,
    /// The token of the CPU's idle task while another task runs; `None` while the CPU is idle.
    idle: Option<Runnable>,
}

impl RunQueue {
    const fn new() -> RunQueue {
        RunQueue {
            length: AtomicUsize::new(0),
            tasks: IrqLock::new(Tasks { ready: VecDeque::new(), idle: None }),
        }
    }

    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    #[inline]
    pub(super) fn len(&self) -> usize {
        self.length.load(Ordering::Relaxed)
    }

    /// Queues a task; a running task now has a slice.
    #[inline]
    pub(super) fn push(&self, runnable: Runnable) {
        let mut tasks = self.tasks.lock();
        tasks.ready.push_back(runnable);
        self.length.store(tasks.ready.len(), Ordering::Relaxed);
        let busy = tasks.idle.is_some();
        drop(tasks);
        if busy {
            timer::want_tick();
        }
    }

    /// The task to run in place of one that has blocked; the idle task when nobody waits.
    #[inline]
    pub(super) fn next(&self) -> Runnable {
        let mut tasks = self.tasks.lock();
        let next = tasks.ready.pop_front();
        self.length.store(tasks.ready.len(), Ordering::Relaxed);
        next.unwrap_or_else(|| tasks.idle.take().expect("the idle task waits while another runs"))
    }

    /// Queues the running task, which has yielded, and takes the first of the queue.
    #[inline]
    pub(super) fn exchange(&self, running: Runnable) -> Runnable {
        let mut tasks = self.tasks.lock();
        tasks.ready.push_back(running);
        let next = tasks.ready.pop_front();
        self.length.store(tasks.ready.len(), Ordering::Relaxed);
        next.expect("the running task itself is queued")
    }

    /// Takes the first of the queue in place of the running idle task.
    pub(super) fn leave_idle(&self) -> Option<Runnable> {
        let mut tasks = self.tasks.lock();
        let next = tasks.ready.pop_front()?;
        tasks.idle = Some(task::yield_current());
        let others = tasks.ready.len();
        self.length.store(others, Ordering::Relaxed);
        drop(tasks);
        if others > 0 {
            timer::want_tick();
        }
        Some(next)
    }

    /// Grows to hold `count` tasks. The new memory is taken outside the lock.
    pub(super) fn reserve(&self, count: usize) -> Result<(), OutOfMemory> {
        if self.tasks.lock().ready.capacity() >= count {
            return Ok(());
        }
        let mut larger = VecDeque::new();
        larger.try_reserve(count.saturating_mul(2)).map_err(|_| OutOfMemory)?;
        let mut tasks = self.tasks.lock();
        larger.extend(tasks.ready.drain(..));
        core::mem::swap(&mut tasks.ready, &mut larger);
        drop(tasks);
        Ok(())
    }
}
