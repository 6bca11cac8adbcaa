//! What describes each CPU: register frames, page-table entries, fault codes.
//!
//! Both folders are always compiled and hold the same file names (x86_64 has `segments` besides, AArch64 `asid`).
//! `native` is the one that this build runs on. Instructions live in `hal`.

pub mod aarch64;
pub mod x86_64;

#[cfg(target_arch = "aarch64")]
pub use aarch64 as native;
#[cfg(target_arch = "x86_64")]
pub use x86_64 as native;
