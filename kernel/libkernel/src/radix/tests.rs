//! Tests of the radix tree against an ordered map.

use super::*;
use proptest::prelude::*;
use std::collections::BTreeMap;

#[test]
fn the_last_index_works() {
    let mut tree = RadixTree::new();
    assert_eq!(tree.insert(u64::MAX, 1), Ok(None));
    assert_eq!(tree.insert(0, 2), Ok(None));
    assert_eq!(tree.first_from(1), Some(u64::MAX));
    assert_eq!(tree.range(0..u64::MAX).count(), 1);
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
                    prop_assert!(tree.range(range.clone()).eq(model.range(range.clone()).map(|(i, v)| (*i, v))));
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
}
