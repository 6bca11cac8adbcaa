//! The runtime of userspace programs.
//!
//! A program is `#![no_std]`, `#![no_main]`, names its main function with [`entry!`] and finds here what a standard
//! library would give it: arguments ([`args`]), environment ([`env`]), heap (`alloc` just works), buffered output
//! ([`println!`]), files ([`fs`]), processes ([`process`]), threads and thread-locals ([`thread`]), locks ([`sync`]).
//! See `docs/writing-programs.md`.
//!
//! Built for `x86_64-unknown-none` or `aarch64-unknown-none`, a program starts at this crate's `_start`, uses only
//! Linux system calls and runs on Orlop and on Linux alike. Built for a hosted target, as `cargo check` and
//! `cargo test` on a developer's machine do, it starts in the C library's `main`: that build is for checking, not for
//! shipping.
#![no_std]

extern crate alloc;
#[cfg(not(target_os = "none"))]
extern crate std;

pub mod args;
pub mod auxv;
pub mod entry;
pub mod env;
pub mod fs;
pub mod io;
pub mod process;
pub mod signal;
pub mod sync;
pub mod thread;
pub mod time;
pub mod vdso;

mod arch;
#[cfg(target_os = "none")]
mod heap;
#[cfg(target_os = "none")]
mod panic;
#[cfg(target_os = "none")]
mod start;

pub use abi::Errno;
pub use libsyscall;

use alloc::ffi::CString;
use alloc::vec::Vec;

/// A path or argument as the kernel wants it; EINVAL if there is a NUL inside.
pub fn c_string(bytes: impl Into<Vec<u8>>) -> Result<CString, Errno> {
    CString::new(bytes).map_err(|_| Errno::EINVAL)
}
