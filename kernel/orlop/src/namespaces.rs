//! The namespaces that a thread is in: what names and numbers mean to it (namespaces(7)).
//!
//! Each is a value. A thread has one of each kind, together in [`Namespaces`] (Linux: `nsproxy`), which it shares with
//! who made it; so making a thread counts one reference. Two kinds stand elsewhere: that of processes with the process,
//! for good, and that of users with the credentials. The initial ones are made at boot, for the first process. No call
//! makes others yet: it would make a `Namespaces` with one part replaced, and give that to the thread or the child.

pub mod names;

use alloc::sync::Arc;

use subject::PidNamespace;
use vfs::mount;

use names::HostNames;

/// The namespaces of a thread.
pub struct Namespaces {
    /// Names of the host.
    pub names: Arc<HostNames>,
    /// The mounts that it sees.
    pub mounts: Arc<mount::Namespace>,
    /// The processes that its children are in.
    pub processes_of_children: Arc<PidNamespace>,
    /// Groups of processes.
    pub cgroups: Arc<Bare>,
    /// Objects of System V, and message queues.
    pub ipc: Arc<Bare>,
    /// Network devices.
    pub network: Arc<Bare>,
    /// What is added to its clocks.
    pub time: Arc<Bare>,
    /// What is added to its children's.
    pub time_of_children: Arc<Bare>,
}

/// A namespace of what this kernel does not have, or does not tell apart: nothing but itself.
pub struct Bare {
    /// The inode number of its file.
    pub number: u64,
}

/// Inode numbers of the initial namespaces: Linux's first ones (`include/linux/proc_ns.h`), and of the network what
/// Debian's kernel numbers it as it comes.
const CGROUPS: u64 = 0xefff_fffb;
const IPC: u64 = 0xefff_ffff;
const NETWORK: u64 = 0xf000_0000;
const TIME: u64 = 0xefff_fffa;

impl Namespaces {
    /// Those of the first process, which sees these mounts.
    pub fn initial(mounts: Arc<mount::Namespace>) -> Arc<Namespaces> {
        let bare = |number| Arc::new(Bare { number });
        let time = bare(TIME);
        Arc::new(Namespaces {
            names: Arc::new(HostNames::initial()),
            mounts,
            processes_of_children: PidNamespace::initial(),
            cgroups: bare(CGROUPS),
            ipc: bare(IPC),
            network: bare(NETWORK),
            time: time.clone(),
            time_of_children: time,
        })
    }
}
