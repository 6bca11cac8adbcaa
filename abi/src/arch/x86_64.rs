//! What the system-call boundary looks like on x86_64 alone.

pub mod nr;
