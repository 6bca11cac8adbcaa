//! Objects with blocks of frames: had page by page, and cut where a range cuts them.

use super::*;
use hal::frame::{Account, SharedBlock};

const ORDER: u32 = 3;

/// An object of 16 pages, of which the second half is one block whose pages say their number.
fn object() -> Arc<Object> {
    let object = Object::new(16 * PAGE_SIZE);
    let block = SharedBlock::alloc_zeroed(ORDER, Account::NONE).unwrap();
    for page in 0..8 {
        block.frame(page).write(0, &[8 + page as u8]);
    }
    object.pages.lock().insert_block(8, ORDER, block.into_frame()).unwrap();
    object
}

fn number_of(frame: &SharedFrame) -> u8 {
    let mut byte = [0];
    frame.read(0, &mut byte);
    byte[0]
}

#[test]
fn pages_of_a_block_are_had_one_by_one() {
    let object = object();
    assert_eq!((object.resident_pages(), object.page(7).is_none()), (8, true));
    assert!((8..16).all(|index| number_of(&object.page(index).unwrap()) == index as u8));
    let mut frames: [Option<SharedFrame>; 4] = Default::default();
    object.pages(6, &mut frames);
    assert_eq!(frames.map(|frame| frame.map(|frame| number_of(&frame))), [None, None, Some(8), Some(9)]);
    assert_eq!(number_of(&object.page_or_create(11).unwrap()), 11);
    assert_eq!((object.next_data(0), object.next_hole(9 * PAGE_SIZE)), (Some(8 * PAGE_SIZE), 16 * PAGE_SIZE));
}

#[test]
fn a_truncation_cuts_a_block() {
    let object = object();
    object.truncate(11 * PAGE_SIZE + 1, || Ok(())).unwrap();
    assert_eq!((object.resident_pages(), object.page(12).is_none()), (4, true));
    assert_eq!([8, 11].map(|index| number_of(&object.page(index).unwrap())), [8, 11]);
}

#[test]
fn a_hole_in_a_block_leaves_what_is_around() {
    let object = object();
    object.punch(10 * PAGE_SIZE, 2 * PAGE_SIZE).unwrap();
    let present = (8..16).filter(|&index| object.page(index).is_some());
    assert!(present.eq([8, 9, 12, 13, 14, 15]));
    assert_eq!((object.resident_pages(), number_of(&object.page(12).unwrap())), (6, 12));
}

#[test]
fn a_block_goes_as_a_whole_where_all_of_it_goes() {
    let object = object();
    let page = object.page(9).unwrap();
    object.truncate(8 * PAGE_SIZE, || Ok(())).unwrap();
    assert_eq!((object.resident_pages(), page.is_unique()), (0, true));
}
