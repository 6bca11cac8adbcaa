//! AArch64: QEMU's `virt` and other machines that start a kernel as an arm64 Linux.
//!
//! The same file names as in `x86_64`; what only this machine has is under `platform`.
mod boot;
mod clock;
mod console;
mod context;
mod cpu;
mod irq;
mod paging;
mod patches;
mod platform;
mod power;
mod random;
mod smp;
mod speculation;
mod timer;
mod trap;
mod user;
mod user_copy;
mod user_registers;
pub mod vdso;

core::arch::global_asm!(include_str!("memory.S"));

/// The implementation of every trait in [`crate::contract`].
pub struct Arch;
