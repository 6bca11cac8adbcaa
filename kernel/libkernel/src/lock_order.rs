//! The order in which locks are taken: "held A, then took B" as a graph of lock classes.
//!
//! As long as it has no cycle, no set of threads can wait for each other in a circle, whatever they do at the same
//! time.

use core::sync::atomic::{AtomicU64, Ordering};

/// The most classes.
pub const CLASSES: usize = 256;

const WORDS: usize = CLASSES / 64;

/// Which class was taken while which was held. Edges are only added.
pub struct Graph([[AtomicU64; WORDS]; CLASSES]);

/// A way along edges, from one class to another, both included.
pub struct Path {
    steps: [u8; CLASSES],
    length: usize,
}

impl Path {
    /// The classes in order.
    pub fn classes(&self) -> impl Iterator<Item = usize> + '_ {
        self.steps.iter().take(self.length).map(|&class| class.into())
    }
}

impl Graph {
    /// No edges.
    pub const fn new() -> Self {
        Self([const { [const { AtomicU64::new(0) }; WORDS] }; CLASSES])
    }

    fn word(&self, from: usize, to: usize) -> &AtomicU64 {
        &self.0[from % CLASSES][to % CLASSES / 64]
    }

    /// Whether the edge is known.
    pub fn contains(&self, from: usize, to: usize) -> bool {
        self.word(from, to).load(Ordering::Relaxed) >> (to % 64) & 1 != 0
    }

    /// Adds an edge.
    pub fn insert(&self, from: usize, to: usize) {
        self.word(from, to).fetch_or(1 << (to % 64), Ordering::Relaxed);
    }

    /// A shortest way from one class to another. If there is one, the opposite edge would close a cycle.
    pub fn path(&self, from: usize, to: usize) -> Option<Path> {
        const UNSEEN: u8 = u8::MAX;
        // Class 255 cannot be told from "unseen" as a predecessor: it is left out.
        let mut before = [UNSEEN; CLASSES];
        let mut queue = [0u8; CLASSES];
        let (mut head, mut tail) = (0, 1);
        queue[0] = from as u8;
        before[from % CLASSES] = from as u8;
        while head < tail {
            let class = usize::from(queue[head]);
            head += 1;
            if class == to {
                return Some(Self::walk_back(&before, from, to));
            }
            for next in (0..CLASSES - 1).filter(|&next| self.contains(class, next)) {
                if before[next] == UNSEEN {
                    before[next] = class as u8;
                    queue[tail] = next as u8;
                    tail += 1;
                }
            }
        }
        None
    }

    fn walk_back(before: &[u8; CLASSES], from: usize, to: usize) -> Path {
        let mut path = Path { steps: [0; CLASSES], length: 0 };
        let mut class = to;
        loop {
            path.steps[path.length] = class as u8;
            path.length += 1;
            if class == from {
                break;
            }
            class = before[class].into();
        }
        path.steps[..path.length].reverse();
        path
    }
}

impl Default for Graph {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::vec::Vec;

    fn path(graph: &Graph, from: usize, to: usize) -> Option<Vec<usize>> {
        graph.path(from, to).map(|path| path.classes().collect())
    }

    #[test]
    fn the_shortest_way_is_found_and_only_along_edges() {
        let graph = Graph::new();
        for (from, to) in [(1, 2), (2, 3), (3, 4), (2, 4), (200, 1)] {
            graph.insert(from, to);
        }
        assert_eq!(path(&graph, 200, 4), Some([200, 1, 2, 4].into()));
        assert_eq!(path(&graph, 4, 1), None);
        assert!(graph.contains(200, 1) && !graph.contains(1, 200));
    }

    proptest! {
        /// Inserting only edges without a way back keeps the graph free of cycles: there is an order of all classes.
        #[test]
        fn refusing_edges_with_a_way_back_leaves_no_cycle(edges in prop::collection::vec((0usize..12, 0usize..12), 0..80)) {
            let graph = Graph::new();
            for &(from, to) in edges.iter().filter(|(from, to)| from != to) {
                if graph.path(to, from).is_none() {
                    graph.insert(from, to);
                }
            }
            let mut left: Vec<usize> = (0..12).collect();
            while !left.is_empty() {
                let is_first = |&class: &usize| left.iter().all(|&other| !graph.contains(other, class));
                let first = left.iter().position(is_first);
                prop_assert!(first.is_some());
                left.remove(first.unwrap());
            }
        }
    }
}
