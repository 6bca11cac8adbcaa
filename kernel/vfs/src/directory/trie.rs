//! A hash table that grows in small steps: tables of bounded size, the leaves of a tree over some bits of the hash.
//!
//! A table that is full is divided among sixteen, so that no call moves more than [`LEAF`] items, however many there
//! are. The tree is found by the middle bits; what is left to `hashbrown` are the highest seven, its tags, and the
//! lowest, its slots. With a hash that nobody can foresee all of them spread.

use alloc::boxed::Box;

use abi::Errno;
use hashbrown::HashTable;

/// Items in one table at most: what fits into `hashbrown`'s table of 128 slots.
const LEAF: usize = 112;
/// Tables that a full one is divided among, and the bits of the hash that tell them apart.
const FAN_OUT: usize = 1 << BITS;
const BITS: u32 = 4;
/// The lowest of the bits by which the first branch divides: below the tags.
const TOP: u32 = 53;
/// Below this the bits are those of slots in a table: items that are equal down to here share one.
const LOWEST: u32 = 9;

/// What knows its hash.
pub trait Hashed {
    /// The hash, always the same.
    fn hash(&self) -> u64;
}

enum Node<T> {
    Leaf(HashTable<T>),
    Branch(Box<[Node<T>; FAN_OUT]>),
}

/// Items by their hash.
pub struct Trie<T> {
    root: Node<T>,
    count: usize,
}

impl<T: Hashed> Trie<T> {
    /// No items.
    pub const fn new() -> Trie<T> {
        Trie { root: Node::Leaf(HashTable::new()), count: 0 }
    }

    /// How many items there are.
    pub fn len(&self) -> usize {
        self.count
    }

    /// The item with this hash that `is` knows; it may be asked about items with other hashes.
    pub fn find(&self, hash: u64, is: impl FnMut(&T) -> bool) -> Option<&T> {
        let (mut node, mut shift) = (&self.root, TOP);
        loop {
            match node {
                Node::Leaf(table) => return table.find(hash, is),
                Node::Branch(children) => node = &children[digit(hash, shift)],
            }
            shift -= BITS;
        }
    }

    /// As [`Trie::find`], to change what the hash does not depend on.
    pub fn find_mut(&mut self, hash: u64, is: impl FnMut(&T) -> bool) -> Option<&mut T> {
        let (mut node, mut shift) = (&mut self.root, TOP);
        loop {
            match node {
                Node::Leaf(table) => return table.find_mut(hash, is),
                Node::Branch(children) => node = &mut children[digit(hash, shift)],
            }
            shift -= BITS;
        }
    }

    /// Adds an item that is not there yet. ENOMEM, and nothing has changed, without memory.
    pub fn insert(&mut self, item: T) -> Result<(), Errno> {
        let hash = item.hash();
        let (mut node, mut shift) = (&mut self.root, TOP);
        loop {
            if let Node::Leaf(table) = node {
                if table.len() < LEAF || shift < LOWEST {
                    table.try_reserve(1, T::hash).map_err(|_| Errno::ENOMEM)?;
                    table.insert_unique(hash, item, T::hash);
                    self.count += 1;
                    return Ok(());
                }
                *node = Node::Branch(divide(table, shift)?);
            }
            if let Node::Branch(children) = node {
                node = &mut children[digit(hash, shift)];
                shift -= BITS;
            }
        }
    }

    /// Takes the item with this hash away that `is` knows.
    pub fn remove(&mut self, hash: u64, is: impl FnMut(&T) -> bool) -> Option<T> {
        let removed = remove_below(&mut self.root, TOP, hash, is)?;
        self.count -= 1;
        Some(removed)
    }
}

/// Which child of a branch a hash belongs to.
fn digit(hash: u64, shift: u32) -> usize {
    (hash >> shift) as usize % FAN_OUT
}

/// Moves the items of a table to sixteen tables. ENOMEM, and nothing has moved, without memory.
fn divide<T: Hashed>(table: &mut HashTable<T>, shift: u32) -> Result<Box<[Node<T>; FAN_OUT]>, Errno> {
    let mut counts = [0; FAN_OUT];
    for item in table.iter() {
        counts[digit(item.hash(), shift)] += 1;
    }
    let mut tables = [const { HashTable::new() }; FAN_OUT];
    for (part, &count) in tables.iter_mut().zip(&counts) {
        part.try_reserve(count, T::hash).map_err(|_| Errno::ENOMEM)?;
    }
    for item in table.drain() {
        let hash = item.hash();
        tables[digit(hash, shift)].insert_unique(hash, item, T::hash);
    }
    Ok(Box::new(tables.map(Node::Leaf)))
}

