//! Linked lists of shared values that carry their own links.
//!
//! Entering and leaving cost no memory and no walk, so an interrupt may do either. A [`Node`] is in at most one [`List`] at a time;
//! the list holds a reference to it. The list itself is not locked: whoever shares it puts it under a lock.
//!
//! Invariant: a node's `next` and `previous` are touched by the list whose number is in `owner`, and by nobody if that is 0. A list
//! touches them only through `&mut`, and no two lists have the same number.

use alloc::sync::{Arc, Weak};
use core::cell::UnsafeCell;
use core::ops::Deref;
use core::ptr;
use core::sync::atomic::{AtomicU64, Ordering};

/// No list.
const NOBODY: u64 = 0;

/// A value that can stand in a list. It lives behind an [`Arc`] only.
pub struct Node<T> {
    owner: AtomicU64,
    next: UnsafeCell<*const Node<T>>,
    previous: UnsafeCell<*const Node<T>>,
    value: T,
}

// SAFETY: the links are touched by the owning list alone, which moves between threads as a whole and hands out `Arc`s.
unsafe impl<T: Send + Sync> Send for Node<T> {}
// SAFETY: as above.
unsafe impl<T: Send + Sync> Sync for Node<T> {}

impl<T> Node<T> {
    /// A node in no list, around a value that may keep a way to it.
    pub fn new_cyclic(make: impl FnOnce(&Weak<Node<T>>) -> T) -> Arc<Node<T>> {
        Arc::new_cyclic(|this| Node {
            owner: AtomicU64::new(NOBODY),
            next: UnsafeCell::new(ptr::null()),
            previous: UnsafeCell::new(ptr::null()),
            value: make(this),
        })
    }
}

impl<T> Deref for Node<T> {
    type Target = T;
    #[inline]
    fn deref(&self) -> &T {
        &self.value
    }
}

/// Nodes in order.
pub struct List<T> {
    /// The list's own number, given when the first node comes.
    number: u64,
    length: usize,
    first: *const Node<T>,
    last: *const Node<T>,
}

// SAFETY: the pointers are references to nodes, which may be shared and sent as their bounds say.
unsafe impl<T: Send + Sync> Send for List<T> {}
// SAFETY: `&List` gives access to numbers alone.
unsafe impl<T: Send + Sync> Sync for List<T> {}

/// Which end of a list.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    Front,
    Back,
}

impl<T> List<T> {
    /// A list without nodes.
    pub const fn new() -> Self {
        Self { number: NOBODY, length: 0, first: ptr::null(), last: ptr::null() }
    }

    /// How many nodes there are.
    pub const fn len(&self) -> usize {
        self.length
    }

    /// Whether there is none.
    pub const fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// Adds a node at the end; false if it is in a list already.
    pub fn push_back(&mut self, node: Arc<Node<T>>) -> bool {
        self.push(node, End::Back)
    }

    /// Adds a node at the beginning; false if it is in a list already.
    pub fn push_front(&mut self, node: Arc<Node<T>>) -> bool {
        self.push(node, End::Front)
    }

    fn push(&mut self, node: Arc<Node<T>>, end: End) -> bool {
        static NUMBERS: AtomicU64 = AtomicU64::new(NOBODY + 1);
        if self.number == NOBODY {
            self.number = NUMBERS.fetch_add(1, Ordering::Relaxed);
        }
        // Acquire: what the list before has done to the links comes first.
        if node.owner.compare_exchange(NOBODY, self.number, Ordering::Acquire, Ordering::Relaxed).is_err() {
            return false;
        }
        let (previous, next) = match end {
            End::Front => (ptr::null(), self.first),
            End::Back => (self.last, ptr::null()),
        };
        let node = Arc::into_raw(node);
        // SAFETY: the exchange made this list the node's owner, and the reference that was given up here keeps it alive.
        unsafe {
            *(*node).next.get() = next;
            *(*node).previous.get() = previous;
        }
        self.set_next(previous, node);
        self.set_previous(next, node);
        self.length += 1;
        true
    }

    /// Takes the first node out.
    pub fn pop_front(&mut self) -> Option<Arc<Node<T>>> {
        // SAFETY: a node that the list points to is in it.
        (!self.first.is_null()).then(|| unsafe { self.unlink(self.first) })
    }

