//! A reference that was never counted would free a frame in use.
// refused: E0624

use hal::frame::{Account, SharedFrame};

fn main() {
    let frame = SharedFrame::alloc_zeroed(Account::NONE).unwrap();
    unsafe { SharedFrame::from_phys(frame.phys()) };
}
