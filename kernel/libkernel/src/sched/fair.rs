//! The fair class: earliest eligible virtual deadline first.
//!
//! Each entity's virtual time `v` is the service that it received, divided by its weight. The queue's own virtual time
//! `V` is the average of all `v`, weighted; an entity's lag is `V - v`: positive, it has received less than its share.
//! Whoever has a lag of zero or more is eligible, and of those the one runs whose request has the earliest virtual
//! deadline, which is `v` at the request's start plus the slice divided by the weight. Lags add up to zero, so somebody
//! is always eligible.
//!
//! `V` is never computed on the way: with `W` the sum of weights and `M` that of `weight * (v - zero)`, an entity is
//! eligible if `(v - zero) * W <= M`. Both sums count queued entities and the running one.
//!
//! An entity that sleeps takes its lag along, bounded by its request, and finds it again when it wakes: sleeping
//! neither earns credit nor erases debt.

use alloc::boxed::Box;

use super::SLICE_NS;
use super::entity::{Entity, Link, Member, QueuePosition, difference};
use super::tree::Tree;

/// The entities of the fair class on one CPU.
#[derive(Debug)]
pub(super) struct Fair<T> {
    pub(super) tree: Tree<T>,
    /// The sum of the weights.
    weight: i64,
    /// The sum of `weight * (vruntime - zero)`.
    moment: i128,
    /// What virtual times are measured from; the virtual time of an empty queue.
    zero: u64,
    next_number: u64,
}

/// A difference of virtual times that [`Fair::leave`] may neglect, in nanoseconds: less than a hundredth of a slice.
const SMALL_LAG: u64 = SLICE_NS / 128;

/// What an entity adds to the queue's moment.
#[inline(always)]
fn moment(weight: u32, distance: i64) -> i128 {
    i128::from(i64::from(weight)) * i128::from(distance)
}

impl<T> Fair<T> {
    pub(super) const fn new() -> Fair<T> {
        Fair { tree: Tree::new(), weight: 0, moment: 0, zero: 0, next_number: 0 }
    }
}

impl<T: Member> Fair<T> {
    /// The sum of the weights of all entities, the running one included.
    #[inline]
    pub(super) fn weight(&self) -> u64 {
        self.weight.cast_unsigned()
    }

    /// The queue's virtual time, from `zero`.
    #[inline]
    fn average(&self) -> i64 {
        let weight = self.weight.max(1);
        match i64::try_from(self.moment) {
            Ok(moment) => moment.div_euclid(weight),
            Err(_) => i64::try_from(self.moment.div_euclid(i128::from(weight))).unwrap_or(i64::MAX),
        }
    }

    /// Whether an entity with this virtual time has received no more than its share.
    #[inline]
    pub(super) fn is_eligible(&self, vruntime: u64) -> bool {
        let product = i128::from(difference(vruntime, self.zero)) * i128::from(self.weight);
        product <= self.moment
    }

    #[inline]
    fn count_in(&mut self, entity: &Entity<T>) {
        self.weight += i64::from(entity.weight);
        let distance = difference(entity.vruntime, self.zero);
        if distance != 0 {
            self.moment += moment(entity.weight, distance);
        }
    }

    /// Counts one entity alone; virtual times are measured from its own.
    #[inline]
    fn count_only(&mut self, weight: u32, vruntime: u64) {
        (self.weight, self.moment, self.zero) = (i64::from(weight), 0, vruntime);
    }

    /// Places an arriving entity by its lag, with a new request. `alone` is the only other entity, if there is but one.
    ///
    /// Its coming moves the average towards it; the lag is stretched by `(W + w) / W`, so that it is what it was
    /// afterwards.
    #[inline(always)]
    pub(super) fn enter(&mut self, entity: &mut Entity<T>, alone: Option<&Entity<T>>) {
        let mut behind = entity.lag;
        if behind != 0 {
            behind += behind * i64::from(entity.weight) / self.weight.max(1);
        }
        let average = match alone {
            Some(alone) => {
                self.count_only(alone.weight, alone.vruntime);
                alone.vruntime
            }
            None if self.weight == 0 => {
                behind = 0;
                self.zero
            }
            None => self.zero.wrapping_add_signed(self.average()),
        };
        entity.vruntime = average.wrapping_add_signed(-behind);
        entity.place.order = entity.vruntime.wrapping_add(entity.request);
        self.count_in(entity);
    }

    /// Undoes [`Fair::leave`].
    pub(super) fn come_back(&mut self, entity: &Entity<T>) {
        self.count_in(entity);
    }

    /// Counts an entity out and notes its lag.
    #[inline]
    pub(super) fn leave(&mut self, entity: &mut Entity<T>) {
        entity.lag = self.lag(entity);
        self.weight -= i64::from(entity.weight);
        self.moment -= moment(entity.weight, difference(entity.vruntime, self.zero));
    }

