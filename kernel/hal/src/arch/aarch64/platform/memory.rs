//! Memory as the device tree lists it: what the direct map shows, and what the kernel may hand out.
use super::super::paging;
use super::boot_table;
use crate::boot::MemoryMap;
use crate::sync::Once;
use libkernel::addr::PhysRange;
use libkernel::device_tree::DeviceTree;

/// Maps all memory but what firmware wants unmapped; returns what is free. `taken` is kept too: the image, the tree.
///
/// The initramfs may lie in memory that the tree reserves (some loaders say so), but not outside of memory.
pub fn map(tree: &DeviceTree<'_>, image: PhysRange, blob: PhysRange) -> &'static MemoryMap {
    static USABLE: Once<MemoryMap> = Once::new();
    let mut visible = MemoryMap::empty();
    tree.for_each_memory(&mut |range| visible.push(range));
    visible.merge();
    for reserved in tree.reserved().filter(|reserved| reserved.unmapped) {
        visible = visible.without(reserved.range);
    }
    assert!(!visible.ranges().is_empty(), "the device tree lists no memory");
    assert!(visible.contains(image), "the kernel lies outside of memory: {image:x?}");
    if let Some(initramfs) = tree.initramfs() {
        assert!(visible.contains(initramfs), "the initramfs lies outside of memory: {initramfs:x?}");
        assert!(!initramfs.overlaps(image), "the initramfs lies in the kernel: {initramfs:x?}");
    }
    for range in visible.ranges() {
        paging::map_memory(*range, &mut boot_table).expect("memory is in too many pieces");
    }
    paging::finish_direct_map();
    let mut usable = visible.without(blob);
    for reserved in tree.reserved().filter(|reserved| !reserved.unmapped) {
        usable = usable.without(reserved.range);
    }
    let _ = USABLE.set(usable);
    USABLE.get().expect("set above")
}
