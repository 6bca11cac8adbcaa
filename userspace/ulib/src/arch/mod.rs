//! What each architecture needs in assembly: the first instructions of a program, and the last of a signal handler.

#[cfg(target_arch = "aarch64")]
mod aarch64;
#[cfg(target_arch = "x86_64")]
mod x86_64;

#[cfg(target_arch = "aarch64")]
use aarch64 as native;
#[cfg(target_arch = "x86_64")]
use x86_64 as native;

pub use native::restore_after_signal;
#[cfg(target_os = "none")]
pub use native::start::RELATIVE;
