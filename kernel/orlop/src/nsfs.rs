//! The namespaces that every process is in, as files: namespaces(7), ioctl_ns(2).
//!
//! A file stands for a value, which it keeps, and its inode number is the value's. So far there is one of each kind,
//! and no call makes another: `clone` and `unshare` refuse the flags as a kernel does that was built without them.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use abi::Errno;
use abi::fs::{NSFS_MAGIC, O_CLOEXEC, O_RDONLY};
use abi::ioctl::{NS_GET_NSTYPE, NS_GET_OWNER_UID, NS_GET_PARENT, NS_GET_USERNS};
use abi::process::{
    CLONE_NEWCGROUP, CLONE_NEWIPC, CLONE_NEWNET, CLONE_NEWNS, CLONE_NEWPID, CLONE_NEWTIME, CLONE_NEWUSER,
    CLONE_NEWUTS,
};
use hal::sync::Once;
use libkernel::addr::UserAddr;
use memory::user::UserPtr;
use outcome::Failure;
use subject::{PidNamespace, UserNamespace};
use vfs::anonymous;
use vfs::attributes::FileKind;
use vfs::clock;
use vfs::dentry::{Dentry, Linkable};
use vfs::fd_table::OnExec;
use vfs::file::{File, FileOperations, Handle};
use vfs::filesystem::FileSystemType;
use vfs::generated::{Class, ownership};
use vfs::inode::{Body, GeneratedFile, Inode};
use vfs::mount::{self, Location, Mount};

use crate::namespaces::Bare;
use crate::namespaces::names::HostNames;
use crate::process::{Thread, current};

/// A namespace of some kind.
#[derive(Clone)]
pub enum Namespace {
    /// Of groups of processes.
    Cgroups(Arc<Bare>),
    /// Of objects of System V.
    Ipc(Arc<Bare>),
    /// Of mounts.
    Mounts(Arc<mount::Namespace>),
    /// Of network devices.
    Network(Arc<Bare>),
    /// Of processes.
    Processes(Arc<PidNamespace>),
    /// Of clocks.
    Time(Arc<Bare>),
    /// Of users.
    Users(Arc<UserNamespace>),
    /// Of host names.
    Names(Arc<HostNames>),
}

impl Namespace {
    /// What it is called in a link's text.
    fn kind(&self) -> &'static str {
        match self {
            Namespace::Cgroups(_) => "cgroup",
            Namespace::Ipc(_) => "ipc",
            Namespace::Mounts(_) => "mnt",
            Namespace::Network(_) => "net",
            Namespace::Processes(_) => "pid",
            Namespace::Time(_) => "time",
            Namespace::Users(_) => "user",
            Namespace::Names(_) => "uts",
        }
    }

    /// Its flag for `clone` and `setns`.
    pub fn flag(&self) -> u64 {
        match self {
            Namespace::Cgroups(_) => CLONE_NEWCGROUP,
            Namespace::Ipc(_) => CLONE_NEWIPC,
            Namespace::Mounts(_) => CLONE_NEWNS,
            Namespace::Network(_) => CLONE_NEWNET,
            Namespace::Processes(_) => CLONE_NEWPID,
            Namespace::Time(_) => CLONE_NEWTIME,
            Namespace::Users(_) => CLONE_NEWUSER,
            Namespace::Names(_) => CLONE_NEWUTS,
        }
    }

    /// The inode number of its file.
    fn number(&self) -> u64 {
        match self {
            Namespace::Cgroups(own)
            | Namespace::Ipc(own)
            | Namespace::Network(own)
            | Namespace::Time(own) => own.number,
            Namespace::Mounts(own) => own.number,
            Namespace::Processes(own) => own.number(),
            Namespace::Users(own) => own.number(),
            Namespace::Names(own) => own.number,
        }
    }
}

/// What a link in `/proc/PID/ns` leads to.
pub struct Link {
    /// Its name.
    pub name: &'static str,
    /// The namespace of a thread.
    pub of: fn(&Thread) -> Namespace,
    /// Whether a process that has ended is still in it.
    pub outlives: bool,
}

/// A link to what ends with the process.
const fn link(name: &'static str, of: fn(&Thread) -> Namespace) -> Link {
    Link { name, of, outlives: false }
}

