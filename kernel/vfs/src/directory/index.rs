//! Many names of one directory: by keyed hash and by age.

use alloc::sync::Arc;

use abi::Errno;

use super::ages::Ages;
use super::trie::{Hashed, Trie};
use super::{Dentry, Entry, Key};

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
    by_name: Trie<Item>,
    by_age: Ages,
}

impl Index {
    /// No names yet.
    pub const fn new() -> Index {
        Index { by_name: Trie::new(), by_age: Ages::new() }
    }

    /// How many names there are.
    pub fn len(&self) -> usize {
        self.by_name.len()
    }

    /// The entry of a name.
    pub fn find(&self, key: &Key<'_>) -> Option<&Entry> {
        let hash = key.hash();
        self.by_name.find(hash, |item| item.is(hash, key.name)).map(|item| &item.entry)
    }

    /// Adds a name that is not there yet, with a new cookie. ENOMEM, and nothing has changed, without memory.
    pub fn insert(&mut self, key: &Key<'_>, cookie: u64, entry: Entry) -> Result<(), Errno> {
        self.by_name.insert(Item { hash: key.hash(), cookie, entry: entry.clone() })?;
        self.by_age.insert(cookie, entry);
        Ok(())
    }

    /// Takes a name away.
    pub fn remove(&mut self, key: &Key<'_>) -> Option<Entry> {
        let hash = key.hash();
        let item = self.by_name.remove(hash, |item| item.is(hash, key.name))?;
        self.by_age.remove(item.cookie);
        Some(item.entry)
    }

    /// Puts another dentry in the place of the one that the name stands for.
    pub fn replace(&mut self, key: &Key<'_>, dentry: Option<Arc<Dentry>>) -> Option<Option<Arc<Dentry>>> {
        let hash = key.hash();
        let item = self.by_name.find_mut(hash, |item| item.is(hash, key.name))?;
        if let Some(listed) = self.by_age.get_mut(item.cookie) {
            listed.dentry = dentry.clone();
        }
        Some(core::mem::replace(&mut item.entry.dentry, dentry))
    }

    /// Gives a name a new cookie, which makes it the newest.
    pub fn set_cookie(&mut self, key: &Key<'_>, cookie: u64) {
        let hash = key.hash();
        let Some(item) = self.by_name.find_mut(hash, |item| item.is(hash, key.name)) else { return };
        let before = core::mem::replace(&mut item.cookie, cookie);
        if let Some(entry) = self.by_age.remove(before) {
            self.by_age.insert(cookie, entry);
        }
    }

    /// The names with cookies below `below`, newest first, each with its cookie.
    pub fn newest_first(&self, below: u64) -> impl Iterator<Item = (u64, &Entry)> {
        self.by_age.newest_first(below)
    }

    /// The names with cookies from `from` on, oldest first, each with its cookie.
    pub fn oldest_first(&self, from: u64) -> impl Iterator<Item = (u64, &Entry)> {
        self.by_age.oldest_first(from)
    }
}

impl Item {
    fn is(&self, hash: u64, name: &[u8]) -> bool {
        self.hash == hash && *self.entry.name == *name
    }
}
