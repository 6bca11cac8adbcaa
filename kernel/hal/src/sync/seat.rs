//! A place for one box, which is put in and taken out without a lock.
use alloc::boxed::Box;
use core::marker::PhantomData;
use core::ptr;
use core::sync::atomic::{AtomicPtr, Ordering};

/// Empty, or the owner of one box.
pub struct Seat<T>(AtomicPtr<T>, PhantomData<Box<T>>);

// SAFETY: whoever takes the box is its only owner; nobody looks into it while it is here.
unsafe impl<T: Send> Sync for Seat<T> {}
// SAFETY: it is a box or nothing.
unsafe impl<T: Send> Send for Seat<T> {}

impl<T> Seat<T> {
    /// A seat with this box.
    pub fn new(value: Box<T>) -> Self {
        Self(AtomicPtr::new(Box::into_raw(value)), PhantomData)
    }

    /// Takes the box out, if there is one.
    #[inline]
    pub fn take(&self) -> Option<Box<T>> {
        let value = self.0.swap(ptr::null_mut(), Ordering::AcqRel);
        // SAFETY: a pointer in the seat comes from `Box::into_raw`, and the exchange gives it to one taker.
        (!value.is_null()).then(|| unsafe { Box::from_raw(value) })
    }

    /// Puts a box in; what was there before is given back.
    #[inline]
    pub fn put(&self, value: Box<T>) -> Option<Box<T>> {
        let before = self.0.swap(Box::into_raw(value), Ordering::AcqRel);
        // SAFETY: as in `take`.
        (!before.is_null()).then(|| unsafe { Box::from_raw(before) })
    }
}

impl<T> Drop for Seat<T> {
    fn drop(&mut self) {
        drop(self.take());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::sync::Arc;

    #[test]
    fn a_box_goes_in_and_comes_out_once() {
        let counted = Arc::new(());
        let seat = Seat::new(Box::new(counted.clone()));
        let taken = seat.take().expect("it was there");
        assert!(seat.take().is_none());
        assert!(seat.put(taken).is_none());
        assert_eq!(Arc::strong_count(&counted), 2);
        assert!(seat.put(Box::new(counted.clone())).is_some());
        drop(seat);
        assert_eq!(Arc::strong_count(&counted), 1);
    }
}