/// The names in `/proc/PID/ns`.
pub static LINKS: &[Link] = &[
    link("cgroup", |thread| Namespace::Cgroups(thread.namespaces().cgroups.clone())),
    link("ipc", |thread| Namespace::Ipc(thread.namespaces().ipc.clone())),
    link("mnt", |thread| Namespace::Mounts(thread.namespaces().mounts.clone())),
    link("net", |thread| Namespace::Network(thread.namespaces().network.clone())),
    Link {
        name: "pid",
        of: |thread| Namespace::Processes(thread.process().pid_namespace().clone()),
        outlives: true,
    },
    link("pid_for_children", |thread| {
        Namespace::Processes(thread.namespaces().processes_of_children.clone())
    }),
    link("time", |thread| Namespace::Time(thread.namespaces().time.clone())),
    link("time_for_children", |thread| Namespace::Time(thread.namespaces().time_of_children.clone())),
    Link { name: "user", of: |thread| Namespace::Users(thread.user_namespace()), outlives: true },
    link("uts", |thread| Namespace::Names(thread.namespaces().names.clone())),
];

/// Namespaces, which have no names.
struct NsFs;

impl FileSystemType for NsFs {
    fn name(&self) -> &'static str {
        "nsfs"
    }

    fn magic(&self) -> i64 {
        NSFS_MAGIC
    }

    fn description(&self, dentry: &Dentry) -> Option<Vec<u8>> {
        Some(dentry.name().to_vec())
    }
}

/// The mount, attached nowhere, that the files are on.
static MOUNT: Once<Arc<Mount>> = Once::new();

/// The place of its file.
pub fn location(namespace: &Namespace) -> Result<Location, Errno> {
    let mount = MOUNT.get_or_try_init(|| anonymous::new_mount(&NsFs))?.clone();
    let body = Body::Made(Box::new(NamespaceFile(namespace.clone())));
    let inode = Inode::with_number(
        &mount.filesystem,
        namespace.number(),
        FileKind::Regular,
        ownership(0o444),
        body,
        clock::now(),
    );
    let label = Arc::from(text(namespace).as_bytes());
    Ok(Location { mount, dentry: Dentry::new_nameless(inode, None, label, Linkable::No) })
}

/// What a link to it says.
pub fn text(namespace: &Namespace) -> String {
    alloc::format!("{}:[{}]", namespace.kind(), namespace.number())
}

/// The namespace that an open file stands for.
pub fn of_file(file: &File) -> Option<&Namespace> {
    file.operations::<Opened>().map(|opened| &opened.0)
}

struct NamespaceFile(Namespace);

impl GeneratedFile for NamespaceFile {
    fn open(&self) -> Result<Arc<dyn FileOperations>, Errno> {
        Ok(Arc::new(Opened(self.0.clone())))
    }

    fn class(&self) -> Class {
        Class::System
    }

    fn is_immutable(&self) -> bool {
        true
    }
}

struct Opened(Namespace);

impl FileOperations for Opened {
    fn is_pollable(&self) -> bool {
        false
    }

    fn ioctl(&self, _file: &File, request: u32, argument: u64) -> Result<u64, Failure> {
        let is_users = matches!(self.0, Namespace::Users(_));
        match request {
            NS_GET_NSTYPE => Ok(self.0.flag()),
            // Nobody sees what is above the first one, and that is the owner of all others.
            NS_GET_USERNS if is_users => Err(Errno::EPERM.into()),
            NS_GET_USERNS => Ok(open_namespace(Namespace::Users(UserNamespace::initial().clone()))?.into()),
            // The first ones have none.
            NS_GET_PARENT if is_users || matches!(self.0, Namespace::Processes(_)) => {
                Err(Errno::EPERM.into())
            }
            NS_GET_PARENT => Err(Errno::EINVAL.into()),
            NS_GET_OWNER_UID if is_users => {
                UserPtr::new(UserAddr::new(argument)).write(&0_u32)?;
                Ok(0)
            }
            NS_GET_OWNER_UID => Err(Errno::EINVAL.into()),
            _ => Err(Errno::ENOTTY.into()),
        }
    }
}

/// Opens the file of a namespace; closed by `execve`, as all that such a request opens.
fn open_namespace(namespace: Namespace) -> Result<u32, Errno> {
    let place = location(&namespace)?;
    let file = File::new(place, Handle::Special(Arc::new(Opened(namespace))), O_RDONLY, None);
    let thread = current().ok_or(Errno::ENOTTY)?;
    thread.files().insert(file, OnExec::from_open_flags(O_CLOEXEC), thread.descriptor_limit())
}
