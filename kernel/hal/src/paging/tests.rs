//! Address spaces on the host machine: references, rights, copies and moves.
use super::*;
use crate::arch::{flushed, synchronised};
use crate::frame::{Account, SharedFrame};
use libkernel::addr::{PAGE_SIZE, UserAddr, UserRange};

const BASE: UserAddr = UserAddr::new(0x4000_0000);

fn page(number: u64) -> UserAddr {
    BASE.wrapping_add(number * PAGE_SIZE)
}

fn pages(first: u64, count: u64) -> UserRange {
    UserRange::new(page(first), count * PAGE_SIZE).unwrap()
}

fn frame(byte: u8) -> SharedFrame {
    let frame = SharedFrame::alloc_zeroed(Account::NONE).unwrap();
    frame.write(0, &[byte]);
    frame
}

fn byte_at(table: &PageTable, address: UserAddr) -> u8 {
    let mut byte = [0];
    table.lookup(address).unwrap().frame.read(0, &mut byte);
    byte[0]
}

#[test]
fn a_mapping_holds_its_frame_until_it_is_flushed() {
    let table = PageTable::new().unwrap();
    let held = frame(1);
    table.map(page(0), held.clone(), Prot::READ, Kind::Anonymous).unwrap();
    assert_eq!(table.map(page(0), frame(2), Prot::READ, Kind::Anonymous), Err(MapError::Occupied));
    assert!(!held.is_unique());
    let mut edit = table.edit();
    edit.unmap(pages(0, 1));
    assert!(table.lookup(page(0)).is_none());
    assert!(!held.is_unique());
    drop(edit);
    assert!(held.is_unique());
    assert_eq!(table.resident().total(), 0);
}

#[test]
fn pages_beside_another_come_where_nothing_is_and_as_far_as_its_table_goes() {
    let table = PageTable::new().unwrap();
    let held = frame(9);
    let frames = || [(); 4].map(|()| Some(held.clone()));
    // Without a table nothing happens.
    table.map_beside(pages(508, 4), &mut frames(), Prot::READ, Kind::Object);
    assert!(held.is_unique());
    table.map(page(509), frame(1), Prot::READ, Kind::Anonymous).unwrap();
    let mut some = frames();
    some[3] = None;
    table.map_beside(pages(508, 4), &mut some, Prot::READ, Kind::Object);
    assert_eq!([508, 509, 510].map(|number| byte_at(&table, page(number))), [9, 1, 9]);
    assert!(table.lookup(page(511)).is_none());
    assert_eq!((held.references(), table.resident()), (3, Resident { anonymous: 1, objects: 2 }));
    // More frames than pages, and pages of the next table.
    let mut rest = frames();
    table.map_beside(pages(511, 2), &mut rest, Prot::READ, Kind::Object);
    assert_eq!((rest.iter().flatten().count(), table.resident().objects), (3, 3));
    assert!(table.lookup(page(512)).is_none());
}

#[test]
fn the_end_of_an_address_space_frees_what_it_maps() {
    let table = PageTable::new().unwrap();
    let held = frame(1);
    for number in 0..2000 {
        table.map(page(number * 3), held.clone(), Prot::READ_WRITE, Kind::Anonymous).unwrap();
    }
    assert_eq!((table.resident().total(), held.references()), (2000, 2001));
    drop(table);
    assert!(held.is_unique());
}

#[test]
fn unmapping_more_than_an_edit_holds_leaves_nothing() {
    let table = PageTable::new().unwrap();
    for number in 0..1500 {
        table.map(page(number), frame(1), Prot::READ_WRITE, Kind::Anonymous).unwrap();
    }
    let mut edit = table.edit();
    edit.unmap(pages(100, 1300));
    edit.flush();
    assert_eq!(table.resident().total(), 200);
    assert!(table.lookup(page(99)).is_some() && table.lookup(page(1400)).is_some());
    assert!(table.lookup(page(100)).is_none() && table.lookup(page(1399)).is_none());
}

#[test]
fn a_fork_shares_frames_and_takes_the_right_to_write() {
    let (parent, child) = (PageTable::new().unwrap(), PageTable::new().unwrap());
    parent.map(page(0), frame(1), Prot::READ_WRITE, Kind::Anonymous).unwrap();
    parent.map(page(600), frame(2), Prot::READ_EXECUTE, Kind::Anonymous).unwrap();
    let mut edit = parent.edit();
    edit.fork_range(&child, pages(0, 1000), Writes::CopyOnWrite, Account::NONE).unwrap();
    drop(edit);
    for table in [&parent, &child] {
        assert_eq!(table.lookup(page(0)).unwrap().prot, Prot::READ);
        assert_eq!(table.lookup(page(600)).unwrap().prot, Prot::READ_EXECUTE);
        assert_eq!(table.resident().total(), 2);
    }
    // The child copies; then the parent is alone and may write again.
    let shared = child.lookup(page(0)).unwrap().frame;
    assert!(!child.upgrade(page(0), &shared, Prot::READ_WRITE, Writes::CopyOnWrite));
    let mut edit = child.edit();
    let answer = edit.copy_on_write(page(0), Prot::READ_WRITE, Account::NONE);
    assert_eq!(answer, Ok(CopyOnWrite::Done));
    drop(edit);
    assert_ne!(child.lookup(page(0)).unwrap().frame, shared);
    assert!(parent.upgrade(page(0), &shared, Prot::READ_WRITE, Writes::CopyOnWrite));
    assert_eq!((byte_at(&parent, page(0)), byte_at(&child, page(0))), (1, 1));
}

