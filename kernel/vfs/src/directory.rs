//! The names of one directory: found by hash, listed newest first.
//!
//! Few names are a list that is searched by a word made of each name: cheaper than any hash, and bounded. More of them
//! are found by a keyed hash, SipHash-1-3, whose secret is drawn at boot, so that no program can choose names that
//! meet; and listed by age. Both grow in small steps: every call takes a bounded time, however many names there are.
//!
//! Listing order is that of Linux's tmpfs (latest name first), so that programs which do not sort print the same.
//! A listing continues by cookie, not by index: names may come and go between two `getdents64` calls.

mod ages;
pub mod cache;
mod index;
mod operations;
mod pending;
mod trie;

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::cell::Cell;

use abi::Errno;
use hal::sync::Once;
use outcome::OrErrno;
use siphasher::sip::SipHasher13;

use super::dentry::Dentry;
use index::Index;

pub use operations::{
    Admission, Directory, DirectoryOperations, Emit, Exposure, LeftBehind, Listing, Renaming, Store,
    Unreachable,
};

/// A name, shared between the directory's index and the dentry that carries it.
pub type Name = Arc<[u8]>;

/// A name to look for. It remembers its hash, so that a call that comes back to a directory makes it once.
pub struct Key<'a> {
    /// The name, without slashes.
    pub name: &'a [u8],
    hash: Cell<Option<u64>>,
}

/// Hashes with the secret of this boot.
static HASHER: Once<SipHasher13> = Once::new();

impl<'a> Key<'a> {
    /// For a name.
    #[inline]
    pub fn new(name: &'a [u8]) -> Key<'a> {
        Key { name, hash: Cell::new(None) }
    }

    fn hash(&self) -> u64 {
        self.hash.get().unwrap_or_else(|| {
            let hash = HASHER.get_or_init(SipHasher13::new).hash(self.name);
            self.hash.set(Some(hash));
            hash
        })
    }
}

/// Gives names that are hashed a secret. Once, at boot.
pub fn set_secret(secret: &[u8; 16]) {
    let _ = HASHER.set(SipHasher13::new_with_key(secret));
}

/// One name and what it stands for.
#[derive(Clone)]
pub struct Entry {
    /// The name, without slashes.
    pub name: Name,
    /// What it names; `None` for a name of which it is known that there is none such.
    pub dentry: Option<Arc<Dentry>>,
}

/// What is known of a name.
pub enum Known<'a> {
    /// It stands for this.
    There(&'a Arc<Dentry>),
    /// There is none such.
    Absent,
    /// Nothing.
    Nothing,
}

/// An entry of a short list.
struct Slot {
    /// Made of the name, see [`word_of`].
    word: u64,
    /// Higher than those of older entries.
    cookie: u64,
    entry: Entry,
}

enum Table {
    /// At most [`FEW`], in rising order of cookies.
    Few(Vec<Slot>),
    Many(Box<Index>),
}

/// Entries in a list at most. A look at one that is another costs three instructions, a hash some eighty.
const FEW: usize = 16;

/// The names of one directory.
pub struct Names {
    store: Table,
    next_cookie: u64,
    /// The directory was removed: it takes no new names.
    dead: bool,
    /// The cookie at which [`Names::take_unused`] goes on.
    hand: u64,
}

impl Names {
    /// A directory without names.
    pub const fn new() -> Names {
        Names { store: Table::Few(Vec::new()), next_cookie: 0, dead: false, hand: 0 }
    }

    /// How many names there are.
    pub fn len(&self) -> usize {
        match &self.store {
            Table::Few(slots) => slots.len(),
            Table::Many(index) => index.len(),
        }
    }

    /// Whether there is no name.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What the name stands for.
    #[inline]
    pub fn find(&self, key: &Key<'_>) -> Option<&Arc<Dentry>> {
        self.entry(key)?.dentry.as_ref()
    }

