//! epoll: many files watched at once, and only those with news looked at. epoll(7).
//!
//! Every watched file has an [`Item`], which stands as an observer in the file's wait queues. A wake-up puts the item
//! into the ready list, once; waiting takes items out, looks at the files, and puts those back that are still ready and
//! not edge-triggered.
//!
//! A watched file is held weakly and knows the items that watch it: its end takes them out of their instances
//! (`watchers`). How deeply instances may watch each other is bounded (`nesting`), and with it every recursion through
//! them.
//!
//! Lock order: `nesting`'s lock, then an instance's `scan` before those of the instances that it watches; all sleep.
//! Then one of the spinning ones: `items`, a file's watchers, or the wait queues of watched files before the ready
//! list.

mod item;
mod items;
mod nesting;
mod ready;
mod watchers;

use alloc::sync::{Arc, Weak};

use abi::Errno;
use abi::poll::EpollEvent;
use arrayvec::ArrayVec;
use hal::sync::SpinLock;
use outcome::Failure;
use sched::Mutex;
use sched::wait::{Deadline, WaitError};

use super::file::{File, FileOperations};
use super::poll::{PollEvents, Watcher};

pub use item::EXCLUSIVE_BITS;
use item::{Item, Key};
use items::Items;
use nesting::Level;
use ready::Ready;
pub use watchers::Watchers;

/// What an item is shared as.
type ItemRef = Arc<Item>;

/// How many items are looked at before their events are handed over.
const BATCH: usize = 16;

/// Items that were taken from the ready list, in their order.
type Batch = ArrayVec<ItemRef, BATCH>;

/// Where events go.
pub trait Give {
    /// Takes some events, the first of which has this number, without touching absent pages: an instance is locked.
    fn give(&mut self, first: usize, events: &[EpollEvent]) -> Result<(), AbsentPages>;
    /// With no lock held, brings in the pages for so many events from the one with this number on, or fails with
    /// EFAULT; and for more of them, up to `most` in all.
    fn bring_in(&mut self, first: usize, count: usize, most: usize) -> Result<(), Errno>;
}

/// The pages for events are absent.
pub struct AbsentPages;

/// How far a wait has come that looks at the listed items.
struct Collected {
    /// The look, so that none is looked at twice; 0 before the first.
    scan: u64,
    /// Events that were given.
    given: usize,
    /// Events that found no pages.
    refused: usize,
    /// How many are given at once: one, where the pages for several cannot be had.
    at_once: usize,
}

/// An epoll instance.
pub struct Epoll {
    this: Weak<Epoll>,
    /// Held by whoever looks at watched files or changes what is watched; the number of such looks.
    scan: Mutex<u64>,
    items: SpinLock<Items>,
    ready: Arc<Ready>,
    /// The items by which other instances watch this one.
    watchers: Watchers,
    level: Level,
}

impl Epoll {
    /// An instance that watches nothing.
    pub fn new() -> Arc<Epoll> {
        Arc::new_cyclic(|this| Epoll {
            this: this.clone(),
            scan: Mutex::new(0),
            items: SpinLock::new(Items::new()),
            ready: Ready::new(),
            watchers: Watchers::new(),
            level: Level::new(),
        })
    }

    /// The items by which other instances watch this one.
    pub fn watchers(&self) -> &Watchers {
        &self.watchers
    }

    /// `EPOLL_CTL_ADD`. EEXIST if the file is watched under that descriptor; ELOOP if instances would watch each other
    /// too deeply or in a circle; EINVAL if a wake-up would have too many ways to go.
    pub fn add(&self, fd: u32, file: &Arc<File>, event: EpollEvent) -> Result<(), Errno> {
        let structure = nesting::check(self, file)?;
        let _scan = self.scan.lock();
        let item = Item::new(self, fd, file, event);
        self.items.lock().insert(item.clone())?;
        file.watchers().insert(item.clone());
        let added = match structure {
            Some(structure) => structure.check_paths(file).and_then(|()| item.watch(file)),
            None => item.watch(file),
        };
        if added.is_err() {
            file.watchers().remove(&item);
            self.forget(&item);
        }
        added
    }

    /// `EPOLL_CTL_MOD`. EINVAL for an item that was added as an exclusive one.
    pub fn modify(&self, fd: u32, file: &Arc<File>, event: EpollEvent) -> Result<(), Errno> {
        let _scan = self.scan.lock();
        let item = self.items.lock().get(Key::new(fd, file)).cloned().ok_or(Errno::ENOENT)?;
        item.change(event, file)
    }

