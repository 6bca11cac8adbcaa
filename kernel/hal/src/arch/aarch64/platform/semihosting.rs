//! Semihosting (Arm document 100863): how the emulator learns an exit status.
//!
//! Where there is no semihosting host, `hlt #0xf000` is an undefined instruction in the kernel. The exception table has
//! it, so that the kernel goes on behind it.
use core::arch::asm;

const SYS_EXIT: u64 = 0x18;
const APPLICATION_EXIT: u64 = 0x20026;

/// Ends the emulator with `status`; returns where there is none.
pub fn exit(status: u8) {
    let block = [APPLICATION_EXIT, u64::from(status)];
    // SAFETY: the host reads the two words of `block` and ends; otherwise the exception goes on at the label `3`.
    unsafe {
        asm!(
            "2: hlt #0xf000",
            "3:",
            ".pushsection .exception_table, \"a\"",
            ".balign 8",
            ".quad 2b, 3b, 3b",
            ".popsection",
            inout("x0") SYS_EXIT => _,
            in("x1") block.as_ptr(),
            options(nostack),
        );
    }
}
