//! The items that watch one file.

use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::ops::Bound::{Excluded, Unbounded};

use hal::sync::SpinLock;

use super::ItemRef;

/// Items by their addresses; the lock is a leaf.
pub struct Watchers(SpinLock<BTreeMap<usize, ItemRef>>);

fn key(item: &ItemRef) -> usize {
    Arc::as_ptr(item).addr()
}

impl Watchers {
    /// Nobody watches.
    pub const fn new() -> Watchers {
        Watchers(SpinLock::new(BTreeMap::new()))
    }

    pub(super) fn insert(&self, item: ItemRef) {
        self.0.lock().insert(key(&item), item);
    }

    pub(super) fn remove(&self, item: &ItemRef) {
        let removed = self.0.lock().remove(&key(item));
        drop(removed);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.lock().is_empty()
    }

    /// The next few items behind the one given, in any order; empty behind the last one.
    pub(super) fn some(&self, behind: Option<&ItemRef>) -> Vec<ItemRef> {
        const FEW: usize = 32;
        let start = behind.map_or(Unbounded, |item| Excluded(key(item)));
        self.0.lock().range((start, Unbounded)).take(FEW).map(|(_, item)| item.clone()).collect()
    }

    /// The file is gone, and the items with it.
    #[inline]
    pub fn end(&self) {
        if !self.is_empty() {
            let items = core::mem::take(&mut *self.0.lock());
            items.into_values().for_each(|item| item.lose_file());
        }
    }
}
