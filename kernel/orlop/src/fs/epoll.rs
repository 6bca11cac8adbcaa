//! epoll: many files watched at once, and only those with news looked at. epoll(7).
//!
//! Every watched file has an [`Item`], which stands as an observer in the file's wait queues. A wake-up puts the item's number into the
//! ready list, once; waiting takes numbers out, looks at the files, and puts those back that are still ready and not edge-triggered.
//!
//! A watched file is held weakly: when its last descriptor is closed the item is dead, and is dropped when it is met.
//! Lock order: items (sleeps), then the wait queues of watched files, then the ready list.

use alloc::collections::{BTreeMap, VecDeque};
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

use abi::Errno;
use abi::poll::{EPOLLET, EPOLLONESHOT, EpollEvent, POLLERR, POLLHUP};
use hal::sync::{IrqLock, SpinLock};

use super::file::{File, FileOperations, SpecialKind};
use super::poll::{Observer, PollEvents, Subscription, Watcher};
use crate::sched::Mutex;
use crate::sched::wait::{Deadline, WaitError, WaitQueue};
use crate::syscall::Failure;

/// Bits of an interest that are how, not what, to watch.
const MODE_BITS: u32 = 0xf000_0000;

/// Reported whether asked for or not.
const UNASKED: u32 = (POLLERR | POLLHUP) as u32;

/// The deepest nesting of instances in each other.
const MAX_NESTING: u32 = 4;

/// Serialises the watching of one instance by another, so that no circle can close.
static NESTING: Mutex<()> = Mutex::new(());

/// An epoll instance.
pub struct Epoll {
    items: Mutex<Items>,
    ready: Arc<Ready>,
}

#[derive(Default)]
struct Items {
    /// By descriptor, and the file that was behind it.
    by_file: BTreeMap<(u32, usize), u64>,
    by_number: BTreeMap<u64, Arc<Item>>,
    next_number: u64,
}

/// The items with news. It has room for all items, so that news never allocate.
struct Ready {
    list: IrqLock<VecDeque<u64>>,
    changed: Arc<WaitQueue>,
}

/// One watched file.
struct Item {
    number: u64,
    file: Weak<File>,
    /// What is watched for, and how; no events once a one-shot item has fired.
    events: AtomicU32,
    data: AtomicU64,
    is_listed: AtomicBool,
    ready: Arc<Ready>,
    subscriptions: SpinLock<Vec<Subscription>>,
}

impl Observer for Item {
    fn notify(&self, events: PollEvents) {
        let wanted = self.events.load(Ordering::Relaxed) & !MODE_BITS;
        if wanted != 0 && events.0 & (wanted | UNASKED) != 0 {
            self.ready.enter(self);
        }
    }
}

impl Ready {
    fn enter(&self, item: &Item) {
        if !item.is_listed.swap(true, Ordering::AcqRel) {
            self.list.lock().push_back(item.number);
            self.changed.wake_all();
        }
    }
}

impl Item {
    /// What the file is ready for, of what is watched for; nothing when the file is closed.
    fn look(&self) -> u32 {
        let wanted = self.events.load(Ordering::Relaxed) & !MODE_BITS;
        let Some(file) = self.file.upgrade().filter(|_| wanted != 0) else { return 0 };
        let state = file.poll(&mut Watcher::new(None, &mut Vec::new())).unwrap_or(PollEvents::NONE);
        state.0 & (wanted | UNASKED)
    }
}

impl Epoll {
    /// An instance that watches nothing.
    pub fn new() -> Arc<Epoll> {
        let ready = Ready { list: IrqLock::new(VecDeque::new()), changed: Arc::new(WaitQueue::new()) };
        Arc::new(Epoll { items: Mutex::new(Items::default()), ready: Arc::new(ready) })
    }

    /// `EPOLL_CTL_ADD`. EEXIST if the file is watched under that descriptor; ELOOP if it would watch itself.
    pub fn add(&self, fd: u32, file: &Arc<File>, event: EpollEvent) -> Result<(), Errno> {
        let _nesting = match file.special_kind() {
            SpecialKind::Epoll(inner) => {
                let guard = NESTING.lock();
                inner.check_nesting(self, 1)?;
                Some(guard)
            }
            _ => None,
        };
        let mut items = self.items.lock();
        let key = (fd, Arc::as_ptr(file).addr());
        if items.by_file.contains_key(&key) {
            return Err(Errno::EEXIST);
        }
        let number = items.next_number;
        let item = Arc::new(Item {
            number,
            file: Arc::downgrade(file),
            events: AtomicU32::new(event.events),
            data: AtomicU64::new(event.data),
            is_listed: AtomicBool::new(false),
            ready: self.ready.clone(),
            subscriptions: SpinLock::new(Vec::new()),
        });
        self.reserve_room(items.by_number.len() + 1)?;
        self.watch(&item, file)?;
        items.next_number += 1;
        items.by_file.insert(key, number);
        items.by_number.insert(number, item);
        Ok(())
    }

    /// Makes room in the ready list for so many items.
    fn reserve_room(&self, items: usize) -> Result<(), Errno> {
        let mut list = self.ready.list.lock();
        let missing = items.saturating_sub(list.len());
        list.try_reserve(missing).map_err(|_| Errno::ENOMEM)
    }

