//! The kernel's own locks and wait queues, run by `loom` in every order that the memory model allows with two or
//! three forced changes of thread.
//!
//! The code is that of `hal` and `sched`: `build.rs` copies the files and puts `loom`'s atomics in the place of the
//! machine's. What they stand on (the interrupt mask, the running task) is in [`machine`]. Only tests are built:
//! `cargo test -p models`.
#![cfg(test)]
#![allow(dead_code, missing_docs, reason = "the models use less than the kernel does")]

extern crate alloc;
// The files of `sched` say `hal::…`.
extern crate self as hal;

mod machine;
mod models;

use machine::{arch, contract, cpu, list, task};

macro_rules! kernel_file {
    ($visibility:vis mod $name:ident = $file:literal) => {
        $visibility mod $name {
            include!(concat!(env!("OUT_DIR"), "/", $file));
        }
    };
}

pub mod sync {
    //! `hal::sync`.
    kernel_file!(mod gate = "gate.rs");
    kernel_file!(mod irq = "irq.rs");
    kernel_file!(mod once = "once.rs");
    kernel_file!(mod reader_counts = "reader_counts.rs");
    kernel_file!(mod spin = "spin.rs");
    kernel_file!(mod spin_rw = "spin_rw.rs");
    kernel_file!(mod try_lock = "try_lock.rs");
    kernel_file!(mod try_rw_lock = "try_rw_lock.rs");

    use crate::machine::{order, preempt, spin_until};
    pub use gate::{Gate, HandOn};
    pub use irq::{IrqGuard, IrqLock};
    pub use once::Once;
    pub use preempt::assert_may_block;
    pub use spin::{SpinGuard, SpinLock};
    pub use spin_rw::SpinRwLock;
    pub use try_lock::{TryGuard, TryLock};
    pub use try_rw_lock::{TryReadGuard, TryRwLock, TryWriteGuard};
}

pub mod sched {
    //! `sched`, as far as sleeping goes.
    kernel_file!(mod lock_queue = "lock_queue.rs");
    kernel_file!(pub mod mutex = "mutex.rs");
    kernel_file!(pub mod rwlock = "rwlock.rs");
    kernel_file!(pub mod turns = "turns.rs");
    kernel_file!(pub mod wait = "wait.rs");
    kernel_file!(mod waiters = "waiters.rs");

    pub use crate::machine::sched::{block_unless, deadline, timer, wake, work};
    pub use mutex::Mutex;
    pub use rwlock::RwLock;
    pub use turns::Turns;
}
