//! What one CPU has to run: both classes, and the entity that is running.

use alloc::boxed::Box;

use super::entity::{Entity, Link, Member, QueuePosition};
use super::fair::Fair;
use super::parameters::{Parameters, Policy};
use super::real_time::{CLASS_BIT, End, RealTime};
use super::{SLICE_NS, balance};

/// How many waiting entities of a class a thief looks at.
const STEAL_TRIES: usize = 8;
/// The least time between two ticks.
const TICK_MIN_NS: u64 = 250_000;
/// What a real-time entity adds to the load of its CPU.
const REAL_TIME_LOAD: u64 = 2048;

/// Why an entity comes to a queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrival {
    /// It is new, or comes from another queue.
    Placed,
    /// It was asleep.
    Woken,
}

/// The entities of one CPU. `T` is what the kernel knows a task by.
///
/// Call [`Queue::charge`] before anything that decides or that places entities: virtual times are as of then.
#[derive(Debug)]
pub struct Queue<T> {
    fair: Fair<T>,
    real_time: RealTime<T>,
    running: Link<T>,
    /// When [`Queue::charge`] was last called.
    now_ns: u64,
    /// What was charged and not yet asked for.
    used_ns: u64,
}

impl<T> Queue<T> {
    /// A queue with nothing to run.
    pub const fn new() -> Queue<T> {
        Queue { fair: Fair::new(), real_time: RealTime::new(), running: None, now_ns: 0, used_ns: 0 }
    }
}

impl<T: Member> Queue<T> {
    /// How many entities wait, the running one not counted.
    #[inline]
    pub fn waiting(&self) -> usize {
        self.fair.tree.len() + self.real_time.tree.len()
    }

    /// The weight of everything here, the running entity included.
    #[inline]
    pub fn load(&self) -> u64 {
        self.fair.weight() + self.real_time.count * REAL_TIME_LOAD
    }

    /// The running entity.
    #[inline]
    pub fn running(&self) -> Option<&Entity<T>> {
        self.running.as_deref()
    }

    /// Charges the running entity up to now.
    #[inline(always)]
    pub fn charge(&mut self, now_ns: u64) {
        let used_ns = now_ns.saturating_sub(self.now_ns);
        self.now_ns += used_ns;
        self.used_ns += used_ns;
        if let Some(running) = &mut self.running {
            if running.is_real_time {
                self.real_time.charge(running, used_ns, now_ns);
            } else {
                self.fair.charge(running, used_ns);
            }
        }
    }

    /// The time that was charged since the last call of this. Ask before somebody else runs.
    #[inline]
    pub fn take_used_ns(&mut self) -> u64 {
        core::mem::take(&mut self.used_ns)
    }

    /// Queues an entity; true if it should run in place of the running one at once.
    #[inline(always)]
    pub fn arrive(&mut self, mut entity: Box<Entity<T>>, arrival: Arrival) -> bool {
        if entity.is_real_time {
            return self.arrive_in_real_time(entity);
        }
        let Some(running) = self.running.as_deref().filter(|running| !running.is_real_time) else {
            return self.arrive_where_no_fair_runs(entity);
        };
        self.fair.enter(&mut entity, Some(running).filter(|_| self.fair.tree.len() == 0));
        let preempts = arrival == Arrival::Woken && self.preempts(&entity, running);
        self.fair.queue(entity);
        preempts
    }

    fn arrive_where_no_fair_runs(&mut self, mut entity: Box<Entity<T>>) -> bool {
        self.fair.enter(&mut entity, None);
        self.fair.queue(entity);
        self.running.is_none() || self.real_time.is_throttled(self.now_ns)
    }

    #[cold]
    fn arrive_in_real_time(&mut self, entity: Box<Entity<T>>) -> bool {
        let preempts = match &self.running {
            Some(running) if running.is_real_time => {
                entity.parameters().priority > running.parameters().priority
            }
            Some(_) => !self.real_time.is_throttled(self.now_ns),
            None => true,
        };
        self.real_time.count += 1;
        self.real_time.queue(entity, End::Last);
        preempts
    }

    /// Whether a woken fair entity takes the CPU from the running one.
    #[inline]
    fn preempts(&self, woken: &Entity<T>, running: &Entity<T>) -> bool {
        if !self.fair.is_earlier(woken.place, running.place) || !self.fair.is_eligible(woken.vruntime) {
            return false;
        }
        !matches!(woken.parameters().policy, Policy::Batch | Policy::Idle)
    }

    /// Takes the running entity out: it is about to sleep or end.
    #[inline(always)]
    pub fn leave(&mut self) -> Link<T> {
        let mut entity = self.running.take()?;
        if entity.is_real_time {
            self.real_time.count -= 1;
        } else {
            self.fair.leave_running(&mut entity);
        }
        Some(entity)
    }

