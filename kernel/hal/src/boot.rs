//! What the boot loader told us, and the initramfs's frames.

/// Facts about this boot, valid for ever except the initramfs (see [`release_initramfs`]).
#[derive(Debug)]
pub struct BootInfo {
    /// The command line, as the loader gave it, without its final NUL.
    pub command_line: &'static [u8],
    /// The initramfs in the direct map; empty when there is none.
    pub initramfs: &'static [u8],
    /// Usable memory in bytes.
    pub memory_bytes: u64,
}

/// Gives the initramfs's frames to the allocator. Call once, after the last look at `BootInfo::initramfs`.
pub fn release_initramfs() {
    crate::frame::release_initramfs();
}
