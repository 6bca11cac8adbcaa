//! Who gets what is mounted in a shared mount, in an order in which masters come before those who receive from them.
//!
//! A walk over the tree of groups that needs no stack: from a group to those that receive from it, and back by its
//! master.

use alloc::sync::Arc;

use super::Mount;
use super::peers::PeerGroup;

/// The walk. For who has the turn, and changes no group meanwhile but to add members to other ones.
pub(super) struct Receivers {
    origin: Arc<Mount>,
    first: Option<Arc<PeerGroup>>,
    group: Option<Arc<PeerGroup>>,
    next: Next,
}

/// Where in its group the walk is: after which one of whom.
#[derive(Clone, Copy)]
enum Next {
    Members(u64),
    Slaves(u64),
    Groups(u32),
}

/// One that receives.
pub(super) struct Receiver {
    /// The mount.
    pub mount: Arc<Mount>,
    /// The group by which it receives: its own, or that of its master.
    pub group: Arc<PeerGroup>,
    /// Whether the group is its own.
    pub is_peer: bool,
}

impl Receivers {
    /// Those who get what is mounted in `origin`, without itself; none unless it is shared.
    pub fn of(origin: &Arc<Mount>) -> Receivers {
        let group = origin.peers();
        Receivers { origin: origin.clone(), first: group.clone(), group, next: Next::Members(0) }
    }

    /// Leaves out the rest of the group of the one before, and all that receive from that; nothing of the first group.
    pub fn skip_group(&mut self) {
        if !self.is_first() {
            self.next = Next::Groups(u32::MAX);
        }
    }

    fn is_first(&self) -> bool {
        match (&self.group, &self.first) {
            (Some(group), Some(first)) => Arc::ptr_eq(group, first),
            _ => true,
        }
    }

    /// Back to the group above, behind this one.
    fn go_back(&mut self) {
        let group = if self.is_first() { None } else { self.group.take() };
        self.next = Next::Groups(group.as_ref().map_or(u32::MAX, |group| group.id));
        self.group = group.and_then(|group| group.master());
    }
}

impl Iterator for Receivers {
    type Item = Receiver;

    fn next(&mut self) -> Option<Receiver> {
        loop {
            let group = self.group.clone()?;
            let (mount, is_peer) = match self.next {
                Next::Members(last) => (group.member_after(last), true),
                Next::Slaves(last) => (group.slave_after(last), false),
                Next::Groups(last) => {
                    match group.slave_group_after(last) {
                        Some(below) => (self.group, self.next) = (Some(below), Next::Members(0)),
                        None => self.go_back(),
                    }
                    continue;
                }
            };
            self.next = match (&mount, is_peer) {
                (Some(mount), true) => Next::Members(mount.serial),
                (Some(mount), false) => Next::Slaves(mount.serial),
                (None, true) => Next::Slaves(0),
                (None, false) => Next::Groups(0),
            };
            if let Some(mount) = mount.filter(|mount| !Arc::ptr_eq(mount, &self.origin)) {
                return Some(Receiver { mount, group, is_peer });
            }
        }
    }
}
