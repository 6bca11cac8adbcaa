//! An ordered tree whose nodes exist before they are needed: entering a value cannot fail for lack of memory.
//!
//! A treap of owned nodes: each has a random rank that is at least that of its children, which makes the expected depth
//! logarithmic whatever the order of arrival (R. Seidel and C. Aragon, "Randomized Search Trees", Algorithmica 16,
//! 1996). Programs choose keys, but neither see nor choose ranks: these come from a sequence with a secret start
//! ([`seed`]). Who wants to stand in a tree brings a [`Node`] and gets it back with its value; the tree of one node,
//! the usual one, costs a few comparisons.

#[cfg(test)]
mod tests;

use alloc::boxed::Box;
use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// A place in a tree: empty, or with a value while it stands in one or is about to.
#[derive(Debug)]
pub struct Node<K, V> {
    /// What it stands by, or did last.
    key: K,
    value: Option<V>,
    rank: u32,
    left: Link<K, V>,
    right: Link<K, V>,
}

type Link<K, V> = Option<Box<Node<K, V>>>;

/// Where the ranks have come to.
static RANKS: AtomicU64 = AtomicU64::new(0);

/// Makes ranks unknown to programs. Once, at boot.
pub fn seed(secret: u64) {
    RANKS.fetch_add(secret, Relaxed);
}

/// A number that programs do not know, once [`seed`] has been called.
pub(crate) fn secret() -> u64 {
    u64::from(next_rank()) << 32 | u64::from(next_rank())
}

/// The next rank: SplitMix64 (G. Steele, D. Lea, C. Flood, "Fast splittable pseudorandom number generators", OOPSLA
/// 2014).
pub(crate) fn next_rank() -> u32 {
    const STEP: u64 = 0x9e37_79b9_7f4a_7c15;
    let state = RANKS.fetch_add(STEP, Relaxed);
    let mixed = (state ^ state >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    (mixed >> 32) as u32
}

impl<K: Default, V> Node<K, V> {
    /// A node that stands nowhere.
    pub fn new() -> Box<Node<K, V>> {
        Box::new(Node { key: K::default(), value: None, rank: next_rank(), left: None, right: None })
    }
}

impl<K, V> Node<K, V> {
    /// Puts a value in, before it stands in a tree. It is empty.
    #[inline]
    pub fn fill(&mut self, value: V) {
        let before = self.value.replace(value);
        debug_assert!(before.is_none(), "the node stands somewhere");
        // Nothing is dropped, and the compiler need not ask.
        core::mem::forget(before);
    }

    /// The value, if there is one.
    #[inline]
    pub fn value(&self) -> Option<&V> {
        self.value.as_ref()
    }

    /// What it stands by, or did last.
    #[inline]
    pub fn key(&self) -> &K {
        &self.key
    }

    /// Takes the value out.
    #[inline]
    pub fn empty(&mut self) -> Option<V> {
        self.value.take()
    }

    #[inline]
    fn is_leaf(&self) -> bool {
        self.left.is_none() && self.right.is_none()
    }
}

/// Values in the order of their keys, which are distinct.
#[derive(Debug)]
pub struct Tree<K, V> {
    root: Link<K, V>,
}

impl<K, V> Tree<K, V> {
    /// Nothing.
    pub const fn new() -> Tree<K, V> {
        Tree { root: None }
    }

    /// Whether there is nothing in it.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.root.is_none()
    }
}

impl<K, V> Default for Tree<K, V> {
    fn default() -> Tree<K, V> {
        Tree::new()
    }
}

impl<K: Ord + Copy, V> Tree<K, V> {
    /// Enters a node, which has a value, at a key that no other has.
    #[inline]
    pub fn insert(&mut self, mut node: Box<Node<K, V>>, key: K) {
        node.key = key;
        if self.root.is_none() {
            // Nothing is dropped, and the compiler need not ask.
            core::mem::forget(self.root.replace(node));
        } else {
            insert_below(&mut self.root, node, key);
        }
    }

    /// The first entry.
    #[inline]
    pub fn first(&self) -> Option<(K, &V)> {
        let mut node = self.root.as_deref()?;
        while let Some(left) = node.left.as_deref() {
            node = left;
        }
        node.value.as_ref().map(|value| (node.key, value))
    }

