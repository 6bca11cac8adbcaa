//! The ordered tree of both classes: a treap of owned nodes.
//!
//! A node's random rank is at least that of its children, which makes the expected depth logarithmic whatever the order
//! of arrival (R. Seidel and C. Aragon, "Randomized Search Trees", Algorithmica 16, 1996). The recursion here goes as
//! deep, on a kernel stack: programs choose the order, so they may not know the ranks, and each arrival gets a new one.
//! Each node knows the smallest virtual time of its subtree, so that the first eligible entity is found by one descent.
//! The tree of one or two nodes, the usual one, costs a few comparisons.

use alloc::boxed::Box;

use super::entity::{Entity, Link, QueuePosition};
use crate::ordered;

/// Entities in the order of their places.
#[derive(Debug)]
pub(super) struct Tree<T> {
    root: Link<T>,
    len: usize,
    /// What the next rank is made from; 0 until there is one.
    ranks: u64,
}

impl<T> Tree<T> {
    pub(super) const fn new() -> Tree<T> {
        Tree { root: None, len: 0, ranks: 0 }
    }

    #[inline]
    pub(super) fn len(&self) -> usize {
        self.len
    }

    #[inline(always)]
    pub(super) fn insert(&mut self, mut entity: Box<Entity<T>>) {
        self.len += 1;
        if self.len == 1 {
            entity.least = entity.vruntime;
            // The tree was empty: nothing is dropped, and the compiler need not ask.
            core::mem::forget(self.root.replace(entity));
        } else {
            entity.rank = self.next_rank();
            insert(&mut self.root, entity);
        }
    }

    /// The next rank: xorshift64* (S. Vigna, "An experimental exploration of Marsaglia's xorshift generators,
    /// scrambled", ACM Transactions on Mathematical Software 42, 2016), with a secret start.
    fn next_rank(&mut self) -> u32 {
        if self.ranks == 0 {
            self.ranks = ordered::secret() | 1;
        }
        self.ranks ^= self.ranks >> 12;
        self.ranks ^= self.ranks << 25;
        self.ranks ^= self.ranks >> 27;
        (self.ranks.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 32) as u32
    }

    /// Takes the first entity whose virtual time satisfies `eligible`, which holds for all smaller ones too.
    #[inline]
    pub(super) fn take_first(&mut self, eligible: impl Fn(u64) -> bool) -> Link<T> {
        let taken = take_first(&mut self.root, &eligible);
        self.len -= usize::from(taken.is_some());
        taken
    }

    /// The entity, if it is the only one.
    #[inline(always)]
    pub(super) fn only(&self) -> Option<&Entity<T>> {
        self.root.as_deref().filter(|_| self.len == 1)
    }

    /// Takes the entity if it is the only one.
    #[inline(always)]
    pub(super) fn take_only(&mut self) -> Link<T> {
        if self.len != 1 {
            return None;
        }
        self.len = 0;
        self.root.take()
    }

    /// The place of the entity that [`Tree::take_first`] would take.
    #[inline]
    pub(super) fn first(&self, eligible: impl Fn(u64) -> bool) -> Option<&Entity<T>> {
        let mut node = self.root.as_deref()?;
        if !eligible(node.least) {
            return None;
        }
        loop {
            match node.left.as_deref() {
                Some(left) if eligible(left.least) => node = left,
                _ if eligible(node.vruntime) => return Some(node),
                _ => node = node.right.as_deref()?,
            }
        }
    }

    /// Takes the entity at a place.
    pub(super) fn take(&mut self, place: QueuePosition) -> Link<T> {
        let taken = take(&mut self.root, place);
        self.len -= usize::from(taken.is_some());
        taken
    }

    /// The entity at a place.
    pub(super) fn get(&self, place: QueuePosition) -> Option<&Entity<T>> {
        let mut node = self.root.as_deref()?;
        while node.place != place {
            node = if place.is_before(node.place) { &node.left } else { &node.right }.as_deref()?;
        }
        Some(node)
    }

    /// The first of at most `tries` entities, in order, that `wanted` accepts.
    pub(super) fn find(
        &self,
        mut tries: usize,
        wanted: &mut impl FnMut(&Entity<T>) -> bool,
    ) -> Option<&Entity<T>> {
        find(&self.root, &mut tries, wanted)
    }
}

