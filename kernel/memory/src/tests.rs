//! Address spaces against hal's host machine: real page tables, nobody running on them.

use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;

use crate::user::{IoSink, IoSource};
use abi::Errno;
use libkernel::addr::{PAGE_SIZE, UserAddr, UserRange};
use libkernel::fault::Access;
use libkernel::paging::Prot;
use proptest::prelude::*;
use subject::{Limit, Limits, MayRaise, Resource};

use super::area::AreaFlags;
use super::protect::Reach;
use super::remap::{KeepOld, Movement};
use super::*;

const BASE: u64 = 0x10_0000;
const RW: Prot = Prot::READ_WRITE;

fn address(page: u64) -> UserAddr {
    UserAddr::new(BASE + page * PAGE_SIZE)
}

fn range(first: u64, pages: u64) -> UserRange {
    UserRange::new(address(first), pages * PAGE_SIZE).unwrap()
}

fn request(placement: Placement, pages: u64, prot: Prot) -> MapRequest {
    MapRequest {
        placement,
        length: pages * PAGE_SIZE,
        prot,
        max_prot: RW.union(Prot::EXECUTE),
        flags: AreaFlags::empty(),
        content: Content::Anonymous,
    }
}

fn shared(object: &Arc<Object>, placement: Placement, pages: u64) -> MapRequest {
    let content = Content::Object { object: object.clone(), file: None, first_page: 0 };
    MapRequest { flags: AreaFlags::SHARED, content, ..request(placement, pages, RW) }
}

fn private(object: &Arc<Object>, placement: Placement, pages: u64) -> MapRequest {
    MapRequest { flags: AreaFlags::empty(), ..shared(object, placement, pages) }
}

fn mapped(pages: u64) -> (Arc<AddressSpace>, Limits) {
    let limits = Limits::initial();
    let space = AddressSpace::new().unwrap();
    space.map(request(Placement::Fixed(address(0)), pages, RW), &limits).unwrap();
    (space, limits)
}

fn byte(space: &AddressSpace, page: u64) -> Option<u8> {
    let mut bytes = [0xee];
    (space.read_remote(address(page), &mut bytes) == 1).then_some(bytes[0])
}

fn put(space: &AddressSpace, page: u64, value: u8) -> bool {
    space.write_remote(address(page), &[value]) == 1
}

fn areas(space: &AddressSpace) -> usize {
    space.describe_areas(UserAddr::new(0), usize::MAX).unwrap().len()
}

#[test]
fn anonymous_memory_reads_as_zero_and_keeps_what_is_written() {
    let (space, _) = mapped(4);
    assert_eq!(byte(&space, 1), Some(0));
    assert!(put(&space, 1, 7));
    assert_eq!(byte(&space, 1), Some(7));
    assert_eq!(byte(&space, 2), Some(0));
    assert_eq!(byte(&space, 4), None);
}

#[test]
fn fork_shares_pages_until_one_side_writes() {
    let (space, _) = mapped(4);
    assert!(put(&space, 0, 1) && put(&space, 1, 1));
    let child = space.fork().unwrap();
    assert!(put(&space, 0, 2) && put(&child, 1, 3));
    assert_eq!((byte(&space, 0), byte(&space, 1)), (Some(2), Some(1)));
    assert_eq!((byte(&child, 0), byte(&child, 1)), (Some(1), Some(3)));
    drop(space);
    assert_eq!(byte(&child, 0), Some(1));
}

#[test]
fn shared_memory_stays_shared_over_fork() {
    let (space, limits) = mapped(1);
    let object = Object::new(4 * PAGE_SIZE);
    space.map(shared(&object, Placement::Fixed(address(8)), 4), &limits).unwrap();
    let child = space.fork().unwrap();
    assert!(put(&child, 9, 5));
    assert_eq!(byte(&space, 9), Some(5));
    let mut bytes = [0];
    object.read(PAGE_SIZE, &mut IoSink::kernel(&mut bytes)).unwrap();
    assert_eq!(bytes, [5]);
}

#[test]
fn private_mappings_of_an_object_keep_their_writes() {
    let (space, limits) = mapped(1);
    let object = Object::new(0);
    object.write(0, &mut IoSource::kernel(b"file")).unwrap();
    space.map(private(&object, Placement::Fixed(address(8)), 2), &limits).unwrap();
    assert_eq!(byte(&space, 8), Some(b'f'));
    assert!(put(&space, 8, b'F'));
    object.write(0, &mut IoSource::kernel(b"X")).unwrap();
    assert_eq!(byte(&space, 8), Some(b'F'));
    assert_eq!(space.fault_in(address(9), Access::Read), Err(FaultError::BeyondObject));
}

