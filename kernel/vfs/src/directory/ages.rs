//! The names of one directory by age.
//!
//! Cookies only rise, so entries stand in chunks of as many cookies as follow each other: what is newest enters and
//! leaves its chunk without a search, and older entries are found by a map of chunks. A chunk whose entries have all
//! gone goes too.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use super::Entry;

/// Cookies of one chunk. More make the map smaller; fewer bound what a chunk with one entry left keeps.
const SPAN: u64 = 32;

/// Entries by the place of their cookies in the chunk.
struct Chunk {
    entries: Vec<Option<Entry>>,
    /// How many there are.
    count: usize,
}

impl Chunk {
    const fn new() -> Chunk {
        Chunk { entries: Vec::new(), count: 0 }
    }

    /// The entries with their cookies, newest first; `number` is the chunk's own.
    fn newest_first(&self, number: u64) -> impl Iterator<Item = (u64, &Entry)> {
        let entries = self.entries.iter().enumerate().rev();
        entries.filter_map(move |(place, entry)| Some((number * SPAN + place as u64, entry.as_ref()?)))
    }

    /// The same, oldest first.
    fn oldest_first(&self, number: u64) -> impl Iterator<Item = (u64, &Entry)> {
        let entries = self.entries.iter().enumerate();
        entries.filter_map(move |(place, entry)| Some((number * SPAN + place as u64, entry.as_ref()?)))
    }
}

/// Entries by cookie.
pub struct Ages {
    /// The chunk of the highest cookies, and its number.
    newest: Chunk,
    number: u64,
    /// The others, none of them empty.
    older: BTreeMap<u64, Chunk>,
}

impl Ages {
    /// No entries.
    pub const fn new() -> Ages {
        Ages { newest: Chunk::new(), number: 0, older: BTreeMap::new() }
    }

    /// Adds an entry with a cookie above all that there ever were.
    pub fn insert(&mut self, cookie: u64, entry: Entry) {
        if cookie / SPAN != self.number {
            self.begin(cookie / SPAN);
        }
        if self.newest.entries.capacity() == 0 {
            self.newest.entries.reserve_exact(SPAN as usize);
        }
        self.newest.entries.resize((cookie % SPAN) as usize, None);
        self.newest.entries.push(Some(entry));
        self.newest.count += 1;
    }

    /// Begins another chunk; an empty one serves again.
    fn begin(&mut self, number: u64) {
        let before = core::mem::replace(&mut self.number, number);
        if self.newest.count == 0 {
            self.newest.entries.clear();
        } else {
            self.older.insert(before, core::mem::replace(&mut self.newest, Chunk::new()));
        }
    }

    /// The entry with this cookie.
    pub fn get_mut(&mut self, cookie: u64) -> Option<&mut Entry> {
        let chunk = if cookie / SPAN == self.number {
            &mut self.newest
        } else {
            self.older.get_mut(&(cookie / SPAN))?
        };
        chunk.entries.get_mut((cookie % SPAN) as usize)?.as_mut()
    }

    /// Takes out the entry with this cookie.
    pub fn remove(&mut self, cookie: u64) -> Option<Entry> {
        let (number, place) = (cookie / SPAN, (cookie % SPAN) as usize);
        let is_newest = number == self.number;
        let chunk = if is_newest { &mut self.newest } else { self.older.get_mut(&number)? };
        let entry = chunk.entries.get_mut(place)?.take()?;
        chunk.count -= 1;
        if chunk.count == 0 && !is_newest {
            self.older.remove(&number);
        }
        Some(entry)
    }

    /// The entries with cookies below `below`, newest first, each with its cookie.
    pub fn newest_first(&self, below: u64) -> impl Iterator<Item = (u64, &Entry)> {
        let older = self.older.range(..=below / SPAN).rev();
        let older = older.flat_map(|(&number, chunk)| chunk.newest_first(number));
        self.newest.newest_first(self.number).chain(older).filter(move |&(cookie, _)| cookie < below)
    }

    /// The entries with cookies from `from` on, oldest first, each with its cookie.
    pub fn oldest_first(&self, from: u64) -> impl Iterator<Item = (u64, &Entry)> {
        let older = self.older.range(from / SPAN..);
        let older = older.flat_map(|(&number, chunk)| chunk.oldest_first(number));
        older.chain(self.newest.oldest_first(self.number)).filter(move |&(cookie, _)| cookie >= from)
    }
}