fn insert<T>(link: &mut Link<T>, mut entity: Box<Entity<T>>) {
    match link {
        Some(node) if !entity.is_above(node) => {
            let side = if entity.place.is_before(node.place) { &mut node.left } else { &mut node.right };
            insert(side, entity);
            node.update();
        }
        _ => {
            (entity.left, entity.right) = split(link.take(), entity.place);
            entity.update();
            *link = Some(entity);
        }
    }
}

/// Cuts a tree into what comes before `place` and the rest.
fn split<T>(link: Link<T>, place: QueuePosition) -> (Link<T>, Link<T>) {
    let Some(mut node) = link else { return (None, None) };
    if node.place.is_before(place) {
        let (before, rest) = split(node.right.take(), place);
        node.right = before;
        node.update();
        (Some(node), rest)
    } else {
        let (before, rest) = split(node.left.take(), place);
        node.left = rest;
        node.update();
        (before, Some(node))
    }
}

/// Joins two trees, the first of which comes before the second.
fn merge<T>(first: Link<T>, second: Link<T>) -> Link<T> {
    match (first, second) {
        (Some(mut first), Some(mut second)) => Some(if first.is_above(&second) {
            first.right = merge(first.right.take(), Some(second));
            first.update();
            first
        } else {
            second.left = merge(Some(first), second.left.take());
            second.update();
            second
        }),
        (first, second) => first.or(second),
    }
}

/// Takes the root out of a subtree.
fn unlink<T>(link: &mut Link<T>) -> Link<T> {
    let mut node = link.take()?;
    if node.left.is_some() || node.right.is_some() {
        *link = merge(node.left.take(), node.right.take());
    }
    Some(node)
}

fn take_first<T>(link: &mut Link<T>, eligible: &impl Fn(u64) -> bool) -> Link<T> {
    let node = link.as_mut()?;
    if !eligible(node.least) {
        return None;
    }
    if node.left.is_some()
        && let Some(taken) = take_first(&mut node.left, eligible)
    {
        node.update();
        return Some(taken);
    }
    if eligible(node.vruntime) {
        return unlink(link);
    }
    let taken = take_first(&mut node.right, eligible);
    node.update();
    taken
}

fn take<T>(link: &mut Link<T>, place: QueuePosition) -> Link<T> {
    let node = link.as_mut()?;
    if node.place == place {
        return unlink(link);
    }
    let side = if place.is_before(node.place) { &mut node.left } else { &mut node.right };
    let taken = take(side, place)?;
    node.update();
    Some(taken)
}

fn find<'a, T>(
    link: &'a Link<T>,
    tries: &mut usize,
    wanted: &mut impl FnMut(&Entity<T>) -> bool,
) -> Option<&'a Entity<T>> {
    let node = link.as_deref()?;
    if let Some(found) = find(&node.left, tries, wanted) {
        return Some(found);
    }
    *tries = tries.checked_sub(1)?;
    if wanted(node) {
        return Some(node);
    }
    find(&node.right, tries, wanted)
}

#[cfg(test)]
impl<T> Tree<T> {
    /// Whether ranks, order, minima and length are what they should be; and the greatest depth.
    pub(super) fn check(&self) -> usize {
        fn walk<T>(link: &Link<T>, places: &mut alloc::vec::Vec<QueuePosition>) -> usize {
            let Some(node) = link else { return 0 };
            let left = walk(&node.left, places);
            places.push(node.place);
            let right = walk(&node.right, places);
            let mut least = node.vruntime;
            for child in [&node.left, &node.right].into_iter().flatten() {
                assert!(!child.is_above(node));
                least = if super::entity::difference(child.least, least) < 0 { child.least } else { least };
            }
            assert_eq!(node.least, least);
            1 + left.max(right)
        }
        let mut places = alloc::vec::Vec::new();
        let depth = walk(&self.root, &mut places);
        assert_eq!(places.len(), self.len);
        assert!(places.windows(2).all(|pair| pair[0].is_before(pair[1])));
        depth
    }
}
