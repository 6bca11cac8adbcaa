//! The real-time class: the highest priority first, first come first served among equals.
//!
//! So that a task that never sleeps cannot take a CPU for ever, the class gets [`REAL_TIME_BUDGET_NS`] of each
//! [`REAL_TIME_PERIOD_NS`] while others wait, as on Linux; where nobody else waits, it is not bounded.

use alloc::boxed::Box;

use super::entity::{Entity, Link, Member};
use super::parameters::{PRIORITY_MAX, Policy};
use super::tree::Tree;
use super::{REAL_TIME_BUDGET_NS, REAL_TIME_PERIOD_NS, ROUND_ROBIN_NS};

/// The real-time entities of one CPU that wait for it.
#[derive(Debug)]
pub(super) struct RealTime<T> {
    pub(super) tree: Tree<T>,
    /// The number of the last that was queued behind its equals.
    last: u64,
    /// The number of the last that was queued before them.
    first: u64,
    period_start_ns: u64,
    used_ns: u64,
    /// The entities here, the running one included.
    pub(super) count: u64,
}

/// Where an entity is queued among its equals.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// It was interrupted and goes on first.
    First,
    /// It has just come, or had its turn.
    Last,
}

/// The lowest bit of a place's number says that it is in this class's tree.
pub(super) const CLASS_BIT: u64 = 1;

impl<T> RealTime<T> {
    pub(super) const fn new() -> RealTime<T> {
        RealTime {
            tree: Tree::new(),
            last: CLASS_BIT,
            first: CLASS_BIT,
            period_start_ns: 0,
            used_ns: 0,
            count: 0,
        }
    }
}

impl<T: Member> RealTime<T> {
    pub(super) fn queue(&mut self, mut entity: Box<Entity<T>>, end: End) {
        entity.place.order = u64::from(PRIORITY_MAX.saturating_sub(entity.parameters().priority));
        entity.place.number = match end {
            End::First => {
                self.first = self.first.wrapping_sub(2);
                self.first
            }
            End::Last => {
                self.last = self.last.wrapping_add(2);
                self.last
            }
        };
        entity.note_place();
        self.tree.insert(entity);
    }

    pub(super) fn take(&mut self) -> Link<T> {
        self.tree.take_first(|_| true)
    }

    /// The highest priority that waits, or 0.
    pub(super) fn highest(&self) -> u8 {
        self.tree.first(|_| true).map_or(0, |entity| entity.parameters().priority)
    }

    pub(super) fn charge(&mut self, running: &mut Entity<T>, used_ns: u64, now_ns: u64) {
        if now_ns.saturating_sub(self.period_start_ns) >= REAL_TIME_PERIOD_NS {
            (self.period_start_ns, self.used_ns) = (now_ns, 0);
        } else {
            self.used_ns += used_ns;
        }
        if running.parameters().policy == Policy::RoundRobin {
            running.turn_ns = running.turn_ns.saturating_sub(used_ns);
        }
    }

    /// Whether the class has used up its part of the period.
    pub(super) fn is_throttled(&self, now_ns: u64) -> bool {
        self.used_ns >= REAL_TIME_BUDGET_NS && now_ns < self.period_end()
    }

    /// When the present period ends.
    pub(super) fn period_end(&self) -> u64 {
        self.period_start_ns + REAL_TIME_PERIOD_NS
    }

    /// What is left of the budget.
    pub(super) fn budget_left_ns(&self) -> u64 {
        REAL_TIME_BUDGET_NS.saturating_sub(self.used_ns)
    }

    /// Whether a `SCHED_RR` entity has used up its turn.
    pub(super) fn turn_is_over(entity: &Entity<T>) -> bool {
        entity.parameters().policy == Policy::RoundRobin && entity.turn_ns == 0
    }

    pub(super) fn start_turn(entity: &mut Entity<T>) {
        entity.turn_ns = ROUND_ROBIN_NS;
    }
}
