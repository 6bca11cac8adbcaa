//! Pages that are going away, or that a failed call made: who gets them, and who keeps them.

use super::untouched::Use;
use super::*;
use alloc::vec::Vec;

fn object() -> Arc<Object> {
    let object = Object::new(8 * PAGE_SIZE);
    (0..8).for_each(|index| drop(object.page_or_create(index).unwrap()));
    object
}

fn to_be_mapped(object: &Object) -> Vec<u64> {
    let mut frames: [Option<SharedFrame>; 8] = Default::default();
    object.pages(0, &mut frames);
    (0..).zip(frames).filter_map(|(index, frame)| frame.map(|_| index)).collect()
}

#[test]
fn what_is_being_taken_away_is_not_mapped_beside_another_page() {
    let object = object();
    let detachment = object.detaching.begin(2..5);
    assert_eq!(to_be_mapped(&object), [0, 1, 5, 6, 7]);
    drop(detachment);
    assert_eq!(to_be_mapped(&object).len(), 8);
}

#[test]
fn what_lies_beyond_the_size_is_not_mapped_beside_another_page() {
    let object = object();
    // A truncation that has not come to the pages yet.
    object.size.store(5 * PAGE_SIZE + 1, Ordering::Release);
    assert_eq!(to_be_mapped(&object), [0, 1, 2, 3, 4, 5]);
}

#[test]
fn what_was_used_meanwhile_outlives_a_failed_allocation() {
    let object = Object::new(4 * PAGE_SIZE);
    (0..4).for_each(|index| drop(object.create_page(index, Use::Later).unwrap()));
    object.page_or_create(1).unwrap().write(0, b"x");
    object.remove_untouched(0..4);
    assert_eq!((object.resident_pages(), object.has_used_page(1)), (1, true));
}

#[test]
fn a_full_budget_is_heard_of_first() {
    let object = Object::limited(PAGE_SIZE, Arc::new(PageBudget::new(0)));
    assert_eq!(object.page_or_create(0).err(), Some(Errno::ENOSPC));
}
