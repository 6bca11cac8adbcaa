//! Entropy for the kernel's generator.
use crate::arch::Arch;
use crate::contract::Platform as _;

/// A seed from the CPU's random source, mixed with counter jitter when there is none.
pub fn seed() -> [u8; 32] {
    let mut seed = [0; 32];
    for word in seed.chunks_exact_mut(8) {
        let value = Arch::random_u64().unwrap_or_else(jitter);
        word.copy_from_slice(&value.to_le_bytes());
    }
    seed
}

/// 64 bits from the timing of a loop; weak, and only for machines without a random source.
fn jitter() -> u64 {
    let mut value = Arch::cycle_counter();
    for _ in 0..64 {
        value = value.rotate_left(7) ^ Arch::cycle_counter();
        value = value.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }
    value
}
