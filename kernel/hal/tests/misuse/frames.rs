//! Counts that a program could drive over.
use hal::frame::SharedFrame;
use hal::paging::{Kind, PageTable, Prot};
use libkernel::addr::UserAddr;

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
