//! Blocks on the host machine: mapped, counted, split, shared and taken away, and pages that are lent.
use super::*;
use crate::frame::{Account, SharedBlock, SharedFrame};
use libkernel::addr::{PAGE_SIZE, UserAddr, UserRange};
use libkernel::fault::Access;
use libkernel::paging::BLOCK_ORDER;

const BASE: UserAddr = UserAddr::new(0x4000_0000);
const PAGES: u64 = 1 << BLOCK_ORDER;

fn page(number: u64) -> UserAddr {
    BASE.wrapping_add(number * PAGE_SIZE)
}

fn pages(first: u64, count: u64) -> UserRange {
    UserRange::new(page(first), count * PAGE_SIZE).unwrap()
}

/// A block whose pages say their number.
fn block() -> SharedBlock {
    let block = SharedBlock::alloc_zeroed(BLOCK_ORDER, Account::NONE).unwrap();
    (0..PAGES).for_each(|number| {
        block.frame(number).write(0, &(number as u16).to_ne_bytes());
    });
    block
}

/// An address space with a block at page 512, and its first frame.
fn with_block(prot: Prot) -> (alloc::sync::Arc<PageTable>, SharedFrame) {
    let (table, block) = (PageTable::new().unwrap(), block());
    let first = block.frame(0);
    table.map_block(page(PAGES), block, prot, Kind::Anonymous).unwrap();
    (table, first)
}

fn number_at(table: &PageTable, number: u64) -> u16 {
    let mut bytes = [0; 2];
    table.lookup(page(number)).unwrap().frame.read(0, &mut bytes);
    u16::from_ne_bytes(bytes)
}

fn prot_at(table: &PageTable, number: u64) -> Prot {
    table.lookup(page(number)).unwrap().prot
}

#[test]
fn a_block_is_found_page_by_page_and_counted_whole() {
    let (table, block) = with_block(Prot::READ_WRITE);
    assert_eq!((table.resident().anonymous, table.peak_pages(), block.references()), (PAGES, PAGES, 2));
    assert_eq!([0, 5, 511].map(|number| number_at(&table, PAGES + number)), [0, 5, 511]);
    assert!(table.lookup(page(PAGES - 1)).is_none() && table.lookup(page(2 * PAGES)).is_none());
    let mut seen = 0;
    table.each_mapped(pages(PAGES + 10, 20), |address, mapped| {
        assert_eq!(mapped.frame.order(), BLOCK_ORDER);
        assert_eq!(address, page(PAGES + 10 + seen));
        seen += 1;
    });
    assert_eq!((seen, block.references()), (20, 2));
    let (small, large) = (SharedFrame::alloc_zeroed(Account::NONE).unwrap(), self::block());
    assert_eq!(table.map(page(PAGES + 3), small, Prot::READ, Kind::Anonymous), Err(MapError::Occupied));
    assert_eq!(table.map_block(page(PAGES), large, Prot::READ, Kind::Anonymous), Err(MapError::Occupied));
    drop(table);
    assert!(block.is_unique());
}

#[test]
fn blocks_stand_where_their_size_allows_and_nothing_else_is() {
    let table = PageTable::new().unwrap();
    table
        .map(page(7), SharedFrame::alloc_zeroed(Account::NONE).unwrap(), Prot::READ, Kind::Anonymous)
        .unwrap();
    let put = |address, frame| table.map_block(address, frame, Prot::READ, Kind::Object);
    assert_eq!(put(page(0), block()), Err(MapError::Occupied));
    assert_eq!(put(page(PAGES + 1), block()), Err(MapError::BadAddress));
    assert_eq!(
        put(page(PAGES), SharedBlock::alloc_zeroed(3, Account::NONE).unwrap()),
        Err(MapError::BadAddress)
    );
    assert_eq!(put(UserAddr::new(libkernel::addr::USER_END), block()), Err(MapError::BadAddress));
    let end = libkernel::addr::USER_END.next_multiple_of(PAGES * PAGE_SIZE);
    let last = if end == libkernel::addr::USER_END { Ok(()) } else { Err(MapError::BadAddress) };
    assert_eq!(put(UserAddr::new(end - PAGES * PAGE_SIZE), block()), last);
    assert_eq!(put(page(PAGES), block()), Ok(()));
    assert_eq!((table.resident().objects, table.resident().anonymous), (PAGES, 1));
}

