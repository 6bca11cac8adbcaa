//! Whom the signals of an open file are meant for, and which signal: `F_SETOWN`, `F_SETSIG` and their kin.
//!
//! Files know neither threads nor how they are signalled: whoever names an owner brings a [`Recipient`] with it, the
//! port through which the signals go. An open file has an [`Owner`] once somebody has asked for one; the lists of files
//! that signals are sent for (`asynchronous`) hold it beyond the file's end.
//!
//! The lock is a leaf; nothing is sent under it.

use alloc::sync::Arc;

use abi::fs::{F_OWNER_PGRP, F_OWNER_PID, F_OWNER_TID};
use abi::poll::{POLLIN, POLLMSG, POLLOUT, POLLRDNORM, POLLWRBAND, POLLWRNORM};
use abi::signal::{POLL_IN, POLL_MSG, POLL_OUT};
use hal::sync::SpinLock;
use libkernel::signal_set::Signal;
use subject::{Pid, UserId};

/// What a file has to tell.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum News {
    /// There may be something to read, or an end of it.
    Input,
    /// There may be room to write.
    Output,
    /// A lease is to go, or a directory has changed.
    Message,
}

impl News {
    /// The `si_code` that says so: `POLL_*` of sigaction(2).
    pub fn code(self) -> i32 {
        match self {
            News::Input => POLL_IN,
            News::Output => POLL_OUT,
            News::Message => POLL_MSG,
        }
    }

    /// The `si_band` that goes with it (Linux: `band_table` of fs/fcntl.c).
    pub fn band(self) -> u16 {
        match self {
            News::Input => POLLIN | POLLRDNORM,
            News::Output => POLLOUT | POLLWRNORM | POLLWRBAND,
            News::Message => POLLIN | POLLRDNORM | POLLMSG,
        }
    }
}

/// One signal of a file's, before it is known who is there to get it.
pub struct Notice {
    /// What has happened.
    pub news: News,
    /// The descriptor by which signals were asked for.
    pub fd: i32,
    /// The signal of `F_SETSIG`, which carries the news; without one it is a plain SIGIO.
    pub signal: Option<Signal>,
    /// On whose behalf it is sent.
    pub sender: Sender,
}

/// The users of whoever named the owner: what the permission to signal goes by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sender {
    /// The real user.
    pub real: UserId,
    /// The effective user.
    pub effective: UserId,
}

/// Who can get signals: a thread, a process or a group, as the top knows them.
pub trait Recipient: Send + Sync {
    /// Whether it is still what the number stood for when it was named.
    fn exists(&self) -> bool;
    /// Sends it a signal, if the sender may do that. May sleep.
    fn send(&self, notice: &Notice);
}

/// The named owner, which signal it gets, and on whose behalf.
#[derive(Clone)]
struct Named {
    kind: u32,
    recipient: Option<(Pid, Arc<dyn Recipient>)>,
    sender: Sender,
    signal: Option<Signal>,
}

/// Whom the signals of an open file are meant for.
pub struct Owner(SpinLock<Named>);

impl Owner {
    /// Nobody.
    pub const fn new() -> Owner {
        let sender = Sender { real: UserId::ROOT, effective: UserId::ROOT };
        Owner(SpinLock::new(Named { kind: F_OWNER_TID, recipient: None, sender, signal: None }))
    }

    /// Names an owner of this kind (`F_OWNER_*`), or nobody.
    pub fn set(&self, kind: u32, recipient: Option<(Pid, Arc<dyn Recipient>)>, sender: Sender) {
        let mut named = self.0.lock();
        let before = core::mem::replace(&mut named.recipient, recipient);
        (named.kind, named.sender) = (kind, sender);
        drop(named);
        drop(before);
    }

    /// Whether somebody was named, be it gone by now.
    pub fn is_named(&self) -> bool {
        self.0.lock().recipient.is_some()
    }

    /// `F_GETOWN`: the kind of owner and who was named; nobody where that is gone.
    pub fn get(&self) -> (u32, Option<Pid>) {
        let named = self.0.lock().clone();
        let living = named.recipient.filter(|(_, recipient)| recipient.exists());
        (named.kind, living.map(|(pid, _)| pid))
    }

    /// On whose behalf signals are sent: `F_GETOWNER_UIDS`.
    pub fn sender(&self) -> Sender {
        self.0.lock().sender
    }

    /// `F_SETSIG`.
    pub fn set_signal(&self, signal: Option<Signal>) {
        self.0.lock().signal = signal;
    }

    /// `F_GETSIG`.
    pub fn signal(&self) -> Option<Signal> {
        self.0.lock().signal
    }

    /// Sends the owner its signal.
    pub(crate) fn tell(&self, fd: i32, news: News) {
        let named = self.0.lock().clone();
        if let Some((_, recipient)) = named.recipient {
            recipient.send(&Notice { news, fd, signal: named.signal, sender: named.sender });
        }
    }
}

/// Whether `F_SETOWN_EX` knows a kind.
pub fn is_kind(kind: u32) -> bool {
    matches!(kind, F_OWNER_TID | F_OWNER_PID | F_OWNER_PGRP)
}
