//! What makes two words the same futex.

use core::sync::atomic::{AtomicU64, Ordering};

use abi::Errno;
use hal::user_copy;
use libkernel::addr::UserAddr;

use crate::process::Thread;
use crate::random;

/// Whether a futex is used by one process or by several.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sharing {
    /// By the threads of one address space (`FUTEX_PRIVATE_FLAG`).
    Private,
    /// By whoever maps the memory.
    Shared,
}

/// The identity of a futex while somebody waits for it: what it lies in, and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key {
    /// Which address space or memory object; unique while that lives, which every waiter sees to.
    container: usize,
    offset: u64,
}

/// How many buckets there are: a power of two.
pub(super) const BUCKETS: usize = 256;

impl Key {
    /// The key of a word of this thread's process. EFAULT for an address that is no program's, and if a shared word
    /// cannot be read or can never change. As on Linux, an address with a tag is another key than one without, unless
    /// an object names the place.
    #[inline(always)]
    pub(super) fn of(thread: &Thread, address: UserAddr, sharing: Sharing) -> Result<Key, Errno> {
        user_copy::checked(address, size_of::<u32>() as u64).ok_or(Errno::EFAULT)?;
        if sharing == Sharing::Shared
            && let Some(key) = Key::in_object(thread, address)?
        {
            return Ok(key);
        }
        let container = thread.memory_id().ok_or(Errno::EFAULT)?;
        Ok(Key { container, offset: address.as_u64() })
    }

    /// The key by memory object and offset; `None` for memory of the process's own.
    #[inline(never)]
    fn in_object(thread: &Thread, address: UserAddr) -> Result<Option<Key>, Errno> {
        let memory = thread.memory().ok_or(Errno::EFAULT)?;
        let place = memory.shared_location(address.untagged())?;
        Ok(place.map(|(container, offset)| Key { container, offset }))
    }

    /// As the tasks know it.
    #[inline]
    pub(super) const fn parts(self) -> (usize, u64) {
        (self.container, self.offset)
    }

    /// What [`Key::parts`] gave.
    #[inline]
    pub(super) const fn from_parts((container, offset): (usize, u64)) -> Key {
        Key { container, offset }
    }

    /// The key of no program's word.
    #[cfg(test)]
    pub(super) fn invented(container: usize, offset: u64) -> Key {
        Key { container, offset }
    }

    /// Where waiters for it stand.
    #[inline(always)]
    pub(super) fn bucket(self) -> usize {
        self.bucket_by([0, 1].map(|which| SECRET[which].load(Ordering::Relaxed)))
    }

    /// A multiplication, both of whose factors depend on what no program knows: where keys meet, no program can tell
    /// beforehand. Those that do share a lock and stand in a tree; more would buy nothing.
    #[inline(always)]
    fn bucket_by(self, [first, second]: Secret) -> usize {
        folded(self.offset ^ first, self.container as u64 ^ second) as usize % BUCKETS
    }
}

/// Both halves of a product, one upon the other.
#[inline]
fn folded(one: u64, other: u64) -> u64 {
    let product = u128::from(one) * u128::from(other);
    product as u64 ^ (product >> 64) as u64
}

type Secret = [u64; 2];

/// What no program knows. Set before there is one: a key must not move while somebody waits at it.
static SECRET: [AtomicU64; 2] = [const { AtomicU64::new(0) }; 2];

/// Draws what the places of all keys depend on. Once, before the first process.
pub fn draw_secret() {
    for word in &SECRET {
        word.store(random::number(), Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbouring_words_spread_over_buckets() {
        let mut used = [false; BUCKETS];
        let secret = [0x9e37_79b9_7f4a_7c15, 0xd1b5_4a32_d192_ed03];
        for index in 0..BUCKETS as u64 {
            let key = Key { container: 0xffff_8000_1234_5680, offset: 0x7000_0000 + 4 * index };
            used[key.bucket_by(secret)] = true;
        }
        assert!(used.iter().filter(|&&used| used).count() > BUCKETS / 3);
    }

    /// Of keys that met under one secret few meet under another, however they are made.
    #[test]
    fn keys_chosen_to_meet_do_not_meet_under_another_secret() {
        let known = [0x9e37_79b9_7f4a_7c15, 0xbf58_476d_1ce4_e5b9];
        let drawn = [0xd1b5_4a32_d192_ed03, 0xaef1_7502_108e_f2d9];
        let keys = (0..1u64 << 18).map(|index| Key { container: 0xffff_8000_0000_1000, offset: index * 4 });
        let chosen: std::vec::Vec<Key> = keys.filter(|key| key.bucket_by(known) == 0).collect();
        let mut met = [0usize; BUCKETS];
        chosen.iter().for_each(|key| met[key.bucket_by(drawn)] += 1);
        let most = met.iter().max().copied().unwrap_or(0);
        assert!(chosen.len() > 500 && most * 16 < chosen.len(), "{most} of {} meet again", chosen.len());
    }
}
