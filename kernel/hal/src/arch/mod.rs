//! What executes privileged instructions: one folder for each architecture, behind `contract`.
#[cfg(all(not(target_os = "linux"), target_arch = "aarch64"))]
mod aarch64;
#[cfg(not(target_os = "linux"))]
mod efi;
#[cfg(target_os = "linux")]
mod host;
#[cfg(all(not(target_os = "linux"), target_arch = "x86_64"))]
mod x86_64;

#[cfg(all(not(target_os = "linux"), target_arch = "aarch64"))]
pub use aarch64::{Arch, vdso};
#[cfg(target_os = "linux")]
pub use host::{Arch, vdso};
#[cfg(all(target_os = "linux", test))]
pub use host::{flushed, synchronised};
#[cfg(all(not(target_os = "linux"), target_arch = "x86_64"))]
pub use x86_64::{Arch, vdso};