    /// Undoes [`Queue::leave`], if nothing was called in between.
    pub fn come_back(&mut self, entity: Box<Entity<T>>) {
        if entity.is_real_time {
            self.real_time.count += 1;
        } else {
            self.fair.come_back(&entity);
        }
        self.running = Some(entity);
    }

    /// Chooses whom to run where nobody runs. `None` if nobody waits.
    #[inline(always)]
    pub fn pick(&mut self) -> Option<T> {
        let mut next = if self.real_time_may_run() { self.real_time.take() } else { self.fair.take() }?;
        let value = next.value.take();
        // Nobody runs: nothing is dropped, and the compiler need not ask.
        core::mem::forget(self.running.replace(next));
        value
    }

    /// Whether a waiting real-time entity comes before all fair ones.
    #[inline]
    fn real_time_may_run(&self) -> bool {
        self.real_time.tree.len() != 0
            && (self.fair.tree.len() == 0 || !self.real_time.is_throttled(self.now_ns))
    }

    /// Lets somebody run who should in place of the running entity, if there is one. `value` makes what the running
    /// entity is queued with.
    pub fn reconsider(&mut self, value: impl FnOnce() -> T) -> Option<T> {
        let running = self.running.as_mut()?;
        let end = if running.is_real_time {
            self.real_time_gives_way()?
        } else {
            let is_better = self.fair.renew(running);
            if !is_better && !self.real_time_may_run() {
                return None;
            }
            End::Last
        };
        self.put_back(value, end);
        self.pick()
    }

    /// Whether the running real-time entity must let another run, and where it waits then.
    fn real_time_gives_way(&mut self) -> Option<End> {
        let running = self.running.as_mut()?;
        let (own, waiting) = (running.parameters().priority, self.real_time.highest());
        if RealTime::turn_is_over(running) {
            RealTime::start_turn(running);
            if waiting >= own {
                return Some(End::Last);
            }
        }
        let throttled = self.fair.tree.len() != 0 && self.real_time.is_throttled(self.now_ns);
        (waiting > own || throttled).then_some(End::First)
    }

    /// Lets somebody else run, if anybody of the same class or a higher one waits (`sched_yield`).
    #[inline(always)]
    pub fn yield_to_another(&mut self, value: impl FnOnce() -> T) -> Option<T> {
        let real_time_waits = self.real_time_may_run();
        let running = self.running.as_mut()?;
        if running.is_real_time || real_time_waits {
            return self.yield_in_real_time(value);
        }
        self.fair.forgo(running);
        let mut next = self.fair.take_another()?;
        self.fair.forgive(&mut next, running);
        let next_value = next.value.take();
        let mut previous = core::mem::replace(running, next);
        // Who runs has no value: nothing is dropped, and the compiler need not ask.
        core::mem::forget(previous.value.replace(value()));
        self.fair.queue(previous);
        next_value
    }

    #[cold]
    fn yield_in_real_time(&mut self, value: impl FnOnce() -> T) -> Option<T> {
        let running = self.running.as_ref()?;
        if running.is_real_time && self.real_time.highest() < running.parameters().priority {
            return self.reconsider(value);
        }
        self.put_back(value, End::Last);
        self.pick()
    }

    /// Queues the running entity.
    #[inline]
    fn put_back(&mut self, value: impl FnOnce() -> T, end: End) {
        let Some(mut entity) = self.running.take() else { return };
        entity.value = Some(value());
        if entity.is_real_time {
            self.real_time.queue(entity, end);
        } else {
            self.fair.queue(entity);
        }
    }

    /// Whether the running entity's time is up while others wait.
    pub fn is_time_up(&self) -> bool {
        let Some(running) = &self.running else { return self.waiting() != 0 };
        if self.waiting() == 0 {
            return false;
        }
        if running.is_real_time {
            let throttled = self.fair.tree.len() != 0 && self.real_time.is_throttled(self.now_ns);
            return throttled || RealTime::turn_is_over(running);
        }
        self.real_time_may_run() || Fair::is_served(running)
    }

    /// When [`Queue::is_time_up`] is worth asking next; `None` while nobody waits.
    pub fn next_tick_ns(&self) -> Option<u64> {
        let running = self.running.as_ref().filter(|_| self.waiting() != 0)?;
        let mut left_ns = SLICE_NS;
        if running.is_real_time {
            left_ns = self.real_time.budget_left_ns().max(SLICE_NS);
            if running.parameters().policy == Policy::RoundRobin {
                left_ns = left_ns.min(running.turn_ns);
            }
        } else if !Fair::is_served(running) {
            left_ns = running.real_time(running.place.order.wrapping_sub(running.vruntime)).min(SLICE_NS);
            if self.real_time.tree.len() != 0 {
                left_ns = left_ns.min(self.real_time.period_end().saturating_sub(self.now_ns));
            }
        }
        Some(self.now_ns + left_ns.max(TICK_MIN_NS))
    }