#[test]
fn a_part_is_unmapped_by_splitting_and_the_last_page_frees_the_block() {
    let (table, block) = with_block(Prot::READ_WRITE);
    table.edit().unmap(pages(PAGES + 100, 50));
    assert_eq!((table.resident().anonymous, block.references()), (PAGES - 50, 1 + PAGES as u32 - 50));
    assert!(table.lookup(page(PAGES + 100)).is_none() && table.lookup(page(PAGES + 149)).is_none());
    assert_eq!([99, 150].map(|number| number_at(&table, PAGES + number)), [99, 150]);
    assert_eq!(prot_at(&table, PAGES + 99), Prot::READ_WRITE);
    let phys = block.phys();
    drop(block);
    table.edit().unmap(pages(PAGES, PAGES - 1));
    let last = table.lookup(page(2 * PAGES - 1)).unwrap().frame;
    assert_eq!((last.references(), last.phys()), (2, phys.wrapping_add((PAGES - 1) * PAGE_SIZE)));
    drop(table);
    assert!(last.is_unique());
}

#[test]
fn an_invisible_block_is_forgotten_before_it_is_split_or_freed() {
    for part in [pages(PAGES, PAGES), pages(PAGES, 1)] {
        let (table, block) = with_block(Prot::READ_WRITE);
        let mut forgotten = table.edit();
        forgotten.protect(pages(PAGES, PAGES), Prot::NONE, Writes::Shared);
        core::mem::forget(forgotten);
        let (mut edit, before) = (table.edit(), crate::arch::flushed());
        edit.unmap(part);
        // A split does not wait for the edit's end.
        assert_eq!(crate::arch::flushed() - before, usize::from(part.pages().count() == 1));
        drop(edit);
        assert_eq!(crate::arch::flushed() - before, 1 + usize::from(part.pages().count() == 1));
        assert!(table.lookup(page(PAGES)).is_none());
        drop((table, block));
    }
}

#[test]
fn a_range_that_ends_in_blocks_splits_both() {
    let table = PageTable::new().unwrap();
    for place in 1..4 {
        table.map_block(page(place * PAGES), block(), Prot::READ, Kind::Anonymous).unwrap();
    }
    table.edit().unmap(pages(PAGES + 1, 2 * PAGES));
    assert_eq!(table.resident().anonymous, PAGES);
    assert_eq!((number_at(&table, PAGES), number_at(&table, 3 * PAGES + 1)), (0, 1));
    assert!(table.lookup(page(3 * PAGES)).is_none() && table.lookup(page(2 * PAGES)).is_none());
}

#[test]
fn rights_change_of_the_whole_and_of_parts() {
    let (table, block) = with_block(Prot::READ_WRITE);
    drop(block);
    let before = crate::arch::synchronised();
    let mut edit = table.edit();
    edit.protect(pages(PAGES, PAGES), Prot::NONE, Writes::CopyOnWrite);
    assert_eq!((prot_at(&table, PAGES + 9), number_at(&table, PAGES + 9)), (Prot::NONE, 9));
    edit.protect(pages(PAGES, PAGES), Prot::READ_EXECUTE, Writes::CopyOnWrite);
    assert_eq!(crate::arch::synchronised() - before, PAGES as usize);
    edit.protect(pages(PAGES, PAGES), Prot::READ_WRITE, Writes::CopyOnWrite);
    assert_eq!(prot_at(&table, PAGES), Prot::READ_WRITE);
    assert_eq!(table.lookup(page(PAGES)).unwrap().frame.references(), 2);
    edit.protect(pages(PAGES + 10, 10), Prot::READ, Writes::CopyOnWrite);
    let rights = [9, 10, 19, 20].map(|number| prot_at(&table, PAGES + number));
    assert_eq!(rights, [Prot::READ_WRITE, Prot::READ, Prot::READ, Prot::READ_WRITE]);
    assert_eq!(table.resident().anonymous, PAGES);
}

#[test]
fn a_fork_shares_the_block_and_writes_copy_single_pages() {
    let (parent, block) = with_block(Prot::READ_WRITE);
    let child = PageTable::new().unwrap();
    parent.edit().fork_range(&child, pages(0, 3 * PAGES), Writes::CopyOnWrite, Account::NONE).unwrap();
    assert_eq!((block.references(), child.resident().anonymous), (3, PAGES));
    drop(block);
    assert_eq!([&parent, &child].map(|table| prot_at(table, PAGES + 4)), [Prot::READ; 2]);
    assert_eq!(
        child.edit().copy_on_write(page(PAGES + 4), Prot::READ_WRITE, Account::NONE),
        Ok(CopyOnWrite::Done)
    );
    child.lookup(page(PAGES + 4)).unwrap().frame.write(0, &[0xff, 0xff]);
    assert_eq!((number_at(&parent, PAGES + 4), number_at(&child, PAGES + 4)), (4, 0xffff));
    assert_eq!((prot_at(&child, PAGES + 4), prot_at(&child, PAGES + 5)), (Prot::READ_WRITE, Prot::READ));
    assert_eq!((number_at(&child, PAGES + 5), child.resident().anonymous), (5, PAGES));
    drop(child);
    // The parent is alone again, with the block as a whole.
    assert_eq!(
        parent.edit().copy_on_write(page(PAGES + 4), Prot::READ_WRITE, Account::NONE),
        Ok(CopyOnWrite::Done)
    );
    assert_eq!((prot_at(&parent, PAGES + 400), number_at(&parent, PAGES + 4)), (Prot::READ_WRITE, 4));
}