#[test]
fn truncation_takes_pages_out_of_mappings() {
    let (space, limits) = mapped(1);
    let object = Object::new(2 * PAGE_SIZE);
    space.map(shared(&object, Placement::Fixed(address(8)), 2), &limits).unwrap();
    assert!(put(&space, 8, 1) && put(&space, 9, 2));
    object.truncate(PAGE_SIZE, || Ok(())).unwrap();
    assert_eq!(byte(&space, 8), Some(1));
    assert_eq!(space.fault_in(address(9), Access::Read), Err(FaultError::BeyondObject));
    object.truncate(2 * PAGE_SIZE, || Ok(())).unwrap();
    assert_eq!(byte(&space, 9), Some(0));
}

#[test]
fn unmapping_the_middle_leaves_both_ends() {
    let (space, _) = mapped(8);
    (0..8).for_each(|page| assert!(put(&space, page, page as u8)));
    space.unmap(range(3, 2)).unwrap();
    assert_eq!((byte(&space, 2), byte(&space, 3), byte(&space, 5)), (Some(2), None, Some(5)));
    assert_eq!(space.usage().0.total, 6);
    assert_eq!(areas(&space), 2);
}

#[test]
fn protection_is_enforced_and_merges_back() {
    let (space, limits) = mapped(8);
    assert!(put(&space, 2, 9));
    space.protect(range(2, 2), Prot::READ, Reach::Exact, &limits).unwrap();
    assert_eq!(areas(&space), 3);
    assert_eq!(space.fault_in(address(2), Access::Write), Err(FaultError::Denied));
    assert_eq!(byte(&space, 2), Some(9));
    space.protect(range(2, 2), RW, Reach::Exact, &limits).unwrap();
    assert_eq!(areas(&space), 1);
    assert!(put(&space, 2, 10));
    assert_eq!(space.protect(range(6, 4), Prot::READ, Reach::Exact, &limits), Err(Errno::ENOMEM));
}

#[test]
fn fixed_mappings_replace_and_noreplace_refuses() {
    let (space, limits) = mapped(4);
    assert!(put(&space, 1, 1));
    let refused = space.map(request(Placement::FixedIfFree(address(1)), 1, RW), &limits);
    assert_eq!(refused, Err(Errno::EEXIST));
    space.map(request(Placement::Fixed(address(1)), 1, RW), &limits).unwrap();
    assert_eq!(byte(&space, 1), Some(0));
    assert_eq!(areas(&space), 1);
}

#[test]
fn remap_moves_content() {
    let (space, limits) = mapped(4);
    assert!(put(&space, 3, 3));
    let request = RemapRequest {
        old: address(2),
        old_length: 2 * PAGE_SIZE,
        new_length: 4 * PAGE_SIZE,
        movement: Movement::To(address(100)),
        keep_old: KeepOld::No,
    };
    assert_eq!(space.remap(request, &limits), Ok(address(100)));
    assert_eq!((byte(&space, 101), byte(&space, 102), byte(&space, 3)), (Some(3), Some(0), None));
    assert_eq!(space.usage().0.total, 6);
}

#[test]
fn remap_grows_in_place_and_shrinks() {
    let (space, limits) = mapped(2);
    let request = |old_pages: u64, new_pages: u64| RemapRequest {
        old: address(0),
        old_length: old_pages * PAGE_SIZE,
        new_length: new_pages * PAGE_SIZE,
        movement: Movement::Forbidden,
        keep_old: KeepOld::No,
    };
    assert_eq!(space.remap(request(2, 6), &limits), Ok(address(0)));
    assert!(put(&space, 5, 1));
    assert_eq!(space.remap(request(6, 1), &limits), Ok(address(0)));
    assert_eq!((byte(&space, 0), byte(&space, 1)), (Some(0), None));
}

#[test]
fn discarded_memory_reads_as_zero() {
    let (space, _) = mapped(2);
    assert!(put(&space, 0, 1));
    space.advise(range(0, 1), Advice::DontNeed).unwrap();
    assert_eq!(byte(&space, 0), Some(0));
    assert_eq!(space.advise(range(1, 2), Advice::DontNeed), Err(Errno::ENOMEM));
}

#[test]
fn limits_on_the_address_space_hold() {
    let (space, limits) = mapped(4);
    let limit = Limit { soft: 6 * PAGE_SIZE, hard: 6 * PAGE_SIZE };
    limits.set(Resource::AddressSpace, limit, MayRaise::Yes).unwrap();
    assert_eq!(space.map(request(Placement::Hint(UserAddr::new(0)), 3, RW), &limits), Err(Errno::ENOMEM));
    assert!(space.map(request(Placement::Hint(UserAddr::new(0)), 2, RW), &limits).is_ok());
    let absurd = MapRequest { length: 1 << 46, ..request(Placement::Hint(UserAddr::new(0)), 1, RW) };
    assert_eq!(space.map(absurd, &Limits::initial()), Err(Errno::ENOMEM));
}

fn touch(space: &AddressSpace, page: u64, limits: &Limits) -> Result<(), FaultError> {
    let address = address(page).as_u64();
    let fault = hal::user::UserFault { address, access: Access::Write, present: false, code: 0 };
    space.handle_fault(&fault, limits)
}