    /// `EPOLL_CTL_DEL`.
    pub fn remove(&self, fd: u32, file: &Arc<File>) -> Result<(), Errno> {
        let _scan = self.scan.lock();
        let item = self.items.lock().remove(Key::new(fd, file)).ok_or(Errno::ENOENT)?;
        file.watchers().remove(&item);
        item.end();
        Ok(())
    }

    /// Takes an item out, which its file knows no more.
    fn forget(&self, item: &ItemRef) {
        let removed = self.items.lock().remove(item.key);
        item.end();
        drop(removed);
    }

    /// Waits for news of up to `limit` files and hands them to `give`, some at a time, with the number of the first
    /// from 0; returns how many there were, 0 when the deadline passed first. News that `give` cannot take stay.
    pub fn wait(&self, limit: usize, deadline: Deadline, give: &mut impl Give) -> Result<usize, Failure> {
        loop {
            let given = self.collect(limit, give)?;
            // A wait of no time does not look for signals, on Linux either.
            if given > 0 || deadline.has_passed() {
                return Ok(given);
            }
            let news = || (!self.ready.is_empty()).then_some(());
            match self.ready.changed.wait_until(deadline, news) {
                Ok(()) => {}
                Err(WaitError::TimedOut) => return Ok(0),
                Err(WaitError::Interrupted) => return Err(Failure::Errno(Errno::EINTR)),
            }
        }
    }

    /// Looks once at every listed item until `limit` have news.
    fn collect(&self, limit: usize, give: &mut impl Give) -> Result<usize, Errno> {
        let mut collected = Collected { scan: 0, given: 0, refused: 0, at_once: BATCH };
        loop {
            self.collect_present(limit, give, &mut collected);
            let Collected { given, refused, .. } = collected;
            if refused == 0 {
                return Ok(given);
            }
            match give.bring_in(given, refused, limit - given) {
                Ok(()) => {}
                Err(_) if refused > 1 => collected.at_once = 1,
                Err(_) if given > 0 => return Ok(given),
                Err(errno) => return Err(errno),
            }
        }
    }

    /// The same, until events find no pages. A look that others have come between, meanwhile, is over: what it has met
    /// is listed again.
    fn collect_present(&self, limit: usize, give: &mut impl Give, collected: &mut Collected) {
        let mut scan = self.scan.lock();
        if collected.given == 0 {
            *scan += 1;
            collected.scan = *scan;
        }
        collected.refused = 0;
        while collected.given < limit && *scan == collected.scan {
            let mut batch = Batch::new();
            self.ready.next_few(*scan, collected.at_once.min(limit - collected.given), &mut batch);
            if batch.is_empty() {
                break;
            }
            let mut events = ArrayVec::new();
            look_at(&mut batch, &mut events);
            // Nothing is consumed before it is given.
            if !events.is_empty() && give.give(collected.given, &events).is_err() {
                collected.refused = events.len();
                batch.iter().for_each(|item| item.forget_meeting());
                self.ready.put_back_all(&mut batch);
                break;
            }
            collected.given += events.len();
            self.ready.settle(&mut batch);
        }
        drop(scan);
        if !self.ready.is_empty() {
            self.ready.changed.pass_on();
        }
    }

    /// Whether any listed item has news; those that have none are taken from the list.
    fn has_news(&self) -> bool {
        let mut scan = self.scan.lock();
        *scan += 1;
        while let Some(item) = self.ready.next(*scan) {
            if item.look() != 0 {
                self.ready.put_back(item);
                return true;
            }
        }
        false
    }
}

/// Collects the events of those items that have any; the others leave the batch.
#[inline]
fn look_at(batch: &mut Batch, events: &mut ArrayVec<EpollEvent, BATCH>) {
    let mut have_none = 0_u32;
    for (index, item) in batch.iter().enumerate() {
        let state = item.look();
        if state != 0 {
            events.push(item.event(state));
        } else {
            have_none |= 1 << index;
        }
    }
    if have_none != 0 {
        let mut index = 0;
        batch.retain(|_| (have_none >> index & 1 == 0, index += 1).0);
    }
}

impl Drop for Epoll {
    fn drop(&mut self) {
        while let Some(item) = self.items.get_mut().pop() {
            if let Some(file) = item.file() {
                file.watchers().remove(&item);
            }
            item.end();
        }
    }
}

impl FileOperations for Epoll {
    /// `lseek` succeeds and moves nothing, as with Linux's `noop_llseek`.
    fn seek(&self, _offset: i64, _whence: u32) -> Option<Result<u64, Errno>> {
        Some(Ok(0))
    }

    fn poll(&self, _file: &File, watcher: &mut Watcher<'_>) -> Result<PollEvents, Errno> {
        watcher.watch(&self.ready)?;
        Ok(PollEvents::READABLE.when(self.has_news()))
    }

    fn is_pollable(&self) -> bool {
        true
    }
}
