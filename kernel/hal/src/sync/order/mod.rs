//! The order of locks, watched in builds with debug assertions; in others all of this is nothing.
//!
//! Locks are of one class if they were made at the same place in the source. Each task knows which locks it holds (an
//! interrupt handler's come on top), and "held A, then waited for B" becomes an edge of a graph. What is reported, by a
//! panic that names the places:
//! - a cycle in the graph, before it becomes a deadlock;
//! - a lock taken twice by one task;
//! - waiting for a sleeping lock with a spin lock held;
//! - touching a program's memory, where that may have to wait for a page, with any lock held but those that are made
//!   for it ([`super::TryLock::for_turns`]); waiting for one of these with any other lock held;
//! - a lock that does not mask interrupts, taken by an interrupt handler: at its first use there, whether or not a task
//!   is seen to hold it with interrupts enabled;
//! - such a lock taken under one that interrupt handlers take.
//!
//! Not watched: the order among locks of one class (it is by index or address where two are held at once).
//!
//! Also counts, for each class, how often its locks were taken and how often somebody had to wait: see [`statistics`].
#[cfg(debug_assertions)]
mod checked;
#[cfg(debug_assertions)]
mod report;
#[cfg(not(debug_assertions))]
mod unchecked;

#[cfg(debug_assertions)]
pub use checked::statistics;
#[cfg(debug_assertions)]
pub(super) use checked::{Class, Kind};
#[cfg(debug_assertions)]
pub(crate) use checked::{Held, will_page_in};
#[cfg(not(debug_assertions))]
pub use unchecked::statistics;
#[cfg(not(debug_assertions))]
pub(super) use unchecked::{Class, Kind};
#[cfg(not(debug_assertions))]
pub(crate) use unchecked::{Held, will_page_in};

/// How much the locks of one class were used.
#[derive(Clone, Copy, Debug)]
pub struct ClassStatistics {
    /// Source file where they are made.
    pub file: &'static str,
    /// Line there.
    pub line: u32,
    /// How often one was taken.
    pub acquisitions: u64,
    /// How often one was not free when somebody wanted it.
    pub contentions: u64,
}
