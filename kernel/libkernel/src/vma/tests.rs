//! Tests of the interval map against a plain model: one value for every page.

use super::*;
use proptest::prelude::*;
use std::vec;
use std::vec::Vec;

/// Values from [`ROOMY`] on keep so many addresses free below them.
const ROOMY: u8 = 200;
const ROOM: u64 = 3;

impl Interval for u8 {
    fn room_below(&self) -> u64 {
        if *self >= ROOMY { ROOM } else { 0 }
    }
    fn try_clone(&self, _start: UserAddr) -> Option<Self> {
        Some(*self)
    }
    fn merges_with(&self, next: &Self) -> bool {
        self == next
    }
}

fn range(start: u64, length: u64) -> UserRange {
    UserRange::new(UserAddr::new(start), length).unwrap()
}

/// The map says what the model says, in as few entries as there can be, and its bounds hold.
fn check(map: &IntervalMap<u8>, model: &[Option<u8>]) {
    let mut entries: Vec<(u64, u64, u8)> = vec![];
    for (address, value) in model.iter().enumerate() {
        let (address, Some(value)) = (address as u64, *value) else { continue };
        match entries.last_mut() {
            Some((_, end, last)) if *end == address && *last == value => *end += 1,
            _ => entries.push((address, address + 1, value)),
        }
    }
    let found: Vec<_> =
        map.iter().map(|(range, value)| (range.start().as_u64(), range.end().as_u64(), *value)).collect();
    assert_eq!(found, entries);
    assert_eq!(map.len(), entries.len());
    let groups = map.leaves.len().div_ceil(GROUP);
    assert_eq!(map.groups.len(), if groups < 2 { 0 } else { groups });
    for (index, leaf) in map.leaves.iter().enumerate() {
        assert!(!leaf.entries.is_empty() && leaf.entries.len() <= LEAF_CAPACITY);
        for position in 0..leaf.entries.len() {
            let position = Position { leaf: index, index: position };
            let next = map.entry(map.after(position));
            let gap = next
                .map(|next| next.range.start().as_u64() - map.entry(position).unwrap().range.end().as_u64());
            assert!(gap.is_none_or(|gap| gap <= leaf.gap_bound));
        }
        assert!(map.groups.get(index / GROUP).is_none_or(|bound| *bound >= leaf.gap_bound));
    }
}

fn model_gap(model: &[Option<u8>], length: usize, low: usize, high: usize) -> Vec<u64> {
    let is_free = |place: usize| {
        let above = model[place..].iter().take(ROOM as usize + 1).flatten().next();
        model[place].is_none() && above.is_none_or(|value| *value < ROOMY)
    };
    (low..(high + 1).saturating_sub(length))
        .filter(|&start| (start..start + length).all(is_free))
        .map(|start| start as u64)
        .collect()
}

#[test]
fn neighbours_that_agree_are_one() {
    let mut map = IntervalMap::new();
    map.insert(range(10, 5), 1).unwrap();
    map.insert(range(20, 5), 1).unwrap();
    map.insert(range(15, 5), 1).unwrap();
    assert_eq!(map.get(UserAddr::new(12)), Some((range(10, 15), &1)));
    assert_eq!(map.insert(range(24, 2), 1), Err(InsertError::Occupied));
    assert_eq!(map.insert(range(5, 0), 1), Err(InsertError::Occupied));
    map.update(range(12, 2), |_, value| *value = 2).unwrap();
    assert_eq!(map.len(), 3);
    map.update(range(12, 2), |_, value| *value = 1).unwrap();
    assert_eq!(map.len(), 1);
}

#[test]
fn an_entry_grows_up_to_its_neighbour() {
    let mut map = IntervalMap::new();
    map.insert(range(100, 10), 1).unwrap();
    map.insert(range(50, 10), 2).unwrap();
    assert!(map.resize(UserAddr::new(100), range(60, 50)));
    assert!(!map.resize(UserAddr::new(100), range(59, 51)));
    assert!(!map.resize(UserAddr::new(100), range(10, 5)), "not past a neighbour");
    assert!(!map.resize(UserAddr::new(10), range(10, 5)));
    assert_eq!(map.last_before(UserAddr::new(60)), Some((range(50, 10), &2)));
    assert_eq!(map.last_before(UserAddr::new(61)), Some((range(60, 50), &1)));
    assert_eq!(map.last_before(UserAddr::new(50)), None);
    map.insert(range(120, 5), 1).unwrap();
    assert!(map.resize(UserAddr::new(60), range(60, 60)));
    assert_eq!((map.len(), map.get(UserAddr::new(124))), (2, Some((range(60, 65), &1))));
}

#[test]
fn many_entries_stay_in_order() {
    let mut map = IntervalMap::new();
    for n in 0..5000u64 {
        let slot = n * 7919 % 5000;
        map.insert(range(slot * 3, 2), (slot % 2) as u8).unwrap();
    }
    assert_eq!(map.len(), 5000);
    assert_eq!(map.find_gap_top_down(2, UserAddr::new(0), UserAddr::new(14_999)), None);
    let mut pieces = 0;
    map.remove(range(301, 12_000), |_, _| pieces += 1).unwrap();
    assert_eq!(
        map.find_gap_top_down(12_000, UserAddr::new(0), UserAddr::new(14_999)),
        Some(UserAddr::new(301))
    );
    assert_eq!(map.find_gap_bottom_up(2, UserAddr::new(0), UserAddr::new(14_999)), Some(UserAddr::new(301)));
    assert_eq!(map.try_clone().unwrap().iter().count(), map.len());
    assert!(pieces > 3990);
}

