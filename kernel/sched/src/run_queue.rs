//! One CPU's queue of tasks: the policy of `libkernel::sched` under a lock.
//!
//! A token of a task that some CPU is still leaving is in that CPU's queue and in no other: so a CPU that picks a task
//! never waits for another CPU to leave it. Hence [`super::placement`] queues a task that is still on its CPU there,
//! thieves leave it alone, and a task that must leave its CPU goes through `leaving`, which the idle task empties.
//!
//! Whether a CPU sleeps is known under its queue's lock alone (`idle` is empty while its idle task runs): who pushes to
//! it sees that, and interrupts it; what the CPU checks last before it sleeps, with interrupts masked, is the length of
//! this queue.

use core::sync::atomic::Ordering::{Relaxed, SeqCst};
use core::sync::atomic::{AtomicU8, AtomicU64, AtomicUsize, fence};

use super::work;
use hal::cpu::MAX_CPUS;
use hal::sync::{IrqGuard, IrqLock, PerCpu, PreemptGuard, preempt};
use hal::task::{self, Runnable};
use libkernel::sched::{Arrival, Parameters, Queue};

use super::arrival::{Comer, Notice, is_allowed, may_move};
use super::{accounts, idle, placement, real_time, timer, watchdog};

/// The queues of all CPUs.
pub(super) static QUEUES: PerCpu<RunQueue> = PerCpu::new([const { RunQueue::new() }; MAX_CPUS]);

/// What one CPU has to run.
pub(super) struct RunQueue {
    /// How many tasks wait, to look at without the lock.
    waiting: AtomicUsize,
    /// The weight of all tasks here, to look at without the lock.
    load: AtomicU64,
    /// The highest real-time priority here, running or waiting; 0 if there is none.
    level: AtomicU8,
    /// The highest that waits here and could run elsewhere; 0 if there is none.
    waiting_level: AtomicU8,
    /// Another CPU wants the running task to give way: a [`Notice`].
    notice: AtomicU8,
    /// Time spent in the idle task until it was last left, in nanoseconds.
    idle_ns: AtomicU64,
    /// Since when the idle task runs; [`BUSY`] while it does not.
    idle_since_ns: AtomicU64,
    /// How often another task was switched to. Counted by the CPU itself.
    switches: AtomicU64,
    inner: IrqLock<Inner>,
}

/// The idle task does not run.
const BUSY: u64 = u64::MAX;

struct Inner {
    queue: Queue<Runnable>,
    /// The token of the CPU's idle task while another task runs; `None` while the CPU is idle.
    idle: Option<Runnable>,
    /// A task that may not run here any more, on its way out.
    leaving: Option<Runnable>,
    /// Before this time no waiting task is given away to even out loads.
    balance_ns: u64,
}

impl Inner {
    /// Charges the running task.
    #[inline(always)]
    fn charge(&mut self, running: &task::Task, now_ns: u64) {
        self.queue.charge(now_ns);
        let total_ns = running.sched.runtime_ns.load(Relaxed).wrapping_add(self.queue.take_used_ns());
        running.sched.runtime_ns.store(total_ns, Relaxed);
    }
}

impl RunQueue {
    const fn new() -> RunQueue {
        let inner = Inner { queue: Queue::new(), idle: None, leaving: None, balance_ns: 0 };
        RunQueue {
            waiting: AtomicUsize::new(0),
            load: AtomicU64::new(0),
            level: AtomicU8::new(0),
            waiting_level: AtomicU8::new(0),
            notice: AtomicU8::new(Notice::None as u8),
            idle_ns: AtomicU64::new(0),
            idle_since_ns: AtomicU64::new(0),
            switches: AtomicU64::new(0),
            inner: IrqLock::new(inner),
        }
    }

    /// How many tasks wait, without the running one.
    #[inline]
    pub(super) fn waiting(&self) -> usize {
        self.waiting.load(Relaxed)
    }

    /// How many tasks wait or run here.
    pub(super) fn runnable(&self) -> usize {
        let inner = self.inner.lock();
        inner.queue.waiting() + usize::from(inner.queue.running().is_some())
    }

    /// The weight of all tasks here.
    pub(super) fn load(&self) -> u64 {
        self.load.load(Relaxed)
    }

    /// Whether another task than the idle task runs.
    pub(super) fn is_busy(&self) -> bool {
        self.idle_since_ns.load(Relaxed) == BUSY
    }

    /// Time spent idle.
    pub(super) fn idle_ns(&self) -> u64 {
        let _inner = self.inner.lock();
        let spell = match self.idle_since_ns.load(Relaxed) {
            BUSY => 0,
            since_ns => hal::time::now_ns().saturating_sub(since_ns),
        };
        self.idle_ns.load(Relaxed) + spell
    }

