//! The items of an epoll instance that may have news, in the order in which they got them.

use alloc::sync::Arc;

use hal::list::List;
use hal::sync::IrqLock;

use super::ItemRef;
use super::item::Item;
use crate::fs::poll::Observable;
use crate::sched::wait::WaitQueue;

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
            list.push_back(item);
        }
    }

    /// Lists an item before all others: it was taken and not served.
    pub(super) fn put_back(&self, item: ItemRef) {
        let mut list = self.list.lock();
        if !item.has_ended() {
            list.push_front(item);
        }
    }

    /// Takes the first item that this scan has not met; none when it comes upon one that it has.
    pub(super) fn next(&self, scan: u64) -> Option<ItemRef> {
        let mut list = self.list.lock();
        let item = list.pop_front()?;
        if item.meet(scan) {
            return Some(item);
        }
        list.push_front(item);
        None
    }

    /// Takes an item from the list while it is marked as ended.
    pub(super) fn leave(&self, item: &ItemRef, mark: impl FnOnce()) {
        let mut list = self.list.lock();
        mark();
        let listed = list.remove(item);
        drop(list);
        drop(listed);
    }
}
