//! x86_64: the PC behind `contract`.
//!
//! `docs/entry-x86_64.md` and `docs/boot-x86_64.md` are the contracts of what happens here.
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

/// The implementation of every trait in `contract`.
pub struct Arch;
