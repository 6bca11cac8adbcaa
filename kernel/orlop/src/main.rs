//! The bootable kernel: the library's `Kernel` where hal's boot code finds it.
#![cfg_attr(not(target_os = "linux"), no_std, no_main)]

#[cfg(not(target_os = "linux"))]
static KERNEL: orlop::kernel::Kernel = orlop::kernel::Kernel;
#[cfg(not(target_os = "linux"))]
hal::entry!(KERNEL);

/// On the host there is nothing to boot; the library's tests are what runs there.
#[cfg(target_os = "linux")]
fn main() {}
