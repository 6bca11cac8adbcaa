//! What this build's architecture alone has, beside the oracles' view of it.
//!
//! The oracles describe the architecture the test is built for: run it under `qemu-aarch64` for the other one.
#![cfg(target_os = "linux")]

#[macro_use]
#[path = "../same/mod.rs"]
mod same;

#[cfg(target_arch = "aarch64")]
mod aarch64;
#[cfg(target_arch = "x86_64")]
mod x86_64;
