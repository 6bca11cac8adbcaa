//! File systems, and the files that are in none: in memory, made up of the machine, and without names.
//!
//! Each plugs into `vfs` by its traits, and knows none of the others but those it is made of: tmpfs makes fifos,
//! devtmpfs is a tmpfs. Those that show processes stand with these, above.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(test)]
extern crate std;

pub mod devtmpfs;
pub mod eventfd;
pub mod pipe;
pub mod sysfs;
#[cfg(test)]
mod tests;
pub mod tmpfs;
