//! What makes two words the same futex.

use core::hint;

use abi::Errno;
use hal::sync::Once;
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
    /// The key of a word of this thread's process. EFAULT for an address that is no program's, and if a shared word cannot be read or
    /// can never change. As on Linux, an address with a tag is another key than one without, unless an object names the place.
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
        self.bucket_by(secret())
    }

    /// Two multiplications, in each of which both factors depend on what no program knows: nobody can choose keys that meet. With so
    /// few buckets, and lists that the number of threads bounds, more would buy nothing.
    #[inline(always)]
    fn bucket_by(self, secret: &Secret) -> usize {
        let [first, second, third, fourth] = *secret;
        let mixed = folded(self.offset ^ first, self.container as u64 ^ second);
        folded(mixed ^ third, fourth) as usize % BUCKETS
    }
}

/// Both halves of a product, one upon the other.
#[inline]
fn folded(one: u64, other: u64) -> u64 {
    let product = u128::from(one) * u128::from(other);
    product as u64 ^ (product >> 64) as u64
}

type Secret = [u64; 4];

static SECRET: Once<Secret> = Once::new();

/// What no program knows, drawn when first asked for.
#[inline]
fn secret() -> &'static Secret {
    SECRET.get().unwrap_or_else(draw_secret)
}

#[cold]
fn draw_secret() -> &'static Secret {
    loop {
        // Whoever was faster has set it, or is about to.
        let _ = SECRET.set(core::array::from_fn(|_| {
            let mut word = [0; 8];
            random::fill(&mut word);
            u64::from_le_bytes(word)
        }));
        match SECRET.get() {
            Some(secret) => return secret,
            None => hint::spin_loop(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbouring_words_spread_over_buckets() {
        let mut used = [false; BUCKETS];
        let secret =
            [0x9e37_79b9_7f4a_7c15, 0xd1b5_4a32_d192_ed03, 0xaef1_7502_108e_f2d9, 0x2545_f491_4f6c_dd1d];
        for index in 0..BUCKETS as u64 {
            let key = Key { container: 0xffff_8000_1234_5680, offset: 0x7000_0000 + 4 * index };
            used[key.bucket_by(&secret)] = true;
        }
        assert!(used.iter().filter(|&&used| used).count() > BUCKETS / 3);
    }

    /// Of keys that met under one secret few meet under another, however they are made.
    #[test]
    fn keys_chosen_to_meet_do_not_meet_under_another_secret() {
        let known =
            [0x9e37_79b9_7f4a_7c15, 0xbf58_476d_1ce4_e5b9, 0x94d0_49bb_1331_11eb, 0x2545_f491_4f6c_dd1d];
        let drawn =
            [0xd1b5_4a32_d192_ed03, 0xaef1_7502_108e_f2d9, 0x8cb9_2ba7_2f3d_8dd7, 0xc2b2_ae3d_27d4_eb4f];
        let keys = (0..1u64 << 18).map(|index| Key { container: 0xffff_8000_0000_1000, offset: index * 4 });
        let chosen: std::vec::Vec<Key> = keys.filter(|key| key.bucket_by(&known) == 0).collect();
        let mut met = [0usize; BUCKETS];
        chosen.iter().for_each(|key| met[key.bucket_by(&drawn)] += 1);
        let most = met.iter().max().copied().unwrap_or(0);
        assert!(chosen.len() > 500 && most * 16 < chosen.len(), "{most} of {} meet again", chosen.len());
    }
}
