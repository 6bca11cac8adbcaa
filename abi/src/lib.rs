//! What both sides of the system-call boundary agree on.
//!
//! Numbers, errors, flags and memory layouts of Linux 6.1, for x86_64 and AArch64 at once. The kernel and the
//! userspace libraries both depend on this crate and on nothing of each other. Names are Linux's own: constants as in
//! the headers, structures in CamelCase (`struct timespec` is [`time::Timespec`]). Layouts derive `zerocopy`'s traits,
//! so they have no hidden padding and can cross the boundary byte by byte without `unsafe`.
#![no_std]
#![forbid(unsafe_code)]

#[macro_use]
mod constants;

pub mod arch;
pub mod auxv;
pub mod core_dump;
pub mod errno;
pub mod fs;
pub mod futex;
pub mod ioctl;
pub mod membarrier;
pub mod memory;
pub mod poll;
pub mod process;
pub mod resource;
pub mod signal;
pub mod syslog;
pub mod table;
pub mod terminal;
pub mod time;
pub mod utsname;

pub use errno::Errno;

/// The architecture this build is for.
#[cfg(target_arch = "aarch64")]
pub use arch::aarch64 as native;
/// The architecture this build is for.
#[cfg(target_arch = "x86_64")]
pub use arch::x86_64 as native;
