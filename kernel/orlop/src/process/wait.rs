//! Waiting for children: `wait4`, `waitid`.

use alloc::sync::Arc;
use core::sync::atomic::Ordering;

use abi::Errno;
use abi::process::{__WALL, __WCLONE, WCONTINUED, WEXITED, WNOHANG, WNOWAIT, WSTOPPED, WaitStatus};
use abi::signal::SigInfo;

use libkernel::sched::cpu_time::CpuTime;

use super::report::{self, Change};
use super::usage::Times;
use super::{Pid, Process, Thread, table};
use crate::sched::wait::Deadline;
use crate::signal::Signal;
use crate::syscall::Failure;

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
    pub user: u32,
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

    /// The information of `waitid`.
    pub fn info(&self) -> SigInfo {
        let (code, status) = self.change.code_and_status();
        SigInfo { si_errno: 0, ..report::child_info(self.pid, self.user, code, status, CpuTime::default()) }
    }
}

/// Waits for a child that fits. `None` with `WNOHANG` when none has news; ECHILD when there is none to wait for.
pub fn wait_for_child(thread: &Thread, which: Which, options: u32) -> Result<Option<Report>, Failure> {
    let process = thread.process();
    let found =
        process.child_changed.wait_until(Deadline::NEVER, || match look(process, which, options) {
            Ok(Some(report)) => Some(Ok(Some(report))),
            Ok(None) if options & WNOHANG != 0 => Some(Ok(None)),
            Ok(None) => None,
            Err(errno) => Some(Err(errno)),
        })?;
    found.map_err(Failure::Errno)
}

fn look(process: &Arc<Process>, which: Which, options: u32) -> Result<Option<Report>, Errno> {
    let children = process.children.lock();
    let mut candidates = false;
    let mut found = None;
    for child in children.iter().filter(|child| fits(child, which, options)) {
        if child.news.lock().reaped {
            continue;
        }
        candidates = true;
        if let Some(report) = take_news(child, options) {
            found = Some((child.clone(), report));
            break;
        }
    }
    drop(children);
    match found {
        Some((child, report)) => {
            if matches!(report.change, Change::Ended(_)) && options & WNOWAIT == 0 {
                reap(process, &child, report.times);
            }
            Ok(Some(report))
        }
        None if candidates => Ok(None),
        None => Err(Errno::ECHILD),
    }
}

fn fits(child: &Process, which: Which, options: u32) -> bool {
    let meant = match which {
        Which::Any => true,
        Which::Child(pid) => child.pid() == pid,
        Which::Group(group) => child.group() == group,
    };
    let is_clone = child.exit_signal.load(Ordering::Relaxed) != Signal::CHLD.number();
    meant && (options & __WALL != 0 || is_clone == (options & __WCLONE != 0))
}

/// The child's news that the options ask for, claimed unless `WNOWAIT`.
fn take_news(child: &Process, options: u32) -> Option<Report> {
    let keep = options & WNOWAIT != 0;
    let mut news = child.news.lock();
    let change = if let Some(status) = news.ended.filter(|_| options & WEXITED != 0) {
        news.reaped = !keep;
        Change::Ended(status)
    } else if let Some(signal) = news.stopped.filter(|_| options & WSTOPPED != 0) {
        news.stopped = news.stopped.filter(|_| keep);
        Change::Stopped(signal)
    } else if news.continued && options & WCONTINUED != 0 {
        news.continued = keep;
        Change::Continued
    } else {
        return None;
    };
    let user = news.user;
    drop(news);
    let times = child.times().plus(child.children_times());
    Some(Report { pid: child.pid(), user, times, change })
}

/// Takes a zombie out of the world; what it used is the parent's.
fn reap(process: &Process, child: &Arc<Process>, times: Times) {
    let mut usage = process.usage.lock();
    usage.children = usage.children.plus(times);
    drop(usage);
    table::lock().remove_process(child);
}
