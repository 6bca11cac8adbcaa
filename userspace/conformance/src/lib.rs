//! What the conformance programs share.
//!
//! Each program in `bin/` covers one area of Linux's behaviour with a list of tests, which pass on Linux first. Every
//! test runs in a process of its own, under a time limit, so that one that crashes or hangs does not hide the others.
//! See [`harness`].
#![no_std]

extern crate alloc;

pub mod arch;
pub mod attempt;
pub mod capabilities;
pub mod child;
pub mod fault;
pub mod files;
pub mod handler;
pub mod harness;
pub mod mount_step;
pub mod mount_table;
pub mod processor_time;
pub mod raw;
pub mod scratch;

pub use harness::{Failure, Outcome, Test, main};