    /// How often another task was switched to.
    pub(super) fn switches(&self) -> u64 {
        self.switches.load(Relaxed)
    }

    /// The highest real-time priority that runs or waits here; see [`super::real_time`].
    pub(super) fn level(&self) -> u8 {
        self.level.load(Relaxed)
    }

    /// The highest real-time priority that waits here and could run elsewhere.
    pub(super) fn waiting_level(&self) -> u8 {
        self.waiting_level.load(Relaxed)
    }

    /// Lets others see what changed here, on the queue of `cpu`. True if real-time tasks are concerned.
    #[inline(always)]
    fn publish(&self, inner: &Inner, cpu: impl FnOnce() -> usize) -> bool {
        self.waiting.store(inner.queue.waiting(), Relaxed);
        self.load.store(inner.queue.load(), Relaxed);
        self.publish_exchange(inner, cpu)
    }

    /// As [`RunQueue::publish`], where one task has only taken the place of another.
    #[inline(always)]
    fn publish_exchange(&self, inner: &Inner, cpu: impl FnOnce() -> usize) -> bool {
        let concerned = inner.queue.has_real_time() || self.level() != 0;
        if concerned {
            self.publish_levels(inner, cpu());
        }
        concerned
    }

    #[cold]
    fn publish_levels(&self, inner: &Inner, cpu: usize) {
        let others = placement::online() & !(1 << cpu);
        let could_leave = |waiting: &Runnable| waiting.task().sched.allowed.load(Relaxed) & others != 0;
        let (level, waiting_level) = (inner.queue.level(), inner.queue.waiting_level(could_leave));
        self.level.store(level, Relaxed);
        self.waiting_level.store(waiting_level, Relaxed);
        real_time::note(cpu, level, waiting_level);
    }

    /// This CPU has decided to run `next`, which sees to the balance of real-time tasks: then the last task has been
    /// left.
    #[inline(always)]
    fn hand_over(&self, concerned: bool, next: &Runnable) {
        accounts::add(&self.switches, 1);
        if concerned && real_time::any_waits() {
            next.task().work.fetch_or(work::RESCHEDULE, Relaxed);
            preempt::request();
        }
    }

    /// Locks the queue of the executing CPU and charges the running task.
    #[inline(always)]
    fn lock_and_charge(&self) -> (IrqGuard<'_, Inner>, u64) {
        let mut inner = self.inner.lock();
        let now_ns = hal::time::now_ns();
        task::with_current(|task| inner.charge(task, now_ns));
        (inner, now_ns)
    }

    /// Processor time of a task whose queue this is, to this moment; `None` if it has gone to another queue.
    pub(super) fn runtime_ns(&self, cpu: usize, task: &task::Task) -> Option<u64> {
        let mut inner = self.inner.lock();
        if task.sched.queue.load(Relaxed) != cpu as u32 {
            return None;
        }
        if inner.queue.running().is_some_and(|entity| entity.number() == task.sched.number) {
            inner.charge(task, hal::time::now_ns());
        }
        Some(task.sched.runtime_ns.load(Relaxed))
    }

    /// Queues a task on this queue, which is that of `cpu`, and sees to it that the CPU looks. True if real-time tasks
    /// are here.
    #[inline(always)]
    pub(super) fn arrive(&self, cpu: usize, comer: Comer, arrival: Arrival) -> bool {
        let Comer { mut entity, runnable } = comer;
        let mut inner = self.inner.lock();
        let data = &runnable.task().sched;
        if data.queue.load(Relaxed) != cpu as u32 {
            data.queue.store(cpu as u32, Relaxed);
            // Pairs with `settings::locate`: it sees the new queue, or its new settings are seen here.
            fence(SeqCst);
        }
        entity.refresh(data.parameters.load(Relaxed));
        let allowed = data.allowed.load(Relaxed);
        if allowed & 1 << cpu == 0 {
            // It could not be put elsewhere now; it leaves as soon as it runs.
            runnable.task().work.fetch_or(work::RESCHEDULE, Relaxed);
        }
        entity.value = Some(runnable);
        inner.queue.charge(hal::time::now_ns());
        let notice = match inner.queue.arrive(entity, arrival) {
            false => Notice::None,
            true if inner.queue.is_real_time_due() => Notice::Urgent,
            true => Notice::Lazy,
        };
        let is_idle = inner.idle.is_none();
        let concerned = self.publish(&inner, || cpu);
        drop(inner);
        self.alert(cpu, notice, is_idle);
        if !is_idle {
            placement::offer(allowed);
        }
        concerned
    }

    /// Makes `cpu`, whose queue this is, take notice of an arrival.
    #[inline]
    fn alert(&self, cpu: usize, notice: Notice, is_idle: bool) {
        if cpu == hal::cpu::id() {
            if !is_idle {
                notice.give();
                timer::want_tick(cpu);
            }
        } else if is_idle || notice != Notice::None || !timer::is_ticking(cpu) {
            if is_idle {
                return idle::rouse(cpu);
            }
            if notice != Notice::None {
                self.notice.fetch_max(notice as u8, Relaxed);
            }
            hal::cpu::send_reschedule(cpu);
        }
    }

