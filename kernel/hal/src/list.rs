//! Linked lists of shared values that carry their own links.
//!
//! Entering and leaving cost no memory and no walk, so an interrupt may do either. A value has a [`Link`] for each kind
//! of [`List`] that it can be in; a link is in at most one list at a time, and that list holds a reference to the
//! value. The list itself is not locked: whoever shares it puts it under a lock.
//!
//! Invariant: what a link points to is touched by the list whose number is in `owner`, and by nobody if that is 0. A
//! list changes it only through `&mut`, and no two lists have the same number.

use alloc::sync::Arc;
use core::cell::UnsafeCell;
use core::mem::ManuallyDrop;
use core::ops::Deref;
use core::ptr;
use core::sync::atomic::{AtomicU64, Ordering};

/// No list.
const NOBODY: u64 = 0;

/// What puts a value into a list.
pub struct Link<T> {
    owner: AtomicU64,
    next: UnsafeCell<*const Link<T>>,
    previous: UnsafeCell<*const Link<T>>,
    /// While it is in a list: the value, as [`Arc::into_raw`] gave it.
    value: UnsafeCell<*const T>,
}

// SAFETY: what it points to is touched by the owning list alone, which moves between threads as a whole and hands out
// references to values that may be sent and shared.
unsafe impl<T: Send + Sync> Send for Link<T> {}
// SAFETY: as above.
unsafe impl<T: Send + Sync> Sync for Link<T> {}

impl<T> Link<T> {
    /// A link in no list.
    pub const fn new() -> Link<T> {
        Link {
            owner: AtomicU64::new(NOBODY),
            next: UnsafeCell::new(ptr::null()),
            previous: UnsafeCell::new(ptr::null()),
            value: UnsafeCell::new(ptr::null()),
        }
    }

    /// Whether it is in a list, or was a moment ago. Who takes values out can let others rely on it: a fence after that
    /// and a fence before this show at least one of both what the other has done before.
    #[inline]
    pub fn is_in_list(&self) -> bool {
        self.owner.load(Ordering::Relaxed) != NOBODY
    }
}

impl<T> Default for Link<T> {
    fn default() -> Self {
        Self::new()
    }
}

/// Values in order.
pub struct List<T> {
    /// The list's own number, given when the first value comes.
    number: u64,
    length: usize,
    first: *const Link<T>,
    last: *const Link<T>,
}

// SAFETY: the pointers are references to values, which may be shared and sent as their bounds say.
unsafe impl<T: Send + Sync> Send for List<T> {}
// SAFETY: `&List` gives access to shared values alone.
unsafe impl<T: Send + Sync> Sync for List<T> {}

/// A value in a list, whose reference it uses.
pub struct Listed<'a, T> {
    value: ManuallyDrop<Arc<T>>,
    link: &'a Link<T>,
}

impl<T> Listed<'_, T> {
    /// A reference of its own.
    pub fn to_arc(&self) -> Arc<T> {
        Arc::clone(&self.value)
    }
}

impl<T> Deref for Listed<'_, T> {
    type Target = T;
    #[inline]
    fn deref(&self) -> &T {
        &self.value
    }
}

/// Which end of a list.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    Front,
    Back,
}

impl<T> List<T> {
    /// A list without values.
    pub const fn new() -> Self {
        Self { number: NOBODY, length: 0, first: ptr::null(), last: ptr::null() }
    }

    /// How many values there are.
    pub const fn len(&self) -> usize {
        self.length
    }

    /// Whether there is none.
    pub const fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// Adds a value at the end by the link that `link` shows; false if that is in a list already.
    #[inline]
    pub fn push_back(&mut self, value: Arc<T>, link: impl FnOnce(&T) -> &Link<T>) -> bool {
        self.push(value, link, End::Back)
    }

    /// Adds a value at the beginning, likewise.
    #[inline]
    pub fn push_front(&mut self, value: Arc<T>, link: impl FnOnce(&T) -> &Link<T>) -> bool {
        self.push(value, link, End::Front)
    }