/// No CPU goes on with the old frame once another one may find the new.
#[test]
fn a_copy_is_there_once_the_shared_frame_is_forgotten() {
    let table = PageTable::new().unwrap();
    let held = frame(1);
    table.map(page(0), held.clone(), Prot::READ, Kind::Anonymous).unwrap();
    let before = flushed();
    let mut edit = table.edit();
    assert_eq!(edit.copy_on_write(page(0), Prot::READ_WRITE, Account::NONE), Ok(CopyOnWrite::Done));
    assert_eq!((flushed() - before, byte_at(&table, page(0))), (1, 1));
    drop(edit);
    assert_eq!(flushed() - before, 1);
    assert!(held.is_unique());
}

#[test]
fn a_write_copies_the_frame_of_zeros_and_keeps_a_frame_of_its_own() {
    let table = PageTable::new().unwrap();
    let mut edit = table.edit();
    assert_eq!(edit.copy_on_write(page(0), Prot::READ_WRITE, Account::NONE), Ok(CopyOnWrite::Absent));
    table.map(page(0), SharedFrame::zero(), Prot::READ, Kind::Uncounted).unwrap();
    assert_eq!(edit.copy_on_write(page(0), Prot::READ_WRITE, Account::NONE), Ok(CopyOnWrite::Done));
    let own = table.lookup(page(0)).unwrap();
    assert!(!own.frame.is_zero() && own.prot == Prot::READ_WRITE);
    let phys = own.frame.phys();
    drop(own);
    edit.protect(pages(0, 1), Prot::READ, Writes::CopyOnWrite);
    assert_eq!(edit.copy_on_write(page(0), Prot::READ_WRITE, Account::NONE), Ok(CopyOnWrite::Done));
    assert_eq!(table.lookup(page(0)).unwrap().frame.phys(), phys);
}

#[test]
fn rights_come_back_only_where_nobody_else_holds_the_frame() {
    let table = PageTable::new().unwrap();
    let held = frame(1);
    table.map(page(0), held.clone(), Prot::READ_WRITE, Kind::Anonymous).unwrap();
    table.map(page(1), frame(2), Prot::READ_WRITE, Kind::Anonymous).unwrap();
    let mut edit = table.edit();
    edit.protect(pages(0, 2), Prot::NONE, Writes::CopyOnWrite);
    assert_eq!(table.lookup(page(0)).unwrap().prot, Prot::NONE);
    edit.protect(pages(0, 2), Prot::READ_WRITE, Writes::CopyOnWrite);
    assert_eq!(table.lookup(page(0)).unwrap().prot, Prot::READ);
    assert_eq!(table.lookup(page(1)).unwrap().prot, Prot::READ_WRITE);
}

#[test]
fn moved_pages_keep_frames_and_rights() {
    let table = PageTable::new().unwrap();
    table.map(page(0), frame(7), Prot::READ_WRITE, Kind::Anonymous).unwrap();
    table.map(page(2), frame(9), Prot::NONE, Kind::Anonymous).unwrap();
    let mut edit = table.edit();
    edit.move_range(pages(0, 3), page(5000)).unwrap();
    drop(edit);
    assert!(table.lookup(page(0)).is_none() && table.lookup(page(2)).is_none());
    assert_eq!((byte_at(&table, page(5000)), byte_at(&table, page(5002))), (7, 9));
    assert_eq!(table.lookup(page(5002)).unwrap().prot, Prot::NONE);
    assert_eq!(table.resident().total(), 2);
}

#[test]
fn moves_go_over_the_ends_of_tables_and_back_without_a_page_more() {
    let table = PageTable::new().unwrap();
    let used = [0, 1, 255, 256, 511, 512, 900, 1700];
    for number in used {
        table.map(page(number), frame(number as u8), Prot::READ_WRITE, Kind::Anonymous).unwrap();
    }
    // 300 pages behind the beginning of a table: what lay in one lies in two.
    let there = 100_000 / 512 * 512 + 300;
    table.edit().move_range(pages(0, 2000), page(there)).unwrap();
    assert!(used.iter().all(|&number| byte_at(&table, page(there + number)) == number as u8));
    assert!(used.iter().all(|&number| table.lookup(page(number)).is_none()));
    table.edit().move_range(UserRange::new(page(there), 2000 * PAGE_SIZE).unwrap(), page(0)).unwrap();
    assert!(used.iter().all(|&number| byte_at(&table, page(number)) == number as u8));
    assert_eq!(table.resident().total(), used.len() as u64);
}

