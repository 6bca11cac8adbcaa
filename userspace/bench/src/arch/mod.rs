//! The cycle counter of each architecture, and the C signal trampoline that x86_64 needs.

#[cfg(target_arch = "aarch64")]
mod aarch64;
#[cfg(target_arch = "x86_64")]
mod x86_64;

#[cfg(target_arch = "aarch64")]
pub use aarch64::{CLOCK_GETTIME, counter, restorer};
#[cfg(target_arch = "x86_64")]
pub use x86_64::{CLOCK_GETTIME, counter, restorer};
