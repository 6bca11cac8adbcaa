//! Trees of mounts as lists, and copies of them.

use alloc::sync::Arc;
use alloc::vec::Vec;

use abi::Errno;
use hal::frame;
use outcome::OrErrno;

use super::{Location, Mount, table};
use crate::dentry::Dentry;

/// A mount of a tree.
pub(super) struct Node {
    /// The mount.
    pub mount: Arc<Mount>,
    /// Which of the list it lies in; of the first one 0.
    pub outer: usize,
    /// Where it lies there; of the first one its root.
    pub at: Arc<Dentry>,
}

/// A mount and all that lies inside, each before what lies in it. What `keeps` refuses is left out, with all that lies
/// in it. For who has the turn. ENOMEM without room for the list.
pub(super) fn list(top: &Arc<Mount>, keeps: impl Fn(&Mount, &Location) -> bool) -> Result<Vec<Node>, Errno> {
    let mut nodes = Vec::new();
    push(&mut nodes, Node { mount: top.clone(), outer: 0, at: top.root.clone() })?;
    let mut current = 0;
    let mut after = None;
    while let Some(Node { mount, outer, .. }) = nodes.get(current) {
        match table::next_inside(mount, after.as_ref()) {
            Some(inner) => match inner.place().filter(|place| keeps(&inner, place)) {
                Some(place) => {
                    push(&mut nodes, Node { mount: inner, outer: current, at: place.dentry })?;
                    (current, after) = (nodes.len() - 1, None);
                }
                None => after = Some(inner),
            },
            None if current == 0 => break,
            None => (current, after) = (*outer, Some(mount.clone())),
        }
    }
    Ok(nodes)
}

pub(super) fn push<T>(list: &mut Vec<T>, one: T) -> Result<(), Errno> {
    list.try_reserve(1).or_errno()?;
    list.push(one);
    Ok(())
}

/// Copies a tree whose first mount shows `root`. The copies lie in each other, and nowhere; `relate` says how each
/// stands to others. Nothing is left of them on an error.
pub(super) fn copy(
    nodes: &[Node],
    root: &Arc<Dentry>,
    relate: impl Fn(usize, &Arc<Mount>) -> Result<(), Errno>,
) -> Result<Vec<Arc<Mount>>, Errno> {
    let mut copies: Vec<Arc<Mount>> = Vec::new();
    for (index, node) in nodes.iter().enumerate() {
        let shown = if index == 0 { root } else { &node.mount.root };
        let made = next_copy(&mut copies, node, shown).and_then(|view| relate(index, &view));
        if let Err(errno) = made {
            abandon(&copies);
            return Err(errno);
        }
    }
    Ok(copies)
}

fn next_copy(copies: &mut Vec<Arc<Mount>>, node: &Node, root: &Arc<Dentry>) -> Result<Arc<Mount>, Errno> {
    // There can be many: what each takes comes from the kernel's own memory.
    if frame::is_critical() {
        return Err(Errno::ENOMEM);
    }
    let view = node.mount.view(root.clone());
    push(copies, view.clone())?;
    let outer = copies.get(node.outer).filter(|outer| !Arc::ptr_eq(outer, &view));
    if let Some(outer) = outer {
        table::lay(&view, Location { mount: outer.clone(), dentry: node.at.clone() });
    }
    Ok(view)
}

/// Takes apart a tree that is attached nowhere.
pub(super) fn abandon(mounts: &[Arc<Mount>]) {
    for mount in mounts.iter().rev() {
        table::take_out(mount);
        mount.leave();
    }
}
