//! What only this machine has.
pub(super) mod capabilities;
pub(super) mod description;
pub(super) mod device_tree;
pub(super) mod errata;
pub(super) mod firmware;
pub(super) mod gic;
pub(super) mod guards;
pub(super) mod identification;
pub(super) mod identity;
pub(super) mod known_state;
pub(super) mod machine;
pub(super) mod memory;
pub(super) mod psci;
pub(super) mod read_back;
pub(super) mod semihosting;

use super::paging;
use crate::frame::OutOfMemory;
use core::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use libkernel::addr::PhysAddr;
use libkernel::paging::ENTRIES;

/// A zeroed page for a kernel table while there is no allocator. Enough for some pieces of memory and a few devices.
pub(super) fn boot_table() -> Result<PhysAddr, OutOfMemory> {
    const COUNT: usize = 48;
    #[repr(C, align(4096))]
    struct Tables([[AtomicU64; ENTRIES]; COUNT]);
    static TABLES: Tables = Tables([const { [const { AtomicU64::new(0) }; ENTRIES] }; COUNT]);
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    let next = NEXT.fetch_add(1, Ordering::Relaxed);
    if next >= COUNT {
        return Err(OutOfMemory);
    }
    Ok(paging::image_address((&raw const TABLES.0[next]).cast()))
}