    /// Takes the entity with this number out, if it waits at this place.
    pub fn remove(&mut self, place: QueuePosition, number: u32) -> Link<T> {
        let is_real_time = place.number & CLASS_BIT != 0;
        let tree = if is_real_time { &mut self.real_time.tree } else { &mut self.fair.tree };
        tree.get(place).filter(|entity| entity.number() == number)?;
        let mut entity = tree.take(place)?;
        if is_real_time {
            self.real_time.count -= 1;
        } else {
            self.fair.leave(&mut entity);
        }
        Some(entity)
    }

    /// Takes a waiting entity that `wanted` accepts, for another CPU. Looks at a few only, and at those of the
    /// real-time class only if the class is held back: else they are balanced by priority ([`Queue::take_real_time`]).
    pub fn steal(&mut self, mut wanted: impl FnMut(&T) -> bool) -> Link<T> {
        let mut wanted = |entity: &Entity<T>| entity.value.as_ref().is_some_and(&mut wanted);
        let held_back =
            if self.is_held_back() { self.real_time.tree.find(STEAL_TRIES, &mut wanted) } else { None };
        let found = held_back.or_else(|| self.fair.tree.find(STEAL_TRIES, &mut wanted))?;
        let (place, number) = (found.place, found.number());
        self.remove(place, number)
    }

    /// Whether a real-time entity is here.
    #[inline]
    pub fn has_real_time(&self) -> bool {
        self.real_time.count != 0
    }

    /// The highest real-time priority that runs or waits here; 0 if there is none.
    pub fn level(&self) -> u8 {
        self.running_priority().max(self.real_time.highest())
    }

    fn running_priority(&self) -> u8 {
        self.running.as_ref().map_or(0, |running| running.parameters().real_time_priority())
    }

    /// Whether waiting real-time entities wait for the next period.
    fn is_held_back(&self) -> bool {
        let fair_runs = self.running.as_ref().is_some_and(|running| !running.is_real_time);
        (fair_runs || self.fair.tree.len() != 0) && self.real_time.is_throttled(self.now_ns)
    }

    /// Whether a real-time entity waits that comes before the running one, and may.
    #[inline]
    pub fn is_real_time_due(&self) -> bool {
        self.has_real_time() && self.first_is_due()
    }

    #[cold]
    fn first_is_due(&self) -> bool {
        self.real_time.highest() > self.running_priority() && !self.is_held_back()
    }

    /// The first waiting real-time entity that `wanted` accepts, but for one that is about to run here.
    fn find_real_time(&self, wanted: &mut impl FnMut(&Entity<T>) -> bool) -> Option<&Entity<T>> {
        if self.is_held_back() {
            return None;
        }
        let mut is_due = self.is_real_time_due();
        self.real_time
            .tree
            .find(balance::TRIES, &mut |entity| !core::mem::take(&mut is_due) && wanted(entity))
    }

    /// The highest priority of the real-time entities that wait here while `may_leave` says that they could run
    /// elsewhere; 0 if there is none. One that is about to run here does not count.
    pub fn waiting_level(&self, mut may_leave: impl FnMut(&T) -> bool) -> u8 {
        let mut wanted = |entity: &Entity<T>| entity.value.as_ref().is_some_and(&mut may_leave);
        self.find_real_time(&mut wanted).map_or(0, |entity| entity.parameters().priority)
    }

    /// Takes the highest of the real-time entities that [`Queue::waiting_level`] counts and `wanted` accepts, which is
    /// asked with the priority.
    pub fn take_real_time(&mut self, mut wanted: impl FnMut(&T, u8) -> bool) -> Link<T> {
        let mut wanted = |entity: &Entity<T>| {
            entity.value.as_ref().is_some_and(|value| wanted(value, entity.parameters().priority))
        };
        let found = self.find_real_time(&mut wanted)?;
        let (place, number) = (found.place, found.number());
        self.remove(place, number)
    }

    /// Gives the running entity other parameters.
    pub fn change_running(&mut self, parameters: Parameters) {
        let Some(mut entity) = self.leave() else { return };
        entity.apply(parameters);
        if entity.is_real_time {
            self.real_time.count += 1;
        } else {
            self.fair.enter(&mut entity, None);
        }
        self.running = Some(entity);
    }
}
