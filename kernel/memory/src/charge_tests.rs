//! Who pays for pages, over all that becomes of them: nothing is charged for what is gone.

use alloc::sync::Arc;

use hal::paging::CopyOnWrite;
use libkernel::addr::{PAGE_SIZE, UserAddr, UserRange};
use libkernel::fault::Access;
use libkernel::paging::Prot;
use subject::Limits;
use subject::charges::Payer;

use super::area::AreaFlags;
use super::*;
use crate::user::IoSource;

const BASE: u64 = 0x10_0000;
const PAGES: u64 = 8;

fn address(page: u64) -> UserAddr {
    UserAddr::new(BASE + page * PAGE_SIZE)
}

fn range(first: u64, pages: u64) -> UserRange {
    UserRange::new(address(first), pages * PAGE_SIZE).unwrap()
}

fn map(space: &AddressSpace, first: u64, flags: AreaFlags, content: Content) {
    let request = MapRequest {
        placement: Placement::Fixed(address(first)),
        length: PAGES * PAGE_SIZE,
        prot: Prot::READ_WRITE,
        max_prot: Prot::READ_WRITE,
        flags,
        content,
    };
    space.map(request, &Limits::initial()).unwrap();
}

/// Anonymous memory of a payer who may have so many frames.
fn space_of(frames: u64) -> (Payer, Arc<AddressSpace>) {
    let payer = Payer::limited(frames, 0).unwrap();
    let space = AddressSpace::charged_to(payer).unwrap();
    map(&space, 0, AreaFlags::empty(), Content::Anonymous);
    (payer, space)
}

fn put(space: &AddressSpace, page: u64) -> bool {
    space.write_remote(address(page), &[1]) == 1
}

fn frames(payer: Payer) -> u64 {
    payer.used().0
}

#[test]
fn only_what_takes_a_frame_is_charged() {
    let (payer, space) = space_of(PAGES);
    space.fault_in(address(0), Access::Read).unwrap();
    assert_eq!(frames(payer), 0);
    assert!(put(&space, 0) && put(&space, 0) && put(&space, 1));
    assert_eq!(frames(payer), 2);
    // Two threads that meet at one page: the second finds it mapped.
    space.fault_in(address(1), Access::Write).unwrap();
    assert_eq!(frames(payer), 2);
    space.unmap(range(0, 1)).unwrap();
    assert_eq!(frames(payer), 1);
    drop(space);
    assert_eq!(frames(payer), 0);
}

#[test]
fn a_limit_refuses_and_lets_go_on() {
    let (payer, space) = space_of(2);
    assert!(put(&space, 0) && put(&space, 1) && !put(&space, 2));
    assert_eq!(space.fault_in(address(2), Access::Write), Err(FaultError::OutOfMemory));
    assert_eq!(frames(payer), 2);
    space.unmap(range(0, 1)).unwrap();
    assert!(put(&space, 2) && !put(&space, 3));
    drop(space);
    assert_eq!(frames(payer), 0);
}

#[test]
fn a_fork_charges_what_is_copied_and_the_last_who_has_a_page_gives_it_back() {
    let (payer, parent) = space_of(100);
    (0..4).for_each(|page| assert!(put(&parent, page)));
    let child = parent.fork().unwrap();
    assert_eq!(frames(payer), 4);
    // A copy for the child; the parent's page is its own again, and is not copied.
    assert!(put(&child, 0) && put(&parent, 0));
    assert_eq!(frames(payer), 5);
    drop(parent);
    assert_eq!(frames(payer), 4);
    assert!(put(&child, 1) && put(&child, 2));
    assert_eq!(frames(payer), 4);
    // As execve does: another address space takes the place of this one.
    let next = AddressSpace::charged_to(payer).unwrap();
    map(&next, 0, AreaFlags::empty(), Content::Anonymous);
    assert!(put(&next, 0));
    drop(child);
    assert_eq!(frames(payer), 1);
    drop(next);
    assert_eq!(frames(payer), 0);
}

#[test]
fn a_copy_that_cannot_be_had_leaves_the_page_and_its_charge() {
    let (payer, parent) = space_of(1);
    assert!(put(&parent, 0));
    let child = parent.fork().unwrap();
    assert!(!put(&child, 0));
    assert_eq!(frames(payer), 1);
    drop(parent);
    assert!(put(&child, 0));
    drop(child);
    assert_eq!(frames(payer), 0);
}

#[test]
fn an_object_pays_for_its_pages_and_a_program_for_its_copies() {
    let (of_object, (payer, space)) = (Payer::limited(100, 0).unwrap(), space_of(100));
    let object = Object::charged_to(of_object, PAGES * PAGE_SIZE);
    object.write(0, &mut IoSource::kernel(&[7; 3 * PAGE_SIZE as usize])).unwrap();
    let content = || Content::Object { object: object.clone(), file: None, first_page: 0 };
    map(&space, 16, AreaFlags::SHARED, content());
    map(&space, 32, AreaFlags::empty(), content());
    assert!(put(&space, 16) && put(&space, 20) && put(&space, 32));
    assert_eq!((frames(of_object), frames(payer)), (4, 1));
    object.truncate(PAGE_SIZE, || Ok(())).unwrap();
    assert_eq!((frames(of_object), frames(payer)), (1, 1));
    object.punch(0, PAGE_SIZE).unwrap();
    assert_eq!((frames(of_object), frames(payer)), (0, 1));
    assert!(put(&space, 16));
    drop(object);
    assert_eq!(frames(of_object), 1);
    drop(space);
    assert_eq!((frames(of_object), frames(payer)), (0, 0));
}

#[test]
fn who_finds_nothing_to_copy_is_not_charged() {
    let (payer, space) = space_of(100);
    let copied = space.page_table().edit().copy_on_write(address(0), Prot::READ_WRITE, payer.account());
    assert_eq!(copied, Ok(CopyOnWrite::Absent));
    assert_eq!(frames(payer), 0);
    drop(space);
}