/// Enough leaves for groups: gaps of two kinds, and searches from both ends, among insertions and removals.
#[test]
fn groups_of_leaves_hide_no_gap() {
    const SLOTS: u64 = 12_000;
    let mut map = IntervalMap::new();
    let mut model = vec![None; 3 * SLOTS as usize];
    let mut seed = 1u64;
    let mut random = |below: u64| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) % below
    };
    for n in 0..SLOTS {
        let slot = n * 7919 % SLOTS;
        map.insert(range(slot * 3, 2), (slot % 2) as u8).unwrap();
        model[(slot * 3) as usize..][..2].fill(Some((slot % 2) as u8));
    }
    check(&map, &model);
    for round in 0..2000u64 {
        let (slot, count) = (random(SLOTS - 300), 1 + random(if round % 100 == 0 { 300 } else { 3 }));
        let length = 3 * count - random(3);
        let hole = range(slot * 3, length);
        map.remove(hole, |_, _| {}).unwrap();
        model[(slot * 3) as usize..][..length as usize].fill(None);
        let wanted = 2 + random(2 * count + 2);
        let found = map.find_gap_top_down(wanted, UserAddr::new(0), UserAddr::new(3 * SLOTS - 1));
        let lowest =
            map.find_gap_bottom_up(wanted, UserAddr::new(random(3 * SLOTS)), UserAddr::new(3 * SLOTS - 1));
        for start in [found, lowest].into_iter().flatten() {
            assert!(!map.overlaps(range(start.as_u64(), wanted)));
        }
        // As long as the hole or shorter: it was there to be found.
        assert!(found.is_some() || wanted > length);
        if round % 3 != 0 {
            map.insert(hole, 7).unwrap();
            model[(slot * 3) as usize..][..length as usize].fill(Some(7));
        }
        if round % 500 == 0 {
            check(&map, &model);
            let expected = model_gap(&model, wanted as usize, 0, 3 * SLOTS as usize - 1).last().copied();
            assert_eq!(
                map.find_gap_top_down(wanted, UserAddr::new(0), UserAddr::new(3 * SLOTS - 1))
                    .map(UserAddr::as_u64),
                expected
            );
        }
    }
}

#[derive(Debug, Clone)]
enum Step {
    Insert(u8),
    Remove,
    Update(u8),
    Grow(u64),
    TopDown,
    BottomUp,
}

fn any_step() -> impl Strategy<Value = (Step, u64, u64)> {
    let step = prop_oneof![
        6 => (0u8..3).prop_map(Step::Insert),
        1 => Just(Step::Insert(ROOMY)),
        2 => Just(Step::Remove),
        2 => (0u8..3).prop_map(Step::Update),
        1 => (1u64..5).prop_map(Step::Grow),
        1 => Just(Step::TopDown),
        1 => Just(Step::BottomUp),
    ];
    (step, 0u64..990, 1u64..12)
}

fn apply(map: &mut IntervalMap<u8>, model: &mut [Option<u8>], step: Step, start: u64, length: u64) {
    let touched = range(start, length.min(1000 - start));
    let pages = start as usize..touched.end().as_u64() as usize;
    match step {
        Step::Insert(value) => {
            let free = model[pages.clone()].iter().all(Option::is_none);
            assert_eq!(map.overlaps(touched), !free);
            if free {
                model[pages].fill(Some(value));
            }
            assert_eq!(map.insert(touched, value).is_ok(), free);
        }
        Step::Remove => {
            let mut removed = 0;
            map.remove(touched, |piece, _| removed += piece.length()).unwrap();
            assert_eq!(removed, model[pages.clone()].iter().flatten().count() as u64);
            model[pages].fill(None);
        }
        Step::Update(new) => {
            assert_eq!(map.covers(touched), model[pages.clone()].iter().all(Option::is_some));
            map.update(touched, |_, value| *value = new).unwrap();
            model[pages].iter_mut().flatten().for_each(|value| *value = new);
        }
        Step::Grow(by) => {
            let Some((old, &value)) = map.get(UserAddr::new(start)) else { return };
            let (end, new_end) = (old.end().as_u64() as usize, old.end().as_u64() + by);
            if new_end < 1000 && model[end..new_end as usize].iter().all(Option::is_none) {
                assert!(map.resize(UserAddr::new(start), range(old.start().as_u64(), old.length() + by)));
                model[end..new_end as usize].fill(Some(value));
            }
        }
        Step::TopDown => {
            let found = map.find_gap_top_down(length, UserAddr::new(start), UserAddr::new(1000));
            let expected = model_gap(model, length as usize, start as usize, 1000).last().copied();
            assert_eq!(found.map(UserAddr::as_u64), expected);
        }
        Step::BottomUp => {
            let found = map.find_gap_bottom_up(length, UserAddr::new(start), UserAddr::new(1000));
            let expected = model_gap(model, length as usize, start as usize, 1000).first().copied();
            assert_eq!(found.map(UserAddr::as_u64), expected);
        }
    }
}

proptest! {
    #[test]
    fn the_map_is_its_model(steps in proptest::collection::vec(any_step(), 1..300)) {
        let mut map = IntervalMap::new();
        let mut model = vec![None; 1000];
        for (step, start, length) in steps {
            apply(&mut map, &mut model, step, start, length);
        }
        check(&map, &model);
        for address in 0..1000u64 {
            prop_assert_eq!(map.get(UserAddr::new(address)).map(|(_, value)| *value), model[address as usize]);
        }
    }
}