    /// What is known of the name.
    pub fn known(&self, key: &Key<'_>) -> Known<'_> {
        match self.entry(key).map(|entry| &entry.dentry) {
            Some(Some(dentry)) => Known::There(dentry),
            Some(None) => Known::Absent,
            None => Known::Nothing,
        }
    }

    #[inline]
    fn entry(&self, key: &Key<'_>) -> Option<&Entry> {
        match &self.store {
            Table::Few(slots) => slots.get(position(slots, key.name)?).map(|slot| &slot.entry),
            Table::Many(index) => index.find(key),
        }
    }

    /// Whether the directory has been removed.
    pub fn is_dead(&self) -> bool {
        self.dead
    }

    /// Adds a name that is not there yet. ENOENT for a directory that was removed; ENOMEM without memory. Nothing has
    /// changed then.
    pub fn insert(&mut self, key: &Key<'_>, name: Name, dentry: Arc<Dentry>) -> Result<(), Errno> {
        self.learn(key, name, Some(dentry))
    }

    /// As [`Names::insert`], also that there is no such name.
    pub fn learn(&mut self, key: &Key<'_>, name: Name, dentry: Option<Arc<Dentry>>) -> Result<(), Errno> {
        if self.dead {
            return Err(Errno::ENOENT);
        }
        let (cookie, entry) = (self.next_cookie, Entry { name, dentry });
        match &mut self.store {
            Table::Few(slots) if slots.len() < FEW => {
                slots.try_reserve(1).or_errno()?;
                slots.push(Slot { word: word_of(&entry.name), cookie, entry });
            }
            Table::Few(slots) => {
                let mut index = Box::new(Index::new());
                for slot in &*slots {
                    index.insert(&Key::new(&slot.entry.name), slot.cookie, slot.entry.clone())?;
                }
                index.insert(key, cookie, entry)?;
                self.store = Table::Many(index);
            }
            Table::Many(index) => index.insert(key, cookie, entry)?,
        }
        self.next_cookie += 1;
        Ok(())
    }

    /// Takes a name away.
    pub fn remove(&mut self, key: &Key<'_>) -> Option<Entry> {
        match &mut self.store {
            Table::Few(slots) => {
                let position = position(slots, key.name)?;
                Some(slots.remove(position).entry)
            }
            Table::Many(index) => {
                let entry = index.remove(key);
                if index.len() == 0 {
                    self.store = Table::Few(Vec::new());
                }
                entry
            }
        }
    }

    /// Puts another dentry in the place of the one that the name stands for.
    pub fn replace(&mut self, key: &Key<'_>, dentry: Arc<Dentry>) -> Option<Arc<Dentry>> {
        self.exchange(key, Some(dentry))?
    }

    /// What is known of the name from now on: of one of which something was known before. Returns that, or `None` for
    /// another name.
    pub fn exchange(&mut self, key: &Key<'_>, dentry: Option<Arc<Dentry>>) -> Option<Option<Arc<Dentry>>> {
        match &mut self.store {
            Table::Few(slots) => {
                let position = position(slots, key.name)?;
                let slot = slots.get_mut(position)?;
                Some(core::mem::replace(&mut slot.entry.dentry, dentry))
            }
            Table::Many(index) => index.replace(key, dentry),
        }
    }

    /// As [`Names::replace`]; the name becomes the newest.
    pub fn supersede(&mut self, key: &Key<'_>, dentry: Arc<Dentry>) -> Option<Arc<Dentry>> {
        let cookie = self.next_cookie;
        self.next_cookie += 1;
        match &mut self.store {
            Table::Few(slots) => {
                let position = position(slots, key.name)?;
                let slot = slots.get_mut(position)?;
                slot.cookie = cookie;
                let before = slot.entry.dentry.replace(dentry);
                slots.get_mut(position..).unwrap_or_default().rotate_left(1);
                before
            }
            Table::Many(index) => {
                let before = index.replace(key, Some(dentry));
                index.set_cookie(key, cookie);
                before?
            }
        }
    }

    /// Forbids new names: the directory has been removed.
    pub fn bury(&mut self) {
        self.dead = true;
    }

    /// The names with cookies below `below`, newest first, each with its cookie.
    pub fn newest_first(&self, below: u64) -> impl Iterator<Item = (u64, &Entry)> {
        let (few, many) = match &self.store {
            Table::Few(slots) => (Some(slots), None),
            Table::Many(index) => (None, Some(index.newest_first(below))),
        };
        let few = few.into_iter().flat_map(move |slots| {
            let end = slots.partition_point(|slot| slot.cookie < below);
            slots.iter().take(end).rev().map(|slot| (slot.cookie, &slot.entry))
        });
        few.chain(many.into_iter().flatten())
    }

    /// Takes out the next name that nobody else holds a dentry of, of `looks` at most that are looked at; begins anew
    /// behind the newest.
    pub fn take_unused(&mut self, looks: usize) -> Option<Entry> {
        let (from, holders) = (self.hand, if matches!(self.store, Table::Few(_)) { 1 } else { 2 });
        let is_unused =
            |dentry: &Arc<Dentry>| Arc::strong_count(dentry) <= holders && !dentry.is_mount_point();
        let (mut last, mut found) = (None, None);
        for (cookie, entry) in self.oldest_first(from).take(looks) {
            last = Some(cookie);
            if entry.dentry.as_ref().is_none_or(is_unused) {
                found = Some(entry.name.clone());
                break;
            }
        }
        self.hand = last.map_or(0, |cookie| cookie + 1);
        self.remove(&Key::new(&found?))
    }

    /// The names with cookies from `from` on, oldest first, each with its cookie.
    fn oldest_first(&self, from: u64) -> impl Iterator<Item = (u64, &Entry)> {
        let (few, many) = match &self.store {
            Table::Few(slots) => (Some(slots), None),
            Table::Many(index) => (None, Some(index.oldest_first(from))),
        };
        let few = few.into_iter().flat_map(move |slots| {
            let start = slots.partition_point(|slot| slot.cookie < from);
            slots.iter().skip(start).map(|slot| (slot.cookie, &slot.entry))
        });
        few.chain(many.into_iter().flatten())
    }

    /// Takes away the name that came last.
    pub fn take_newest(&mut self) -> Option<Entry> {
        let name = self.newest_first(u64::MAX).next()?.1.name.clone();
        self.remove(&Key::new(&name))
    }
}

impl Default for Names {
    fn default() -> Names {
        Names::new()
    }
}

/// Where a name stands in a short list.
#[inline]
fn position(slots: &[Slot], name: &[u8]) -> Option<usize> {
    let word = word_of(name);
    slots.iter().position(|slot| {
        slot.word == word
            && (name.len() <= WHOLE && slot.entry.name.len() == name.len() || *slot.entry.name == *name)
    })
}

/// Names up to this length are told by their word and their length.
const WHOLE: usize = 8;

/// A word made of a name: all of a short one, the ends of a longer one.
#[inline]
fn word_of(name: &[u8]) -> u64 {
    if let (Some(first), Some(last)) = (name.first_chunk::<8>(), name.last_chunk::<8>()) {
        let (first, last) = (u64::from_le_bytes(*first), u64::from_le_bytes(*last));
        // Of eight bytes these are the same ones, and none may be lost.
        return if name.len() == WHOLE { first } else { first.rotate_left(29) ^ last };
    }
    if let (Some(first), Some(last)) = (name.first_chunk::<4>(), name.last_chunk::<4>()) {
        return u64::from(u32::from_le_bytes(*first)) | u64::from(u32::from_le_bytes(*last)) << 32;
    }
    name.iter().fold(0, |word, &byte| word << 8 | u64::from(byte))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::anonymous;
    use crate::attributes::FileKind;
    use crate::filesystem::FileSystemType;
    use crate::inode::{Body, Inode, Ownership};
    use abi::time::Timespec;
    use alloc::collections::BTreeMap;
    use alloc::string::String;
    use proptest::prelude::*;

    /// A type of file system whose files are nowhere.
    struct Nowhere;

    impl FileSystemType for Nowhere {
        fn name(&self) -> &'static str {
            "nowhere"
        }

        fn magic(&self) -> i64 {
            0
        }
    }

