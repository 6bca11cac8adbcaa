//! The items that watch one file.

use alloc::boxed::Box;
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
    /// By their addresses; out of the way of files that nobody watches, which are made and dropped often.
    #[expect(clippy::box_collection, reason = "no map is to be dropped with each file")]
    others: Option<Box<BTreeMap<usize, ItemRef>>>,
}

fn key(item: &ItemRef) -> usize {
    Arc::as_ptr(item).addr()
}

impl Items {
    const NONE: Items = Items { first: None, others: None };

    fn is_empty(&self) -> bool {
        self.first.is_none() && self.others.is_none()
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
            items.others.get_or_insert_default().insert(key(&item), item);
        }
    }

    pub(super) fn remove(&self, item: &ItemRef) {
        let mut items = self.0.lock();
        let mut removed = items.first.take_if(|first| Arc::ptr_eq(first, item));
        if removed.is_none()
            && let Some(others) = &mut items.others
        {
            removed = others.remove(&key(item));
        }
        let empty = items.others.take_if(|others| others.is_empty());
        drop(items);
        drop((removed, empty));
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
        let others =
            items.others.iter().flat_map(|others| others.range((start, Unbounded))).map(|(_, item)| item);
        first.into_iter().chain(others.take(FEW)).cloned().collect()
    }

    /// The file is gone, and the items with it.
    #[inline]
    pub fn end(&self) {
        if !self.is_empty() {
            let items = core::mem::replace(&mut *self.0.lock(), Items::NONE);
            let others = items.others.into_iter().flat_map(|others| others.into_values());
            items.first.into_iter().chain(others).for_each(|item| item.lose_file());
        }
    }
}
