//! One schedulable task, as the policy sees it.

use alloc::boxed::Box;

use super::parameters::Parameters;
use super::{ROUND_ROBIN_NS, SLICE_NS};

/// A subtree.
pub(super) type Link<T> = Option<Box<Entity<T>>>;

/// Where an entity stands in its tree: by `order`, then by arrival. Names a queued entity; see
/// [`super::Queue::remove`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QueuePosition {
    /// Virtual deadline, or 99 - priority. Wraps: the smaller of two is the one that is behind the other.
    pub order: u64,
    /// Among equals, the smaller number came first.
    pub number: u64,
}

impl QueuePosition {
    /// Whether it comes before `other`.
    #[inline]
    pub(super) fn is_before(self, other: QueuePosition) -> bool {
        match difference(self.order, other.order) {
            0 => difference(self.number, other.number) < 0,
            difference => difference < 0,
        }
    }
}

/// `a - b` for two points that are less than half the range apart.
#[inline]
pub(super) fn difference(a: u64, b: u64) -> i64 {
    a.wrapping_sub(b).cast_signed()
}

/// What the kernel knows a queued task by.
pub trait Member {
    /// The task waits at this place from now on.
    fn note_place(&self, place: QueuePosition);
}

/// A task in the eyes of the policy, and a node of its tree. `T` is what the kernel knows it by; `None` while the task
/// runs.
#[derive(Debug)]
pub struct Entity<T> {
    /// The task, or its permission to run.
    pub value: Option<T>,
    number: u32,
    pub(super) place: QueuePosition,
    /// Service received, in nanoseconds of a task with weight 1024.
    pub(super) vruntime: u64,
    /// The smallest `vruntime` of the subtree.
    pub(super) least: u64,
    pub(super) left: Link<T>,
    pub(super) right: Link<T>,
    /// The node's random height in the treap.
    /// Given by each tree that it comes into.
    pub(super) rank: u32,
    parameters: u32,
    pub(super) is_real_time: bool,
    pub(super) weight: u32,
    /// 1024 / weight, with 32 binary places.
    inverse: u64,
    /// The virtual length of a slice.
    pub(super) request: u64,
    /// Virtual time by which the task was behind (positive) or ahead when it left its queue.
    pub(super) lag: i64,
    /// What is left of a `SCHED_RR` slice, in nanoseconds.
    pub(super) turn_ns: u64,
}

impl<T> Entity<T> {
    /// An entity that is in no queue.
    pub fn new(parameters: Parameters, number: u32) -> Box<Entity<T>> {
        let mut entity = Box::new(Entity {
            value: None,
            number,
            place: QueuePosition::default(),
            vruntime: 0,
            least: 0,
            left: None,
            right: None,
            rank: 0,
            parameters: 0,
            is_real_time: false,
            weight: 1,
            inverse: 0,
            request: 0,
            lag: 0,
            turn_ns: ROUND_ROBIN_NS,
        });
        entity.apply(parameters);
        entity
    }

    /// The number it was made with.
    #[inline]
    pub fn number(&self) -> u32 {
        self.number
    }

    /// What it goes by: what it was given last, or is boosted to.
    pub fn parameters(&self) -> Parameters {
        Parameters::unpack(self.parameters).effective()
    }

    /// Takes over what [`Parameters::pack`] made, if it is news. The entity is in no queue.
    #[inline(always)]
    pub fn refresh(&mut self, packed: u32) {
        if self.parameters != packed {
            self.apply_packed(packed);
        }
    }

    #[cold]
    fn apply_packed(&mut self, packed: u32) {
        self.apply(Parameters::unpack(packed));
    }

    /// Where it stands, while it is queued.
    #[inline]
    pub fn place(&self) -> QueuePosition {
        self.place
    }

    #[inline]
    pub(super) fn is_above(&self, other: &Entity<T>) -> bool {
        self.rank > other.rank
    }

    /// Takes parameters over; the entity is in no queue. The lag keeps its worth in real time.
    pub(super) fn apply(&mut self, parameters: Parameters) {
        let weight = parameters.weight();
        self.lag = self.lag.saturating_mul(i64::from(self.weight)) / i64::from(weight);
        self.parameters = parameters.pack();
        self.is_real_time = parameters.effective().is_real_time();
        self.weight = weight;
        self.inverse = (1024 << 32) / u64::from(weight);
        self.request = self.virtual_time(SLICE_NS);
    }

    /// How far real time of this task moves its virtual time.
    #[inline]
    #[allow(clippy::cast_possible_truncation, reason = "582 years of nanoseconds at most")]
    pub(super) fn virtual_time(&self, ns: u64) -> u64 {
        ((u128::from(ns) * u128::from(self.inverse)) >> 32) as u64
    }

    /// How much real time of this task moves its virtual time so far.
    pub(super) fn real_time(&self, virtual_ns: u64) -> u64 {
        virtual_ns.saturating_mul(u64::from(self.weight)) / 1024
    }

    /// Recomputes what the node says of its subtree.
    #[inline]
    pub(super) fn update(&mut self) {
        let mut least = self.vruntime;
        for child in [&self.left, &self.right].into_iter().flatten() {
            if difference(child.least, least) < 0 {
                least = child.least;
            }
        }
        self.least = least;
    }
}

impl<T: Member> Entity<T> {
    #[inline]
    pub(super) fn note_place(&self) {
        if let Some(value) = &self.value {
            value.note_place(self.place);
        }
    }
}
