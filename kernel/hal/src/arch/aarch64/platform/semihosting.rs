//! Semihosting (Arm document 100863): how the emulator learns an exit status, and of a failure before any console.
//!
//! Where there is no semihosting host, `hlt #0xf000` is an undefined instruction in the kernel. The exception table has
//! it, so that the kernel goes on behind it.
use core::arch::asm;

const SYS_WRITE_CHARACTER: u64 = 0x03;
const SYS_EXIT: u64 = 0x18;
const APPLICATION_EXIT: u64 = 0x20026;

/// Ends the emulator with `status`; returns where there is none.
pub fn exit(status: u8) {
    let block = [APPLICATION_EXIT, u64::from(status)];
    // SAFETY: the two words are what this operation reads.
    unsafe { call(SYS_EXIT, block.as_ptr().cast()) };
}

/// Writes to the emulator's own console, byte by byte.
pub fn write(bytes: &[u8]) {
    for byte in bytes {
        // SAFETY: this operation reads one byte.
        unsafe { call(SYS_WRITE_CHARACTER, byte) };
    }
}

/// Asks the host for `operation`.
///
/// # Safety
/// `block` is what the operation reads.
unsafe fn call(operation: u64, block: *const u8) {
    // SAFETY: the host reads what the caller vouches for, and changes X0 only; without one the exception goes on at the
    // label `3`.
    unsafe {
        asm!(
            "2: hlt #0xf000",
            "3:",
            ".pushsection .exception_table, \"a\"",
            ".balign 8",
            ".quad 2b, 3b, 3b",
            ".popsection",
            inout("x0") operation => _,
            in("x1") block,
            options(nostack),
        );
    }
}
