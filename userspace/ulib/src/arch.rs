//! The first instructions of a program, and how its image refers to itself.

#[cfg(target_arch = "aarch64")]
mod aarch64;
#[cfg(target_arch = "x86_64")]
mod x86_64;

#[cfg(target_arch = "aarch64")]
pub use aarch64::RELATIVE;
#[cfg(target_arch = "x86_64")]
pub use x86_64::RELATIVE;
