//! Tests of the buddy allocator against a plain model: a set of frames that are out.

use super::*;
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::vec;
use std::vec::Vec;

const BASE: u64 = 0x40000;

/// Links full of nonsense, as fresh memory may be.
fn garbage(frames: usize) -> Vec<Link> {
    (0..frames as u32).map(|n| Link { next: n.wrapping_mul(2_654_435_761), previous: n << 27 | 5 }).collect()
}

#[test]
fn a_whole_range_comes_back_as_chunks() {
    let mut links = garbage(4096);
    let mut buddy = Buddy::new(&mut links[..], BASE);
    buddy.add_range(BASE + 3..BASE + 4096);
    assert_eq!(buddy.free_frames(), 4093);
    let mut frames = vec![];
    while let Some(frame) = buddy.allocate(0) {
        frames.push(frame);
    }
    frames.sort();
    assert!(frames.iter().copied().eq(BASE + 3..BASE + 4096));
    for frame in frames {
        buddy.free(frame, 0);
    }
    for _ in 0..3 {
        assert!(buddy.allocate(MAX_ORDER).is_some());
    }
    assert_eq!(buddy.allocate(MAX_ORDER), None);
    assert_eq!(buddy.free_frames(), 1021);
}

#[test]
fn reserved_frames_can_be_added_later() {
    let mut links = garbage(8192);
    let mut buddy = Buddy::new(&mut links[..], 0);
    buddy.add_range(0..1000);
    buddy.add_range(5000..8192);
    buddy.add_range(1000..5000);
    assert_eq!(buddy.free_frames(), 8192);
    let chunks: Vec<_> = core::iter::from_fn(|| buddy.allocate(MAX_ORDER)).collect();
    assert_eq!(chunks.len(), 8);
}

#[test]
fn frames_without_a_link_are_left_out() {
    let mut links = garbage(1500);
    let mut buddy = Buddy::new(&mut links[..], BASE);
    buddy.add_range(0..u64::MAX);
    assert_eq!(buddy.free_frames(), 1500);
    assert_eq!(buddy.allocate(MAX_ORDER + 1), None);
}

#[test]
fn a_split_block_is_freed_frame_by_frame() {
    let mut links = garbage(1024);
    let mut buddy = Buddy::new(&mut links[..], 0);
    buddy.add_range(0..1024);
    let block = buddy.allocate(4).unwrap();
    buddy.split(block, 4);
    (block..block + 16).for_each(|frame| buddy.free(frame, 0));
    assert_eq!(buddy.allocate(MAX_ORDER), Some(0));
}

#[test]
fn neighbouring_chunks_are_those_that_nobody_has_had() {
    const CHUNKS: u64 = 8;
    let mut links = garbage((CHUNKS * CHUNK_FRAMES) as usize);
    let mut buddy = Buddy::new(&mut links[..], 0);
    buddy.add_range(0..CHUNKS * CHUNK_FRAMES);
    assert_eq!(buddy.allocate(0), Some(0));
    assert_eq!(buddy.allocate_chunks(3), Some(CHUNK_FRAMES));
    assert_eq!(buddy.allocate_chunks(5), None);
    assert_eq!(buddy.allocate_chunks(4), Some(4 * CHUNK_FRAMES));
    assert_eq!(buddy.free_frames(), CHUNK_FRAMES - 1);
    (1..8).for_each(|chunk| buddy.free(chunk * CHUNK_FRAMES, MAX_ORDER));
    assert_eq!(buddy.free_frames(), CHUNKS * CHUNK_FRAMES - 1);
    let all: BTreeMap<_, _> = (0..7).map(|_| (buddy.allocate(MAX_ORDER), ())).collect();
    assert_eq!(all.len(), 7);
    assert!(!all.contains_key(&None));
}

proptest! {
    #[test]
    fn no_frame_is_given_twice(
        ranges in proptest::collection::btree_set(0u64..5000, 2..10),
        steps in proptest::collection::vec((any::<bool>(), 0u32..=MAX_ORDER, any::<prop::sample::Index>()), 1..400),
    ) {
        let bounds: Vec<u64> = ranges.into_iter().collect();
        let mut links = garbage(5000);
        let mut buddy = Buddy::new(&mut links[..], 0);
        let mut usable = vec![false; 5000];
        for pair in bounds.chunks_exact(2) {
            buddy.add_range(pair[0]..pair[1]);
            (pair[0]..pair[1]).for_each(|frame| usable[frame as usize] = true);
        }
        let total = usable.iter().filter(|&&yes| yes).count() as u64;
        let mut out = BTreeMap::new();
        for (allocate, order, which) in steps {
            if allocate {
                let Some(block) = buddy.allocate(order) else { continue };
                prop_assert_eq!(block % (1 << order), 0);
                for frame in block..block + (1 << order) {
                    prop_assert!(core::mem::replace(&mut usable[frame as usize], false));
                }
                out.insert(block, order);
            } else if !out.is_empty() {
                let block = *out.keys().nth(which.index(out.len())).unwrap();
                let order = out.remove(&block).unwrap();
                buddy.free(block, order);
                (block..block + (1 << order)).for_each(|frame| usable[frame as usize] = true);
            }
            let held: u64 = out.values().map(|order| 1u64 << order).sum();
            prop_assert_eq!(buddy.free_frames(), total - held);
        }
    }
}
