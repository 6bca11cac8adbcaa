//! What the system-call boundary looks like on x86_64 alone.

pub mod fs;
pub mod nr;
pub mod poll;
pub mod process;
pub mod signal;