    /// Takes a node out, if it is in this list.
    pub fn remove(&mut self, node: &Node<T>) -> Option<Arc<Node<T>>> {
        if self.number == NOBODY || node.owner.load(Ordering::Relaxed) != self.number {
            return None;
        }
        // SAFETY: this list is the node's owner, which only `&mut self` changes; so its neighbours are in the list, too.
        let own = unsafe {
            let previous = *node.previous.get();
            if previous.is_null() { self.first } else { *(*previous).next.get() }
        };
        // SAFETY: `own` is the list's own pointer to the node.
        Some(unsafe { self.unlink(own) })
    }

    /// Joins the neighbours of a node and gives its reference back.
    ///
    /// # Safety
    /// The node is in this list, and the pointer is the one that the list holds.
    unsafe fn unlink(&mut self, node: *const Node<T>) -> Arc<Node<T>> {
        // SAFETY: the list owns the links of a node that is in it, and a reference to it that came from `Arc::into_raw`.
        let (next, previous, node) =
            unsafe { (*(*node).next.get(), *(*node).previous.get(), Arc::from_raw(node)) };
        self.set_next(previous, next);
        self.set_previous(next, previous);
        self.length -= 1;
        // Release: the next owner sees the links as they were left.
        node.owner.store(NOBODY, Ordering::Release);
        node
    }

    /// What follows `node`, or begins the list where that is null.
    fn set_next(&mut self, node: *const Node<T>, next: *const Node<T>) {
        if node.is_null() {
            self.first = next;
        } else {
            // SAFETY: callers pass nodes of this list, which owns their links.
            unsafe { *(*node).next.get() = next };
        }
    }

    /// What precedes `node`, or ends the list where that is null.
    fn set_previous(&mut self, node: *const Node<T>, previous: *const Node<T>) {
        if node.is_null() {
            self.last = previous;
        } else {
            // SAFETY: as in `set_next`.
            unsafe { *(*node).previous.get() = previous };
        }
    }
}

impl<T> Default for List<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> Drop for List<T> {
    fn drop(&mut self) {
        while self.pop_front().is_some() {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    fn node(value: u32) -> Arc<Node<u32>> {
        Node::new_cyclic(|_| value)
    }

    fn drain(list: &mut List<u32>) -> Vec<u32> {
        core::iter::from_fn(|| list.pop_front().map(|node| **node)).collect()
    }

    #[test]
    fn nodes_come_out_in_order_and_leave_from_anywhere() {
        let mut list = List::new();
        let nodes: Vec<_> = (0..6).map(node).collect();
        for each in &nodes {
            assert!(list.push_back(each.clone()));
        }
        assert!(list.remove(&nodes[0]).is_some() && list.remove(&nodes[3]).is_some());
        assert!(list.remove(&nodes[5]).is_some() && list.remove(&nodes[5]).is_none());
        assert!(list.push_front(nodes[3].clone()) && list.push_back(nodes[0].clone()));
        assert_eq!(list.len(), 5);
        assert_eq!(drain(&mut list), [3, 1, 2, 4, 0]);
        assert!(list.is_empty());
        assert!(nodes.iter().all(|node| Arc::strong_count(node) == 1));
    }

    #[test]
    fn a_node_is_in_one_list_at_a_time() {
        let (mut first, mut second) = (List::new(), List::new());
        let shared = node(7);
        assert!(first.push_back(shared.clone()));
        assert!(!first.push_back(shared.clone()) && !second.push_front(shared.clone()));
        assert!(second.remove(&shared).is_none());
        assert!(second.push_back(node(8)) && second.remove(&shared).is_none());
        assert!(first.remove(&shared).is_some());
        assert!(second.push_front(shared.clone()));
        assert_eq!(drain(&mut second), [7, 8]);
    }

    #[test]
    fn a_dropped_list_lets_go_of_its_nodes() {
        let shared = node(1);
        let mut list = List::new();
        list.push_back(shared.clone());
        drop(list);
        assert_eq!(Arc::strong_count(&shared), 1);
        assert!(List::new().push_back(shared));
    }
}