#[test]
fn a_move_to_where_something_is_leaves_the_rest_in_its_place() {
    let table = PageTable::new().unwrap();
    for number in 0..3 {
        table.map(page(number), frame(number as u8), Prot::READ_WRITE, Kind::Anonymous).unwrap();
    }
    table.map(page(5001), frame(9), Prot::READ, Kind::Anonymous).unwrap();
    assert_eq!(table.edit().move_range(pages(0, 3), page(5000)), Err(MapError::Occupied));
    assert_eq!((byte_at(&table, page(1)), byte_at(&table, page(5001))), (1, 9));
    assert_eq!(table.resident().total(), 4);
}

/// What the CPUs have kept of the old place is forgotten before anything stands at the new one.
#[test]
fn a_moved_page_is_forgotten_at_its_old_place_even_if_the_edit_is() {
    let table = PageTable::new().unwrap();
    table.map(page(0), frame(7), Prot::READ_WRITE, Kind::Anonymous).unwrap();
    let before = crate::arch::flushed();
    let mut edit = table.edit();
    edit.move_range(pages(0, 1), page(5000)).unwrap();
    assert_eq!(crate::arch::flushed() - before, 1);
    core::mem::forget(edit);
}

/// How often the CPUs are made to forget something by `step`, at a page whose rights an edit took that never flushes.
fn flushes_after_a_forgotten_edit(held: &SharedFrame, step: impl FnOnce(&mut Edit<'_>)) -> usize {
    let table = PageTable::new().unwrap();
    table.map(page(0), held.clone(), Prot::READ_WRITE, Kind::Anonymous).unwrap();
    let mut forgotten = table.edit();
    forgotten.protect(pages(0, 1), Prot::NONE, Writes::Shared);
    core::mem::forget(forgotten);
    let before = crate::arch::flushed();
    step(&mut table.edit());
    crate::arch::flushed() - before
}

#[test]
fn an_invisible_page_that_loses_its_frame_is_forgotten_first() {
    let held = frame(1);
    assert_eq!(flushes_after_a_forgotten_edit(&held, |edit| edit.unmap(pages(0, 1))), 1);
    assert_eq!(
        flushes_after_a_forgotten_edit(&held, |edit| edit.move_range(pages(0, 1), page(7)).unwrap()),
        1
    );
    let copy = |edit: &mut Edit<'_>| {
        assert_eq!(edit.copy_on_write(page(0), Prot::READ_WRITE, Account::NONE), Ok(CopyOnWrite::Done));
    };
    assert_eq!(flushes_after_a_forgotten_edit(&held, copy), 1);
    assert!(held.is_unique());
}

#[test]
fn kernel_addresses_are_nowhere() {
    let table = PageTable::new().unwrap();
    let kernel = UserAddr::new(0xffff_8000_0000_0000);
    assert!(!table.upgrade(kernel, &frame(1), Prot::READ_WRITE, Writes::Shared));
    assert_eq!(table.edit().copy_on_write(kernel, Prot::READ_WRITE, Account::NONE), Ok(CopyOnWrite::Absent));
}

#[test]
fn addresses_beyond_the_user_half_are_refused() {
    let table = PageTable::new().unwrap();
    let end = UserAddr::new(libkernel::addr::USER_END);
    assert_eq!(table.map(end, frame(1), Prot::READ, Kind::Anonymous), Err(MapError::BadAddress));
    assert!(table.lookup(UserAddr::new(u64::MAX)).is_none());
}

#[test]
fn instructions_are_made_visible_once_after_each_write() {
    let table = PageTable::new().unwrap();
    let code = frame(1);
    let steps = |expected: usize, step: &dyn Fn()| {
        let before = synchronised();
        step();
        assert_eq!(synchronised() - before, expected);
    };
    steps(0, &|| table.map(page(0), code.clone(), Prot::READ, Kind::Anonymous).unwrap());
    steps(1, &|| table.map(page(1), code.clone(), Prot::READ_EXECUTE, Kind::Anonymous).unwrap());
    steps(0, &|| table.map(page(2), code.clone(), Prot::READ_EXECUTE, Kind::Anonymous).unwrap());
    code.write(0, &[2]);
    let mut edit = table.edit();
    steps(1, &|| assert!(table.upgrade(page(0), &code, Prot::READ_EXECUTE, Writes::Shared)));
    code.fill_zero(0..1);
    edit.protect(pages(0, 3), Prot::READ, Writes::Shared);
    let before = synchronised();
    edit.protect(pages(0, 3), Prot::READ_EXECUTE, Writes::Shared);
    assert_eq!(synchronised() - before, 1);
    let copied = edit.copy_on_write(page(1), Prot::READ_EXECUTE, Account::NONE);
    assert_eq!((copied, synchronised() - before), (Ok(CopyOnWrite::Done), 2));
}
