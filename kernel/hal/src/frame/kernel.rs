//! A frame that only the kernel uses.
use super::{OutOfMemory, allocate_zeroed, allocator};
use crate::arch::Arch;
use crate::contract::Paging as _;
use core::ops::{Deref, DerefMut};
use libkernel::addr::{PAGE_SIZE, PhysAddr};

/// One frame of the kernel's own; freed on drop.
#[derive(Debug)]
pub struct KernelFrame(PhysAddr);

impl KernelFrame {
    /// A zeroed frame, from the reserve if need be.
    #[inline]
    pub fn alloc_zeroed() -> Result<Self, OutOfMemory> {
        allocate_zeroed().map(Self)
    }

    /// Its physical address.
    pub fn phys(&self) -> PhysAddr {
        self.0
    }

    /// Gives up ownership; the frame stays allocated.
    pub(crate) fn into_phys(self) -> PhysAddr {
        core::mem::ManuallyDrop::new(self).0
    }

    /// Takes ownership back.
    ///
    /// # Safety
    /// `frame` came from [`Self::into_phys`], and nobody uses it any more.
    pub(crate) unsafe fn from_phys(frame: PhysAddr) -> Self {
        Self(frame)
    }
}

impl Drop for KernelFrame {
    #[inline]
    fn drop(&mut self) {
        allocator::free(self.0);
    }
}

impl Deref for KernelFrame {
    type Target = [u8; PAGE_SIZE as usize];
    fn deref(&self) -> &Self::Target {
        // SAFETY: the frame is owned, initialised, and mapped for ever in the direct map.
        unsafe { &*Arch::direct_map(self.0).cast() }
    }
}

impl DerefMut for KernelFrame {
    fn deref_mut(&mut self) -> &mut Self::Target {
        // SAFETY: as above, and the borrow is exclusive.
        unsafe { &mut *Arch::direct_map(self.0).cast() }
    }
}
