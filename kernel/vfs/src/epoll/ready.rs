//! The items of an epoll instance that may have news, in the order in which they got them.

use alloc::sync::Arc;
use core::sync::atomic::{Ordering, fence};

use abi::poll::{EPOLLET, EPOLLONESHOT};
use hal::list::List;
use hal::sync::IrqLock;
use sched::wait::WaitQueue;

use super::item::Item;
use super::{Batch, ItemRef};
use crate::poll::Observable;

/// The ready list, and who waits for it.
pub(super) struct Ready {
    list: IrqLock<List<Item>>,
    pub(super) changed: WaitQueue,
}

impl Observable for Ready {
    fn wait_queue(&self) -> &WaitQueue {
        &self.changed
    }
}

impl Ready {
    pub(super) fn new() -> Arc<Ready> {
        Arc::new(Ready { list: IrqLock::new(List::new()), changed: WaitQueue::new() })
    }

    pub(super) fn is_empty(&self) -> bool {
        self.list.lock().is_empty()
    }

    /// Lists an item behind all others, unless it is listed or has ended.
    pub(super) fn enter(&self, item: ItemRef) {
        let mut list = self.list.lock();
        if !item.has_ended() {
            list.push_back(item, |item| &item.listed);
        }
    }

    /// Lists an item before all others: it was taken and not served.
    pub(super) fn put_back(&self, item: ItemRef) {
        let mut list = self.list.lock();
        if !item.has_ended() {
            list.push_front(item, |item| &item.listed);
        }
    }

    /// Takes the first items that this scan has not met, at most so many. What has happened to an item while it was
    /// listed shows in its file from now on: the fence pairs with that of `WaitQueue::has_waiters`, before an observer
    /// is told.
    pub(super) fn next_few(&self, scan: u64, most: usize, batch: &mut Batch) {
        let mut list = self.list.lock();
        while batch.len() < most
            && !batch.is_full()
            && let Some(item) = list.pop_front()
        {
            if !item.meet(scan) {
                list.push_front(item, |item| &item.listed);
                break;
            }
            batch.push(item);
        }
        drop(list);
        fence(Ordering::SeqCst);
    }

    /// What becomes of items whose events were given: single shots are disarmed, levels come to the end of the list.
    pub(super) fn settle(&self, batch: &mut Batch) {
        let mut list = self.list.lock();
        for item in batch.drain(..) {
            let mode = item.mode();
            if mode & EPOLLONESHOT != 0 {
                item.disarm();
            } else if mode & EPOLLET == 0 && !item.has_ended() {
                list.push_back(item, |item| &item.listed);
            }
        }
    }

    /// Lists items before all others again: their events were not given.
    pub(super) fn put_back_all(&self, batch: &mut Batch) {
        batch.drain(..).rev().for_each(|item| self.put_back(item));
    }

    /// Takes the first item that this scan has not met; none when it comes upon one that it has.
    pub(super) fn next(&self, scan: u64) -> Option<ItemRef> {
        let mut batch = Batch::new();
        self.next_few(scan, 1, &mut batch);
        batch.pop()
    }

    /// Takes an item from the list while it is marked as ended.
    pub(super) fn leave(&self, item: &ItemRef, mark: impl FnOnce()) {
        let mut list = self.list.lock();
        mark();
        let listed = list.remove(&item.listed);
        drop(list);
        drop(listed);
    }
}
