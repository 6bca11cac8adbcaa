//! One watched file of an epoll instance.
//!
//! What is watched for changes under the instance's `scan`; a wake-up reads it without.

use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering, fence};

use abi::Errno;
use abi::poll::{
    EPOLLET, EPOLLEXCLUSIVE, EPOLLONESHOT, EPOLLWAKEUP, EpollEvent, POLLERR, POLLHUP, POLLIN, POLLOUT,
};
use hal::list::Link;
use hal::sync::SpinLock;

use super::ready::Ready;
use super::{Epoll, ItemRef};
use crate::file::File;
use crate::poll::{Observer, PollEvents, Share, Subscription, Watcher};

/// Bits of an interest that are how, not what, to watch.
const MODE_BITS: u32 = EPOLLEXCLUSIVE | EPOLLWAKEUP | EPOLLONESHOT | EPOLLET;

/// Reported whether asked for or not.
const UNASKED: u32 = (POLLERR | POLLHUP) as u32;

/// What an exclusive item may be asked to watch, and how: epoll_ctl(2).
pub const EXCLUSIVE_BITS: u32 =
    (POLLIN | POLLOUT | POLLERR | POLLHUP) as u32 | EPOLLWAKEUP | EPOLLET | EPOLLEXCLUSIVE;

/// By what an instance tells its items apart: the descriptor, and the file that was behind it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Key {
    pub(super) fd: u32,
    /// Its address.
    pub(super) file: usize,
}

impl Key {
    pub(super) fn new(fd: u32, file: &Arc<File>) -> Key {
        Key { fd, file: Arc::as_ptr(file).addr() }
    }
}

/// One watched file.
pub struct Item {
    this: Weak<Item>,
    /// Its place in the ready list.
    pub(super) listed: Link<Item>,
    pub(super) key: Key,
    epoll: Weak<Epoll>,
    file: Weak<File>,
    ready: Arc<Ready>,
    /// What is watched for, and how; no events once a one-shot item has fired.
    events: AtomicU32,
    data: AtomicU64,
    /// The scan that has met the item last.
    met: AtomicU64,
    /// Nobody watches by this item any more. Changes under the ready list's lock.
    has_ended: AtomicBool,
    subscriptions: SpinLock<Vec<Subscription>>,
}

impl Observer for Item {
    fn notify(&self, events: PollEvents) -> bool {
        let watched = self.events.load(Ordering::Relaxed);
        if events.0 & watched & !MODE_BITS == 0 {
            return false;
        }
        // Whoever takes a listed item out looks at the file after a fence, and there was one between the change and
        // this.
        if !self.listed.is_in_list() {
            let Some(item) = self.this.upgrade() else { return false };
            self.ready.enter(item);
        }
        // Linux counts a wake-up for what was not watched, or for both directions at once, as nobody's.
        let directions = events.0 & (POLLIN | POLLOUT) as u32;
        let is_meant =
            directions == 0 || directions != (POLLIN | POLLOUT) as u32 && directions & watched != 0;
        self.ready.changed.notify_one(PollEvents::READABLE) && is_meant
    }
}

impl Item {
    pub(super) fn new(epoll: &Epoll, fd: u32, file: &Arc<File>, event: EpollEvent) -> ItemRef {
        Arc::new_cyclic(|this| Item {
            this: this.clone(),
            listed: Link::new(),
            key: Key::new(fd, file),
            epoll: epoll.this.clone(),
            file: Arc::downgrade(file),
            ready: epoll.ready.clone(),
            events: AtomicU32::new(event.events | UNASKED),
            data: AtomicU64::new(event.data),
            met: AtomicU64::new(0),
            has_ended: AtomicBool::new(false),
            subscriptions: SpinLock::new(Vec::new()),
        })
    }

    pub(super) fn epoll(&self) -> Option<Arc<Epoll>> {
        self.epoll.upgrade()
    }

    pub(super) fn file(&self) -> Option<Arc<File>> {
        self.file.upgrade()
    }

    /// Subscribes the item to the file and takes note if there is news already.
    pub(super) fn watch(&self, file: &File) -> Result<(), Errno> {
        let Some(item) = self.this.upgrade() else { return Ok(()) };
        let share = if self.mode() & EPOLLEXCLUSIVE != 0 { Share::Exclusive } else { Share::All };
        let observer: Arc<dyn Observer> = item;
        let mut subscriptions = Vec::new();
        let state = file.poll(&mut Watcher::entering(&observer, share, &mut subscriptions))?;
        *self.subscriptions.lock() = subscriptions;
        self.enter_if(state);
        Ok(())
    }

    /// `EPOLL_CTL_MOD`.
    pub(super) fn change(&self, event: EpollEvent, file: &File) -> Result<(), Errno> {
        if self.mode() & EPOLLEXCLUSIVE != 0 {
            return Err(Errno::EINVAL);
        }
        self.data.store(event.data, Ordering::Relaxed);
        self.events.store(event.events | UNASKED, Ordering::Relaxed);
        // A wake-up that read what was watched before has come before this look.
        fence(Ordering::SeqCst);
        self.enter_if(state_of(file));
        Ok(())
    }

    /// Lists the item if that is news.
    fn enter_if(&self, state: PollEvents) {
        if state.0 & self.mode() & !MODE_BITS != 0
            && let Some(item) = self.this.upgrade()
        {
            self.ready.enter(item);
            self.ready.changed.notify_one(PollEvents::READABLE);
        }
    }

    /// What is watched for, and how.
    pub(super) fn mode(&self) -> u32 {
        self.events.load(Ordering::Relaxed)
    }

    /// Watches for nothing until it is changed: a one-shot item has fired.
    pub(super) fn disarm(&self) {
        self.events.fetch_and(MODE_BITS, Ordering::Relaxed);
    }

    /// The event that tells of `state`.
    pub(super) fn event(&self, state: u32) -> EpollEvent {
        EpollEvent::new(state, self.data.load(Ordering::Relaxed))
    }

    /// What the file is ready for, of what is watched for; nothing when the file is closed.
    pub(super) fn look(&self) -> u32 {
        let wanted = self.mode() & !MODE_BITS;
        let Some(file) = self.file().filter(|_| wanted != 0) else { return 0 };
        state_of(&file).0 & wanted
    }

    /// Whether the scan of this number, of which there is one at a time, meets it for the first time.
    pub(super) fn meet(&self, scan: u64) -> bool {
        let is_new = self.met.load(Ordering::Relaxed) != scan;
        self.met.store(scan, Ordering::Relaxed);
        is_new
    }

    /// The scan has met it in vain, and may meet it again.
    pub(super) fn forget_meeting(&self) {
        self.met.store(0, Ordering::Relaxed);
    }

    pub(super) fn has_ended(&self) -> bool {
        self.has_ended.load(Ordering::Relaxed)
    }

    /// Nobody watches by this item any more: it leaves the ready list, for good, and the file's queues.
    pub(super) fn end(&self) {
        if let Some(item) = self.this.upgrade() {
            self.ready.leave(&item, || self.has_ended.store(true, Ordering::Relaxed));
        }
        let subscriptions = core::mem::take(&mut *self.subscriptions.lock());
        drop(subscriptions);
    }

    /// The file is gone: its instance forgets the item.
    pub(super) fn lose_file(&self) {
        match (self.this.upgrade(), self.epoll()) {
            (Some(item), Some(epoll)) => epoll.forget(&item),
            _ => self.end(),
        }
    }
}

/// What a file is ready for now.
fn state_of(file: &File) -> PollEvents {
    file.poll(&mut Watcher::looking()).unwrap_or(PollEvents::NONE)
}