#[test]
fn a_shared_page_of_a_block_gets_its_right_to_write_by_itself() {
    let (table, block) = with_block(Prot::READ);
    assert!(table.upgrade(page(PAGES + 8), &block.neighbour(8), Prot::READ_WRITE, Writes::Shared));
    assert!(!table.upgrade(page(PAGES + 9), &block.neighbour(8), Prot::READ_WRITE, Writes::Shared));
    assert_eq!([8, 9].map(|number| prot_at(&table, PAGES + number)), [Prot::READ_WRITE, Prot::READ]);
}

#[test]
fn a_move_takes_a_block_along_as_pages() {
    let (table, block) = with_block(Prot::READ_WRITE);
    table.edit().move_range(pages(PAGES, PAGES), page(9 * PAGES + 3)).unwrap();
    assert!(table.lookup(page(PAGES)).is_none());
    assert!((0..PAGES).all(|number| u64::from(number_at(&table, 9 * PAGES + 3 + number)) == number));
    assert_eq!((table.resident().anonymous, block.references()), (PAGES, 1 + PAGES as u32));
}

#[test]
fn a_split_is_flushed_before_the_table_stands_there() {
    let (table, _block) = with_block(Prot::READ_WRITE);
    let before = crate::arch::flushed();
    let mut edit = table.edit();
    assert!(edit.split(page(PAGES + 5)) && !edit.split(page(PAGES + 5)) && !edit.split(page(0)));
    assert_eq!(crate::arch::flushed() - before, 1);
    core::mem::forget(edit);
}

#[test]
fn what_is_lent_is_copied_by_a_fork_and_stays_the_parents() {
    let (parent, child) = (PageTable::new().unwrap(), PageTable::new().unwrap());
    let frame = SharedFrame::alloc_zeroed(Account::NONE).unwrap();
    let phys = frame.phys();
    parent.map(page(1), frame, Prot::READ, Kind::Anonymous).unwrap();
    assert!(parent.lend(page(1), Access::Write).is_none() && parent.lend(page(2), Access::Read).is_none());
    assert_eq!(parent.edit().copy_on_write(page(1), Prot::READ_WRITE, Account::NONE), Ok(CopyOnWrite::Done));
    let loan = parent.lend(page(1), Access::Write).unwrap();
    parent.edit().fork_range(&child, pages(0, 9), Writes::CopyOnWrite, Account::NONE).unwrap();
    assert_eq!([&parent, &child].map(|table| prot_at(table, 1)), [Prot::READ_WRITE; 2]);
    loan.frame().write(0, &[7, 0]);
    assert_eq!((number_at(&parent, 1), number_at(&child, 1)), (7, 0));
    // Neither do rights that go and come take the parent away from what the device has.
    let mut edit = parent.edit();
    edit.protect(pages(1, 1), Prot::READ, Writes::CopyOnWrite);
    assert_eq!(edit.copy_on_write(page(1), Prot::READ_WRITE, Account::NONE), Ok(CopyOnWrite::Done));
    drop(edit);
    assert_eq!(parent.lookup(page(1)).unwrap().frame.phys(), phys);
    drop(loan.give_back());
    let child = PageTable::new().unwrap();
    parent.edit().fork_range(&child, pages(0, 9), Writes::CopyOnWrite, Account::NONE).unwrap();
    assert_eq!(child.lookup(page(1)).unwrap().frame.phys(), phys);
}

#[test]
fn a_block_of_which_a_page_is_lent_is_copied_by_a_fork() {
    let (parent, block) = with_block(Prot::READ_WRITE);
    let child = PageTable::new().unwrap();
    let loan = block.neighbour(3).lend().unwrap();
    // Where a block is, whoever lends splits it first.
    assert!(parent.lend(page(PAGES + 3), Access::Read).is_none());
    parent.edit().fork_range(&child, pages(0, 2 * PAGES), Writes::CopyOnWrite, Account::NONE).unwrap();
    assert_eq!(child.resident().anonymous, PAGES);
    assert!((0..PAGES).all(|number| u64::from(number_at(&child, PAGES + number)) == number));
    assert_ne!(child.lookup(page(PAGES + 3)).unwrap().frame, block.neighbour(3));
    assert_eq!(parent.lookup(page(PAGES + 3)).unwrap().frame, block.neighbour(3));
    drop(loan.give_back());
}
