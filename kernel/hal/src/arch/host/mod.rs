//! The machine that is a Linux process: for tests only.
//!
//! A CPU is a baton. Each task is a thread of the host, and of all the threads that belong to one CPU exactly one holds
//! the baton and runs; a task switch hands it on. A thread that was not made as a task (a test's own) becomes a CPU the
//! first time it asks who it is, so tests that run side by side run on different CPUs.
//!
//! Physical memory is an arena on the host's heap, page tables are real ones (x86_64's format), walked in software by
//! the user copies. There is no user mode, and interrupts (the timer and reschedule requests) arrive only when a CPU
//! idles.
mod context;
mod cpu;
mod paging;
mod platform;
mod smp;
mod speculation;
mod user;
mod user_copy;
pub mod vdso;

#[cfg(test)]
pub use paging::{flushed, synchronised};

/// The implementation of every trait in [`crate::contract`].
pub struct Arch;
