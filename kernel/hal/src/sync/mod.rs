//! Spin locks, one-time cells, per-CPU data and the preemption guard.
//!
//! Spin locks turn preemption off ([`SpinLock`]) or interrupts off ([`IrqLock`]); neither may be held across
//! anything that sleeps or faults on user memory, which [`assert_may_block`] checks. A lock that an interrupt
//! handler also takes must be an `IrqLock`.
mod awaited;
mod gate;
mod irq;
mod once;
pub mod order;
mod per_cpu;
pub mod preempt;
mod reader_counts;
mod seat;
mod spin;
mod spin_rw;
mod try_lock;
mod try_rw_lock;

pub use awaited::{Awaited, spin_until};
pub use gate::{Gate, HandOn};
pub use irq::{IrqGuard, IrqLock};
pub use once::Once;
pub use per_cpu::PerCpu;
pub use preempt::{PreemptGuard, assert_may_block};
pub use seat::Seat;
pub use spin::{SpinGuard, SpinLock};
pub use spin_rw::{SpinReadGuard, SpinRwLock, SpinWriteGuard};
pub use try_lock::{TryGuard, TryLock};
pub use try_rw_lock::{TryReadGuard, TryRwLock, TryWriteGuard};
