//! What the system-call boundary looks like on x86_64 alone.

pub mod core_dump;
pub mod fs;
pub mod nr;
pub mod poll;
pub mod process;
pub mod signal;
pub mod terminal;

/// Whether `clone` takes the thread pointer as its last argument, after the child's number.
pub const CLONE_TLS_LAST: bool = true;

/// Whether `prctl` knows of an instruction that reads the time stamp (`PR_GET_TSC`).
pub const HAS_TSC: bool = true;

/// Smallest alternate signal stack that `sigaltstack` accepts.
pub const MINIMUM_SIGNAL_STACK: u64 = crate::signal::MINSIGSTKSZ_X86_64 as u64;
