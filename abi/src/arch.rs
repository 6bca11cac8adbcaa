//! The parts of the boundary that differ between architectures.
//!
//! Both modules are always compiled, so that either can be tested on any host; [`native`](crate::native) is the one
//! that this build is for.

pub mod aarch64;
pub mod x86_64;
