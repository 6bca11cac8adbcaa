//! The kernel's random numbers: `getrandom`, `/dev/urandom`, address-space layout, `AT_RANDOM`.
//!
//! One ChaCha20 key, seeded from the machine when first used. A batch of key stream is made at a time: its first bytes replace the key, the
//! rest is handed out and wiped as it goes. So what was handed out cannot be computed back from what is left, and a small request
//! costs a copy. A request for many bytes takes a key of its own and stretches it outside the lock.

use hal::sync::SpinLock;
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};

use crate::fs::running;
use crate::syscall::Failure;
use crate::user::IoSink;

/// The bytes of a key.
const KEY_SIZE: usize = 32;

/// What one batch leaves to be handed out: four blocks of key stream less the next key.
const POOL_SIZE: usize = 256 - KEY_SIZE;

struct Pool {
    key: [u8; KEY_SIZE],
    bytes: [u8; POOL_SIZE],
    /// How many of `bytes`, from the start, have been handed out and wiped.
    used: usize,
    is_seeded: bool,
}

static POOL: SpinLock<Pool> =
    SpinLock::new(Pool { key: [0; KEY_SIZE], bytes: [0; POOL_SIZE], used: POOL_SIZE, is_seeded: false });

impl Pool {
    /// Makes the next batch.
    fn refill(&mut self) {
        if !self.is_seeded {
            self.key = hal::random::seed();
            self.is_seeded = true;
        }
        let mut generator = ChaCha20Rng::from_seed(self.key);
        generator.fill_bytes(&mut self.key);
        generator.fill_bytes(&mut self.bytes);
        self.used = 0;
    }

    fn take(&mut self, mut target: &mut [u8]) {
        while !target.is_empty() {
            if self.used == POOL_SIZE {
                self.refill();
            }
            let left = self.bytes.get_mut(self.used..).unwrap_or_default();
            let count = left.len().min(target.len());
            let (now, later) = target.split_at_mut(count);
            let taken = left.get_mut(..count).unwrap_or_default();
            now.copy_from_slice(taken);
            taken.fill(0);
            self.used += count;
            target = later;
        }
    }
}

/// Fills `bytes` with random ones.
pub fn fill(bytes: &mut [u8]) {
    if bytes.len() <= POOL_SIZE {
        POOL.lock().take(bytes);
    } else {
        fresh_generator().fill_bytes(bytes);
    }
}

/// A random number.
pub fn number() -> u64 {
    let mut bytes = [0; 8];
    fill(&mut bytes);
    u64::from_le_bytes(bytes)
}

/// A generator with a key of its own.
fn fresh_generator() -> ChaCha20Rng {
    let mut key = [0; KEY_SIZE];
    POOL.lock().take(&mut key);
    ChaCha20Rng::from_seed(key)
}

/// Fills all of the sink; a signal ends a long request early, after the first 256 bytes.
pub fn fill_sink(sink: &mut IoSink<'_>) -> Result<(), Failure> {
    const STEP: usize = 256;
    let mut bytes = [0; STEP];
    let wanted = STEP.min(sink.remaining());
    let first = bytes.get_mut(..wanted).unwrap_or_default();
    fill(first);
    if sink.put(first)? < wanted || sink.remaining() == 0 {
        return Ok(());
    }
    let mut generator = fresh_generator();
    while sink.remaining() > 0 && !running::signal_is_pending() {
        let wanted = STEP.min(sink.remaining());
        generator.fill_bytes(&mut bytes);
        if sink.put(bytes.get(..wanted).unwrap_or_default())? < wanted {
            break;
        }
    }
    Ok(())
}

/// Mixes what a program wrote to `/dev/urandom` into the key; it can only add to what is unknown.
pub fn stir(bytes: &[u8]) {
    let mut pool = POOL.lock();
    if !pool.is_seeded {
        pool.refill();
    }
    for (index, byte) in bytes.iter().enumerate() {
        if let Some(slot) = pool.key.get_mut(index % KEY_SIZE) {
            *slot ^= byte;
        }
    }
    pool.refill();
}