/// Removes an item below a node, and with the last item what held it. Recursion ends after the branches that a hash has
/// bits for.
fn remove_below<T: Hashed>(
    node: &mut Node<T>,
    shift: u32,
    hash: u64,
    is: impl FnMut(&T) -> bool,
) -> Option<T> {
    match node {
        Node::Leaf(table) => {
            let (item, _) = table.find_entry(hash, is).ok()?.remove();
            if table.is_empty() {
                *table = HashTable::new();
            }
            Some(item)
        }
        Node::Branch(children) => {
            let child = &mut children[digit(hash, shift)];
            let item = remove_below(child, shift - BITS, hash, is)?;
            if is_empty(child) && children.iter().all(is_empty) {
                *node = Node::Leaf(HashTable::new());
            }
            Some(item)
        }
    }
}

fn is_empty<T>(node: &Node<T>) -> bool {
    matches!(node, Node::Leaf(table) if table.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::String;
    use alloc::vec::Vec;
    use core::cell::Cell;
    use siphasher::sip::SipHasher13;

    struct Word(u64, String);

    impl Hashed for Word {
        fn hash(&self) -> u64 {
            self.0
        }
    }

    fn filled(names: &[String], hasher: &SipHasher13) -> Trie<Word> {
        let mut trie = Trie::new();
        for name in names {
            trie.insert(Word(hasher.hash(name.as_bytes()), name.clone())).expect("memory");
        }
        trie
    }

    /// Items that are looked at per name that is there, and per name that is not.
    fn looks(names: &[String], hasher: &SipHasher13) -> (f64, f64) {
        let trie = filled(names, hasher);
        assert_eq!(trie.len(), names.len());
        let looks = Cell::new(0u32);
        let count = |hash: u64, name: &str| {
            let found = trie.find(hash, |word| {
                looks.set(looks.get() + 1);
                word.1 == name
            });
            found.is_some()
        };
        assert!(names.iter().all(|name| count(hasher.hash(name.as_bytes()), name)));
        let hits = looks.replace(0);
        assert!(!names.iter().any(|name| count(hasher.hash(alloc::format!("{name}~").as_bytes()), "")));
        let number = names.len() as f64;
        (f64::from(hits) / number, f64::from(looks.get()) / number)
    }

    #[test]
    fn ordinary_and_chosen_names_cost_one_look() {
        let makers: [fn(u64) -> String; 5] = [
            |number| alloc::format!("file{number}"),
            |number| alloc::format!("aaaaaaaa{number:08}"),
            |number| alloc::format!("{number}"),
            |number| alloc::format!("{number:08}aaaaaaaaaaaaaaaa"),
            |number| {
                String::from_utf8_lossy(&(number << 8).to_be_bytes().map(|byte| byte % 127 + 1)).into_owned()
            },
        ];
        for seed in [0, 1, 0x0123_4567_89ab_cdef] {
            let hasher = SipHasher13::new_with_keys(seed, !seed);
            for make in makers {
                for count in [100, 1_000, 30_000] {
                    let mut names: Vec<String> = (0..count).map(make).collect();
                    names.dedup();
                    let (hits, misses) = looks(&names, &hasher);
                    assert!(hits <= 1.2, "{hits} looks a hit among {count} like {:?}", names[1]);
                    assert!(misses <= 0.2, "{misses} looks a miss among {count} like {:?}", names[1]);
                }
            }
        }
    }

    #[test]
    fn removal_finds_everything_and_leaves_nothing() {
        let hasher = SipHasher13::new_with_keys(3, 4);
        let names: Vec<String> = (0..5000).map(|number| alloc::format!("file{number}")).collect();
        let mut trie = filled(&names, &hasher);
        for name in &names {
            let hash = hasher.hash(name.as_bytes());
            assert_eq!(trie.remove(hash, |word| word.1 == *name).map(|word| word.1).as_ref(), Some(name));
            assert!(trie.find(hash, |word| word.1 == *name).is_none());
        }
        assert_eq!(trie.len(), 0);
        assert!(matches!(&trie.root, Node::Leaf(table) if table.capacity() == 0));
    }

    #[test]
    fn equal_hashes_share_a_table() {
        let mut trie = Trie::new();
        for number in 0..300 {
            trie.insert(Word(7, alloc::format!("{number}"))).expect("memory");
        }
        assert!((0..300).all(|number| trie.find(7, |word| word.1 == alloc::format!("{number}")).is_some()));
    }
}
