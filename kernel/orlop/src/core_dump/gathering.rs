//! The coming together of all threads of a process that is dumped.
//!
//! The thread that dumps sets the process's `ending` and this gathering in one step, so that nobody else ends the
//! process and no thread is added. Each other thread is killed; it leaves its loop, finds the gathering, adds its
//! notes, and sleeps until the dump is over. Whoever has left its loop before has said so under the same lock
//! ([`Thread::is_ending`]) and is not waited for.
//!
//! SIGKILL, the only signal that still counts, becomes the status of the process and ends the dump.
//!
//! Lock order: a process's shared signals → its threads; [`Gathering::state`] is a leaf.

use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, Ordering};

use abi::Errno;
use abi::process::WaitStatus;
use hal::sync::SpinLock;
use hal::user::UserContext;
use sched::wait::WaitQueue;
use sched::work;

use super::Cause;
use super::notes::ThreadNotes;
use crate::process::{Process, Thread};
use crate::signal::{SigInfo, Signal};

/// The threads that have come, and the one that waits for them.
pub struct Gathering {
    dumper: Weak<Thread>,
    signal: Signal,
    info: SigInfo,
    state: SpinLock<State>,
    /// Where the thread that dumps waits for the others.
    complete: WaitQueue,
    /// Where the others wait for the end.
    released: WaitQueue,
    is_over: AtomicBool,
}

struct State {
    /// How many have not come yet.
    missing: usize,
    /// Has room for all.
    came: Vec<Member>,
}

/// A thread that has come: its number, and its notes, which there may be no memory for.
type Member = (u32, Result<ThreadNotes, Errno>);

impl Gathering {
    /// Has the other threads of the running thread's process come. `None` if the process ends already, or if there is
    /// no memory.
    pub(super) fn begin(
        thread: &Arc<Thread>,
        cause: &Cause<'_>,
        status: WaitStatus,
    ) -> Option<Arc<Gathering>> {
        let process = thread.process();
        let others = |other: &Arc<Thread>| !Arc::ptr_eq(other, thread);
        loop {
            let mut came = Vec::new();
            came.try_reserve_exact(process.thread_count()).ok()?;
            let room = came.capacity();
            let gathering = Arc::new(Gathering {
                dumper: Arc::downgrade(thread),
                signal: cause.signal,
                info: *cause.info,
                state: SpinLock::new(State { missing: 0, came }),
                complete: WaitQueue::new(),
                released: WaitQueue::new(),
                is_over: AtomicBool::new(false),
            });
            let mut shared = process.signals.shared.lock();
            if shared.ending.is_some() || shared.executing {
                return None;
            }
            let mut missing = 0;
            process.each_thread(|other| missing += usize::from(others(other) && !other.is_ending()));
            if missing > room {
                continue;
            }
            gathering.state.lock().missing = missing;
            shared.ending = Some(status);
            shared.dump = Some(gathering.clone());
            drop(shared);
            process.each_thread(|other| {
                if others(other) {
                    other.set_work(work::KILL);
                }
            });
            process.signals.continued.wake_all();
            return Some(gathering);
        }
    }

    /// Waits until all have come. EINTR if the thread that dumps is to end at once.
    pub(super) fn wait_for_all(&self) -> Result<(), Errno> {
        let is_complete = || (self.state.lock().missing == 0).then_some(());
        self.complete.wait_until_killed(is_complete).map_err(|_| Errno::EINTR)
    }

    /// The threads that have come, by their numbers.
    pub(super) fn take(&self) -> Vec<Member> {
        let mut came = core::mem::take(&mut self.state.lock().came);
        came.sort_unstable_by_key(|(id, _)| *id);
        came
    }

    /// The dump is over, and was made or not: the process ends with the status that says so, and the others go on to
    /// end.
    pub(super) fn end(&self, process: &Process, is_made: bool) {
        let mut shared = process.signals.shared.lock();
        let own = shared.dump.take();
        let is_killed = hal::task::own_work() & work::KILL != 0;
        if is_made && !is_killed {
            shared.ending = shared.ending.map(WaitStatus::with_core_dump);
        }
        drop(shared);
        drop(own);
        self.is_over.store(true, Ordering::Release);
        self.released.wake_all();
    }

    /// The thread that dumps, if SIGKILL is to end the dump.
    pub(crate) fn dumper(&self) -> Option<Arc<Thread>> {
        self.dumper.upgrade()
    }
}

/// The running thread has left its loop, with these registers: if its process is dumped, it takes part in that first.
pub fn leave_loop(thread: &Arc<Thread>, context: &UserContext) {
    let shared = thread.process().signals.shared.lock();
    let Some(gathering) = shared.dump.clone() else {
        thread.begin_to_end();
        return;
    };
    drop(shared);
    let cause = Cause { signal: gathering.signal, info: &gathering.info };
    let notes = ThreadNotes::of(thread, &context.regs, &cause);
    let mut state = gathering.state.lock();
    state.came.push((thread.id().kernel_number(), notes));
    state.missing -= 1;
    let is_complete = state.missing == 0;
    drop(state);
    if is_complete {
        gathering.complete.wake_all();
    }
    gathering.released.wait_uninterruptibly(|| gathering.is_over.load(Ordering::Acquire).then_some(()));
    thread.begin_to_end();
}
