//! What a file gives to who executes it: the value of its attribute `security.capability`.
//!
//! Source: capabilities(7), "File capabilities"; `linux/capability.h` (`vfs_cap_data`, `vfs_ns_cap_data`):
//! little-endian words, the first with the revision in its highest byte and the flag that all of it is to be in effect,
//! then the lower and the upper halves of both sets, and in the third revision the user who is root of those that it is
//! meant for.

/// The bytes of the first word that are the revision, with those there are.
const REVISIONS: [(u32, usize); 2] = [(0x0200_0000, 20), (0x0300_0000, 24)];

/// The flag of the first word: what is permitted is in effect at once.
const EFFECTIVE: u32 = 1;

/// What no user can be.
const NOBODY: u32 = u32::MAX;

/// The capabilities of a file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FileCapabilities {
    /// What whoever executes it gets.
    pub permitted: u64,
    /// What it gets if it has them to pass on.
    pub inheritable: u64,
    /// Whether what it gets is in effect at once: for programs that do not know of capabilities.
    pub effective: bool,
    /// The user who is root where they count: 0 for everybody.
    pub root: u32,
}

impl FileCapabilities {
    /// Reads a value; none for what is no such value.
    pub fn parse(bytes: &[u8]) -> Option<FileCapabilities> {
        let mut words = [0; 6];
        for (word, bytes) in words.iter_mut().zip(bytes.as_chunks::<4>().0) {
            *word = u32::from_le_bytes(*bytes);
        }
        let [first, permitted, inheritable, permitted_above, inheritable_above, root] = words;
        REVISIONS.contains(&(first & !EFFECTIVE, bytes.len())).then_some(FileCapabilities {
            permitted: u64::from(permitted) | u64::from(permitted_above) << 32,
            inheritable: u64::from(inheritable) | u64::from(inheritable_above) << 32,
            effective: first & EFFECTIVE != 0,
            root,
        })
    }

    /// Whether these may be a file's: if their root is a user.
    pub fn are_somebodys(&self) -> bool {
        self.root != NOBODY
    }

    /// Whether they count for everybody.
    pub fn are_for_all(&self) -> bool {
        self.root == 0
    }

    /// How many bytes of a value are shown: those that are for everybody are of the second revision.
    pub fn shorten(bytes: &mut [u8]) -> usize {
        let (revision, length) = REVISIONS[0];
        if let Some(first) = bytes.get_mut(3) {
            *first = (revision >> 24) as u8;
        }
        length
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    fn value(words: &[u32]) -> Vec<u8> {
        words.iter().flat_map(|word| word.to_le_bytes()).collect()
    }

    #[test]
    fn both_revisions_are_read() {
        let read = FileCapabilities::parse(&value(&[0x0200_0001, 0x2000, 1, 0x100, 2])).expect("valid");
        let sets = (read.permitted, read.inheritable);
        assert_eq!((sets, read.effective, read.root), ((0x100_0000_2000, 0x2_0000_0001), true, 0));
        let read = FileCapabilities::parse(&value(&[0x0300_0000, 0, 0, 0, 0, 1000])).expect("valid");
        assert_eq!((read.effective, read.root, read.are_for_all()), (false, 1000, false));
    }

    #[test]
    fn sizes_and_unknown_bits_are_refused() {
        for (words, cut) in [
            (&[0x0200_0001, 1, 2, 3, 4, 5][..], 0),
            (&[0x0300_0001, 1, 2, 3, 4], 0),
            (&[0x0200_0001, 1, 2, 3, 4], 1),
            (&[0x0200_0002, 1, 2, 3, 4], 0),
            (&[0x0100_0000, 1, 2], 0),
            (&[], 0),
        ] {
            let bytes = value(words);
            assert_eq!(FileCapabilities::parse(&bytes[..bytes.len() - cut]), None);
        }
    }

    #[test]
    fn those_for_everybody_become_shorter() {
        let mut bytes = value(&[0x0300_0001, 1, 2, 3, 4, 0]);
        let length = FileCapabilities::shorten(&mut bytes);
        assert_eq!(bytes[..length], value(&[0x0200_0001, 1, 2, 3, 4]));
    }
}
