//! The scheduler's policy: which of the tasks of one CPU runs next.
//!
//! A [`Queue`] holds what one CPU has to run, each task as an [`Entity`]. Two classes stand above each other:
//!
//! - Real time (`SCHED_FIFO`, `SCHED_RR`): the highest priority first, in the order of arrival ([`real_time`]).
//! - Fair (`SCHED_OTHER`, `SCHED_BATCH`, `SCHED_IDLE`): earliest eligible virtual deadline first ([`fair`]), after I.
//!   Stoica and H. Abdel-Wahab, "Earliest Eligible Virtual Deadline First", Old Dominion University TR-95-22, 1995.
//!
//! Both keep their entities in one kind of ordered [`tree`], whose nodes are the entities themselves: an entity is
//! allocated with its task and moves between the task, a tree and [`Queue::running`]; nothing is allocated to queue it.
//!
//! Real-time tasks are balanced between CPUs by priority ([`balance`]).
//!
//! Times are nanoseconds of one monotonic clock. Nothing here knows of locks or clocks: the kernel brings the time
//! along.

pub mod balance;
pub mod cpu_set;
pub mod cpu_time;
mod entity;
mod fair;
pub mod halt_poll;
pub mod load_average;
mod parameters;
mod queue;
mod real_time;
#[cfg(test)]
mod tests;
mod tree;

pub use entity::{Entity, Member, QueuePosition};
pub use parameters::{IDLE_WEIGHT, NICE_MAX, NICE_MIN, PRIORITY_MAX, Parameters, Policy, weight_of_nice};
pub use queue::{Arrival, Queue};

/// How long a task of the fair class runs at a stretch while others wait: the length of its request, in nanoseconds.
pub const SLICE_NS: u64 = 4_000_000;
/// How long a `SCHED_RR` task runs while others of its priority wait (Linux: `RR_TIMESLICE`, 100 ms).
pub const ROUND_ROBIN_NS: u64 = 100_000_000;
/// The period over which real time is bounded (Linux: `sched_rt_period_us`).
pub const REAL_TIME_PERIOD_NS: u64 = crate::clock::SECOND_NS;
/// How much of a period real-time tasks get while others wait (Linux: `sched_rt_runtime_us`).
pub const REAL_TIME_BUDGET_NS: u64 = 950_000_000;
