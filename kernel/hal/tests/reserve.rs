//! What still works when memory for programs has run out. A process of its own: it takes all of the machine's memory.
use hal::frame::{self, KernelFrame, OutOfMemory, SharedFrame};
use hal::paging::{MapError, PageTable, Prot};
use libkernel::addr::UserAddr;

const FAR: u64 = 1 << 30;

#[test]
fn programs_end_at_the_watermark_and_the_kernel_goes_on() {
    let table = PageTable::new().expect("memory at first");
    table.map(UserAddr::new(FAR), SharedFrame::zero(), Prot::READ).expect("room for tables at first");
    let mut taken = Vec::new();
    while let Ok(frame) = SharedFrame::alloc_zeroed() {
        taken.push(frame);
    }
    assert!(!frame::may_allocate() && !frame::is_critical());
    assert_eq!(taken[0].duplicate(), Err(OutOfMemory));
    // A page in a table that exists costs nothing; a new table is memory for programs.
    assert_eq!(table.map(UserAddr::new(FAR + 4096), SharedFrame::zero(), Prot::READ), Ok(()));
    assert_eq!(
        table.map(UserAddr::new(2 * FAR), SharedFrame::zero(), Prot::READ),
        Err(MapError::OutOfMemory)
    );
    // The reserve is the kernel's, down to the last frame, and says when half of it is gone.
    let mut own = Vec::new();
    while let Ok(frame) = KernelFrame::alloc_zeroed() {
        own.push(frame);
    }
    assert!(own.len() >= 128 && frame::is_critical());
    drop((own, taken));
    assert!(frame::may_allocate() && !frame::is_critical());
    table.map(UserAddr::new(2 * FAR), SharedFrame::zero(), Prot::READ).expect("memory is back");
}
