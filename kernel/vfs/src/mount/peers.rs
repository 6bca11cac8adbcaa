//! Peer groups: mounts that show one part of a file system and tell each other what is mounted there; masters and
//! slaves.
//!
//! What is mounted in a mount that is shared comes to all members of its group and, from there, to the group's slaves:
//! mounts that only receive, and groups that receive as one and pass on among themselves (mount_namespaces(7); Linux:
//! `shared-subtrees.txt`). All members of a group have the same master, so it is the group's. A group ends with its
//! last member; its slaves go over to its master.
//!
//! A group names those who receive by weak references: they do not keep a mount in use. Changed by who has the turn;
//! the locks are for those who show it.

use alloc::collections::BTreeMap;
use alloc::sync::{Arc, Weak};
use core::mem;
use core::ops::Bound;

use abi::Errno;
use hal::sync::SpinLock;
use libkernel::numbers::Numbers;

use super::{Location, Mount};

/// The most groups at one time, and one.
const GROUPS: usize = 16 * 32_768;

/// The numbers of the groups there are, from 1.
static NUMBERS: SpinLock<Numbers<16, 128>> = SpinLock::new(Numbers::new());

/// Mounts that are peers.
pub struct PeerGroup {
    /// What `/proc/PID/mountinfo` numbers it.
    pub id: u32,
    links: SpinLock<Links>,
}

#[derive(Default)]
struct Links {
    members: BTreeMap<u64, Weak<Mount>>,
    slaves: BTreeMap<u64, Weak<Mount>>,
    slave_groups: BTreeMap<u32, Weak<PeerGroup>>,
    master: Option<Arc<PeerGroup>>,
}

/// How a mount stands to others.
#[derive(Clone)]
pub enum Propagation {
    /// To none.
    Private,
    /// To none, and there are to be no views of it.
    Unbindable,
    /// One of a group's peers.
    Shared(Arc<PeerGroup>),
    /// It receives from a group.
    Slave(Arc<PeerGroup>),
}

/// What mount(2) can ask for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PropagationKind {
    /// `MS_PRIVATE`.
    Private,
    /// `MS_UNBINDABLE`.
    Unbindable,
    /// `MS_SHARED`: of what receives, a group that does.
    Shared,
    /// `MS_SLAVE`: only of what is shared, and has peers or a master.
    Slave,
}

impl PeerGroup {
    /// A group without members. ENOSPC when there are too many.
    pub(super) fn new(master: Option<Arc<PeerGroup>>) -> Result<Arc<PeerGroup>, Errno> {
        let number = NUMBERS.lock().take_next(1, GROUPS).ok_or(Errno::ENOSPC)?;
        let links = SpinLock::new(Links { master: master.clone(), ..Links::default() });
        // Fits: below GROUPS.
        let group = Arc::new(PeerGroup { id: number as u32, links });
        if let Some(master) = master {
            master.links.lock().slave_groups.insert(group.id, Arc::downgrade(&group));
        }
        Ok(group)
    }

    /// The group that it receives from.
    pub fn master(&self) -> Option<Arc<PeerGroup>> {
        self.links.lock().master.clone()
    }

    /// The member after the one of a serial number.
    pub(super) fn member_after(&self, serial: u64) -> Option<Arc<Mount>> {
        after(&self.links.lock().members, serial)
    }

    /// The mount that only receives after the one of a serial number.
    pub(super) fn slave_after(&self, serial: u64) -> Option<Arc<Mount>> {
        after(&self.links.lock().slaves, serial)
    }

    /// The group that receives after the one of a number.
    pub(super) fn slave_group_after(&self, id: u32) -> Option<Arc<PeerGroup>> {
        after(&self.links.lock().slave_groups, id)
    }

    /// Gives what receives from it to its master, which is returned.
    fn dissolve(&self) -> Option<Arc<PeerGroup>> {
        let master = self.links.lock().master.take();
        if let Some(master) = &master {
            master.links.lock().slave_groups.remove(&self.id);
        }
        while let Some((_, slave)) = { self.links.lock().slaves.pop_first() } {
            if let Some(slave) = slave.upgrade() {
                slave.receive_from(master.clone());
            }
        }
        while let Some((id, group)) = { self.links.lock().slave_groups.pop_first() } {
            if let Some(group) = group.upgrade() {
                let before = mem::replace(&mut group.links.lock().master, master.clone());
                drop(before);
                if let Some(master) = &master {
                    master.links.lock().slave_groups.insert(id, Arc::downgrade(&group));
                }
            }
        }
        master
    }