    /// The first entry whose key is not before this one.
    #[inline]
    pub fn first_from(&self, from: K) -> Option<(K, &V)> {
        let (mut link, mut found) = (&self.root, None);
        while let Some(node) = link.as_deref() {
            link = if node.key < from {
                &node.right
            } else {
                found = Some(node);
                &node.left
            };
        }
        found.and_then(|node| node.value.as_ref().map(|value| (node.key, value)))
    }

    /// The value at a key.
    pub fn get(&self, key: K) -> Option<&V> {
        self.first_from(key).filter(|(found, _)| *found == key).map(|(_, value)| value)
    }

    /// Takes the node at a key out, with its value.
    #[inline]
    pub fn take(&mut self, key: K) -> Option<Box<Node<K, V>>> {
        if self.root.as_ref().is_some_and(|root| root.is_leaf() && root.key == key) {
            return self.root.take();
        }
        take(&mut self.root, key)
    }

    /// Takes the only node out, with its value, if it is `wanted`; `None` also if there are several.
    #[inline]
    pub fn take_only_if(&mut self, wanted: impl FnOnce(&K, &V) -> bool) -> Option<Box<Node<K, V>>> {
        let root = self.root.as_ref()?;
        if root.is_leaf() && root.value.as_ref().is_some_and(|value| wanted(&root.key, value)) {
            self.root.take()
        } else {
            None
        }
    }

    /// Takes the first node out, with its value, if it is `wanted`. No keys are compared.
    #[inline]
    pub fn take_first_if(&mut self, wanted: impl FnOnce(&K, &V) -> bool) -> Option<Box<Node<K, V>>> {
        let (key, value) = self.first()?;
        if wanted(&key, value) { take_first(&mut self.root) } else { None }
    }
}

/// Out of the way of who enters an empty tree.
#[inline(never)]
fn insert_below<K: Ord + Copy, V>(link: &mut Link<K, V>, mut node: Box<Node<K, V>>, key: K) {
    match link {
        Some(above) if above.rank >= node.rank => {
            insert_below(if key < above.key { &mut above.left } else { &mut above.right }, node, key);
        }
        _ => {
            (node.left, node.right) = split(link.take(), key);
            *link = Some(node);
        }
    }
}

/// Cuts a tree into what comes before `key` and the rest.
fn split<K: Ord + Copy, V>(link: Link<K, V>, key: K) -> (Link<K, V>, Link<K, V>) {
    let Some(mut node) = link else { return (None, None) };
    if node.key < key {
        let (before, rest) = split(node.right.take(), key);
        node.right = before;
        (Some(node), rest)
    } else {
        let (before, rest) = split(node.left.take(), key);
        node.left = rest;
        (before, Some(node))
    }
}

/// Joins two trees, the first of which comes before the second.
fn merge<K, V>(first: Link<K, V>, second: Link<K, V>) -> Link<K, V> {
    match (first, second) {
        (Some(mut first), Some(mut second)) => Some(if first.rank >= second.rank {
            first.right = merge(first.right.take(), Some(second));
            first
        } else {
            second.left = merge(Some(first), second.left.take());
            second
        }),
        (first, second) => first.or(second),
    }
}

/// Takes the root out of a subtree.
fn unlink<K, V>(link: &mut Link<K, V>) -> Link<K, V> {
    let mut node = link.take()?;
    if node.left.is_some() || node.right.is_some() {
        *link = merge(node.left.take(), node.right.take());
    }
    Some(node)
}

fn take_first<K, V>(link: &mut Link<K, V>) -> Link<K, V> {
    let node = link.as_mut()?;
    if node.left.is_some() { take_first(&mut node.left) } else { unlink(link) }
}

fn take<K: Ord + Copy, V>(link: &mut Link<K, V>, key: K) -> Link<K, V> {
    let node = link.as_mut()?;
    match key.cmp(&node.key) {
        core::cmp::Ordering::Less => take(&mut node.left, key),
        core::cmp::Ordering::Greater => take(&mut node.right, key),
        core::cmp::Ordering::Equal => unlink(link),
    }
}
