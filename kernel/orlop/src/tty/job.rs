//! Job control: which session a terminal belongs to, and which process group may use it.
//!
//! A session knows its controlling terminal and a terminal its session. Both change in one step, under the job's lock,
//! so that each is the other's: who loses a terminal to another session takes nothing away from that. Lock order: the
//! job → a session's terminal; nothing is signalled under them.

use alloc::sync::Arc;

use abi::Errno;
use abi::signal::{SI_KERNEL, SIG_IGN, SigInfo};
use abi::terminal::{TIOCGPGRP, TIOCGSID, TIOCNOTTY, TIOCSCTTY, TIOCSPGRP};
use libkernel::addr::UserAddr;
use libkernel::signal_set::Signal;
use memory::user::UserPtr;
use outcome::{Failure, Restart};
use subject::{Pid, capability};

use super::terminal::Terminal;
use crate::process::{Process, Session, Thread, current, table};
use crate::signal::send;

/// A terminal's place in job control.
#[derive(Default)]
pub struct Job {
    /// The session it controls.
    session: Option<Arc<Session>>,
    /// The group in the foreground.
    foreground: Option<Pid>,
}

/// Whether a terminal may be taken away from another session.
#[derive(Clone, Copy, PartialEq, Eq)]
enum MaySteal {
    Yes,
    No,
}

/// The terminal that controls the running process.
pub fn controlling_terminal() -> Option<Arc<Terminal>> {
    current().and_then(|thread| terminal_of(thread.process()))
}

/// The terminal that controls a process.
pub fn terminal_of(process: &Process) -> Option<Arc<Terminal>> {
    process.session().terminal()
}

impl Job {
    fn is_of(&self, session: &Session) -> bool {
        self.session.as_ref().is_some_and(|own| core::ptr::eq(Arc::as_ptr(own), session))
    }
}

impl Terminal {
    /// The group in the foreground.
    pub fn foreground(&self) -> Option<Pid> {
        self.job.lock().foreground
    }

    /// Sends a signal to the foreground group.
    pub(super) fn signal_foreground(&self, signal: Signal) {
        if let Some(group) = self.foreground() {
            // A group that has just ended needs no signal.
            let _ = send::to_group(group, signal);
        }
    }

    /// The leader of this session has ended: who has the terminal open loses it, and its foreground group hears of it.
    pub fn end_session(&self, session: &Session) {
        let Some(job) = self.leave_session(session) else { return };
        self.hang_up();
        if let Some(group) = job.foreground {
            // A group that has just ended needs no signal.
            let _ = send::to_group(group, Signal::HUP);
        }
    }

    /// Takes the terminal away from everybody who has it, whose session's leader hears of it: vhangup(2).
    pub fn take_away(&self) {
        let job = {
            let mut job = self.job.lock();
            if let Some(session) = &job.session {
                session.set_terminal(None);
            }
            core::mem::take(&mut *job)
        };
        self.hang_up();
        let leads = |process: &Arc<Process>| {
            job.session.as_ref().is_some_and(|session| Arc::ptr_eq(session, &process.session()))
        };
        if let Some(session) = &job.session
            && let Some(leader) = table::find_process(session.id()).filter(leads)
        {
            for signal in [Signal::HUP, Signal::CONT] {
                let info = SigInfo::new(signal.number(), SI_KERNEL);
                // Standard signals are never refused.
                let _ = send::to_process(&leader, signal, &info);
            }
        }
    }

    /// Makes the terminal nobody's, if it controls this session. What it was.
    fn leave_session(&self, session: &Session) -> Option<Job> {
        let mut job = self.job.lock();
        if !job.is_of(session) {
            return None;
        }
        session.set_terminal(None);
        Some(core::mem::take(&mut *job))
    }

    fn controls(&self, session: &Session) -> bool {
        self.job.lock().is_of(session)
    }

    /// EIO for a background process that reads and cannot be stopped; the others are stopped and read again later.
    pub(super) fn check_background_read(&self) -> Result<(), Failure> {
        self.check_background(Signal::TTIN, Err(Errno::EIO.into()))
    }

    /// As for reading, for a background process that changes or, with `TOSTOP`, writes to the terminal; who ignores or
    /// blocks the signal may.
    pub(super) fn check_background_change(&self) -> Result<(), Failure> {
        self.check_background(Signal::TTOU, Ok(()))
    }

    fn check_background(&self, signal: Signal, if_unheard: Result<(), Failure>) -> Result<(), Failure> {
        let Some(thread) = current() else { return Ok(()) };
        let process = thread.process();
        let group = process.group();
        if !self.controls(&process.session())
            || self.foreground().is_none_or(|foreground| foreground == group)
        {
            return Ok(());
        }
        if ignores_or_blocks(&thread, signal) {
            return if_unheard;
        }
        if table::is_orphaned(group) {
            return Err(Errno::EIO.into());
        }
        send::to_group(group, signal)?;
        Err(Failure::Restart(Restart::IfAllowed))
    }