    /// Whether one of its members can be seen below a root.
    fn is_seen_below(&self, root: &Location) -> bool {
        let namespace = root.mount.namespace();
        let mut last = 0;
        while let Some(member) = self.member_after(last) {
            let is_here = namespace.as_ref().is_some_and(|namespace| namespace.has(&member));
            if is_here && member.root_location().is_below(root) {
                return true;
            }
            last = member.serial;
        }
        false
    }
}

impl Drop for PeerGroup {
    fn drop(&mut self) {
        NUMBERS.lock().release(self.id as usize);
    }
}

fn after<K: Ord + Copy, V>(all: &BTreeMap<K, Weak<V>>, key: K) -> Option<Arc<V>> {
    all.range((Bound::Excluded(key), Bound::Unbounded)).find_map(|(_, value)| value.upgrade())
}

impl Mount {
    /// How it stands to others.
    pub fn propagation(&self) -> Propagation {
        self.propagation.lock().clone()
    }

    /// Its peers, if it is shared.
    pub fn peers(&self) -> Option<Arc<PeerGroup>> {
        match &*self.propagation.lock() {
            Propagation::Shared(group) => Some(group.clone()),
            _ => None,
        }
    }

    /// The group that it receives from, by itself or with its peers.
    pub fn master(&self) -> Option<Arc<PeerGroup>> {
        match self.propagation() {
            Propagation::Shared(group) => group.master(),
            Propagation::Slave(master) => Some(master),
            Propagation::Private | Propagation::Unbindable => None,
        }
    }

    /// The nearest master that has a member below a root.
    pub fn nearest_master_below(&self, root: &Location) -> Option<Arc<PeerGroup>> {
        let mut master = self.master()?;
        while !master.is_seen_below(root) {
            master = master.master()?;
        }
        Some(master)
    }

    /// Changes how it stands to others. ENOSPC when there are too many groups.
    pub(super) fn set_propagation(self: &Arc<Self>, kind: PropagationKind) -> Result<(), Errno> {
        match (kind, self.propagation()) {
            (PropagationKind::Shared, Propagation::Shared(_)) => {}
            (PropagationKind::Shared, _) => {
                let group = PeerGroup::new(self.master())?;
                self.leave();
                self.join(group);
            }
            (PropagationKind::Slave, Propagation::Shared(_)) => {
                let master = self.leave();
                self.receive_from(master);
            }
            (PropagationKind::Slave, _) => {}
            (PropagationKind::Private, _) => drop(self.leave()),
            (PropagationKind::Unbindable, _) => {
                self.leave();
                self.become_one(Propagation::Unbindable);
            }
        }
        Ok(())
    }

    /// Becomes a peer of a group. It is none of another.
    pub(super) fn join(self: &Arc<Self>, group: Arc<PeerGroup>) {
        group.links.lock().members.insert(self.serial, Arc::downgrade(self));
        self.become_one(Propagation::Shared(group));
    }

    /// Receives from a group, if there is one. It is in none.
    pub(super) fn receive_from(self: &Arc<Self>, master: Option<Arc<PeerGroup>>) {
        let Some(master) = master else { return self.become_one(Propagation::Private) };
        master.links.lock().slaves.insert(self.serial, Arc::downgrade(self));
        self.become_one(Propagation::Slave(master));
    }

    fn become_one(&self, propagation: Propagation) {
        let before = mem::replace(&mut *self.propagation.lock(), propagation);
        drop(before);
    }

    /// Leaves its peers or its master; returns from whom it could go on receiving.
    pub(super) fn leave(&self) -> Option<Arc<PeerGroup>> {
        let before = mem::replace(&mut *self.propagation.lock(), Propagation::Private);
        match before {
            Propagation::Private | Propagation::Unbindable => None,
            Propagation::Slave(master) => {
                master.links.lock().slaves.remove(&self.serial);
                Some(master)
            }
            Propagation::Shared(group) => {
                let is_last = {
                    let mut links = group.links.lock();
                    links.members.remove(&self.serial);
                    links.members.is_empty()
                };
                if is_last { group.dissolve() } else { Some(group) }
            }
        }
    }
}
