//! The vDSO as memory that every program maps: page 0 is its clocks' data, page 1 the image.
//!
//! `exec` maps the object; `time` tells it when the wall clock is set. The layout of the data and how it is read under
//! a sequence number stand in `libkernel::vdso`.

use alloc::sync::Arc;
use core::sync::atomic::{Ordering, fence};

use abi::Errno;
use hal::frame::SharedFrame;
use hal::sync::{Once, SpinLock};
use libkernel::addr::PAGE_SIZE;
use libkernel::vdso::VdsoData;
use zerocopy::IntoBytes;

use crate::memory::Object;

/// Pages of the object: data and image.
pub const PAGES: u64 = 2;

struct Vdso {
    object: Arc<Object>,
    data_page: SharedFrame,
    /// What the data page says; the lock keeps writers apart.
    data: SpinLock<VdsoData>,
}

static VDSO: Once<Vdso> = Once::new();

/// Builds the object. Once, at boot, after the wall clock is known; without an image programs get none.
pub fn start(wall_offset_ns: u64) -> Result<(), Errno> {
    let image = hal::vdso::image();
    if image.is_empty() {
        return Ok(());
    }
    let object = Object::new(PAGES * PAGE_SIZE);
    let written = object.page_or_create(1)?.write(0, image);
    assert_eq!(written, image.len(), "the vDSO is longer than a page");
    let clock = hal::time::clock_parameters();
    let data = VdsoData {
        base_cycles: clock.base_cycles,
        base_ns: clock.base_ns,
        nanoseconds_per_cycle: clock.nanoseconds_per_cycle_32_32,
        wall_offset_ns,
        ..VdsoData::default()
    };
    let data_page = object.page_or_create(0)?;
    data_page.write(0, data.as_bytes());
    let _ = VDSO.set(Vdso { object, data_page, data: SpinLock::new(data) });
    Ok(())
}

/// What programs map, if there is a vDSO.
pub fn object() -> Option<&'static Arc<Object>> {
    VDSO.get().map(|vdso| &vdso.object)
}

/// Tells programs that the wall clock was set: nanoseconds from 1970 to the monotonic clock's zero.
pub fn set_wall_offset(wall_offset_ns: u64) {
    let Some(vdso) = VDSO.get() else { return };
    let mut data = vdso.data.lock();
    data.wall_offset_ns = wall_offset_ns;
    data.sequence = data.sequence.wrapping_add(1);
    vdso.write_sequence(data.sequence);
    // Readers that see any of the new data see the odd number before it, and the even one only after all of it.
    fence(Ordering::SeqCst);
    let sequence_bytes = size_of_val(&data.sequence);
    vdso.data_page.write(sequence_bytes, &data.as_bytes()[sequence_bytes..]);
    fence(Ordering::SeqCst);
    data.sequence = data.sequence.wrapping_add(1);
    vdso.write_sequence(data.sequence);
}

impl Vdso {
    fn write_sequence(&self, sequence: u32) {
        self.data_page.write(0, sequence.as_bytes());
    }
}
