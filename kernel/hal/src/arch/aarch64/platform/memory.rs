//! Memory as the device tree or UEFI firmware lists it: what the direct map shows, and what the kernel may hand out.
use super::super::paging;
use super::boot_table;
use super::firmware::Firmware;
use crate::arch::Arch;
use crate::boot::MemoryMap;
use crate::contract::Paging as _;
use crate::sync::Once;
use libkernel::addr::{PhysAddr, PhysRange};
use libkernel::device_tree::{DeviceTree, Reserved};
use libkernel::physical::Memory;

/// Who lists the machine's memory.
pub struct Sources<'a> {
    /// The device tree, with the range in which it lies.
    pub tree: Option<&'a (DeviceTree<'a>, PhysRange)>,
    /// Firmware, whose list is the one that counts (Linux, `Documentation/arm/uefi.rst`).
    pub firmware: Option<&'a Firmware>,
    /// The initramfs.
    pub initramfs: Option<PhysRange>,
}

impl Sources<'_> {
    /// What is to be mapped.
    fn visible(&self) -> MemoryMap {
        let mut visible = MemoryMap::empty();
        if let Some(firmware) = self.firmware {
            let lists = [&firmware.free, &firmware.tables];
            lists.iter().flat_map(|list| list.ranges()).for_each(|range| visible.push(*range));
        } else if let Some((tree, _)) = self.tree {
            tree.for_each_memory(&mut |range| visible.push(range));
        }
        visible.merge();
        for reserved in self.reserved().filter(|reserved| reserved.unmapped) {
            visible = visible.without(reserved.range);
        }
        visible
    }

    /// What is not free of all that is visible.
    fn usable(&self, visible: &MemoryMap) -> MemoryMap {
        let mut usable = visible.clone();
        if let Some(firmware) = self.firmware {
            firmware.tables.ranges().iter().for_each(|tables| usable = usable.without(*tables));
        }
        if let Some((_, blob)) = self.tree {
            usable = usable.without(*blob);
        }
        for reserved in self.reserved().filter(|reserved| !reserved.unmapped) {
            usable = usable.without(reserved.range);
        }
        usable
    }

    fn reserved(&self) -> impl Iterator<Item = Reserved> {
        self.tree.into_iter().flat_map(|(tree, _)| tree.reserved())
    }
}

/// Maps all memory but what firmware wants unmapped; returns what is free.
///
/// The initramfs may lie in memory that the tree reserves (some loaders say so), but not outside of memory.
#[inline(never)]
pub fn map(sources: &Sources<'_>, image: PhysRange) -> &'static MemoryMap {
    static USABLE: Once<MemoryMap> = Once::new();
    let visible = sources.visible();
    assert!(!visible.ranges().is_empty(), "the device tree lists no memory");
    assert!(visible.contains(image), "the kernel lies outside of memory: {image:x?}");
    if let Some(initramfs) = sources.initramfs {
        assert!(visible.contains(initramfs), "the initramfs lies outside of memory: {initramfs:x?}");
        assert!(!initramfs.overlaps(image), "the initramfs lies in the kernel: {initramfs:x?}");
    }
    for range in visible.ranges() {
        paging::map_memory(*range, &mut boot_table).expect("memory is in too many pieces");
    }
    paging::finish_direct_map();
    USABLE.get_or_init(|| sources.usable(&visible))
}

/// Memory in which firmware's tables can be read once it is mapped.
pub fn readable(firmware: Option<&Firmware>) -> impl Memory + '_ {
    move |address| {
        let byte = PhysRange::new(PhysAddr::new(address), 1);
        let lists = firmware.map(|firmware| [&firmware.tables, &firmware.free])?;
        if !lists.iter().any(|list| list.contains(byte)) {
            return None;
        }
        // SAFETY: `map` made it visible, and nobody writes there yet.
        Some(unsafe { Arch::direct_map(byte.start).read_volatile() })
    }
}