    /// As [`Fair::leave`], for the running entity. A lag that is small beside a slice is not worth a division where
    /// there is but one other entity: two that wake each other all the time do so in step.
    #[inline(always)]
    pub(super) fn leave_running(&mut self, entity: &mut Entity<T>) {
        let Some(other) = self.tree.only() else {
            if self.tree.len() != 0 {
                return self.leave(entity);
            }
            (self.weight, self.moment, self.zero, entity.lag) = (0, 0, entity.vruntime, 0);
            return;
        };
        let (weight, vruntime) = (other.weight, other.vruntime);
        let is_small = difference(vruntime, entity.vruntime).unsigned_abs() < SMALL_LAG;
        entity.lag = if is_small { 0 } else { self.lag(entity) };
        self.count_only(weight, vruntime);
    }

    /// How far an entity is behind, within its request.
    fn lag(&self, entity: &Entity<T>) -> i64 {
        let bound = entity.request.cast_signed();
        (self.average() - difference(entity.vruntime, self.zero)).clamp(-bound, bound)
    }

    /// Charges the running entity for what it used.
    #[inline(always)]
    pub(super) fn charge(&mut self, running: &mut Entity<T>, used_ns: u64) {
        let used = running.virtual_time(used_ns);
        running.vruntime = running.vruntime.wrapping_add(used);
        self.moment += moment(running.weight, used.cast_signed());
    }

    /// Queues an entity that is counted already.
    #[inline(always)]
    pub(super) fn queue(&mut self, mut entity: Box<Entity<T>>) {
        self.next_number += 2;
        entity.place.number = self.next_number;
        entity.note_place();
        self.tree.insert(entity);
    }

    /// Takes the eligible entity with the earliest deadline, where nobody runs: one there is.
    #[inline(always)]
    pub(super) fn take(&mut self) -> Link<T> {
        self.tree.take_only().or_else(|| self.take_eligible())
    }

    fn take_eligible(&mut self) -> Link<T> {
        let (zero, weight, moment) = (self.zero, i128::from(self.weight), self.moment);
        self.tree.take_first(|vruntime| i128::from(difference(vruntime, zero)) * weight <= moment)
    }

    /// Takes the eligible entity with the earliest deadline, or the earliest deadline of all.
    #[inline(always)]
    pub(super) fn take_another(&mut self) -> Link<T> {
        self.tree.take_only().or_else(|| self.take_eligible()).or_else(|| self.tree.take_first(|_| true))
    }

    /// Whether a request is served in full.
    #[inline]
    pub(super) fn is_served(entity: &Entity<T>) -> bool {
        difference(entity.vruntime, entity.place.order) >= 0
    }

    /// Starts the next request of the running entity if the last one is served; true if somebody who waits should run
    /// now.
    ///
    /// Within its request the running entity gives way to an earlier deadline only: being ahead of its share for less
    /// than a slice is no reason to switch.
    pub(super) fn renew(&self, running: &mut Entity<T>) -> bool {
        let is_served = Self::is_served(running);
        if is_served {
            running.place.order = running.vruntime.wrapping_add(running.request);
        }
        let best = self.tree.first(|vruntime| self.is_eligible(vruntime));
        best.is_some_and(|best| {
            let deadlines = difference(best.place.order, running.place.order);
            deadlines < 0 || is_served && (deadlines == 0 || !self.is_eligible(running.vruntime))
        })
    }

    /// What `sched_yield` means: whoever gives the CPU away forgoes what he was behind, and asks anew.
    #[inline]
    pub(super) fn forgo(&mut self, running: &mut Entity<T>) {
        // Of two, the average lies between.
        let is_behind = match self.tree.only() {
            Some(other) => difference(other.vruntime, running.vruntime) > 0,
            None => self.is_eligible(running.vruntime),
        };
        if is_behind {
            let average = self.zero.wrapping_add_signed(self.average());
            let behind = difference(average, running.vruntime).max(0);
            running.vruntime = running.vruntime.wrapping_add_signed(behind);
            self.moment += moment(running.weight, behind);
        }
        running.place.order = running.vruntime.wrapping_add(running.request);
    }

    /// Forgives the entity that `giver` lets run (`sched_yield`) what it is ahead of him beyond one request: else he
    /// could push it ever further ahead, and it would wait for all of that once he wants the CPU himself. Whoever is
    /// eligible is not that far.
    #[inline]
    pub(super) fn forgive(&mut self, next: &mut Entity<T>, giver: &Entity<T>) {
        let beyond = difference(next.vruntime, giver.vruntime.wrapping_add(next.request));
        if beyond > 0 {
            next.vruntime = next.vruntime.wrapping_add_signed(-beyond);
            next.place.order = next.place.order.wrapping_add_signed(-beyond);
            self.moment -= moment(next.weight, beyond);
        }
    }

    /// Whether one deadline is earlier than another.
    #[inline]
    pub(super) fn is_earlier(&self, one: QueuePosition, other: QueuePosition) -> bool {
        difference(one.order, other.order) < 0
    }
}
