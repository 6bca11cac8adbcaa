//! The pool: a hash of all that was collected, and how much of it counts.
use blake2::{Blake2s256, Digest as _};

/// Bytes of what is taken out of the pool.
pub const KEY_BYTES: usize = 32;
/// A pool that counts so many bits is seeded; it counts no more (Linux: `POOL_BITS`).
pub const POOL_BITS: u32 = 256;

/// A key for a generator.
pub type Key = [u8; KEY_BYTES];

/// What was collected.
#[derive(Clone)]
pub struct Pool {
    hash: Blake2s256,
    bits: u32,
}

impl Pool {
    /// An empty pool.
    pub fn new() -> Self {
        Self { hash: Blake2s256::new(), bits: 0 }
    }

    /// Adds bytes, which can only add to what is unknown.
    pub fn mix(&mut self, bytes: &[u8]) {
        self.hash.update(bytes);
    }

    /// Counts bits of what was added. True if the pool is seeded by them.
    pub fn credit(&mut self, bits: u32) -> bool {
        let before = self.bits;
        self.bits = before.saturating_add(bits).min(POOL_BITS);
        before < POOL_BITS && self.bits == POOL_BITS
    }

    /// The bits that count.
    pub fn bits(&self) -> u32 {
        self.bits
    }

    /// A key from all that was added. The pool goes on with another value, from which the key cannot be told, and which
    /// cannot be told from the key.
    pub fn take_key(&mut self) -> Key {
        let all = self.hash.finalize_reset();
        self.hash.update(b"pool");
        self.hash.update(all);
        Blake2s256::new().chain_update(b"key").chain_update(all).finalize().into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_and_its_place_decide() {
        let key = |parts: &[&[u8]]| {
            let mut pool = Pool::new();
            parts.iter().for_each(|part| pool.mix(part));
            pool.take_key()
        };
        assert_eq!(key(&[b"ab", b"c"]), key(&[b"abc"]));
        assert_ne!(key(&[b"abc"]), key(&[b"acb"]));
        assert_ne!(key(&[b"abc"]), key(&[b"abc\0"]));
        // Nothing that is added undoes what was there.
        assert_ne!(key(&[b"abc", b"abc"]), key(&[]));
    }

    #[test]
    fn keys_follow_each_other_and_keep_what_was_there() {
        let mut one = Pool::new();
        one.mix(b"secret");
        let mut other = one.clone();
        let first = one.take_key();
        assert_eq!(first, other.take_key());
        assert_ne!(first, one.take_key());
        // Both pools still hold the secret, and differ by what came later.
        other.take_key();
        other.mix(b"x");
        assert_ne!(one.take_key(), other.take_key());
        let mut empty = Pool::new();
        empty.take_key();
        empty.take_key();
        assert_ne!(one.take_key(), empty.take_key());
    }

    #[test]
    fn a_pool_is_seeded_once() {
        let mut pool = Pool::new();
        assert!(!pool.credit(255));
        assert!(pool.credit(1));
        assert!(!pool.credit(u32::MAX));
        pool.take_key();
        assert_eq!(pool.bits(), POOL_BITS);
        assert!(Pool::new().credit(u32::MAX));
    }
}
