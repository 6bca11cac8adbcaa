//! The kernel's random numbers: `getrandom`, `/dev/urandom`, address-space layout, `AT_RANDOM`.
//!
//! One ChaCha20 key, taken from the pool of all that is random here (`seeding`), at first use, once that is seeded, and
//! again from time to time. A batch of key stream is made at a time: its first bytes replace the key, the rest is
//! handed out and wiped as it goes. So what was handed out cannot be computed back from what is left, and a small
//! request costs a copy. A request for many bytes takes a key of its own and stretches it outside the lock.

pub mod seeding;
mod timing;

use abi::Errno;
use hal::sync::SpinLock;
use libkernel::entropy::{KEY_BYTES, Key};
use memory::user::IoSink;
use outcome::Failure;
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};
use sched::work;

use crate::time::SECOND_NS;

/// What one batch leaves to be handed out: four blocks of key stream less the next key.
const BATCH_SIZE: usize = 256 - KEY_BYTES;

/// A key lives no longer: after a minute, while the machine is young after half of its age, and of the first seconds
/// (Linux: `crng_reseed_interval`).
const LONGEST_NS: u64 = 60 * SECOND_NS;
const SHORTEST_NS: u64 = 5 * SECOND_NS;

struct Generator {
    key: Key,
    bytes: [u8; BATCH_SIZE],
    /// How many of `bytes`, from the start, have been handed out and wiped.
    used: usize,
    /// When the key is to be replaced, by `hal::time::now_ns`.
    due_ns: u64,
}

static GENERATOR: SpinLock<Generator> =
    SpinLock::new(Generator { key: [0; KEY_BYTES], bytes: [0; BATCH_SIZE], used: BATCH_SIZE, due_ns: 0 });

impl Generator {
    /// Makes the next batch.
    fn refill(&mut self) {
        let now = hal::time::now_ns();
        if now >= self.due_ns {
            self.key = seeding::fresh_key(&self.key);
            self.due_ns = now + (now / 2).clamp(SHORTEST_NS, LONGEST_NS);
        }
        let mut generator = ChaCha20Rng::from_seed(self.key);
        generator.fill_bytes(&mut self.key);
        generator.fill_bytes(&mut self.bytes);
        self.used = 0;
    }

    fn reseed(&mut self) {
        self.due_ns = 0;
        self.bytes.fill(0);
        self.used = BATCH_SIZE;
    }

    fn take(&mut self, mut target: &mut [u8]) {
        while !target.is_empty() {
            if self.used == BATCH_SIZE {
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
    if bytes.len() <= BATCH_SIZE {
        GENERATOR.lock().take(bytes);
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
    let mut key = [0; KEY_BYTES];
    GENERATOR.lock().take(&mut key);
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
    while sink.remaining() > 0 && !work::signal_is_pending() {
        let wanted = STEP.min(sink.remaining());
        generator.fill_bytes(&mut bytes);
        if sink.put(bytes.get(..wanted).unwrap_or_default())? < wanted {
            break;
        }
    }
    Ok(())
}

/// Gives the generator a fresh key, and forgets what it was about to hand out.
fn reseed() {
    GENERATOR.lock().reseed();
}

/// As [`reseed`], for a program that asks for it: not before the generator is seeded.
pub fn reseed_seeded() -> Result<(), Errno> {
    if !seeding::is_seeded() {
        return Err(Errno::ENODATA);
    }
    reseed();
    Ok(())
}