    /// Subscribes the item to the file and takes note if there is news already.
    fn watch(&self, item: &Arc<Item>, file: &File) -> Result<(), Errno> {
        let observer: Arc<dyn Observer> = item.clone();
        let mut subscriptions = Vec::new();
        file.poll(&mut Watcher::new(Some(&observer), &mut subscriptions))?;
        *item.subscriptions.lock() = subscriptions;
        if item.look() != 0 {
            self.ready.enter(item);
        }
        Ok(())
    }

    fn find(items: &Items, fd: u32, file: &Arc<File>) -> Result<Arc<Item>, Errno> {
        let number = items.by_file.get(&(fd, Arc::as_ptr(file).addr())).ok_or(Errno::ENOENT)?;
        items.by_number.get(number).cloned().ok_or(Errno::ENOENT)
    }

    /// `EPOLL_CTL_MOD`.
    pub fn modify(&self, fd: u32, file: &Arc<File>, event: EpollEvent) -> Result<(), Errno> {
        let items = self.items.lock();
        let item = Epoll::find(&items, fd, file)?;
        item.data.store(event.data, Ordering::Relaxed);
        item.events.store(event.events, Ordering::Release);
        if item.look() != 0 {
            self.ready.enter(&item);
        }
        Ok(())
    }

    /// `EPOLL_CTL_DEL`.
    pub fn remove(&self, fd: u32, file: &Arc<File>) -> Result<(), Errno> {
        let mut items = self.items.lock();
        let number = items.by_file.remove(&(fd, Arc::as_ptr(file).addr())).ok_or(Errno::ENOENT)?;
        let item = items.by_number.remove(&number);
        drop(items);
        if let Some(item) = item {
            let subscriptions = core::mem::take(&mut *item.subscriptions.lock());
            drop(subscriptions);
            // Nobody enters it any more: a list that kept the numbers of removed items would grow without bound.
            self.ready.list.lock().retain(|&listed| listed != number);
        }
        Ok(())
    }

    /// ELOOP if `outer` is found below this instance, or too deep a nesting.
    fn check_nesting(&self, outer: &Epoll, depth: u32) -> Result<(), Errno> {
        if core::ptr::eq(self, outer) {
            return Err(if depth == 1 { Errno::EINVAL } else { Errno::ELOOP });
        }
        if depth > MAX_NESTING {
            return Err(Errno::ELOOP);
        }
        let files: Vec<_> =
            self.items.lock().by_number.values().filter_map(|item| item.file.upgrade()).collect();
        for file in files {
            if let SpecialKind::Epoll(inner) = file.special_kind() {
                inner.check_nesting(outer, depth + 1)?;
            }
        }
        Ok(())
    }

    /// Waits for news of up to `limit` files; none when the deadline passes first.
    pub fn wait(&self, limit: usize, deadline: Deadline) -> Result<Vec<EpollEvent>, Failure> {
        loop {
            let events = self.collect(limit)?;
            if !events.is_empty() {
                return Ok(events);
            }
            let news = || (!self.ready.list.lock().is_empty()).then_some(());
            match self.ready.changed.wait_until(deadline, news) {
                Ok(()) => {}
                Err(WaitError::TimedOut) => return Ok(Vec::new()),
                Err(WaitError::Interrupted) => return Err(Failure::Errno(Errno::EINTR)),
            }
        }
    }

    /// Looks once at every listed item until `limit` have news.
    fn collect(&self, limit: usize) -> Result<Vec<EpollEvent>, Failure> {
        let mut events = Vec::new();
        let mut items = self.items.lock();
        let mut left = self.ready.list.lock().len();
        while left > 0 && events.len() < limit {
            left -= 1;
            let Some(number) = self.ready.list.lock().pop_front() else { break };
            let Some(item) = items.by_number.get(&number).cloned() else { continue };
            item.is_listed.store(false, Ordering::Release);
            if item.file.strong_count() == 0 {
                items.forget(number);
                continue;
            }
            let state = item.look();
            if state == 0 {
                continue;
            }
            events.try_reserve(1)?;
            events.push(EpollEvent::new(state, item.data.load(Ordering::Relaxed)));
            let mode = item.events.load(Ordering::Relaxed);
            if mode & EPOLLONESHOT != 0 {
                item.events.store(mode & MODE_BITS, Ordering::Relaxed);
            } else if mode & EPOLLET == 0 {
                self.ready.enter(&item);
            }
        }
        Ok(events)
    }
}

impl Items {
    /// Drops the item of a closed file.
    fn forget(&mut self, number: u64) {
        self.by_number.remove(&number);
        self.by_file.retain(|_, other| *other != number);
    }
}

impl FileOperations for Epoll {
    fn poll(&self, _file: &File, watcher: &mut Watcher<'_>) -> Result<PollEvents, Errno> {
        watcher.watch(&self.ready.changed)?;
        let listed: Vec<u64> = self.ready.list.lock().iter().copied().collect();
        let items = self.items.lock();
        let news =
            listed.iter().filter_map(|number| items.by_number.get(number)).any(|item| item.look() != 0);
        Ok(PollEvents::READABLE.when(news))
    }

    fn kind(&self) -> SpecialKind<'_> {
        SpecialKind::Epoll(self)
    }
}
