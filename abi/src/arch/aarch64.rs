//! What the system-call boundary looks like on AArch64 alone.

pub mod nr;
