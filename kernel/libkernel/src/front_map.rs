//! An ordered map whose least entry lies beside its tree.
//!
//! Where there is mostly one entry at a time, that comes and goes without memory.
//!
//! Invariant: `front` is less than all of `rest`, and there is one if `rest` has any.

use alloc::collections::BTreeMap;
use core::ops::RangeInclusive;

/// An ordered map.
#[derive(Debug)]
pub struct FrontMap<K, V> {
    front: Option<(K, V)>,
    rest: BTreeMap<K, V>,
}

impl<K: Ord, V> FrontMap<K, V> {
    /// A map without entries.
    pub const fn new() -> Self {
        Self { front: None, rest: BTreeMap::new() }
    }

    /// Enters a value; what was there.
    pub fn insert(&mut self, key: K, value: V) -> Option<V> {
        match &mut self.front {
            None => self.front = Some((key, value)),
            Some(front) if front.0 == key => return Some(core::mem::replace(&mut front.1, value)),
            Some(front) if front.0 < key => return self.rest.insert(key, value),
            Some(front) => {
                let (key, value) = core::mem::replace(front, (key, value));
                self.rest.insert(key, value);
            }
        }
        None
    }

    /// Takes a value out.
    pub fn remove(&mut self, key: &K) -> Option<V> {
        if self.front.as_ref().is_some_and(|front| front.0 == *key) {
            let next = if self.rest.is_empty() { None } else { self.rest.pop_first() };
            return core::mem::replace(&mut self.front, next).map(|(_, value)| value);
        }
        if self.rest.is_empty() { None } else { self.rest.remove(key) }
    }

    /// Whether there is no entry.
    pub const fn is_empty(&self) -> bool {
        self.front.is_none()
    }

    /// The values of some keys, in the order of these.
    pub fn range(&self, keys: RangeInclusive<K>) -> impl Iterator<Item = &V> {
        let front = self.front.as_ref().filter(|front| keys.contains(&front.0)).map(|front| &front.1);
        // An empty tree is not even asked.
        let rest = (!self.rest.is_empty()).then(|| self.rest.range(keys).map(|(_, value)| value));
        front.into_iter().chain(rest.into_iter().flatten())
    }
}

impl<K: Ord, V> Default for FrontMap<K, V> {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn it_is_an_ordered_map(steps: Vec<(bool, u8, u16)>, low in 0u8..16, high in 0u8..16) {
            let (mut map, mut model) = (FrontMap::new(), BTreeMap::new());
            for (enters, key, value) in steps {
                let key = key % 16;
                if enters {
                    prop_assert_eq!(map.insert(key, value), model.insert(key, value));
                } else {
                    prop_assert_eq!(map.remove(&key), model.remove(&key));
                }
                prop_assert_eq!(map.is_empty(), model.is_empty());
                let model_range: Vec<_> = if low <= high {
                    model.range(low..=high).map(|(_, value)| *value).collect()
                } else {
                    Vec::new()
                };
                let range = low.min(high)..=high;
                if low <= high {
                    prop_assert_eq!(map.range(range).copied().collect::<Vec<_>>(), model_range);
                }
            }
        }
    }
}
