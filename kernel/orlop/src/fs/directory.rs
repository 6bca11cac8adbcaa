//! The names of one directory: found by hash, listed newest first.
//!
//! Listing order is that of Linux's tmpfs (latest name first), so that programs which do not sort print the same.
//! A listing continues by cookie, not by index: names may come and go between two `getdents64` calls.

use alloc::sync::Arc;
use alloc::vec::Vec;

use abi::Errno;
use core::hash::Hasher as _;
use foldhash::SharedSeed;
use foldhash::fast::FoldHasher;
use hal::sync::Once;
use hashbrown::HashTable;

use super::dentry::Dentry;
use crate::random;

/// A name, shared between the directory's index and the dentry that carries it.
pub type Name = Arc<[u8]>;

/// One name and what it stands for.
#[derive(Clone)]
pub struct Entry {
    /// The name, without slashes.
    pub name: Name,
    /// What it names.
    pub dentry: Arc<Dentry>,
}

struct Slot {
    cookie: u64,
    hash: u64,
    /// `None` once the name is removed: the slot stays until the next compaction keeps indices few.
    entry: Option<Entry>,
}

/// The names of one directory.
#[derive(Default)]
pub struct Names {
    /// In rising order of cookies.
    slots: Vec<Slot>,
    by_name: HashTable<u32>,
    next_cookie: u64,
    /// The directory was removed: it takes no new names.
    dead: bool,
}

impl Names {
    /// A directory without names.
    pub const fn new() -> Names {
        Names { slots: Vec::new(), by_name: HashTable::new(), next_cookie: 0, dead: false }
    }

    /// How many names there are.
    pub fn len(&self) -> usize {
        self.by_name.len()
    }

    /// Whether there is no name.
    pub fn is_empty(&self) -> bool {
        self.by_name.is_empty()
    }

    /// What `name` stands for.
    pub fn find(&self, name: &[u8]) -> Option<&Arc<Dentry>> {
        let slot = self.slots.get(self.index_of(hash(name), name)?)?;
        slot.entry.as_ref().map(|entry| &entry.dentry)
    }

    /// Makes room for one more name, or says why there can be none.
    pub fn reserve(&mut self) -> Result<(), Errno> {
        if self.dead {
            return Err(Errno::ENOENT);
        }
        if self.slots.len() == self.slots.capacity() {
            self.compact();
        }
        let slots = &self.slots;
        self.by_name.try_reserve(1, |&index| slot_hash(slots, index)).map_err(|_| Errno::ENOMEM)?;
        if self.slots.len() >= u32::MAX as usize {
            return Err(Errno::ENOSPC);
        }
        self.slots.try_reserve(1).map_err(|_| Errno::ENOMEM)
    }

    /// Adds a name that is not there yet; `reserve` was called under the same lock.
    pub fn insert(&mut self, name: Name, dentry: Arc<Dentry>) {
        let hash = hash(&name);
        let index = self.slots.len() as u32;
        self.slots.push(Slot { cookie: self.next_cookie, hash, entry: Some(Entry { name, dentry }) });
        self.next_cookie += 1;
        let slots = &self.slots;
        self.by_name.insert_unique(hash, index, |&index| slot_hash(slots, index));
    }

    /// Takes a name away.
    pub fn remove(&mut self, name: &[u8]) -> Option<Entry> {
        let slots = &self.slots;
        let found = self.by_name.find_entry(hash(name), |&index| slot_is(slots, index, name)).ok()?;
        let (index, _) = found.remove();
        let entry = self.slots.get_mut(index as usize)?.entry.take();
        while self.slots.last().is_some_and(|slot| slot.entry.is_none()) {
            self.slots.pop();
        }
        entry
    }

    /// Puts another dentry in the place of the one that `name` stands for.
    pub fn replace(&mut self, name: &[u8], dentry: Arc<Dentry>) -> Option<Arc<Dentry>> {
        let index = self.index_of(hash(name), name)?;
        let entry = self.slots.get_mut(index)?.entry.as_mut()?;
        Some(core::mem::replace(&mut entry.dentry, dentry))
    }

    /// Forbids new names: the directory has been removed.
    pub fn bury(&mut self) {
        self.dead = true;
    }

    /// The names with cookies below `below`, newest first, each with its cookie.
    pub fn newest_first(&self, below: u64) -> impl Iterator<Item = (u64, &Entry)> {
        let end = self.slots.partition_point(|slot| slot.cookie < below);
        self.slots[..end].iter().rev().filter_map(|slot| Some((slot.cookie, slot.entry.as_ref()?)))
    }

    /// Takes all names away: the file system is going.
    pub fn take_all(&mut self) -> impl Iterator<Item = Entry> + use<> {
        self.dead = true;
        self.by_name.clear();
        core::mem::take(&mut self.slots).into_iter().filter_map(|slot| slot.entry)
    }

    fn index_of(&self, hash: u64, name: &[u8]) -> Option<usize> {
        self.by_name.find(hash, |&index| slot_is(&self.slots, index, name)).map(|&index| index as usize)
    }

    /// Drops the slots of removed names when they are at least half of all.
    fn compact(&mut self) {
        if self.slots.len() < 2 * self.by_name.len() || self.slots.is_empty() {
            return;
        }
        self.slots.retain(|slot| slot.entry.is_some());
        self.by_name.clear();
        let slots = &self.slots;
        for (index, slot) in (0u32..).zip(slots) {
            self.by_name.insert_unique(slot.hash, index, |&index| slot_hash(slots, index));
        }
    }
}

fn slot_is(slots: &[Slot], index: u32, name: &[u8]) -> bool {
    slots.get(index as usize).and_then(|slot| slot.entry.as_ref()).is_some_and(|entry| *entry.name == *name)
}

fn slot_hash(slots: &[Slot], index: u32) -> u64 {
    slots.get(index as usize).map_or(0, |slot| slot.hash)
}

/// What a program cannot know and so cannot choose colliding names for.
static SEED: Once<SharedSeed> = Once::new();

fn hash(name: &[u8]) -> u64 {
    let mut hasher = FoldHasher::with_seed(0, SEED.get().unwrap_or_else(seed));
    hasher.write(name);
    hasher.finish()
}

#[cold]
fn seed() -> &'static SharedSeed {
    loop {
        let mut random = [0; 8];
        random::fill(&mut random);
        // Whoever was faster has set it.
        let _ = SEED.set(SharedSeed::from_u64(u64::from_le_bytes(random)));
        if let Some(seed) = SEED.get() {
            return seed;
        }
    }
}
