//! Counts that a program could drive over, and the frame of zeros, which all programs read.
use hal::frame::SharedFrame;
use hal::paging::{Kind, PageTable, Prot, Writes};
use hal::user_copy::OnAbsent;
use libkernel::addr::{PAGE_SIZE, UserAddr, UserRange};

#[test]
fn the_frame_of_zeros_is_not_counted() {
    let table = PageTable::new().expect("memory for a table");
    let before = SharedFrame::zero().references();
    let kept: Vec<_> = (0..1000).map(|_| SharedFrame::zero()).collect();
    for page in 0..1000 {
        table
            .map(UserAddr::of_page(1000 + page), SharedFrame::zero(), Prot::READ, Kind::Uncounted)
            .expect("a free place");
    }
    assert_eq!(SharedFrame::zero().references(), before);
    drop((kept, table));
    assert_eq!(SharedFrame::zero().references(), before);
    assert!(!SharedFrame::zero().is_unique());
}

const PLACE: UserAddr = UserAddr::new(0x4000_0000);

#[test]
fn the_frame_of_zeros_is_never_mapped_writable() {
    let table = PageTable::new().expect("memory for a table");
    let prot = || table.lookup(PLACE).expect("a page").prot;
    table.map(PLACE, SharedFrame::zero(), Prot::READ_WRITE, Kind::Uncounted).expect("a free place");
    assert_eq!(prot(), Prot::READ);
    let range = UserRange::new(PLACE, PAGE_SIZE).expect("a page");
    for writes in [Writes::Shared, Writes::CopyOnWrite] {
        table.edit().protect(range, Prot::READ_WRITE, writes);
        assert_eq!(prot(), Prot::READ);
    }
    table.upgrade(PLACE, &SharedFrame::zero(), Prot::READ_WRITE, Writes::Shared);
    assert_eq!(prot(), Prot::READ);
    let beside = UserRange::new(UserAddr::new(PLACE.as_u64() + PAGE_SIZE), PAGE_SIZE).expect("a page");
    table.map_beside(beside, &mut [Some(SharedFrame::zero())], Prot::READ_WRITE, Kind::Uncounted);
    assert_eq!(table.lookup(beside.start()).expect("a page").prot, Prot::READ);
}

#[test]
#[should_panic(expected = "a write to the frame of zeros")]
fn the_frame_of_zeros_is_not_written() {
    SharedFrame::zero().write(0, &[1]);
}

#[test]
#[should_panic(expected = "a write to the frame of zeros")]
fn the_frame_of_zeros_is_not_cleared() {
    SharedFrame::zero().fill_zero(0..1);
}

#[test]
#[should_panic(expected = "a write to the frame of zeros")]
fn nothing_is_copied_into_the_frame_of_zeros() {
    SharedFrame::zero().copy_from_user(0, 1, PLACE, OnAbsent::Stop);
}
