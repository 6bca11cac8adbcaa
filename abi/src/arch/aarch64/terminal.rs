//! The serial line that most Arm machines have first.

/// It.
pub use crate::terminal::PL011 as SERIAL;