    #[inline]
    fn push(&mut self, value: Arc<T>, link: impl FnOnce(&T) -> &Link<T>, end: End) -> bool {
        static NUMBERS: AtomicU64 = AtomicU64::new(NOBODY + 1);
        if self.number == NOBODY {
            self.number = NUMBERS.fetch_add(1, Ordering::Relaxed);
        }
        let own = link(&value);
        // Acquire: what the list before has done to the link comes first.
        if own.owner.compare_exchange(NOBODY, self.number, Ordering::Acquire, Ordering::Relaxed).is_err() {
            return false;
        }
        let (previous, next) = match end {
            End::Front => (ptr::null(), self.first),
            End::Back => (self.last, ptr::null()),
        };
        let own = ptr::from_ref(own);
        // SAFETY: `link` shows a link for a borrow of any length, so this one lives for as long as the value may be
        // borrowed: while the reference that is given up here keeps it. The exchange made this list the link's owner.
        unsafe {
            *(*own).value.get() = Arc::into_raw(value);
            *(*own).next.get() = next;
            *(*own).previous.get() = previous;
        }
        self.set_next(previous, own);
        self.set_previous(next, own);
        self.length += 1;
        true
    }

    /// The first value.
    #[inline]
    pub fn first(&self) -> Option<Listed<'_, T>> {
        self.at(self.first)
    }

    /// What comes behind a value of this list; none behind a link that is not in it.
    pub fn behind(&self, link: &Link<T>) -> Option<Listed<'_, T>> {
        // SAFETY: this list owns the link, and does not change while it is borrowed.
        self.has(link).then(|| unsafe { *link.next.get() }).and_then(|next| self.at(next))
    }

    /// The values in order.
    pub fn iter(&self) -> impl Iterator<Item = Listed<'_, T>> {
        core::iter::successors(self.first(), |listed| self.behind(listed.link))
    }

    /// Whether a link is in this list.
    #[inline]
    pub fn has(&self, link: &Link<T>) -> bool {
        self.number != NOBODY && link.owner.load(Ordering::Relaxed) == self.number
    }

    #[inline]
    fn at(&self, link: *const Link<T>) -> Option<Listed<'_, T>> {
        // SAFETY: callers pass the list's own pointers: a link that they point to is in it, and so is its value, while
        // the list is borrowed.
        (!link.is_null()).then(|| unsafe {
            Listed { value: ManuallyDrop::new(Arc::from_raw(*(*link).value.get())), link: &*link }
        })
    }

    /// Takes the first value out.
    #[inline]
    pub fn pop_front(&mut self) -> Option<Arc<T>> {
        // SAFETY: a link that the list points to is in it.
        (!self.first.is_null()).then(|| unsafe { self.unlink(self.first) })
    }

    /// Takes a value out, if its link is in this list.
    #[inline]
    pub fn remove(&mut self, link: &Link<T>) -> Option<Arc<T>> {
        // SAFETY: the link is in this list.
        self.has(link).then(|| unsafe { self.unlink(link) })
    }

    /// Joins the neighbours of a link and gives the reference to its value back.
    ///
    /// # Safety
    /// The link is in this list.
    #[inline]
    unsafe fn unlink(&mut self, link: *const Link<T>) -> Arc<T> {
        // SAFETY: the list owns a link that is in it, and a reference to its value that came from `Arc::into_raw`.
        let (next, previous, value) =
            unsafe { (*(*link).next.get(), *(*link).previous.get(), Arc::from_raw(*(*link).value.get())) };
        self.set_next(previous, next);
        self.set_previous(next, previous);
        self.length -= 1;
        // SAFETY: the reference just taken keeps the value, and with it the link. Release: the next owner sees it as it
        // was left.
        unsafe { (*link).owner.store(NOBODY, Ordering::Release) };
        value
    }

    /// What follows `link`, or begins the list where that is null.
    #[inline]
    fn set_next(&mut self, link: *const Link<T>, next: *const Link<T>) {
        if link.is_null() {
            self.first = next;
        } else {
            // SAFETY: callers pass links of this list, which owns them.
            unsafe { *(*link).next.get() = next };
        }
    }

    /// What precedes `link`, or ends the list where that is null.
    #[inline]
    fn set_previous(&mut self, link: *const Link<T>, previous: *const Link<T>) {
        if link.is_null() {
            self.last = previous;
        } else {
            // SAFETY: as in `set_next`.
            unsafe { *(*link).previous.get() = previous };
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

    /// A value that can be in two lists at once.
    struct Value {
        number: u32,
        link: Link<Value>,
        other: Link<Value>,
    }

    fn value(number: u32) -> Arc<Value> {
        Arc::new(Value { number, link: Link::new(), other: Link::new() })
    }

    fn enter(list: &mut List<Value>, value: &Arc<Value>) -> bool {
        list.push_back(value.clone(), |value| &value.link)
    }

    fn numbers(list: &List<Value>) -> Vec<u32> {
        list.iter().map(|value| value.number).collect()
    }

    fn drain(list: &mut List<Value>) -> Vec<u32> {
        core::iter::from_fn(|| list.pop_front().map(|value| value.number)).collect()
    }

    #[test]
    fn values_come_out_in_order_and_leave_from_anywhere() {
        let mut list = List::new();
        let values: Vec<_> = (0..6).map(value).collect();
        for each in &values {
            assert!(enter(&mut list, each));
        }
        assert!(list.remove(&values[0].link).is_some() && list.remove(&values[3].link).is_some());
        assert!(list.remove(&values[5].link).is_some() && list.remove(&values[5].link).is_none());
        assert!(list.push_front(values[3].clone(), |value| &value.link) && enter(&mut list, &values[0]));
        assert_eq!(list.len(), 5);
        assert_eq!(numbers(&list), [3, 1, 2, 4, 0]);
        assert_eq!(drain(&mut list), [3, 1, 2, 4, 0]);
        assert!(list.is_empty() && list.first().is_none());
        assert!(values.iter().all(|value| Arc::strong_count(value) == 1));
    }

    #[test]
    fn a_link_is_in_one_list_at_a_time() {
        let (mut first, mut second) = (List::new(), List::new());
        let shared = value(7);
        assert!(enter(&mut first, &shared));
        assert!(!enter(&mut first, &shared) && !enter(&mut second, &shared));
        assert!(second.remove(&shared.link).is_none());
        assert!(enter(&mut second, &value(8)) && second.remove(&shared.link).is_none());
        assert!(first.remove(&shared.link).is_some());
        assert!(second.push_front(shared.clone(), |value| &value.link));
        assert_eq!(drain(&mut second), [7, 8]);
    }

    #[test]
    fn a_value_is_in_as_many_lists_as_it_has_links() {
        let (mut first, mut second) = (List::new(), List::new());
        let values: Vec<_> = (0..3).map(value).collect();
        for each in &values {
            assert!(enter(&mut first, each));
            assert!(second.push_front(each.clone(), |value| &value.other));
        }
        assert_eq!((numbers(&first), numbers(&second)), (alloc::vec![0, 1, 2], alloc::vec![2, 1, 0]));
        assert!(first.remove(&values[1].link).is_some() && first.remove(&values[1].other).is_none());
        assert_eq!((numbers(&first), numbers(&second)), (alloc::vec![0, 2], alloc::vec![2, 1, 0]));
        assert_eq!(Arc::strong_count(&values[1]), 2);
    }

    #[test]
    fn a_walk_goes_on_behind_a_value_that_is_listed() {
        let mut list = List::new();
        let values: Vec<_> = (0..3).map(value).collect();
        for each in &values {
            assert!(enter(&mut list, each));
        }
        assert_eq!(list.behind(&values[0].link).map(|next| next.to_arc().number), Some(1));
        assert!(list.remove(&values[1].link).is_some());
        assert_eq!(list.behind(&values[0].link).map(|next| next.number), Some(2));
        assert!(list.behind(&values[1].link).is_none() && list.behind(&values[2].link).is_none());
        assert!(values.iter().zip([2, 1, 2]).all(|(value, count)| Arc::strong_count(value) == count));
    }

    #[test]
    fn a_dropped_list_lets_go_of_its_values() {
        let shared = value(1);
        let mut list = List::new();
        assert!(enter(&mut list, &shared));
        drop(list);
        assert_eq!(Arc::strong_count(&shared), 1);
        assert!(enter(&mut List::new(), &shared));
    }
}
