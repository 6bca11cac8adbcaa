//! Who gets the signals of files: the top's side of the port in `vfs::owner`.
//!
//! A thread or process is held by its number and by which process had that when it was named, so a number that is used
//! again is a stranger's. A group is its number: whoever is in it gets the signal.

use alloc::sync::{Arc, Weak};

use abi::Errno;
use abi::fs::{F_OWNER_PGRP, F_OWNER_TID};
use abi::signal::{SI_KERNEL, SI_SIGIO};
use subject::{Pid, UserId};
use vfs::owner::{Notice, Recipient, Sender};

use super::{SigInfo, Signal, SignalSet, send};
use crate::process::{self, Process, Thread};

/// A thread, or the process that it belongs to.
struct Single {
    number: Pid,
    process: Weak<Process>,
    /// Whether the signal is for the thread alone.
    is_thread: bool,
}

/// A process group.
struct Group(Pid);

/// The recipient of this kind (`F_OWNER_*`). What has the number need not be of the kind.
pub fn of_kind(kind: u32, number: Pid) -> Arc<dyn Recipient> {
    if kind == F_OWNER_PGRP {
        return Arc::new(Group(number));
    }
    let process = process::find_thread(number).map(|thread| Arc::downgrade(thread.process()));
    Arc::new(Single { number, process: process.unwrap_or_default(), is_thread: kind == F_OWNER_TID })
}

impl Single {
    fn thread(&self) -> Option<Arc<Thread>> {
        let is_same =
            |thread: &Arc<Thread>| core::ptr::eq(Arc::as_ptr(thread.process()), self.process.as_ptr());
        process::find_thread(self.number).filter(is_same)
    }
}

impl Recipient for Single {
    fn exists(&self) -> bool {
        self.thread().is_some_and(|thread| self.is_thread || thread.process().pid() == self.number)
    }

    fn send(&self, notice: &Notice) {
        if let Some(thread) = self.thread().filter(|thread| may_signal(&notice.sender, thread)) {
            post(notice, |signal, info| match self.is_thread {
                true => send::to_thread(&thread, signal, info),
                false => send::to_process(thread.process(), signal, info),
            });
        }
    }
}

impl Recipient for Group {
    fn exists(&self) -> bool {
        process::first_member(self.0).is_some()
    }

    fn send(&self, notice: &Notice) {
        let member = |leader: &Arc<Thread>| {
            if may_signal(&notice.sender, leader) {
                post(notice, |signal, info| send::to_process(leader.process(), signal, info));
            }
            Ok(())
        };
        // A group without members needs no signal.
        let _ = send::to_members(self.0, member);
    }
}

/// Whether the sender may signal a thread for a file's sake (Linux: `sigio_perm`).
fn may_signal(sender: &Sender, thread: &Thread) -> bool {
    thread.with_credentials(|target| {
        let is_target = |user: UserId| user == target.user.saved || user == target.user.real;
        sender.effective == UserId::ROOT || is_target(sender.effective) || is_target(sender.real)
    })
}

/// Sends the signal that a notice asks for; a plain SIGIO where none is asked for, or where that finds no room (Linux:
/// `send_sigio_to_task`).
fn post(notice: &Notice, send: impl Fn(Signal, &SigInfo) -> Result<(), Errno>) {
    let sent = notice.signal.map(|signal| send(signal, &information(notice, signal)));
    if sent.is_none_or(|sent| sent.is_err()) {
        // Standard signals are never refused.
        let _ = send(Signal::IO, &SigInfo::new(Signal::IO.number(), SI_KERNEL));
    }
}

fn information(notice: &Notice, signal: Signal) -> SigInfo {
    // A signal with codes of its own cannot carry those of files.
    let code = if SignalSet::SYNCHRONOUS.with(Signal::CHLD).contains(signal) {
        SI_SIGIO
    } else {
        notice.news.code()
    };
    SigInfo::of_file(signal.number(), code, notice.news.band(), notice.fd)
}
