//! What a process and its waited-for children have used: processor time, and what else is counted.

use alloc::sync::Arc;
use core::sync::atomic::{AtomicU64, Ordering};

use hal::task::{self, Task};
use libkernel::sched::cpu_time::{CpuTime, Shown};
use memory::AddressSpace;
use sched::accounts::{self, Mode};

use super::{Process, Thread, cpu_limits};

/// Resources used, as programs see them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Times {
    /// Processor time.
    pub cpu: CpuTime,
    /// Page faults that were served.
    pub faults: u64,
    /// Switches to another task because it slept.
    pub sleeps: u64,
    /// Switches to another task although it did not.
    pub preemptions: u64,
    /// The most pages that were resident at a time, in memory that was left.
    pub peak_pages: u64,
}

/// Resources used, as they are counted.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Counted {
    /// Processor time in nanoseconds.
    runtime_ns: u64,
    /// What part of it was sampled in which mode.
    sampled: CpuTime,
    faults: u64,
    sleeps: u64,
    preemptions: u64,
}

/// What ended threads and children leave behind.
#[derive(Debug, Default)]
pub(super) struct Usage {
    /// Of threads that have ended.
    pub(super) ended_threads: Counted,
    /// Of children that were waited for, with theirs.
    pub(super) children: Times,
    /// The most pages that were resident in memory that the process has left.
    peak_pages: u64,
    shown: Shown,
}

/// A thread's own account.
pub(super) struct Account {
    /// Page faults that were served.
    faults: AtomicU64,
    /// Processor time that was sampled in user mode, in nanoseconds.
    user_ns: AtomicU64,
    /// As `user_ns`, in the kernel. Together they are the time to the last sample.
    system_ns: AtomicU64,
    /// How often the thread had slept when it was last sampled under a real-time policy, and what it had used by then.
    slept: AtomicU64,
    slept_at_ns: AtomicU64,
    /// What was last shown of it. Changed with [`Usage`] locked, as is `ended_at_ns`.
    shown_user_ns: AtomicU64,
    shown_system_ns: AtomicU64,
    /// Processor time in nanoseconds that the thread had used when it ended; [`ALIVE`] before.
    ended_at_ns: AtomicU64,
}

/// The thread has not ended.
const ALIVE: u64 = u64::MAX;

/// The last sample was under another policy.
const NOT_REAL_TIME: u64 = u64::MAX;

impl Account {
    pub(super) const fn new() -> Account {
        Account {
            faults: AtomicU64::new(0),
            user_ns: AtomicU64::new(0),
            system_ns: AtomicU64::new(0),
            slept: AtomicU64::new(NOT_REAL_TIME),
            slept_at_ns: AtomicU64::new(0),
            shown_user_ns: AtomicU64::new(0),
            shown_system_ns: AtomicU64::new(0),
            ended_at_ns: AtomicU64::new(ALIVE),
        }
    }
}

impl Times {
    /// The sum.
    #[must_use]
    pub fn plus(self, other: Times) -> Times {
        Times {
            cpu: self.cpu.plus(other.cpu),
            faults: self.faults.saturating_add(other.faults),
            sleeps: self.sleeps.saturating_add(other.sleeps),
            preemptions: self.preemptions.saturating_add(other.preemptions),
            peak_pages: self.peak_pages.max(other.peak_pages),
        }
    }
}

impl Counted {
    #[inline]
    fn plus(self, other: Counted) -> Counted {
        Counted {
            runtime_ns: self.runtime_ns.wrapping_add(other.runtime_ns),
            sampled: self.sampled.plus(other.sampled),
            faults: self.faults.wrapping_add(other.faults),
            sleeps: self.sleeps.wrapping_add(other.sleeps),
            preemptions: self.preemptions.wrapping_add(other.preemptions),
        }
    }

    fn show(self, shown: &mut Shown) -> Times {
        Times {
            cpu: shown.divide(self.runtime_ns, self.sampled),
            faults: self.faults,
            sleeps: self.sleeps,
            preemptions: self.preemptions,
            peak_pages: 0,
        }
    }
}

impl Usage {
    /// Adds what the running thread has used, which ends.
    #[inline]
    pub(super) fn settle(&mut self, thread: &Thread) {
        let counted = task::with_current(|task| thread.counted_of(task));
        thread.account.ended_at_ns.store(counted.runtime_ns, Ordering::Relaxed);
        self.ended_threads = self.ended_threads.plus(counted);
    }
}

impl Thread {
    /// Counts a page fault of the running thread.
    #[inline]
    pub(super) fn count_fault(&self) {
        accounts::add(&self.account.faults, 1);
    }

    /// What it has used; the account of its process is locked, so that it does not end meanwhile.
    fn counted(&self, _usage: &Usage) -> Counted {
        let ended_at_ns = self.account.ended_at_ns.load(Ordering::Relaxed);
        if ended_at_ns != ALIVE {
            return self.counted_with(ended_at_ns, 0, 0);
        }
        // Without a task it has never run.
        self.task().map_or_else(Counted::default, |task| self.counted_of(&task))
    }

