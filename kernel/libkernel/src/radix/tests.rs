//! Tests of the radix tree against an ordered map.

use super::*;
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::vec::Vec;

fn visited<T: Copy + PartialEq>(tree: &RadixTree<T>, range: Range<u64>) -> Vec<(u64, T)> {
    let mut found = Vec::new();
    let one_by_one: Vec<_> = tree.range(range.clone()).map(|(index, value)| (index, *value)).collect();
    tree.visit(range, |index, value, distance| {
        assert!(tree.get_within(index) == Some((value, distance)));
        found.push((index, *value));
    });
    assert!(found == one_by_one);
    found
}

fn in_model<T: Copy>(model: &BTreeMap<u64, T>, range: Range<u64>) -> Vec<(u64, T)> {
    model.range(range).map(|(index, value)| (*index, *value)).collect()
}

#[test]
fn the_last_index_works() {
    let mut tree = RadixTree::new();
    assert_eq!(tree.insert(u64::MAX, 1), Ok(None));
    assert_eq!(tree.insert(0, 2), Ok(None));
    assert_eq!(tree.first_from(1), Some(u64::MAX));
    assert_eq!(visited(&tree, 0..u64::MAX).len(), 1);
    assert_eq!(tree.remove(u64::MAX), Some(1));
    assert_eq!((tree.remove(0), tree.len()), (Some(2), 0));
    assert!(tree.root.is_none());
}

#[test]
fn a_small_file_has_one_small_leaf() {
    let mut tree = RadixTree::new();
    tree.insert(0, 7u64).unwrap();
    let Some(Node::Leaf(slots)) = &tree.root else { panic!("not a leaf") };
    assert!(slots.children.capacity() <= 4);
}

#[test]
fn a_block_lies_once_in_the_node_that_it_fills() {
    let mut tree = RadixTree::new();
    tree.insert_block(512, 9, 'b').unwrap();
    let Some(Node::Inner(slots)) = &tree.root else { panic!("not an inner node") };
    assert_eq!((slots.children.len(), slots.occupied, slots.covered), (9, 1 << 8, 0xfe00));
    assert_eq!((tree.len(), tree.block_at(700), tree.block_at(511)), (512, Some(512..=1023), None));
    assert_eq!(tree.insert_block(0, 10, 'c'), Err(BlockError::Occupied));
    assert_eq!(tree.insert_block(1023, 0, 'c'), Err(BlockError::Occupied));
    assert_eq!((tree.insert(511, 'a'), tree.insert(1024, 'd')), (Ok(None), Ok(None)));
    assert_eq!([511, 512, 1023, 1024].map(|index| *tree.get(index).unwrap()), ['a', 'b', 'b', 'd']);
    assert_eq!((tree.remove(800), tree.len(), tree.get(512)), (Some('b'), 2, None));
}

#[test]
#[should_panic(expected = "a block stands there")]
fn a_part_of_a_block_is_not_replaced() {
    let mut tree = RadixTree::new();
    tree.insert_block(8, 3, ()).unwrap();
    let _ = tree.insert(8, ());
}

#[test]
fn the_last_block_works() {
    let mut tree = RadixTree::new();
    tree.insert_block(u64::MAX - 1023, 10, 1).unwrap();
    assert_eq!((tree.get(u64::MAX), tree.first_from(5)), (Some(&1), Some(u64::MAX - 1023)));
    tree.split(u64::MAX, |value, distance| value + distance).unwrap();
    assert_eq!((tree.get(u64::MAX), tree.len()), (Some(&1024), 1024));
}

fn any_index() -> impl Strategy<Value = u64> {
    prop_oneof![
        0u64..200,
        0u64..20_000,
        (0u64..64).prop_map(|n| u64::MAX - n * 63),
        (0u32..64).prop_map(|n| 1 << n)
    ]
}

proptest! {
    #[test]
    fn the_tree_is_its_model(steps in proptest::collection::vec((0u8..6, any_index(), any_index()), 1..300)) {
        let mut tree = RadixTree::new();
        let mut model = BTreeMap::new();
        for (number, (step, index, other)) in steps.into_iter().enumerate() {
            match step {
                0..3 => prop_assert_eq!(tree.insert(index, number), Ok(model.insert(index, number))),
                3 => prop_assert_eq!(tree.remove(index), model.remove(&index)),
                4 => prop_assert_eq!(tree.first_from(index), model.range(index..).next().map(|(index, _)| *index)),
                _ => {
                    let range = index.min(other)..index.max(other);
                    prop_assert_eq!(visited(&tree, range.clone()), in_model(&model, range.clone()));
                    let first = model.range(range.clone()).next().map(|(i, v)| (*i, *v));
                    if let Some((index, _)) = first {
                        model.remove(&index);
                    }
                    prop_assert_eq!(tree.remove_first(range), first);
                }
            }
            prop_assert_eq!(tree.get(index), model.get(&index));
            prop_assert_eq!(tree.len(), model.len());
        }
    }

    /// As if each index had a value, which those of a block share.
    #[test]
    fn the_tree_with_blocks_is_its_model(
        steps in proptest::collection::vec((0u8..6, any_index(), any_index(), 0u32..9), 1..60),
    ) {
        let mut tree = RadixTree::new();
        let mut model = BTreeMap::new();
        for (number, (step, index, other, order)) in steps.into_iter().enumerate() {
            let first = index & !((1 << order) - 1);
            let block = |model: &BTreeMap<u64, (usize, u64)>, index: u64| -> Vec<u64> {
                let Some(&value) = model.get(&index) else { return Vec::new() };
                model.iter().filter(|(_, other)| **other == value).map(|(index, _)| *index).collect()
            };
            match step {
                0..2 => {
                    let last = first | ((1 << order) - 1);
                    let expected = match model.range(first..=last).next() {
                        Some(_) => Err(BlockError::Occupied),
                        None => Ok(()),
                    };
                    prop_assert_eq!(tree.insert_block(first, order, (number, 0)), expected);
                    if expected.is_ok() {
                        model.extend((first..=last).map(|index| (index, (number, 0))));
                    }
                }
                2 => {
                    let members = block(&model, index);
                    prop_assert_eq!(tree.remove(index), model.get(&index).copied());
                    members.into_iter().for_each(|index| { model.remove(&index); });
                }
                3 => {
                    let members = block(&model, index);
                    tree.split(index, |_, distance| (number, distance)).unwrap();
                    for (distance, index) in members.iter().enumerate() {
                        *model.get_mut(index).unwrap() = (number, distance as u64);
                    }
                }
                4 => prop_assert_eq!(tree.first_from(index), model.range(index..).next().map(|(index, _)| *index)),
                _ => {
                    let range = index.min(other)..index.max(other);
                    prop_assert_eq!(visited(&tree, range.clone()), in_model(&model, range));
                }
            }
            prop_assert_eq!(tree.get(index), model.get(&index));
            let members = block(&model, index);
            let range = tree.block_at(index).map(|block| (*block.start(), *block.end()));
            prop_assert_eq!(range, members.first().map(|first| (*first, *members.last().unwrap())));
            prop_assert_eq!(tree.len(), model.len());
        }
    }
}
