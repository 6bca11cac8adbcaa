//! The address space.

use crate::{call, file::RawFd, nr};
use abi::Errno;
use abi::memory::{MAP_ANONYMOUS, MAP_PRIVATE, PROT_READ, PROT_WRITE};

/// Maps `length` bytes; `protection` are `PROT_*`, `flags` `MAP_*`, `fd` -1 for anonymous memory.
///
/// # Safety
/// With `MAP_FIXED`, what was mapped there is gone: nothing may still refer to it.
pub unsafe fn mmap(
    address: *mut u8,
    length: usize,
    protection: u32,
    flags: u32,
    fd: RawFd,
    offset: u64,
) -> Result<*mut u8, Errno> {
    // SAFETY: passed on to the caller.
    unsafe { call!(nr::mmap, address, length, protection, flags, fd, offset) }
        .map(|address| address as *mut u8)
}

/// Maps `length` bytes of zeroed memory of the process's own, somewhere.
pub fn map_anonymous(length: usize) -> Result<*mut u8, Errno> {
    // SAFETY: the kernel chooses a free range.
    unsafe { mmap(core::ptr::null_mut(), length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) }
}

/// Unmaps a range.
///
/// # Safety
/// Nothing may still refer to it.
pub unsafe fn munmap(address: *mut u8, length: usize) -> Result<(), Errno> {
    // SAFETY: passed on to the caller.
    unsafe { call!(nr::munmap, address, length) }.map(drop)
}

/// Changes the protection of a range.
///
/// # Safety
/// References into the range must stay usable as Rust uses them.
pub unsafe fn mprotect(address: *mut u8, length: usize, protection: u32) -> Result<(), Errno> {
    // SAFETY: passed on to the caller.
    unsafe { call!(nr::mprotect, address, length, protection) }.map(drop)
}

/// Changes the size of a mapping, moving it if `flags` has `MREMAP_MAYMOVE`.
///
/// # Safety
/// Nothing may still refer to what is cut off or moved.
pub unsafe fn mremap(address: *mut u8, old: usize, new: usize, flags: u32) -> Result<*mut u8, Errno> {
    // SAFETY: passed on to the caller.
    unsafe { call!(nr::mremap, address, old, new, flags) }.map(|address| address as *mut u8)
}

/// Advises on a range; `advice` is `MADV_*`.
///
/// # Safety
/// Some advice drops contents: nothing may still rely on them.
pub unsafe fn madvise(address: *mut u8, length: usize, advice: u32) -> Result<(), Errno> {
    // SAFETY: passed on to the caller.
    unsafe { call!(nr::madvise, address, length, advice) }.map(drop)
}

/// Sets the end of the data segment and returns where it is then; 0 only asks.
///
/// # Safety
/// When the segment shrinks, nothing may still refer to what is cut off.
pub unsafe fn brk(address: u64) -> u64 {
    // SAFETY: passed on to the caller; the call returns an address and never an error.
    unsafe { crate::syscall(nr::brk, address, 0, 0, 0, 0, 0) as u64 }
}

/// Fills `buffer` with random bytes; `flags` are `GRND_*`. Returns how many were written.
pub fn getrandom(buffer: &mut [u8], flags: u32) -> Result<usize, Errno> {
    // SAFETY: the kernel writes at most `buffer.len()` bytes.
    unsafe { call!(nr::getrandom, buffer.as_mut_ptr(), buffer.len(), flags) }.map(|count| count as usize)
}
