//! A reference that was never counted would free a frame in use.
// refused: E0624

use hal::frame::SharedFrame;

fn main() {
    let frame = SharedFrame::alloc_zeroed().unwrap();
    unsafe { SharedFrame::from_phys(frame.phys()) };
}
