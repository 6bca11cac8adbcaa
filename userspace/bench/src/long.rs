//! What one operation costs beside many of its kind: a list whose length a program chooses shall not be walked.
//!
//! One file for each part of the kernel; each row says how many there are beside it. `cargo xtask bench --long` runs
//! them.

mod areas;
mod descriptors;
mod epoll;
mod generated;
mod locks;
mod names;
mod processes;
mod time;

use crate::Operation;

/// How many there are, where a row says nothing else.
pub const MANY: usize = 10_000;

/// The rows of the table, in its order.
pub const OPERATIONS: &[&[(&str, Operation)]] = &[
    areas::OPERATIONS,
    generated::OPERATIONS,
    locks::OPERATIONS,
    names::OPERATIONS,
    descriptors::OPERATIONS,
    processes::OPERATIONS,
    epoll::OPERATIONS,
    time::OPERATIONS,
];
