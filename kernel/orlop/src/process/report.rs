//! How a parent hears of its children: `SIGCHLD`, and a wake-up of its waits.

use alloc::sync::Arc;
use core::sync::atomic::Ordering;

use abi::process::WaitStatus;
use abi::signal::{
    CLD_CONTINUED, CLD_DUMPED, CLD_EXITED, CLD_KILLED, CLD_STOPPED, SA_NOCLDSTOP, SA_NOCLDWAIT, SIG_IGN,
    SigInfo,
};
use abi::time::{NANOSECONDS_PER_SECOND, USER_HZ};

use libkernel::sched::cpu_time::CpuTime;

use super::family::Adopted;
use super::{Process, table};
use crate::signal::stop::{self, ControlNews};
use crate::signal::{Signal, send};

/// What happened to a child.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    Ended(WaitStatus),
    Stopped(Signal),
    Continued,
}

impl Change {
    /// `si_code` and `si_status` of the report.
    pub(super) fn code_and_status(self) -> (i32, i32) {
        match self {
            Change::Ended(status) => match (status.exit_code(), status.term_signal()) {
                (Some(code), _) => (CLD_EXITED, i32::from(code)),
                (None, signal) => {
                    let code = if status.has_core_dump() { CLD_DUMPED } else { CLD_KILLED };
                    (code, signal.unwrap_or(0).cast_signed())
                }
            },
            Change::Stopped(signal) => (CLD_STOPPED, signal.number().cast_signed()),
            Change::Continued => (CLD_CONTINUED, Signal::CONT.number().cast_signed()),
        }
    }
}

impl Process {
    /// Notes that the process stands still or goes on, and tells the parent, if nobody has yet.
    pub(crate) fn report_job_control(&self) {
        if let Some(change) = self.note_job_control() {
            tell_of_job_control(self, change);
        }
    }

    /// What is noted is what is so now: of two that report at once, the later one may find nothing left to say.
    fn note_job_control(&self) -> Option<Change> {
        let mut table = table::lock();
        // Whoever has been waited for has no news.
        let process = table.process(self.pid()).cloned()?;
        let news = stop::take_news(&mut self.signals.shared.lock())?;
        let parent = table.process(self.parent()).cloned();
        let (noted, change) = match news {
            ControlNews::Stopped(signal) => ((Some(signal), false), Change::Stopped(signal)),
            ControlNews::Continued => ((None, true), Change::Continued),
        };
        table.change_news(parent.as_deref(), &process, |news| (news.stopped, news.continued) = noted);
        Some(change)
    }

    /// Notes who has become the parent.
    pub(super) fn note_parent(&self, parent: &Process) {
        self.executions_of_parent.store(parent.executions.load(Ordering::Relaxed), Ordering::Relaxed);
    }
}

fn parent_of(process: &Process) -> Option<Arc<Process>> {
    table::find_process(process.parent())
}

fn tell_of_job_control(process: &Process, change: Change) {
    let Some(parent) = parent_of(process) else { return };
    let action = parent.signals.actions.lock().get(Signal::CHLD);
    if action.sa_flags & SA_NOCLDSTOP == 0 {
        send_child_signal(&parent, process, Signal::CHLD, change);
    }
    parent.child_changed.wake_all();
}

/// Whether a process leaves no zombie, because its parent ignores `SIGCHLD` or said `SA_NOCLDWAIT`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Vanishes {
    /// Nobody waits for it: whoever sets its `reaped` takes it out of the table.
    Yes,
    /// It stays until somebody has waited for it.
    No,
}

impl Vanishes {
    /// What the parent's action for `SIGCHLD` says now.
    pub(super) fn for_parent(parent: &Process, process: &Process) -> Vanishes {
        let action = parent.signals.actions.lock().get(Signal::CHLD);
        let unwanted = action.sa_handler == SIG_IGN || action.sa_flags & SA_NOCLDWAIT != 0;
        if signal_to(parent, process) == Some(Signal::CHLD) && unwanted {
            Vanishes::Yes
        } else {
            Vanishes::No
        }
    }
}

fn exit_signal(process: &Process) -> Option<Signal> {
    Signal::new(process.exit_signal.load(Ordering::Relaxed))
}

/// The signal that tells the parent of the end. Another program than the one that asked for it gets `SIGCHLD`.
fn signal_to(parent: &Process, process: &Process) -> Option<Signal> {
    let executions = process.executions_of_parent.load(Ordering::Relaxed);
    let is_another = parent.executions.load(Ordering::Relaxed) != executions;
    if is_another { Some(Signal::CHLD) } else { exit_signal(process) }
}

/// Tells the parent that the process has ended.
pub(super) fn tell_of_end(
    parent: &Arc<Process>,
    process: &Arc<Process>,
    status: WaitStatus,
    vanishes: Vanishes,
) {
    let ignored = parent.signals.actions.lock().get(Signal::CHLD).sa_handler == SIG_IGN;
    let silent = vanishes == Vanishes::Yes && ignored;
    if let Some(signal) = signal_to(parent, process).filter(|_| !silent) {
        send_child_signal(parent, process, signal, Change::Ended(status));
    }
    if vanishes == Vanishes::Yes {
        vanish(process);
    }
    parent.child_changed.wake_all();
}

/// Takes a process out of the world that has ended and leaves no zombie.
pub(super) fn vanish(process: &Arc<Process>) {
    let leader = table::lock().remove_process(process);
    if let Some(leader) = leader {
        leader.stop_counting();
    }
}

/// Tells the new parent of children that have ended already and that nobody has waited for.
pub(super) fn tell_of_adopted_zombies(adopter: &Arc<Process>, adopted: &[Adopted]) {
    for Adopted { child, ended } in adopted {
        if let (Some(vanishes), Some(status)) = (*ended, child.ended()) {
            tell_of_end(adopter, child, status, vanishes);
        }
    }
}

fn send_child_signal(parent: &Arc<Process>, child: &Process, signal: Signal, change: Change) {
    let (code, status) = change.code_and_status();
    let mut info = child_info(
        parent.shown(child.pid()),
        parent.shown_user(child.user()),
        code,
        status,
        child.times().cpu,
    );
    info.si_signo = signal.number().cast_signed();
    // A standard signal is never refused; a real-time one without room is lost, as on Linux.
    let _ = send::to_process(parent, signal, &info);
}

/// The information of `SIGCHLD` and `waitid`, with the numbers of child and user as the parent sees them.
pub(super) fn child_info(number: i32, user: u32, code: i32, status: i32, cpu: CpuTime) -> SigInfo {
    let tick_ns = NANOSECONDS_PER_SECOND.cast_unsigned() / USER_HZ.cast_unsigned();
    let ticks = |ns: u64| (ns / tick_ns).cast_signed();
    SigInfo::child(code, number, user, status, ticks(cpu.user_ns), ticks(cpu.system_ns))
}
