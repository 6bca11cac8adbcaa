//! Deadlines in order, each with the task to wake.

use alloc::collections::VecDeque;

use hal::frame::OutOfMemory;

/// Names one entry of a [`Timeouts`]; entries are ordered by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key {
    deadline_ns: u64,
    number: u64,
}

/// Values ordered by deadline. Looking at the first and taking it cost nothing; nothing is freed by taking, so that an interrupt may.
pub struct Timeouts<T> {
    next_number: u64,
    entries: VecDeque<(Key, T)>,
}

impl<T> Default for Timeouts<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> Timeouts<T> {
    /// No deadlines.
    pub const fn new() -> Timeouts<T> {
        Timeouts { next_number: 0, entries: VecDeque::new() }
    }

    /// The earliest deadline.
    pub fn next_deadline(&self) -> Option<u64> {
        self.entries.front().map(|(key, _)| key.deadline_ns)
    }

    /// Adds a value; equal deadlines keep the order of their coming.
    pub fn insert(&mut self, deadline_ns: u64, value: T) -> Result<Key, OutOfMemory> {
        self.entries.try_reserve(1).map_err(|_| OutOfMemory)?;
        let key = Key { deadline_ns, number: self.next_number };
        self.next_number += 1;
        let index = self.entries.partition_point(|(other, _)| *other < key);
        self.entries.insert(index, (key, value));
        Ok(key)
    }

    /// Takes an entry out, if it is still there.
    pub fn remove(&mut self, key: Key) -> Option<T> {
        let index = self.entries.binary_search_by_key(&key, |(key, _)| *key).ok()?;
        self.entries.remove(index).map(|(_, value)| value)
    }

    /// Takes the first entry whose deadline is not after `now_ns`.
    pub fn pop_expired(&mut self, now_ns: u64) -> Option<T> {
        self.entries.pop_front_if(|(key, _)| key.deadline_ns <= now_ns).map(|(_, value)| value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_come_out_in_order_of_time_then_of_coming() {
        let mut timeouts = Timeouts::new();
        for (deadline, value) in [(30, 'c'), (10, 'a'), (30, 'd'), (20, 'b')] {
            timeouts.insert(deadline, value).expect("memory");
        }
        assert_eq!(timeouts.next_deadline(), Some(10));
        assert_eq!(timeouts.pop_expired(9), None);
        let order: alloc::vec::Vec<char> = core::iter::from_fn(|| timeouts.pop_expired(30)).collect();
        assert_eq!(order, ['a', 'b', 'c', 'd']);
    }

    #[test]
    fn a_removed_entry_does_not_fire() {
        let mut timeouts = Timeouts::new();
        let key = timeouts.insert(5, 'x').expect("memory");
        assert_eq!(timeouts.remove(key), Some('x'));
        assert_eq!(timeouts.remove(key), None);
        assert_eq!(timeouts.next_deadline(), None);
    }
}
