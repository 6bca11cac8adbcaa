//! Deadlines in order, each with what is to happen then.

use alloc::boxed::Box;

use crate::ordered::{self, Tree};

/// What a deadline is a point of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Base {
    /// The monotonic clock, or whatever else never jumps.
    Monotonic,
    /// The wall clock, which may be set: such deadlines stay points of it.
    Wall,
}

/// A deadline, and the number of its coming.
type Place = (u64, u64);

/// A place among deadlines, to be made before it is needed.
pub type Node<T> = ordered::Node<Place, T>;

/// Names one entry of a [`Timeouts`].
#[derive(Clone, Copy, Debug)]
pub struct Key {
    base: Base,
    place: Place,
}

/// Values ordered by deadline. Nothing is allocated or freed by entering and taking, so that an interrupt may.
#[derive(Debug)]
pub struct Timeouts<T> {
    next_number: u64,
    monotonic: Tree<Place, T>,
    wall: Tree<Place, T>,
}

impl<T> Default for Timeouts<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> Timeouts<T> {
    /// No deadlines.
    pub const fn new() -> Timeouts<T> {
        Timeouts { next_number: 0, monotonic: Tree::new(), wall: Tree::new() }
    }

    /// The earliest deadline on the monotonic clock, to which the wall clock adds `wall_offset_ns`.
    #[inline]
    pub fn next_deadline(&self, wall_offset_ns: u64) -> Option<u64> {
        let monotonic = self.monotonic.first().map(|((deadline, _), _)| deadline);
        let Some(((wall, _), _)) = self.wall.first() else { return monotonic };
        let wall = wall.saturating_sub(wall_offset_ns);
        Some(monotonic.map_or(wall, |monotonic| monotonic.min(wall)))
    }

    /// Adds a value; equal deadlines keep the order of their coming.
    #[inline]
    pub fn insert(&mut self, mut node: Box<Node<T>>, base: Base, deadline_ns: u64, value: T) -> Key {
        let place = (deadline_ns, self.next_number);
        self.next_number += 1;
        node.fill(value);
        self.tree(base).insert(node, place);
        Key { base, place }
    }

    /// Takes an entry out, if it is still there.
    #[inline]
    pub fn remove(&mut self, key: Key) -> Option<(Box<Node<T>>, T)> {
        let mut node = self.tree(key.base).take(key.place)?;
        node.empty().map(|value| (node, value))
    }

    /// Takes the first entry whose deadline is not after `now_ns`, to which the wall clock adds `wall_offset_ns`.
    #[inline]
    pub fn pop_expired(&mut self, now_ns: u64, wall_offset_ns: u64) -> Option<(Box<Node<T>>, T)> {
        let is_due = |now: u64| move |place: &Place, _: &T| place.0 <= now;
        let mut node = self.monotonic.take_first_if(is_due(now_ns)).or_else(|| {
            let wall_ns = now_ns.saturating_add(wall_offset_ns);
            self.wall.take_first_if(is_due(wall_ns))
        })?;
        node.empty().map(|value| (node, value))
    }

    #[inline]
    fn tree(&mut self, base: Base) -> &mut Tree<Place, T> {
        match base {
            Base::Monotonic => &mut self.monotonic,
            Base::Wall => &mut self.wall,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pop(timeouts: &mut Timeouts<char>, now_ns: u64, wall_offset_ns: u64) -> Option<char> {
        timeouts.pop_expired(now_ns, wall_offset_ns).map(|(_, value)| value)
    }

    #[test]
    fn entries_come_out_in_order_of_time_then_of_coming() {
        let mut timeouts = Timeouts::new();
        for (deadline, value) in [(30, 'c'), (10, 'a'), (30, 'd'), (20, 'b')] {
            timeouts.insert(Node::new(), Base::Monotonic, deadline, value);
        }
        assert_eq!(timeouts.next_deadline(0), Some(10));
        assert_eq!(pop(&mut timeouts, 9, 0), None);
        let order: alloc::vec::Vec<char> = core::iter::from_fn(|| pop(&mut timeouts, 30, 0)).collect();
        assert_eq!(order, ['a', 'b', 'c', 'd']);
    }

    #[test]
    fn a_removed_entry_does_not_fire() {
        let mut timeouts = Timeouts::new();
        let key = timeouts.insert(Node::new(), Base::Monotonic, 5, 'x');
        assert_eq!(timeouts.remove(key).map(|(_, value)| value), Some('x'));
        assert!(timeouts.remove(key).is_none());
        assert_eq!(timeouts.next_deadline(0), None);
    }

    #[test]
    fn wall_deadlines_follow_the_wall_clock() {
        let mut timeouts = Timeouts::new();
        timeouts.insert(Node::new(), Base::Wall, 1100, 'w');
        timeouts.insert(Node::new(), Base::Monotonic, 50, 'm');
        assert_eq!(timeouts.next_deadline(1000), Some(50));
        assert_eq!(timeouts.next_deadline(1090), Some(10));
        assert_eq!(timeouts.next_deadline(9000), Some(0));
        assert_eq!(pop(&mut timeouts, 20, 1000), None);
        assert_eq!(pop(&mut timeouts, 20, 1080), Some('w'));
        assert_eq!(pop(&mut timeouts, 50, 1080), Some('m'));
    }
}
