//! What each architecture's tests need, and the tests that only one of them can have: [`TESTS`].

#[cfg(target_arch = "aarch64")]
mod aarch64;
#[cfg(target_arch = "x86_64")]
mod x86_64;

#[cfg(target_arch = "aarch64")]
pub use aarch64::{TESTS, attempt, restorer};
#[cfg(target_arch = "x86_64")]
pub use x86_64::{TESTS, attempt, restorer};
