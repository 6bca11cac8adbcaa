//! Processes, memory, files, signals and time: the kernel's policy.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(test)]
extern crate std;

pub mod boot;
pub mod core_dump;
mod device;
pub mod exec;
pub mod futex;
pub mod initramfs;
pub mod kernel;
pub mod kmsg;
pub mod namespaces;
pub mod nsfs;
pub mod proc;
pub mod process;
pub mod random;
pub mod signal;
pub mod syscall;
pub mod time;
pub mod tty;
pub mod vdso;
