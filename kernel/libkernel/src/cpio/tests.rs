//! Tests of the initramfs reader: archives made here, then damaged.

use super::*;
use proptest::prelude::*;
use std::format;
use std::vec;
use std::vec::Vec;

fn add(archive: &mut Vec<u8>, name: &[u8], data: &[u8], links: u32) {
    let fields = [7, 0o100_644, 1, 2, links, 9, data.len() as u32, 3, 4, 5, 6, name.len() as u32 + 1, 0];
    archive.extend(b"070701");
    fields.iter().for_each(|field| archive.extend(format!("{field:08X}").bytes()));
    archive.extend(name);
    archive.push(0);
    archive.resize(archive.len().next_multiple_of(4), 0);
    archive.extend(data);
    archive.resize(archive.len().next_multiple_of(4), 0);
}

fn archive(files: &[(&[u8], &[u8])]) -> Vec<u8> {
    let mut archive = vec![];
    files.iter().for_each(|(name, data)| add(&mut archive, name, data, 1));
    add(&mut archive, TRAILER, b"", 1);
    archive
}

/// An input that gives so many bytes at a time.
struct Pieces<'a>(&'a [u8], usize);

impl Input for Pieces<'_> {
    fn ready(&mut self) -> Result<&[u8], Problem> {
        Ok(&self.0[..self.0.len().min(self.1)])
    }

    fn consume(&mut self, count: usize) {
        self.0 = &self.0[count..];
    }
}

/// All items, and how reading ended: with a problem, or where something else began or the input ended.
fn items(input: impl Input) -> (Vec<Item>, Result<Item, Problem>) {
    let (mut reader, mut items) = (Reader::new(input, 0), vec![]);
    loop {
        match reader.next_item() {
            Ok(item @ (Item::Entry(_) | Item::Trailer)) => items.push(item),
            end => return (items, end),
        }
    }
}

fn names(bytes: &[u8]) -> Vec<Vec<u8>> {
    let name = |item| match item {
        Item::Entry(entry) => Some(entry.name),
        _ => None,
    };
    items(bytes).0.into_iter().filter_map(name).collect()
}

#[test]
fn an_entry_is_read_whole() {
    let bytes = archive(&[(b"dir/file", b"hello")]);
    for piece in [1, 3, 1000] {
        let mut reader = Reader::new(Pieces(&bytes, piece), 0);
        let Ok(Item::Entry(entry)) = reader.next_item() else { panic!("no entry") };
        assert_eq!((&entry.name[..], entry.size), (&b"dir/file"[..], 5));
        assert_eq!((entry.mode, entry.uid, entry.gid, entry.modified), (0o100_644, 1, 2, 9));
        assert_eq!((entry.inode, entry.device, entry.node), (7, (3, 4), (5, 6)));
        let mut data: Vec<u8> = vec![];
        while reader
            .data(&mut |piece| {
                data.extend(piece);
                Ok(())
            })
            .unwrap()
        {}
        assert_eq!(data, b"hello");
        assert_eq!(reader.next_item(), Ok(Item::Trailer));
        assert_eq!(reader.next_item(), Ok(Item::End));
    }
}

#[test]
fn archives_follow_one_another_with_padding() {
    let mut bytes = archive(&[(b"a", b"1")]);
    bytes.resize(bytes.len().next_multiple_of(512), 0);
    bytes.extend(archive(&[(b"b", b"22")]));
    bytes.extend([0; 7]);
    assert_eq!(names(&bytes), [b"a", b"b"]);
    assert_eq!(items(&bytes[..]).1, Ok(Item::End));
}

#[test]
fn a_compressed_part_is_the_callers() {
    let mut bytes = archive(&[(b"a", b"1")]);
    let start = bytes.len();
    bytes.extend([0, 0x1f, 0x8b, 8, 0, 0, 0, 0]);
    bytes.extend(archive(&[(b"b", b"")]));
    let mut reader = Reader::new(&bytes[..], 0);
    while reader.next_item() != Ok(Item::Other) {}
    let (rest, position) = reader.into_parts();
    assert_eq!((rest[0], position), (0x1f, start as u64 + 1));
    let mut reader = Reader::new(&rest[3..], position + 3);
    assert!(matches!(reader.next_item(), Ok(Item::Entry(entry)) if entry.name == b"b"));
}

#[test]
fn what_came_before_an_error_stays() {
    let mut bytes = archive(&[(b"a", b"1"), (b"b", b"2")]);
    let second = bytes.windows(6).rposition(|window| window == b"070701").unwrap() - 4;
    bytes.truncate(second);
    assert_eq!(names(&bytes), [b"a", b"b"]);
    assert_eq!(items(&bytes[..]).1, Err(TRUNCATED));
    let mut bytes = archive(&[(b"a", b"1")]);
    bytes[20] = b'x';
    assert_eq!(items(&bytes[..]), (vec![], Err(BAD_NUMBER)));
}

#[test]
fn links_are_found_within_an_archive() {
    let mut bytes = vec![];
    add(&mut bytes, b"first", b"", 2);
    add(&mut bytes, b"second", b"data", 2);
    add(&mut bytes, b"alone", b"", 1);
    let mut links = HardLinks::default();
    let found: Vec<_> = items(&bytes[..])
        .0
        .into_iter()
        .map(|item| {
            let Item::Entry(entry) = item else { panic!("no entry") };
            let first = links.find(&entry).copied();
            links.remember(&entry, entry.name.len());
            first
        })
        .collect();
    assert_eq!(found, [None, Some(5), None]);
}

proptest! {
    #[test]
    fn noise_does_no_harm(bytes in proptest::collection::vec(prop_oneof![Just(b'0'), Just(b'7'), any::<u8>()], 0..400)) {
        prop_assert!(items(&bytes[..]).0.len() <= bytes.len());
        prop_assert_eq!(items(&bytes[..]), items(Pieces(&bytes, 1)));
    }

    #[test]
    fn a_damaged_archive_does_no_harm(
        files in proptest::collection::vec(("[a-z/.]{1,9}", "[a-z]{0,30}"), 0..6),
        damage in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
        cut: prop::sample::Index,
    ) {
        let files: Vec<(&[u8], &[u8])> = files.iter().map(|(name, data)| (name.as_bytes(), data.as_bytes())).collect();
        let mut bytes = archive(&files);
        prop_assert!(names(&bytes).iter().map(Vec::as_slice).eq(files.iter().map(|file| file.0)));
        for (place, byte) in damage {
            let place = place.index(bytes.len());
            bytes[place] = byte;
        }
        bytes.truncate(cut.index(bytes.len() + 1));
        prop_assert!(names(&bytes).len() <= bytes.len());
        prop_assert_eq!(items(&bytes[..]), items(Pieces(&bytes, 5)));
    }
}