    /// Becomes the controlling terminal of the running process if that leads a session without one.
    pub(super) fn adopt_leader(&self) {
        if let Some(thread) = current() {
            // Whoever may not simply does not get it: open(2) has no error for that.
            let _ = self.adopt(thread.process(), MaySteal::No);
        }
    }

    /// EPERM unless the process leads a session without a terminal, and the terminal has no session or may be stolen.
    fn adopt(&self, process: &Process, may_steal: MaySteal) -> Result<(), Errno> {
        let session = process.session();
        if session.id() != process.pid() || session.terminal().is_some() {
            return Err(Errno::EPERM);
        }
        let terminal = self.to_ref().ok_or(Errno::EIO)?;
        let foreground = Some(process.group());
        let mut job = self.job.lock();
        if job.session.is_some() && may_steal == MaySteal::No {
            return Err(Errno::EPERM);
        }
        if let Some(loser) = &job.session {
            loser.set_terminal(None);
        }
        session.set_terminal(Some(terminal));
        let old = core::mem::replace(&mut *job, Job { session: Some(session), foreground });
        drop(job);
        drop(old);
        Ok(())
    }

    /// `TIOCSTI`: EPERM on a terminal other than one's own, but for who may administer the system.
    pub(super) fn check_may_type(&self, thread: &Thread) -> Result<(), Errno> {
        if terminal_of(thread.process()).is_some_and(|own| core::ptr::eq(Arc::as_ptr(&own), self)) {
            return Ok(());
        }
        thread.credentials().require(capability::SYS_ADMIN)
    }

    /// The requests about sessions and groups: ioctl_tty(2).
    pub(super) fn job_request(&self, thread: &Thread, request: u32, argument: u64) -> Result<u64, Failure> {
        let address = UserAddr::new(argument);
        let process = thread.process();
        let session = process.session();
        if request == TIOCSCTTY {
            return Ok(self.take_control(thread, argument)?);
        }
        if request == TIOCSPGRP {
            self.check_background_change()?;
        }
        if !self.controls(&session) {
            return Err(Errno::ENOTTY.into());
        }
        match request {
            TIOCGPGRP => {
                let group = self.foreground().map_or(0, |group| thread.shown(group));
                UserPtr::new(address).write(&group)?;
            }
            TIOCGSID => UserPtr::new(address).write(&thread.shown(session.id()))?,
            TIOCSPGRP => self.set_foreground(thread, UserPtr::new(address).read()?, &session)?,
            TIOCNOTTY => self.give_up(process, &session)?,
            _ => return Err(Errno::ENOTTY.into()),
        }
        Ok(0)
    }

    /// `TIOCSPGRP`: ESRCH for no group, EPERM for one of another session.
    fn set_foreground(&self, thread: &Thread, group: i32, session: &Session) -> Result<(), Errno> {
        if group < 0 {
            return Err(Errno::EINVAL);
        }
        let group = thread.pid_namespace().find(group).ok_or(Errno::ESRCH)?;
        let member = table::first_member(group).ok_or(Errno::ESRCH)?;
        if member.session().id() != session.id() {
            return Err(Errno::EPERM);
        }
        let mut job = self.job.lock();
        // It may have been stolen meanwhile.
        if !job.is_of(session) {
            return Err(Errno::ENOTTY);
        }
        job.foreground = Some(group);
        Ok(())
    }

    /// `TIOCSCTTY`: with an argument of 1, root may take a terminal away from another session.
    fn take_control(&self, thread: &Thread, argument: u64) -> Result<u64, Errno> {
        let process = thread.process();
        let session = process.session();
        if session.id() == process.pid() && self.controls(&session) {
            return Ok(0);
        }
        let is_privileged = || thread.with_credentials(|own| own.has_capability(capability::SYS_ADMIN));
        let may_steal = if argument == 1 && is_privileged() { MaySteal::Yes } else { MaySteal::No };
        self.adopt(process, may_steal)?;
        Ok(0)
    }

    /// `TIOCNOTTY`: the leader lets go for the whole session. A terminal belongs to all of a session here, so that a
    /// single member cannot let go is EPERM.
    fn give_up(&self, process: &Process, session: &Session) -> Result<(), Errno> {
        if session.id() != process.pid() {
            return Err(Errno::EPERM);
        }
        if let Some(group) = self.leave_session(session).and_then(|job| job.foreground) {
            // A group that has just ended needs no signal.
            let _ = send::to_group(group, Signal::HUP);
            let _ = send::to_group(group, Signal::CONT);
        }
        Ok(())
    }
}

fn ignores_or_blocks(thread: &Thread, signal: Signal) -> bool {
    let actions = thread.process().signals.actions.lock().clone();
    thread.signal_mask().contains(signal) || actions.get(signal).sa_handler == SIG_IGN
}