    /// Another CPU has pushed a task here and interrupts. Interrupt context, on this queue's CPU.
    pub(super) fn interrupted(&self) {
        if self.inner.lock().idle.is_none() {
            if watchdog::is_guard(hal::cpu::id()) {
                timer::want_watch();
            }
            return;
        }
        match self.notice.swap(Notice::None as u8, Relaxed) {
            notice if notice == Notice::Urgent as u8 => Notice::Urgent.give(),
            notice if notice == Notice::Lazy as u8 => Notice::Lazy.give(),
            _ => {}
        }
        if self.waiting() != 0 {
            timer::want_tick(hal::cpu::id());
        }
    }

    /// Whether the idle task runs.
    #[cfg(target_os = "linux")]
    pub(super) fn runs_idle_task(&self) -> bool {
        self.inner.lock().queue.running().is_none()
    }

    /// Blocks the running task, which has prepared for it. The task to run instead, or `None` if it was woken
    /// meanwhile.
    #[inline(always)]
    pub(super) fn block(&self, guard: &PreemptGuard) -> Option<Runnable> {
        let (mut inner, now_ns) = self.lock_and_charge();
        let entity = inner.queue.leave().expect("the idle task does not block");
        if let Err(entity) = task::commit_block(entity, guard) {
            inner.queue.come_back(entity);
            return None;
        }
        task::with_current(|task| accounts::add(&task.sched.sleeps, 1));
        Some(self.next(inner, now_ns))
    }

    /// The task to run in place of the running one, which ends.
    pub(super) fn end(&self) -> Runnable {
        let (mut inner, now_ns) = self.lock_and_charge();
        let entity = inner.queue.leave();
        let next = self.next(inner, now_ns);
        drop(entity);
        next
    }

    /// The next task where nobody runs; the idle task if nobody waits.
    #[inline(always)]
    fn next(&self, mut inner: IrqGuard<'_, Inner>, now_ns: u64) -> Runnable {
        let next = inner.queue.pick();
        let next = next.unwrap_or_else(|| self.enter_idle(&mut inner, now_ns));
        self.hand_over(self.publish(&inner, hal::cpu::id), &next);
        next
    }

    /// The token of the idle task.
    fn enter_idle(&self, inner: &mut Inner, now_ns: u64) -> Runnable {
        self.idle_since_ns.store(now_ns, Relaxed);
        inner.idle.take().expect("the idle task waits while another runs")
    }

    /// Lets the running task give way to another, wherever that is: `sched_yield`.
    #[inline]
    pub(super) fn give_way(&self) -> Option<Runnable> {
        let (mut inner, _) = self.lock_and_charge();
        let next = inner.queue.yield_to_another(task::yield_current)?;
        task::with_current(|task| accounts::add(&task.sched.preemptions, 1));
        self.hand_over(self.publish_exchange(&inner, hal::cpu::id), &next);
        Some(next)
    }

    /// The task to run in place of the running one, if its time is up or it may not run here any more.
    pub(super) fn reconsider(&self, cpu: usize) -> Option<Runnable> {
        let (mut inner, now_ns) = self.lock_and_charge();
        preempt::clear_request();
        inner.queue.running()?;
        let next = if task::with_current(|task| is_allowed(task, cpu)) {
            inner.queue.reconsider(task::yield_current)?
        } else {
            self.send_away(&mut inner, now_ns)
        };
        task::with_current(|task| accounts::add(&task.sched.preemptions, 1));
        self.hand_over(self.publish(&inner, hal::cpu::id), &next);
        Some(next)
    }

    /// Takes the running task out; the idle task, which runs next, will find it another CPU.
    fn send_away(&self, inner: &mut Inner, now_ns: u64) -> Runnable {
        let mut runnable = task::yield_current();
        if let Some(entity) = inner.queue.leave() {
            runnable.put_entity(entity);
        }
        inner.leaving = Some(runnable);
        self.enter_idle(inner, now_ns)
    }

    /// The task that left this CPU for another. Called by the idle task.
    pub(super) fn take_leaving(&self) -> Option<Runnable> {
        self.inner.lock().leaving.take()
    }

    /// The task to run in place of the idle task, which is running.
    pub(super) fn leave_idle(&self) -> Option<Runnable> {
        if self.waiting() == 0 {
            return None;
        }
        let (mut inner, now_ns) = self.lock_and_charge();
        let next = inner.queue.pick()?;
        inner.idle = Some(task::yield_current());
        self.hand_over(self.publish(&inner, hal::cpu::id), &next);
        let spell = now_ns.saturating_sub(self.idle_since_ns.swap(BUSY, Relaxed));
        self.idle_ns.store(self.idle_ns.load(Relaxed) + spell, Relaxed);
        drop(inner);
        timer::want_watch();
        timer::want_samples();
        if self.waiting() != 0 {
            timer::want_tick(hal::cpu::id());
        }
        Some(next)
    }

