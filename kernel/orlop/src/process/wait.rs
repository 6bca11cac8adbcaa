//! Waiting for children: `wait4`, `waitid`.

use alloc::sync::Arc;
use core::sync::atomic::Ordering;

use abi::Errno;
use abi::process::{
    __WALL, __WCLONE, __WNOTHREAD, WCONTINUED, WEXITED, WNOHANG, WNOWAIT, WSTOPPED, WaitStatus,
};
use abi::signal::SigInfo;
use outcome::Failure;
use sched::wait::Deadline;
use subject::{Pid, UserId, UserNamespace};

use libkernel::sched::cpu_time::CpuTime;

use super::family::{Event, Found, Kind};
use super::process::News;
use super::report::{self, Change};
use super::usage::Times;
use super::{Process, Thread, table};

/// Which children are meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    /// Any child.
    Any,
    /// The child with this number.
    Child(Pid),
    /// Any child in this group.
    Group(Pid),
}

/// What a wait found.
#[derive(Clone, Copy, Debug)]
pub struct Report {
    /// The child.
    pub pid: Pid,
    /// Its real user.
    pub user: UserId,
    /// What it used, with its own waited-for children.
    pub times: Times,
    change: Change,
}

impl Report {
    /// The status word of `wait4`.
    pub fn status(&self) -> WaitStatus {
        match self.change {
            Change::Ended(status) => status,
            Change::Stopped(signal) => WaitStatus::stopped(signal.number()),
            Change::Continued => WaitStatus::CONTINUED,
        }
    }

    /// The information of `waitid`, for this thread.
    pub fn info(&self, reader: &Thread) -> SigInfo {
        let (code, status) = self.change.code_and_status();
        SigInfo {
            si_errno: 0,
            ..report::child_info(
                reader.shown(self.pid),
                reader.shown_user(self.user),
                code,
                status,
                CpuTime::default(),
            )
        }
    }
}

/// What a wait is for.
pub(super) struct Wanted<'a> {
    which: Which,
    options: u32,
    /// With `__WNOTHREAD`: the thread whose own children are meant.
    thread: Option<&'a Thread>,
}

impl Wanted<'_> {
    /// The one child that is meant.
    pub(super) fn pid(&self) -> Option<Pid> {
        if let Which::Child(pid) = self.which { Some(pid) } else { None }
    }

    /// The one group.
    pub(super) fn group(&self) -> Option<Pid> {
        if let Which::Group(group) = self.which { Some(group) } else { None }
    }

    /// Whether every child is meant that the options admit.
    pub(super) fn is_for_any(&self) -> bool {
        self.which == Which::Any && self.thread.is_none()
    }

    /// Whether the options admit children that tell of their end by another signal than `SIGCHLD`, or those that do
    /// not.
    pub(super) fn admits(&self, is_clone: bool) -> bool {
        self.options & __WALL != 0 || is_clone == (self.options & __WCLONE != 0)
    }

    pub(super) fn asks_for(&self, event: Event) -> bool {
        let option = match event {
            Event::Ended => WEXITED,
            Event::Stopped => WSTOPPED,
            Event::Continued => WCONTINUED,
        };
        self.options & option != 0
    }

    /// The kinds of news that are wanted.
    pub(super) fn kinds(&self) -> impl Iterator<Item = Kind> {
        let of = |event| [false, true].map(|is_clone| Kind { event, is_clone });
        let all = [Event::Ended, Event::Stopped, Event::Continued].into_iter().flat_map(of);
        all.filter(|kind| self.asks_for(kind.event) && self.admits(kind.is_clone))
    }

    /// Whether this child is one of those meant.
    pub(super) fn fits(&self, child: &Process) -> bool {
        let meant = match self.which {
            Which::Any => true,
            Which::Child(pid) => child.pid() == pid,
            Which::Group(group) => child.group() == group,
        };
        meant && self.thread.is_none_or(|thread| child.belongs_to(thread))
    }

    /// Whether this child's news are wanted.
    pub(super) fn has_news(&self, child: &Process) -> bool {
        let event = child.news.lock().event();
        event.is_some_and(|event| self.asks_for(event))
    }

    /// Takes a child's news, or with `WNOWAIT` looks at them.
    fn take(&self, news: &mut News) -> Option<Change> {
        let keep = self.options & WNOWAIT != 0;
        match news.event()? {
            Event::Ended => news.ended.map(Change::Ended),
            Event::Stopped if keep => news.stopped.map(Change::Stopped),
            Event::Stopped => news.stopped.take().map(Change::Stopped),
            Event::Continued => {
                news.continued = keep;
                Some(Change::Continued)
            }
        }
    }
}

/// Waits for a child that fits. `None` with `WNOHANG` when none has news; ECHILD when there is none to wait for.
pub fn wait_for_child(thread: &Thread, which: Which, options: u32) -> Result<Option<Report>, Failure> {
    let process = thread.process();
    let wanted = Wanted { which, options, thread: (options & __WNOTHREAD != 0).then_some(thread) };
    let found = process.child_changed.wait_until(Deadline::NEVER, || match look(process, &wanted) {
        Ok(Some(report)) => Some(Ok(Some(report))),
        Ok(None) if options & WNOHANG != 0 => Some(Ok(None)),
        Ok(None) => None,
        Err(errno) => Some(Err(errno)),
    })?;
    found.map_err(Failure::Errno)
}

/// Looks for news, and takes them, in one step.
fn look(process: &Arc<Process>, wanted: &Wanted<'_>) -> Result<Option<Report>, Errno> {
    let mut table = table::lock();
    let child = match table.find_news(process, wanted) {
        Found::News(child) => child,
        Found::Nothing => return Ok(None),
        Found::NoChild => return Err(Errno::ECHILD),
    };
    let user = child.user();
    let change = table.change_news(Some(process), &child, |news| wanted.take(news));
    let Some(change) = change else { return Ok(None) };
    let reaps = matches!(change, Change::Ended(_)) && wanted.options & WNOWAIT == 0;
    let leader = if reaps { table.reap(process, &child) } else { None };
    drop(table);
    let times = child.times().plus(child.children_times());
    if let Some(leader) = leader {
        leader.stop_counting();
        let mut usage = process.usage.lock();
        usage.children = usage.children.plus(times);
    }
    Ok(Some(Report { pid: child.pid(), user, times, change }))
}

impl table::Table {
    /// Takes a process out of the world that has ended. Its leader, to be dropped without the lock.
    fn reap(&mut self, parent: &Process, process: &Arc<Process>) -> Option<Arc<Thread>> {
        parent.leave(process);
        let leader = self.remove_process(process);
        process.news.lock().reaped = true;
        leader
    }
}

impl Process {
    /// The real user of its leader.
    pub(super) fn user(&self) -> UserId {
        self.leader
            .lock()
            .as_ref()
            .map_or(UserId::ROOT, |leader| leader.with_credentials(|own| own.user.real))
    }

    /// The number that its leader sees of a user.
    pub(super) fn shown_user(&self, user: UserId) -> u32 {
        let leader = self.leader.lock();
        leader.as_ref().map_or(user.number_in(UserNamespace::initial()), |leader| leader.shown_user(user))
    }

    /// Whether this thread made it, or is the first that lives of a process whose thread made it and has ended.
    pub fn belongs_to(&self, thread: &Thread) -> bool {
        let maker = self.maker.load(Ordering::Relaxed);
        thread.serial() == maker || thread.process().is_heir(thread, maker)
    }
}
