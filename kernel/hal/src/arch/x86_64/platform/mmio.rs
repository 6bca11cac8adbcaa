//! 32-bit device registers.
use crate::arch::x86_64::paging::map_device;
use core::sync::atomic::{AtomicPtr, Ordering};
use libkernel::addr::PhysAddr;

/// A page of device registers, mapped once at boot; absent until then.
pub struct Registers(AtomicPtr<u8>);

impl Registers {
    /// Not mapped yet.
    pub const fn absent() -> Self {
        Self(AtomicPtr::new(core::ptr::null_mut()))
    }

    /// Maps the registers at `address`.
    pub fn map(&self, address: PhysAddr) {
        if let Ok(pointer) = map_device(address) {
            self.0.store(pointer, Ordering::Release);
        }
    }

    /// Whether the registers can be reached.
    pub fn is_mapped(&self) -> bool {
        !self.0.load(Ordering::Acquire).is_null()
    }

    fn register(&self, offset: usize) -> Option<*mut u32> {
        let base = self.0.load(Ordering::Acquire);
        (!base.is_null() && offset < 4096).then(|| base.wrapping_add(offset).cast())
    }

    /// Reads the register at `offset`; all ones when absent, as an empty bus answers.
    #[inline]
    pub fn read(&self, offset: usize) -> u32 {
        // SAFETY: the pointer leads into a mapped device page.
        self.register(offset).map_or(u32::MAX, |register| unsafe { register.read_volatile() })
    }

    /// Writes the register at `offset`.
    #[inline]
    pub fn write(&self, offset: usize, value: u32) {
        if let Some(register) = self.register(offset) {
            // SAFETY: as above; what the registers of this device do is known to the caller's module.
            unsafe { register.write_volatile(value) };
        }
    }
}
