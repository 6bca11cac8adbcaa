//! What makes two words the same futex.

use abi::Errno;
use hal::user_copy;
use libkernel::addr::UserAddr;

use crate::process::Thread;

/// Whether a futex is used by one process or by several.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sharing {
    /// By the threads of one address space (`FUTEX_PRIVATE_FLAG`).
    Private,
    /// By whoever maps the memory.
    Shared,
}

/// The identity of a futex while somebody waits for it: what it lies in, and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Key {
    /// Which address space or memory object; unique while that lives, which every waiter sees to.
    container: usize,
    offset: u64,
}

/// How many buckets there are: a power of two.
pub(super) const BUCKETS: usize = 256;

impl Key {
    /// The key of a word of this thread's process. EFAULT for an address that is no program's, and if a shared word lies in no
    /// mapping. As on Linux, an address with a tag is another key than one without, unless an object names the place.
    #[inline]
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

    /// The key of no program's word.
    #[cfg(test)]
    pub(super) fn invented(container: usize, offset: u64) -> Key {
        Key { container, offset }
    }

    /// Where waiters for it stand.
    pub(super) fn bucket(self) -> usize {
        let mixed = (self.container as u64 ^ self.offset >> 2).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        usize::try_from(mixed >> 56).unwrap_or(0) % BUCKETS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbouring_words_spread_over_buckets() {
        let mut used = [false; BUCKETS];
        for index in 0..BUCKETS as u64 {
            used[Key { container: 0xffff_8000_1234_5680, offset: 0x7000_0000 + 4 * index }.bucket()] = true;
        }
        assert!(used.iter().filter(|&&used| used).count() > BUCKETS / 3);
    }
}
