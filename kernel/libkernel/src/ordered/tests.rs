//! Tests of the ordered tree against an ordered map.

use super::*;
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::vec::Vec;

/// Checks ranks and order; the greatest depth.
fn check<K: Ord + Copy, V>(link: &Link<K, V>, keys: &mut Vec<K>) -> usize {
    let Some(node) = link else { return 0 };
    assert!([&node.left, &node.right].into_iter().flatten().all(|child| child.rank <= node.rank));
    let left = check(&node.left, keys);
    keys.push(node.key);
    1 + left.max(check(&node.right, keys))
}

fn insert<K: Ord + Copy + Default, V>(tree: &mut Tree<K, V>, key: K, value: V) {
    let mut node = Node::new();
    node.fill(value);
    tree.insert(node, key);
}

fn depth(tree: &Tree<u64, u64>) -> usize {
    let mut keys = Vec::new();
    let depth = check(&tree.root, &mut keys);
    assert!(keys.windows(2).all(|pair| pair[0] < pair[1]));
    depth
}

#[test]
fn keys_in_order_leave_the_tree_flat() {
    let mut tree = Tree::new();
    for key in 0..10_000 {
        insert(&mut tree, key, key);
    }
    assert!(depth(&tree) < 60);
    for key in 0..10_000 {
        assert_eq!(tree.take_first_if(|_, _| true).map(|node| node.key), Some(key));
    }
    assert!(tree.is_empty());
}

#[test]
fn a_node_is_used_again() {
    let mut tree = Tree::new();
    insert(&mut tree, 1, 'a');
    let mut node = tree.take(1).expect("it is there");
    assert_eq!(node.empty(), Some('a'));
    node.fill('b');
    tree.insert(node, 2);
    assert_eq!((tree.get(1), tree.get(2)), (None, Some(&'b')));
}

proptest! {
    #[test]
    fn the_tree_is_its_model(steps in proptest::collection::vec((0u8..5, 0u64..60), 1..300)) {
        let mut tree = Tree::new();
        let mut model = BTreeMap::new();
        for (what, key) in steps {
            match what {
                0 => if model.insert(key, key * 2).is_none() {
                    insert(&mut tree, key, key * 2);
                },
                1 => prop_assert_eq!(tree.take(key).and_then(|mut node| node.empty()), model.remove(&key)),
                2 => {
                    let wanted = model.first_key_value().filter(|(first, _)| **first < key).map(|(first, _)| *first);
                    prop_assert_eq!(tree.take_first_if(|first, value| *first < key && *value == *first * 2).map(|node| node.key), wanted);
                    wanted.map(|first| model.remove(&first));
                }
                3 => {
                    let only = model.first_key_value().filter(|_| model.len() == 1).map(|(only, _)| *only);
                    let wanted = only.filter(|only| *only >= key);
                    let taken = tree.take_only_if(|only, value| *only >= key && *value == *only * 2);
                    prop_assert_eq!(taken.map(|node| node.key), wanted);
                    wanted.map(|only| model.remove(&only));
                }
                _ => {
                    let model = model.range(key..).next().map(|(key, value)| (*key, value));
                    prop_assert_eq!(tree.first_from(key), model);
                }
            }
            prop_assert_eq!(tree.first().map(|(key, _)| key), model.keys().next().copied());
            depth(&tree);
        }
    }
}
