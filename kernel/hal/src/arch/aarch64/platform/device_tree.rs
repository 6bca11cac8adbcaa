//! Where the loader left the device tree, and how the kernel comes to read it: through a window of its own.
//!
//! What the tree says is `libkernel::device_tree`'s business.
use super::super::paging;
use libkernel::addr::{PhysAddr, PhysRange};
use libkernel::device_tree::{DeviceTree, flat, take_seed};

/// Where the tree is mapped: behind the image's own 512 MiB.
const WINDOW: u64 = paging::IMAGE + (512 << 20);
/// The boot protocol lets the tree have so many bytes, on both sides of a boundary (booting.rst, 2).
const BLOCK: u64 = 2 << 20;
/// Bytes that say how long the tree is; they never cross a boundary of 8 bytes.
const HEADER: u64 = 8;

/// Maps the tree, takes the loader's random bytes out of it, and reads it. A machine that cannot be known ends here.
///
/// # Safety
/// `address` is what the loader left in X0. Called once.
pub unsafe fn find(address: u64) -> (DeviceTree<'static>, PhysRange) {
    assert!(address != 0 && address.is_multiple_of(HEADER), "no device tree at {address:#x}, which X0 names");
    let (block, offset) = (address & !(BLOCK - 1), address & (BLOCK - 1));
    paging::map_window(WINDOW, PhysAddr::new(block));
    let start = (WINDOW + offset) as *mut u8;
    // SAFETY: mapped just now; nobody else knows the place.
    let header = unsafe { core::slice::from_raw_parts(start, HEADER as usize) };
    let Some(length) = flat::total_size(header) else {
        panic!("no device tree at {address:#x}, which X0 names")
    };
    assert!(length as u64 <= BLOCK, "a device tree of {length} bytes; the boot protocol allows 2 MiB");
    if offset + length as u64 > BLOCK {
        paging::map_window(WINDOW + BLOCK, PhysAddr::new(block + BLOCK));
    }
    // SAFETY: as above; at most 2 MiB from a start in the first of two mapped blocks, or all of it in the first.
    let blob = unsafe { core::slice::from_raw_parts_mut(start, length) };
    crate::random::add_loader_seed(&take_seed(blob));
    match DeviceTree::parse(blob) {
        Ok(tree) => (tree, PhysRange::new(PhysAddr::new(address), length as u64)),
        Err(damage) => panic!("{damage}"),
    }
}
