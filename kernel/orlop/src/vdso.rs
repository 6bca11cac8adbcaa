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
use libkernel::vdso::{VdsoClock, VdsoData};
use memory::Object;
use sched::deadline::wall_offset_ns;
use zerocopy::IntoBytes;

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
pub fn start() -> Result<(), Errno> {
    let image = hal::vdso::image();
    if image.is_empty() {
        return Ok(());
    }
    let object = Object::new(PAGES * PAGE_SIZE);
    let written = object.page_or_create(1)?.write(0, image);
    assert_eq!(written, image.len(), "the vDSO is longer than a page");
    let data_page = object.page_or_create(0)?;
    let _ = VDSO.set(Vdso { object, data_page, data: SpinLock::new(VdsoData::default()) });
    while_clocks_change(|| ());
    Ok(())
}

/// What programs map, if there is a vDSO.
pub fn object() -> Option<&'static Arc<Object>> {
    VDSO.get().map(|vdso| &vdso.object)
}

/// Lets `change` change the clocks, one change at a time. A program that looks meanwhile waits, so that it never sees a
/// time of the old clocks after one of the new ones.
pub fn while_clocks_change<R>(change: impl FnOnce() -> R) -> R {
    let Some(vdso) = VDSO.get() else { return change() };
    let mut data = vdso.data.lock();
    data.count_on();
    vdso.write(&data);
    // Readers that see any of the new data see the odd numbers before it, and the even ones only after all of it.
    fence(Ordering::SeqCst);
    let result = change();
    take_clocks(&mut data);
    vdso.write(&data);
    fence(Ordering::SeqCst);
    data.count_on();
    vdso.write(&if hal::time::counter_is_own() { *data } else { data.closed() });
    result
}

/// What the clocks compute with by now.
fn take_clocks(data: &mut VdsoData) {
    let now = hal::time::parameters();
    let clock = |sequence, line: hal::time::Line| VdsoClock {
        sequence,
        origin: now.origin,
        offset_ns: line.offset_ns,
        nanoseconds_per_cycle: line.factor,
        wall_offset_ns: wall_offset_ns(),
        ..VdsoClock::default()
    };
    data.steered = clock(data.steered.sequence, now.steered);
    data.raw = clock(data.raw.sequence, now.raw);
}

impl Vdso {
    fn write(&self, data: &VdsoData) {
        self.data_page.write(0, data.as_bytes());
    }
}
