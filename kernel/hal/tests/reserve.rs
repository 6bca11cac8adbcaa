//! What still works when memory for programs has run out. A process of its own: it takes all of the machine's memory.
use hal::frame::{self, Account, KernelFrame, OutOfMemory, SharedFrame};
use hal::paging::{Kind, MapError, PageTable, Prot};
use libkernel::addr::UserAddr;

const FAR: u64 = 1 << 30;

#[test]
fn programs_end_at_the_watermark_and_the_kernel_goes_on() {
    let table = PageTable::new().expect("memory at first");
    table
        .map(UserAddr::new(FAR), SharedFrame::zero(), Prot::READ, Kind::Uncounted)
        .expect("room for tables at first");
    let free = frame::statistics().free;
    let mut taken = Vec::new();
    while let Ok(frame) = SharedFrame::alloc_zeroed(Account::NONE) {
        taken.push(frame);
    }
    assert!(!frame::may_allocate() && !frame::is_critical());
    assert_eq!(taken[0].duplicate(Account::NONE), Err(OutOfMemory));
    // A page in a table that exists costs nothing; a new table is memory for programs.
    assert_eq!(
        table.map(UserAddr::new(FAR + 4096), SharedFrame::zero(), Prot::READ, Kind::Uncounted),
        Ok(())
    );
    assert_eq!(
        table.map(UserAddr::new(2 * FAR), SharedFrame::zero(), Prot::READ, Kind::Uncounted),
        Err(MapError::OutOfMemory)
    );
    // The reserve is the kernel's, down to the last frame, and says when half of it is gone.
    let mut own = Vec::new();
    while let Ok(frame) = KernelFrame::alloc_zeroed() {
        own.push(frame);
    }
    assert!(own.len() >= 128 && frame::is_critical());
    assert_eq!(own.len() + taken.len(), free);
    drop((own, taken));
    assert!(frame::may_allocate() && !frame::is_critical());
    every_frame_is_there_again(free);
    table
        .map(UserAddr::new(2 * FAR), SharedFrame::zero(), Prot::READ, Kind::Uncounted)
        .expect("memory is back");
}

/// Frames come back in chains of a batch; each is handed out once more, and none is lost.
fn every_frame_is_there_again(free: usize) {
    for _ in 0..2 {
        assert_eq!(frame::statistics().free, free);
        let all: Vec<_> = core::iter::from_fn(|| KernelFrame::alloc_zeroed().ok()).collect();
        assert_eq!((all.len(), frame::statistics().free), (free, 0));
    }
}
