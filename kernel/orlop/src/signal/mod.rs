//! Signals: what is pending, what a process does about it, and how a handler is entered and left.
//!
//! - [`pending`] holds signals that were sent and not yet delivered, of a thread or of a whole process.
//! - [`action`] holds what a process does at each signal.
//! - [`send`] is how anybody sends one; [`stop`] is job control; [`deliver`] runs in the thread's own loop, on its way
//!   to user mode.
//! - [`frame`] enters a handler and comes back from it.
//!
//! Lock order: process table → [`ProcessSignals::shared`] → [`ThreadSignals::pending`] → action table. Signals are sent
//! by threads, never by interrupt handlers.

pub mod action;
pub mod deliver;
pub mod fatal;
pub mod frame;
pub mod mask;
pub mod pending;
pub mod recipient;
pub mod send;
pub mod stop;

use alloc::sync::Arc;
use core::sync::atomic::{AtomicBool, AtomicU64};

use abi::process::WaitStatus;
use abi::signal::{SS_DISABLE, StackT};
use hal::sync::SpinLock;
use libkernel::arch::native::signal_frame::FaultRecord;
use sched::wait::WaitQueue;

pub use abi::signal::SigInfo;
pub use libkernel::signal_set::{DefaultAction, Signal, SignalSet};

use crate::core_dump::gathering::Gathering;
use action::Actions;
use pending::Pending;

/// The signal side of a process.
pub struct ProcessSignals {
    /// What is pending for the process as a whole, and its stop and end.
    pub(crate) shared: SpinLock<Shared>,
    /// What it does at each signal; shared by `CLONE_SIGHAND`.
    pub(crate) actions: SpinLock<Arc<Actions>>,
    /// Where its threads sleep while it is stopped.
    pub(crate) continued: WaitQueue,
}

/// What the threads of a process have in common, under one lock.
pub(crate) struct Shared {
    pub(crate) pending: Pending,
    /// The stop of the process, from its beginning to its end.
    pub(crate) stopped: Option<stop::Stop>,
    /// Whether SIGCONT has ended a stop, and that is not noted yet.
    pub(crate) was_continued: bool,
    /// Set once the process is to end; every thread leaves.
    pub(crate) ending: Option<WaitStatus>,
    /// The status with which the leader called `exit`; the process ends with it when the others have ended too.
    pub(crate) leader_status: Option<WaitStatus>,
    /// Set while the process is dumped; it is to end then, too.
    pub(crate) dump: Option<Arc<Gathering>>,
    /// Whether a thread is in `execve` and the others are leaving.
    pub(crate) executing: bool,
    /// Whether only deliberate force ends it: the first process.
    pub(crate) protected: bool,
}

impl ProcessSignals {
    /// No signal pending, and these actions.
    pub fn new(actions: Arc<Actions>) -> ProcessSignals {
        ProcessSignals {
            shared: SpinLock::new(Shared {
                pending: Pending::new(),
                stopped: None,
                was_continued: false,
                ending: None,
                dump: None,
                leader_status: None,
                executing: false,
                protected: false,
            }),
            actions: SpinLock::new(actions),
            continued: WaitQueue::new(),
        }
    }
}

/// The signal side of a thread.
pub struct ThreadSignals {
    /// What is pending for this thread alone.
    pub(crate) pending: SpinLock<Pending>,
    /// Blocked signals; written by the thread itself.
    pub(crate) mask: AtomicU64,
    /// Blocked signals that `rt_sigtimedwait` waits for: they are told of, whatever their action.
    pub(crate) awaited: AtomicU64,
    /// The mask to come back to after `rt_sigsuspend` and the like; counts while `work::RESTORE_MASK` is set.
    pub(crate) saved_mask: AtomicU64,
    /// Whether it has taken a stop signal since the last SIGCONT: written under the lock of the queue from which it was
    /// taken, and cleared under the process's.
    pub(crate) has_taken_stop: AtomicBool,
    /// The number of the last stop in which it stood still; under the process's lock.
    pub(crate) stop: AtomicU64,
    /// The alternate stack; the thread's own.
    pub(crate) stack: SpinLock<StackT>,
    /// The last fault, which signal frames show.
    pub(crate) fault: SpinLock<FaultRecord>,
}

/// No alternate stack.
pub const NO_STACK: StackT = StackT { ss_sp: 0, ss_flags: SS_DISABLE, pad: 0, ss_size: 0 };

impl ThreadSignals {
    /// Nothing pending, and this mask.
    #[inline]
    pub fn new(mask: SignalSet, stack: StackT) -> ThreadSignals {
        ThreadSignals {
            pending: SpinLock::new(Pending::new()),
            mask: AtomicU64::new(mask.bits()),
            awaited: AtomicU64::new(0),
            saved_mask: AtomicU64::new(0),
            has_taken_stop: AtomicBool::new(false),
            stop: AtomicU64::new(0),
            stack: SpinLock::new(stack),
            fault: SpinLock::new(FaultRecord::default()),
        }
    }
}
