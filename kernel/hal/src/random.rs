//! Entropy for the kernel's generator.
use crate::arch::Arch;
use crate::contract::Platform as _;
use crate::sync::SpinLock;

/// What the loader gave; forgotten when it is used.
static BOOT_SEED: SpinLock<[u8; 32]> = SpinLock::new([0; 32]);

/// Adds random bytes of the loader to the first [`seed`].
pub fn add_boot_seed(bytes: &[u8; 32]) {
    let mut seed = BOOT_SEED.lock();
    for (byte, more) in seed.iter_mut().zip(bytes) {
        *byte ^= more;
    }
}

/// A seed from the CPU's random source, or from counter jitter where there is none, and from what the loader gave.
pub fn seed() -> [u8; 32] {
    let mut seed = core::mem::take(&mut *BOOT_SEED.lock());
    for word in seed.chunks_exact_mut(8) {
        let value = Arch::random_u64().unwrap_or_else(jitter);
        for (byte, more) in word.iter_mut().zip(value.to_le_bytes()) {
            *byte ^= more;
        }
    }
    seed
}

/// 64 bits from the timing of a loop; weak, and only for machines without a random source.
fn jitter() -> u64 {
    let mut value = Arch::counter();
    for _ in 0..64 {
        value = value.rotate_left(7) ^ Arch::counter();
        value = value.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }
    value
}
