//! Physical memory as the bytes that firmware and loaders left in it.

/// Physical memory, read a byte at a time.
pub trait Memory {
    /// The byte at `address`; `None` where memory cannot be read.
    fn byte(&self, address: u64) -> Option<u8>;
}

impl<F: Fn(u64) -> Option<u8>> Memory for F {
    fn byte(&self, address: u64) -> Option<u8> {
        self(address)
    }
}

/// A little-endian number of `BYTES` bytes, at most eight.
pub fn number<const BYTES: usize>(memory: &impl Memory, address: u64) -> Option<u64> {
    (0..BYTES as u64).rev().try_fold(0, |value: u64, offset| {
        Some(value << 8 | u64::from(memory.byte(address.checked_add(offset)?)?))
    })
}

/// Whether `text` lies at `address`.
pub fn matches(memory: &impl Memory, address: u64, text: &[u8]) -> bool {
    text.iter().zip(address..).all(|(&byte, at)| memory.byte(at) == Some(byte))
}
