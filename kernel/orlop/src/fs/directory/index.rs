//! Many names of one directory: by keyed hash and by age.

use alloc::collections::BTreeMap;
use alloc::sync::Arc;

use abi::Errno;
use siphasher::sip::SipHasher13;

use super::trie::{Hashed, Trie};
use super::{Dentry, Entry};
use crate::random;

struct Item {
    hash: u64,
    cookie: u64,
    entry: Entry,
}

impl Hashed for Item {
    fn hash(&self) -> u64 {
        self.hash
    }
}

/// Names with their cookies.
pub struct Index {
    /// Hashes with a secret of its own.
    hasher: SipHasher13,
    by_name: Trie<Item>,
    by_cookie: BTreeMap<u64, Entry>,
}

impl Index {
    /// No names yet, and a new secret.
    pub fn new() -> Index {
        let mut secret = [0; 16];
        random::fill(&mut secret);
        Index { hasher: SipHasher13::new_with_key(&secret), by_name: Trie::new(), by_cookie: BTreeMap::new() }
    }

    /// How many names there are.
    pub fn len(&self) -> usize {
        self.by_name.len()
    }

    /// What `name` stands for.
    pub fn find(&self, name: &[u8]) -> Option<&Arc<Dentry>> {
        let hash = self.hasher.hash(name);
        self.by_name.find(hash, |item| item.is(hash, name)).map(|item| &item.entry.dentry)
    }

    /// Adds a name that is not there yet, with a new cookie. ENOMEM, and nothing has changed, without memory.
    pub fn insert(&mut self, cookie: u64, entry: Entry) -> Result<(), Errno> {
        let hash = self.hasher.hash(&entry.name);
        self.by_name.insert(Item { hash, cookie, entry: entry.clone() })?;
        self.by_cookie.insert(cookie, entry);
        Ok(())
    }

    /// Takes a name away.
    pub fn remove(&mut self, name: &[u8]) -> Option<Entry> {
        let hash = self.hasher.hash(name);
        let item = self.by_name.remove(hash, |item| item.is(hash, name))?;
        self.by_cookie.remove(&item.cookie);
        Some(item.entry)
    }

    /// Puts another dentry in the place of the one that `name` stands for.
    pub fn replace(&mut self, name: &[u8], dentry: Arc<Dentry>) -> Option<Arc<Dentry>> {
        let hash = self.hasher.hash(name);
        let item = self.by_name.find_mut(hash, |item| item.is(hash, name))?;
        if let Some(listed) = self.by_cookie.get_mut(&item.cookie) {
            listed.dentry = dentry.clone();
        }
        Some(core::mem::replace(&mut item.entry.dentry, dentry))
    }

    /// Gives a name a new cookie.
    pub fn set_cookie(&mut self, name: &[u8], cookie: u64) {
        let hash = self.hasher.hash(name);
        let Some(item) = self.by_name.find_mut(hash, |item| item.is(hash, name)) else { return };
        let before = core::mem::replace(&mut item.cookie, cookie);
        if let Some(entry) = self.by_cookie.remove(&before) {
            self.by_cookie.insert(cookie, entry);
        }
    }

    /// The names with cookies below `below`, newest first, each with its cookie.
    pub fn newest_first(&self, below: u64) -> impl Iterator<Item = (u64, &Entry)> {
        self.by_cookie.range(..below).rev().map(|(&cookie, entry)| (cookie, entry))
    }

    /// All names.
    pub fn into_entries(self) -> impl Iterator<Item = Entry> {
        self.by_cookie.into_values()
    }
}

impl Item {
    fn is(&self, hash: u64, name: &[u8]) -> bool {
        self.hash == hash && *self.entry.name == *name
    }
}