    fn some_dentry() -> Arc<Dentry> {
        hal::cpu::id();
        let filesystem = anonymous::new_mount(&Nowhere).expect("a device").filesystem.clone();
        let ownership = Ownership::of_root(0o644);
        Dentry::new_root(Inode::new(
            &filesystem,
            FileKind::Socket,
            ownership,
            Body::Socket,
            Timespec::default(),
        ))
    }

    #[test]
    fn words_of_short_names_tell_them_apart() {
        let names: &[&[u8]] =
            &[b"a", b"aa", b"ab", b"ba", b"aab", b"abab", b"ababa", b"abababab", b"babababa"];
        for one in names {
            for other in names.iter().filter(|other| other.len() == one.len()) {
                assert_eq!(word_of(one) == word_of(other), one == other);
            }
        }
    }

    /// Steps: add, remove, supersede a name out of many with the same beginnings; list.
    #[derive(Clone, Debug)]
    enum Step {
        Add(u16),
        Remove(u16),
        Supersede(u16),
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let number = 0u16..60;
        let step = prop_oneof![
            3 => number.clone().prop_map(Step::Add),
            1 => number.clone().prop_map(Step::Remove),
            1 => number.prop_map(Step::Supersede),
        ];
        proptest::collection::vec(step, 1..300)
    }

