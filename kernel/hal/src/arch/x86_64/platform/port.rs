//! I/O ports.
use core::arch::asm;

/// Reads a byte.
///
/// # Safety
/// Reading `port` must not break a device that someone else drives.
#[inline]
pub unsafe fn read_u8(port: u16) -> u8 {
    let value;
    // SAFETY: the caller vouches for the port; the instruction touches no memory.
    unsafe { asm!("in al, dx", in("dx") port, out("al") value, options(nomem, nostack, preserves_flags)) };
    value
}

/// Reads 16 bits.
///
/// # Safety
/// As [`read_u8`].
#[inline]
pub unsafe fn read_u16(port: u16) -> u16 {
    let value;
    // SAFETY: the caller vouches for the port; the instruction touches no memory.
    unsafe { asm!("in ax, dx", in("dx") port, out("ax") value, options(nomem, nostack, preserves_flags)) };
    value
}

/// Reads 32 bits.
///
/// # Safety
/// As [`read_u8`].
#[inline]
pub unsafe fn read_u32(port: u16) -> u32 {
    let value;
    // SAFETY: the caller vouches for the port; the instruction touches no memory.
    unsafe { asm!("in eax, dx", in("dx") port, out("eax") value, options(nomem, nostack, preserves_flags)) };
    value
}

/// Writes a byte.
///
/// # Safety
/// The device behind `port` must not be made to overwrite memory.
#[inline]
pub unsafe fn write_u8(port: u16, value: u8) {
    // SAFETY: the caller vouches for the port; the instruction touches no memory.
    unsafe { asm!("out dx, al", in("dx") port, in("al") value, options(nomem, nostack, preserves_flags)) };
}

/// Writes 16 bits.
///
/// # Safety
/// As [`write_u8`].
#[inline]
pub unsafe fn write_u16(port: u16, value: u16) {
    // SAFETY: the caller vouches for the port; the instruction touches no memory.
    unsafe { asm!("out dx, ax", in("dx") port, in("ax") value, options(nomem, nostack, preserves_flags)) };
}

/// Writes 32 bits.
///
/// # Safety
/// As [`write_u8`].
#[inline]
pub unsafe fn write_u32(port: u16, value: u32) {
    // SAFETY: the caller vouches for the port; the instruction touches no memory.
    unsafe { asm!("out dx, eax", in("dx") port, in("eax") value, options(nomem, nostack, preserves_flags)) };
}