    /// What it has used, whose task this is.
    #[inline]
    fn counted_of(&self, task: &Task) -> Counted {
        let sleeps = task.sched.sleeps.load(Ordering::Relaxed);
        let preemptions = task.sched.preemptions.load(Ordering::Relaxed);
        self.counted_with(sched::runtime_ns(task), sleeps, preemptions)
    }

    #[inline]
    fn counted_with(&self, runtime_ns: u64, sleeps: u64, preemptions: u64) -> Counted {
        Counted {
            runtime_ns,
            sampled: CpuTime {
                user_ns: self.account.user_ns.load(Ordering::Relaxed),
                system_ns: self.account.system_ns.load(Ordering::Relaxed),
            },
            faults: self.account.faults.load(Ordering::Relaxed),
            sleeps,
            preemptions,
        }
    }

    /// Whether it has ended.
    pub fn has_ended(&self) -> bool {
        self.account.ended_at_ns.load(Ordering::Relaxed) != ALIVE
    }

    /// What the thread has used.
    pub fn times(&self) -> Times {
        let usage = self.process().usage.lock();
        let (user_ns, system_ns) = (&self.account.shown_user_ns, &self.account.shown_system_ns);
        let last = CpuTime {
            user_ns: user_ns.load(Ordering::Relaxed),
            system_ns: system_ns.load(Ordering::Relaxed),
        };
        let times = self.counted(&usage).show(&mut Shown::after(last));
        user_ns.store(times.cpu.user_ns, Ordering::Relaxed);
        system_ns.store(times.cpu.system_ns, Ordering::Relaxed);
        times
    }

    /// Processor time in nanoseconds.
    pub fn runtime_ns(&self) -> u64 {
        self.counted(&self.process().usage.lock()).runtime_ns
    }

    /// How long the running thread has run under a real-time policy without a sleep, as far as samples show.
    fn awake_ns(&self, sleeps: u64, runtime_ns: u64) -> u64 {
        if self.account.slept.load(Ordering::Relaxed) != sleeps {
            self.account.slept.store(sleeps, Ordering::Relaxed);
            self.account.slept_at_ns.store(runtime_ns, Ordering::Relaxed);
        }
        runtime_ns.saturating_sub(self.account.slept_at_ns.load(Ordering::Relaxed))
    }

    /// The tick has met the running thread in user mode, or not.
    #[cold]
    pub(super) fn sample(&self, in_user_mode: bool) {
        task::take_own_work(sched::work::SAMPLE);
        task::with_current(|task| self.sample_task(task, in_user_mode));
    }

    fn sample_task(&self, task: &Task, in_user_mode: bool) {
        let (user_ns, system_ns) = (&self.account.user_ns, &self.account.system_ns);
        let before_ns = user_ns.load(Ordering::Relaxed) + system_ns.load(Ordering::Relaxed);
        let runtime_ns = sched::runtime_ns(task);
        let sum = if in_user_mode { user_ns } else { system_ns };
        accounts::add(sum, runtime_ns.saturating_sub(before_ns));
        let parameters = sched::settings::parameters(task);
        accounts::charge(match in_user_mode {
            false => Mode::System,
            true if parameters.nice > 0 => Mode::Nice,
            true => Mode::User,
        });
        if parameters.effective().is_real_time() {
            let sleeps = task.sched.sleeps.load(Ordering::Relaxed);
            cpu_limits::limit_real_time(self, self.awake_ns(sleeps, runtime_ns));
        } else {
            self.account.slept.store(NOT_REAL_TIME, Ordering::Relaxed);
        }
        cpu_limits::attend(self);
    }
}

impl Process {
    /// What all threads have used, living and ended.
    pub fn times(&self) -> Times {
        let mut usage = self.usage.lock();
        let counted = self.sum(&usage);
        Times { peak_pages: usage.peak_pages, ..counted.show(&mut usage.shown) }
    }

    /// Processor time of all threads in nanoseconds.
    pub fn runtime_ns(&self) -> u64 {
        self.sum(&self.usage.lock()).runtime_ns
    }

    fn sum(&self, usage: &Usage) -> Counted {
        let mut sum = usage.ended_threads;
        self.each_thread(|thread| sum = sum.plus(thread.counted(usage)));
        sum
    }

    /// The most pages that were resident at a time, in the memory that it has and what it had before `execve`.
    pub fn peak_pages(&self) -> u64 {
        let now = self.address_space().map_or(0, |space| space.peak_resident_pages());
        self.usage.lock().peak_pages.max(now)
    }

    /// The process leaves this memory. What others go on using is not counted for one that borrowed it: that would mean
    /// looking at all of a large parent's tables for each `vfork`.
    pub(super) fn keep_peak(&self, left: &Arc<AddressSpace>) {
        if Arc::strong_count(left) == 1 {
            let pages = left.peak_resident_pages();
            let mut usage = self.usage.lock();
            usage.peak_pages = usage.peak_pages.max(pages);
        }
    }

    /// What waited-for children have used.
    pub fn children_times(&self) -> Times {
        self.usage.lock().children
    }
}
