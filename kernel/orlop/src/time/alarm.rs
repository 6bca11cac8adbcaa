//! What ends in a signal: one kernel task that sleeps until the next alarm of any process is due.
//!
//! Signals are sent by threads, never by interrupt handlers; this is the thread for those that time sends.

use alloc::boxed::Box;
use alloc::sync::{Arc, Weak};

use abi::Errno;
use hal::sync::SpinLock;

use super::interval::Name;
use crate::errno::OrErrno;
use crate::process::Process;
use crate::sched;
use crate::sched::timeouts::{Key, Timeouts};
use crate::sched::wait::{Deadline, WaitQueue};

static ALARMS: SpinLock<Timeouts<(Weak<Process>, Name)>> = SpinLock::new(Timeouts::new());
static EARLIER: WaitQueue = WaitQueue::new();

/// Starts the task. Once, at boot.
pub fn start() -> Result<(), Errno> {
    sched::spawn(Box::new(serve)).or_errno()
}

/// Wakes the task for this timer of a process at a time. ENOMEM if that cannot be noted.
pub(super) fn set(deadline_ns: u64, process: &Arc<Process>, name: Name) -> Result<Key, Errno> {
    let key = ALARMS.lock().insert(deadline_ns, (Arc::downgrade(process), name)).or_errno()?;
    EARLIER.wake_one();
    Ok(key)
}

/// Takes an alarm back, if it has not been served.
pub(super) fn cancel(key: Key) {
    let removed = ALARMS.lock().remove(key);
    drop(removed);
}

fn serve() {
    loop {
        let first = ALARMS.lock().next_deadline();
        let deadline = first.map_or(Deadline::NEVER, Deadline::at);
        // Either end of the wait means: look again.
        let _ = EARLIER.wait_until(deadline, || (ALARMS.lock().next_deadline() != first).then_some(()));
        while let Some((process, name)) = next_due() {
            if let Some(process) = process.upgrade() {
                super::interval::expire(&process, name);
            }
        }
    }
}

fn next_due() -> Option<(Weak<Process>, Name)> {
    ALARMS.lock().pop_expired(hal::time::now_ns())
}
