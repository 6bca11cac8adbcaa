//! Core dumps are read back as the gABI says.

use super::*;
use crate::addr::UserAddr;
use std::vec;

fn word(bytes: &[u8], offset: usize) -> u64 {
    u64::from_le_bytes(bytes[offset..offset + 8].try_into().expect("eight bytes"))
}

fn half(bytes: &[u8], offset: usize) -> u16 {
    u16::from_le_bytes([bytes[offset], bytes[offset + 1]])
}

fn segment(start: u64, pages: u64, stored: u64) -> Segment {
    let range = UserRange::new(UserAddr::new(start), pages * PAGE_SIZE).expect("in the user half");
    Segment { range, prot: Prot::READ_WRITE, stored: stored * PAGE_SIZE }
}

#[test]
fn segments_follow_each_other_from_a_page_on() {
    let segments = [segment(0x40_0000, 4, 1), segment(0x50_0000, 2, 0), segment(0x60_0000, 3, 3)];
    let layout = Layout::new(&segments, 1000);
    let header = layout.file_header(62);
    assert_eq!((&header[..4], half(&header, 16), half(&header, 18)), (&b"\x7fELF"[..], 4, 62));
    assert_eq!((word(&header, 32), half(&header, 54), half(&header, 56)), (64, 56, 4));
    assert_eq!((word(&header, 40), half(&header, 60), layout.section_header()), (0, 0, None));
    let notes = layout.notes_header();
    assert_eq!((word(&notes, 8), word(&notes, 32), word(&notes, 40)), (64 + 4 * 56, 1000, 0));
    let headers: std::vec::Vec<_> = layout.segment_headers(&segments).collect();
    let places: std::vec::Vec<_> = headers
        .iter()
        .map(|header| (word(header, 8), word(header, 16), word(header, 32), word(header, 40)))
        .collect();
    assert_eq!(
        places,
        vec![(4096, 0x40_0000, 4096, 16384), (8192, 0x50_0000, 0, 8192), (8192, 0x60_0000, 12288, 12288)]
    );
    assert_eq!(headers[0][4], 6);
}

#[test]
fn many_segments_are_counted_in_a_section() {
    let segments = vec![segment(0x40_0000, 1, 1); 70_000];
    let layout = Layout::new(&segments, 0);
    let header = layout.file_header(183);
    assert_eq!((half(&header, 56), half(&header, 58), half(&header, 60)), (0xffff, 64, 1));
    assert_eq!(word(&header, 40), layout.data_offset() + 70_000 * PAGE_SIZE);
    let section = layout.section_header().expect("one is needed");
    assert_eq!((word(&section, 32), word(&section, 40) >> 32), (1, 70_001));
    assert_eq!(
        Layout::new(&segments[..0xfffe], 0).section_header().map(|section| word(&section, 40) >> 32),
        Some(0xffff)
    );
    assert_eq!(Layout::new(&segments[..0xfffd], 0).section_header(), None);
}

#[test]
fn notes_are_aligned() {
    let mut notes = Notes::default();
    notes.add(Owner::Core, 1, &[b"abc", b"de"]).expect("memory");
    notes.add(Owner::Linux, 0x202, &[b"12345678"]).expect("memory");
    let sizes: std::vec::Vec<_> = notes.iter().map(Note::size).collect();
    assert_eq!((sizes, notes.size()), (vec![12 + 8 + 8, 12 + 8 + 8], 56));
    let first = notes.iter().next().expect("two notes");
    assert_eq!(first.header(), [5, 0, 0, 0, 5, 0, 0, 0, 1, 0, 0, 0]);
    assert_eq!((note_padding(17), note_padding(20)), (3, 0));
}
