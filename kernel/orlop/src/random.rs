//! The kernel's random numbers: `getrandom`, `/dev/urandom`, address-space layout, `AT_RANDOM`.
//!
//! One ChaCha20 generator, seeded from the machine when first used. A request for many bytes takes a fresh key from it under the lock
//! and stretches that key outside: the lock is held for a few blocks at most, and what was handed out cannot be computed back
//! from the generator's later state.

use hal::sync::SpinLock;
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};

use crate::syscall::Failure;
use crate::user::IoSink;

static GENERATOR: SpinLock<Option<ChaCha20Rng>> = SpinLock::new(None);

/// The bytes of a key.
const KEY_SIZE: usize = 32;

/// A generator with a key of its own.
fn fresh_generator() -> ChaCha20Rng {
    let mut key = [0; KEY_SIZE];
    let mut next_key = [0; KEY_SIZE];
    let mut shared = GENERATOR.lock();
    let generator = shared.get_or_insert_with(|| ChaCha20Rng::from_seed(hal::random::seed()));
    generator.fill_bytes(&mut key);
    generator.fill_bytes(&mut next_key);
    *generator = ChaCha20Rng::from_seed(next_key);
    drop(shared);
    ChaCha20Rng::from_seed(key)
}

/// Fills `bytes` with random ones.
pub fn fill(bytes: &mut [u8]) {
    fresh_generator().fill_bytes(bytes);
}

/// Fills all of the sink; a signal ends a long request early, after the first 256 bytes.
pub fn fill_sink(sink: &mut IoSink<'_>) -> Result<(), Failure> {
    const STEP: usize = 256;
    let mut generator = fresh_generator();
    let mut bytes = [0; STEP];
    while sink.remaining() > 0 {
        let wanted = STEP.min(sink.remaining());
        generator.fill_bytes(&mut bytes);
        if sink.put(bytes.get(..wanted).unwrap_or_default())? < wanted
            || crate::fs::running::signal_is_pending()
        {
            break;
        }
    }
    Ok(())
}

/// Mixes what a program wrote to `/dev/urandom` into the generator; it can only add to what is unknown.
pub fn stir(bytes: &[u8]) {
    let mut key = [0; KEY_SIZE];
    fill(&mut key);
    for (index, byte) in bytes.iter().enumerate() {
        if let Some(slot) = key.get_mut(index % KEY_SIZE) {
            *slot ^= byte;
        }
    }
    *GENERATOR.lock() = Some(ChaCha20Rng::from_seed(key));
}
