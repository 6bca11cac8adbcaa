//! The serial line that a PC has first.

/// It.
pub use crate::terminal::UART_8250 as SERIAL;
