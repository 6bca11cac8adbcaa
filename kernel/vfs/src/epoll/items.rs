//! The items of an epoll instance by descriptor, and by file where several have stood behind one descriptor.
//!
//! Plain data; the instance's lock is around it.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::mem;
use core::ops::Bound::{Excluded, Unbounded};

use abi::Errno;
use libkernel::radix::RadixTree;
use outcome::OrErrno;

use super::ItemRef;
use super::item::Key;

/// All items.
pub(super) struct Items(RadixTree<Same>);

/// Those of one descriptor, nearly always one.
struct Same {
    first: ItemRef,
    /// By their files.
    others: BTreeMap<usize, ItemRef>,
}

/// How many items a walk looks up at once, and twice as many at most.
const FEW: usize = 32;

impl Items {
    pub(super) const fn new() -> Items {
        Items(RadixTree::new())
    }

    pub(super) fn get(&self, key: Key) -> Option<&ItemRef> {
        let same = self.0.get(key.fd.into())?;
        if same.first.key == key { Some(&same.first) } else { same.others.get(&key.file) }
    }

    /// EEXIST if there is one with its key.
    pub(super) fn insert(&mut self, item: ItemRef) -> Result<(), Errno> {
        let key = item.key;
        match self.0.get_mut(key.fd.into()) {
            None => {
                let same = Same { first: item, others: BTreeMap::new() };
                self.0.insert(key.fd.into(), same).or_errno().map(drop)
            }
            Some(same) if same.first.key == key || same.others.contains_key(&key.file) => Err(Errno::EEXIST),
            Some(same) => {
                same.others.insert(key.file, item);
                Ok(())
            }
        }
    }

    pub(super) fn remove(&mut self, key: Key) -> Option<ItemRef> {
        let same = self.0.get_mut(key.fd.into())?;
        if same.first.key != key {
            return same.others.remove(&key.file);
        }
        match same.others.pop_first() {
            Some((_, next)) => Some(mem::replace(&mut same.first, next)),
            None => self.0.remove(key.fd.into()).map(|same| same.first),
        }
    }

    /// Any item, taken out.
    pub(super) fn pop(&mut self) -> Option<ItemRef> {
        let fd = self.0.first_from(0)?;
        let key = self.0.get(fd)?.first.key;
        self.remove(key)
    }

    /// The next few items behind `key`, in order; empty behind the last one. The first one of a descriptor comes with
    /// some of the others, so that none is passed over when one of these takes its place.
    pub(super) fn some(&self, behind: Option<Key>) -> Vec<ItemRef> {
        let mut found = Vec::new();
        let mut next = 0;
        if let Some(key) = behind {
            let same = self.0.get(key.fd.into()).map(|same| &same.others);
            let rest = same.into_iter().flat_map(|others| others.range((Excluded(key.file), Unbounded)));
            found.extend(rest.take(FEW).map(|(_, item)| item.clone()));
            next = u64::from(key.fd) + 1;
        }
        for (_, same) in self.0.range(next..u64::MAX) {
            if found.len() >= FEW {
                break;
            }
            found.push(same.first.clone());
            found.extend(same.others.values().take(FEW).cloned());
        }
        found
    }
}
