//! The items that watch one file.

use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::ops::Bound::{Excluded, Unbounded};

use hal::sync::SpinLock;

use super::ItemRef;

/// The items, most often one at most; the lock is a leaf.
pub struct Watchers(SpinLock<Items>);

struct Items {
    first: Option<ItemRef>,
    /// By their addresses.
    others: BTreeMap<usize, ItemRef>,
}

fn key(item: &ItemRef) -> usize {
    Arc::as_ptr(item).addr()
}

impl Items {
    const NONE: Items = Items { first: None, others: BTreeMap::new() };

    fn is_empty(&self) -> bool {
        self.first.is_none() && self.others.is_empty()
    }
}

impl Watchers {
    /// Nobody watches.
    pub const fn new() -> Watchers {
        Watchers(SpinLock::new(Items::NONE))
    }

    pub(super) fn insert(&self, item: ItemRef) {
        let mut items = self.0.lock();
        if items.first.is_none() {
            items.first = Some(item);
        } else {
            items.others.insert(key(&item), item);
        }
    }

    pub(super) fn remove(&self, item: &ItemRef) {
        let mut items = self.0.lock();
        let removed = match items.first.take_if(|first| Arc::ptr_eq(first, item)) {
            Some(first) => Some(first),
            None => items.others.remove(&key(item)),
        };
        drop(items);
        drop(removed);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.lock().is_empty()
    }

    /// The next few items behind the last one of those before, in any order; empty behind the last one of all.
    pub(super) fn some(&self, behind: Option<&ItemRef>) -> Vec<ItemRef> {
        const FEW: usize = 32;
        let items = self.0.lock();
        let (first, start) = match behind {
            None => (items.first.as_ref(), Unbounded),
            Some(item) => (None, Excluded(key(item))),
        };
        let others = items.others.range((start, Unbounded)).map(|(_, item)| item);
        first.into_iter().chain(others.take(FEW)).cloned().collect()
    }

    /// The file is gone, and the items with it.
    #[inline]
    pub fn end(&self) {
        if !self.is_empty() {
            let items = core::mem::replace(&mut *self.0.lock(), Items::NONE);
            items.first.into_iter().chain(items.others.into_values()).for_each(|item| item.lose_file());
        }
    }
}