#[test]
fn stacks_grow_to_their_limit_and_keep_a_gap() {
    let limits = Limits::initial();
    let space = AddressSpace::new().unwrap();
    let stack =
        MapRequest { flags: AreaFlags::GROWS_DOWN, ..request(Placement::Fixed(address(5000)), 4, RW) };
    space.map(stack, &limits).unwrap();
    assert_eq!(touch(&space, 4990, &limits), Ok(()));
    assert_eq!(touch(&space, 5004 - 2048, &limits), Ok(()));
    assert_eq!(touch(&space, 5004 - 2049, &limits), Err(FaultError::NotMapped));
    let space = AddressSpace::new().unwrap();
    space.map(request(Placement::Fixed(address(0)), 1, RW), &limits).unwrap();
    let stack = MapRequest { flags: AreaFlags::GROWS_DOWN, ..request(Placement::Fixed(address(300)), 1, RW) };
    space.map(stack, &limits).unwrap();
    assert_eq!(touch(&space, 257, &limits), Ok(()));
    assert_eq!(touch(&space, 256, &limits), Err(FaultError::NotMapped));
}

#[test]
fn the_break_moves_within_its_limits() {
    let limits = Limits::initial();
    let space = AddressSpace::new().unwrap();
    let start = address(10);
    space.set_layout(Layout { brk_start: start, brk: start, ..Layout::empty() }, None);
    assert_eq!(space.set_brk(UserAddr::new(0), &limits), start);
    let wanted = UserAddr::new(address(12).as_u64() + 5);
    assert_eq!(space.set_brk(wanted, &limits), wanted);
    assert!(put(&space, 12, 1));
    assert_eq!(space.set_brk(address(11), &limits), address(11));
    assert_eq!((byte(&space, 10), byte(&space, 12)), (Some(0), None));
    space.map(request(Placement::Fixed(address(20)), 1, RW), &limits).unwrap();
    assert_eq!(space.set_brk(address(20), &limits), address(11));
}

/// One step of a random program.
#[derive(Clone, Debug)]
enum Step {
    Map(u64, u64, Prot),
    Unmap(u64, u64),
    Protect(u64, u64, Prot),
    Write(u64, u8),
    /// Goes on in a child; the parent ends.
    Fork,
}

const PAGES: u64 = 24;

fn step() -> impl Strategy<Value = Step> {
    let prot = prop_oneof![Just(Prot::NONE), Just(Prot::READ), Just(RW)];
    prop_oneof![
        (0..PAGES, 1..6u64, prot.clone()).prop_map(|(first, pages, prot)| Step::Map(first, pages, prot)),
        (0..PAGES, 1..6u64).prop_map(|(first, pages)| Step::Unmap(first, pages)),
        (0..PAGES, 1..6u64, prot).prop_map(|(first, pages, prot)| Step::Protect(first, pages, prot)),
        (0..PAGES, 1u8..).prop_map(|(page, value)| Step::Write(page, value)),
        Just(Step::Fork),
    ]
}

/// What each page should be: its rights and its first byte.
type Model = Vec<Option<(Prot, u8)>>;

fn apply(space: &mut Arc<AddressSpace>, model: &mut Model, limits: &Limits, step: &Step) {
    let pages = |first: u64, pages: u64| (first as usize)..((first + pages) as usize);
    match *step {
        Step::Map(first, count, prot) => {
            space.map(request(Placement::Fixed(address(first)), count, prot), limits).unwrap();
            model[pages(first, count)].fill(Some((prot, 0)));
        }
        Step::Unmap(first, count) => {
            space.unmap(range(first, count)).unwrap();
            model[pages(first, count)].fill(None);
        }
        Step::Protect(first, count, prot) => {
            let outcome = space.protect(range(first, count), prot, Reach::Exact, limits);
            let mapped = model[pages(first, count)].iter_mut().map_while(Option::as_mut);
            let changed = mapped.map(|page| page.0 = prot).count() as u64;
            assert_eq!(outcome.is_ok(), changed == count);
        }
        Step::Write(page, value) => {
            let entry = &mut model[page as usize];
            let allowed = entry.is_some_and(|(prot, _)| prot.is_writable());
            assert_eq!(put(space, page, value), allowed);
            if let Some((_, byte)) = entry.as_mut().filter(|_| allowed) {
                *byte = value;
            }
        }
        Step::Fork => *space = space.fork().unwrap(),
    }
}

proptest! {
    #[test]
    fn any_sequence_of_calls_leaves_what_the_model_says(steps in prop::collection::vec(step(), 1..40)) {
        let limits = Limits::initial();
        let mut space = AddressSpace::new().unwrap();
        let mut model: Model = vec![None; PAGES as usize + 6];
        for step in &steps {
            apply(&mut space, &mut model, &limits, step);
        }
        for (page, expected) in model.iter().enumerate() {
            let expected = expected.filter(|(prot, _)| !prot.is_none()).map(|(_, byte)| byte);
            prop_assert_eq!(byte(&space, page as u64), expected);
        }
        let mapped = model.iter().flatten().count() as u64;
        prop_assert_eq!(space.usage().0.total, mapped);
    }
}
