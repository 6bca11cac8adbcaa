//! Clocks as arithmetic: a counter that becomes time, and the frequency of a counter.
//!
//! No machine and no lock: who reads a counter hands its value in.
pub mod frequency;
pub mod line;
pub mod ntp;

pub use line::Line;

/// Nanoseconds in a second.
pub const SECOND_NS: u64 = 1_000_000_000;
