//! What ends in a signal: one kernel task that sleeps until the next alarm of any process is due.
//!
//! Signals are sent by threads, never by interrupt handlers; this is the thread for those that time sends. An alarm's
//! node lives with its timer, so setting one again cannot fail. While an alarm is served, its node is on the way back
//! to the timer.

use alloc::boxed::Box;
use alloc::sync::{Arc, Weak};

use abi::Errno;
use hal::sync::SpinLock;
use hal::task::TaskRef;
use libkernel::timeouts::{Base, Key, Node, Timeouts};
use outcome::OrErrno;
use sched::deadline::wall_offset_ns;
use sched::wait::{Deadline, WaitQueue};

use super::cpu_alarm::CpuKey;
use super::discipline;
use super::interval::{self, Name, Source};
use super::pause;
use crate::process::Process;

static ALARMS: SpinLock<Timeouts<Listener>> = SpinLock::new(Timeouts::new());
static EARLIER: WaitQueue = WaitQueue::new();

/// Who hears of an alarm.
pub(super) enum Listener {
    /// A process that has this timer.
    Timer(Weak<Process>, Name),
    /// Somebody who sleeps.
    Sleeper(TaskRef),
    /// The clock's discipline.
    Discipline,
    /// The measures of the counter after the first.
    Refinement {
        /// Which of them.
        number: usize,
        /// When the measure began.
        since_ns: u64,
    },
}

/// What an alarm is noted with.
pub(super) type AlarmNode = Node<Listener>;

impl Listener {
    /// The time has come; the node is a timer's, if it still wants it.
    pub(super) fn tell(self, node: Box<AlarmNode>) {
        match self {
            Listener::Timer(process, name) => {
                if let Some(process) = process.upgrade() {
                    interval::expire(&process, name, node);
                }
            }
            Listener::Sleeper(task) => sched::wake(&task),
            Listener::Discipline => discipline::second(node),
            Listener::Refinement { number, since_ns } => discipline::refine(node, number, since_ns),
        }
    }
}

/// The standing of a timer among alarms.
pub(super) struct Alarm {
    /// `None` while it is set or being served, and before the first time.
    node: Option<Box<AlarmNode>>,
    set: Option<Set>,
}

enum Set {
    Clock(Key),
    Cpu(CpuKey),
}

impl Alarm {
    /// It is not set.
    pub(super) const fn new() -> Alarm {
        Alarm { node: None, set: None }
    }

    /// Whether it is set. It may be being served.
    pub(super) const fn is_set(&self) -> bool {
        self.set.is_some()
    }

    /// Lets the timer of a process hear when what it goes by shows this time. It is not set.
    pub(super) fn set(&mut self, source: &Source, due_ns: u64, process: &Arc<Process>, name: Name) {
        let node = self.node.take().unwrap_or_else(Node::new);
        let listener = Listener::Timer(Arc::downgrade(process), name);
        self.set = Some(match source {
            Source::Clock(base) => Set::Clock(insert(node, *base, due_ns, listener)),
            Source::Cpu(clock) => Set::Cpu(clock.set_alarm(node, due_ns, listener)),
        });
    }

    /// Takes it back. If it is being served, that finds it unset.
    pub(super) fn cancel(&mut self, source: &Source) {
        let removed = match (self.set.take(), source) {
            (Some(Set::Clock(key)), _) => remove(key),
            (Some(Set::Cpu(key)), Source::Cpu(clock)) => clock.cancel_alarm(key),
            _ => None,
        };
        if let Some((node, _)) = removed {
            self.node = Some(node);
        }
    }

    /// It is served: here is its node, unless it has got another one meanwhile.
    pub(super) fn give_back(&mut self, node: Box<AlarmNode>) {
        self.node.get_or_insert(node);
    }
}

/// Lets somebody hear when a clock shows this time.
pub(super) fn insert(node: Box<AlarmNode>, base: Base, due_ns: u64, listener: Listener) -> Key {
    let mut alarms = ALARMS.lock();
    let offset_ns = wall_offset_ns();
    let before = alarms.next_deadline(offset_ns);
    let key = alarms.insert(node, base, due_ns, listener);
    drop(alarms);
    let due_ns = match base {
        Base::Monotonic => due_ns,
        Base::Wall => due_ns.saturating_sub(offset_ns),
    };
    if before.is_none_or(|before| due_ns < before) {
        EARLIER.wake_one();
    }
    key
}

/// Takes back what [`insert`] noted, if it has not been served.
pub(super) fn remove(key: Key) -> Option<(Box<AlarmNode>, Listener)> {
    ALARMS.lock().remove(key)
}

/// Starts the task. Once, at boot.
pub fn start() -> Result<(), Errno> {
    discipline::start();
    pause::start();
    sched::spawn(Box::new(serve)).or_errno()
}

/// Another alarm may be the first, as the wall clock was set, or there is something to do without one.
pub(super) fn look_again() {
    EARLIER.wake_one();
}

fn next_deadline() -> Option<u64> {
    ALARMS.lock().next_deadline(wall_offset_ns())
}

fn serve() {
    loop {
        let first = next_deadline();
        let deadline = first.map_or(Deadline::NEVER, Deadline::at);
        // Either end of the wait means: look again.
        let is_over = || pause::is_wanted() || next_deadline() != first;
        let _ = EARLIER.wait_until(deadline, || is_over().then_some(()));
        pause::serve();
        while let Some((node, listener)) = next_due() {
            listener.tell(node);
        }
    }
}

fn next_due() -> Option<(Box<AlarmNode>, Listener)> {
    ALARMS.lock().pop_expired(hal::time::now_ns(), wall_offset_ns())
}