    /// A waiting task for a CPU that has nothing to do.
    pub(super) fn give_to_idle(&self, cpu: usize, thief: usize) -> Option<Comer> {
        let mut inner = self.inner.lock();
        if inner.idle.is_none() && inner.queue.waiting() < 2 {
            // It is about to run here: this CPU is just waking up.
            return None;
        }
        inner.queue.charge(hal::time::now_ns());
        let stolen = inner.queue.steal(|waiting| may_move(waiting.task(), thief))?;
        self.publish(&inner, || cpu);
        drop(inner);
        Comer::moved(stolen)
    }

    /// A waiting task for a CPU with a lower load, if both are the more even for it, and that CPU; see
    /// [`super::placement`]. `target` finds the one with the least load in a mask of CPUs, and that load.
    pub(super) fn give_to_even_out(
        &self,
        target: impl Fn(u64) -> Option<(usize, u64)>,
        rest_ns: u64,
    ) -> Option<(Comer, usize)> {
        let (mut inner, now_ns) = self.lock_and_charge();
        if now_ns < inner.balance_ns {
            return None;
        }
        let own_load = inner.queue.load();
        let mut chosen = 0;
        let stolen = inner.queue.steal(|waiting| {
            let data = &waiting.task().sched;
            let Some((other, other_load)) = target(data.allowed.load(Relaxed)) else { return false };
            chosen = other;
            let weight = u64::from(Parameters::unpack(data.parameters.load(Relaxed)).weight());
            other_load + weight <= own_load
                && may_move(waiting.task(), other)
                && now_ns.saturating_sub(data.moved_ns.load(Relaxed)) > rest_ns + rest_ns / 2
        })?;
        inner.balance_ns = now_ns + rest_ns;
        self.publish(&inner, hal::cpu::id);
        drop(inner);
        let comer = Comer::moved(stolen)?;
        comer.task().sched.moved_ns.store(now_ns, Relaxed);
        Some((comer, chosen))
    }

    /// The highest waiting real-time task that `wanted` accepts, asked with its priority, for another CPU. The queue is
    /// that of `cpu`.
    pub(super) fn give_real_time(
        &self,
        cpu: usize,
        mut wanted: impl FnMut(&task::Task, u8) -> bool,
    ) -> Option<Comer> {
        let mut inner = self.inner.lock();
        inner.queue.charge(hal::time::now_ns());
        let given = inner.queue.take_real_time(|waiting, priority| wanted(waiting.task(), priority))?;
        self.publish(&inner, || cpu);
        drop(inner);
        Comer::moved(given)
    }

    /// Asks `cpu`, whose queue this is, to look once more who should run.
    pub(super) fn ask(&self, cpu: usize) {
        self.alert(cpu, Notice::Urgent, false);
    }

    /// At a tick: asks the running task to give way if its time is up. When to tick next, if somebody waits.
    pub(super) fn tick(&self) -> Option<u64> {
        let (inner, _) = self.lock_and_charge();
        if inner.idle.is_some() && inner.queue.is_time_up() {
            task::add_own_work(work::RESCHEDULE);
        }
        inner.queue.next_tick_ns()
    }

    /// Applies new settings to a task whose queue this is; see [`super::settings`].
    pub(super) fn resettle(&self, cpu: usize, task: &task::Task) -> Resettled {
        let mut inner = self.inner.lock();
        if task.sched.queue.load(Relaxed) != cpu as u32 {
            return Resettled::Elsewhere;
        }
        inner.queue.charge(hal::time::now_ns());
        if inner.queue.running().is_some_and(|entity| entity.number() == task.sched.number) {
            inner.queue.change_running(Parameters::unpack(task.sched.parameters.load(Relaxed)));
            self.publish(&inner, || cpu);
            return Resettled::Running;
        }
        let waiting = inner.queue.remove(task.sched.place(), task.sched.number);
        self.publish(&inner, || cpu);
        drop(inner);
        match waiting.and_then(Comer::moved) {
            Some(comer) => Resettled::Removed(comer),
            None => Resettled::Asleep,
        }
    }
}

/// What [`RunQueue::resettle`] found.
pub(super) enum Resettled {
    /// The task has gone to another queue: try there.
    Elsewhere,
    /// It runs, and has the new parameters.
    Running,
    /// It was waiting, and is to be queued again.
    Removed(Comer),
    /// It is asleep, or on its way: it will come with the new settings.
    Asleep,
}