    fn label(number: u16) -> String {
        match number % 3 {
            0 => alloc::format!("{number}"),
            1 => alloc::format!("file{number}"),
            _ => alloc::format!("aaaaaaaaaaaa{number}bbbbbbbbbbbb"),
        }
    }

    proptest! {
        #[test]
        fn names_are_found_and_listed_as_they_came(steps in steps()) {
            let dentry = some_dentry();
            let mut names = Names::new();
            let mut model: BTreeMap<u64, String> = BTreeMap::new();
            for (time, step) in (0u64..).zip(steps) {
                let (Step::Add(number) | Step::Remove(number) | Step::Supersede(number)) = step;
                let label = label(number);
                let old = model.iter().find(|(_, name)| **name == label).map(|(&time, _)| time);
                prop_assert_eq!(names.find(&Key::new(label.as_bytes())).is_some(), old.is_some());
                match (step, old) {
                    (Step::Add(_), None) => {
                        names.insert(&Key::new(label.as_bytes()), Arc::from(label.as_bytes()), dentry.clone()).expect("memory");
                        model.insert(time, label);
                    }
                    (Step::Remove(_), old) => {
                        prop_assert_eq!(names.remove(&Key::new(label.as_bytes())).is_some(), old.is_some());
                        old.map(|old| model.remove(&old));
                    }
                    (Step::Supersede(_), Some(old)) => {
                        prop_assert!(names.supersede(&Key::new(label.as_bytes()), dentry.clone()).is_some());
                        model.remove(&old);
                        model.insert(time, label);
                    }
                    _ => {}
                }
                prop_assert_eq!(names.len(), model.len());
            }
            let listed: Vec<_> = names.newest_first(u64::MAX).map(|(_, entry)| entry.name.to_vec()).collect();
            let expected: Vec<_> = model.values().rev().map(|name| name.as_bytes().to_vec()).collect();
            prop_assert_eq!(&listed, &expected);
            let cookies: Vec<u64> = names.newest_first(u64::MAX).map(|(cookie, _)| cookie).collect();
            for (place, cookie) in cookies.iter().enumerate() {
                prop_assert_eq!(names.newest_first(*cookie).count(), cookies.len() - place - 1);
            }
            let taken = core::iter::from_fn(|| names.take_newest()).count();
            prop_assert_eq!((taken, names.len()), (expected.len(), 0));
        }
    }
}
