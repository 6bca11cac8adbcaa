//! The bits of a task's work word: why its thread shall come out of user mode.
//!
//! Who makes work sets the bit with `Task::set_work`, which interrupts the CPU that runs the task, and then wakes the
//! task where it may sleep. The thread's loop looks at the word before it enters user mode.

use hal::task;
pub use hal::user::work::RESCHEDULE;

/// A signal may be deliverable. Ends interruptible waits.
pub const SIGNAL: u32 = 1 << 8;
/// The thread must end. Ends killable waits.
pub const KILL: u32 = 1 << 9;
/// The signal mask that `rt_sigsuspend`, `ppoll` and `pselect6` have replaced is to be restored.
pub const RESTORE_MASK: u32 = 1 << 10;
/// The watchdog has seen the task in the kernel since it last left it.
pub const WATCHED: u32 = 1 << 12;
/// The tick has met the task: it is to note in which mode, and what that makes due.
pub const SAMPLE: u32 = 1 << 13;
/// The process of the task's thread is to stop, because of a signal. Ends interruptible waits.
pub const STOP: u32 = 1 << 11;
/// Whatever ends interruptible waits.
pub const INTERRUPTING: u32 = SIGNAL | KILL | STOP;

/// Whether a signal waits for the running task's thread, or its process is to stop, so that long work should end.
#[inline]
pub fn signal_is_pending() -> bool {
    task::own_work() & INTERRUPTING != 0
}

/// Whether the running task's thread is to end: long loops look.
pub fn must_end() -> bool {
    task::own_work() & KILL != 0
}
