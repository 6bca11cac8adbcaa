//! The namespaces that every process is in, as files: namespaces(7), ioctl_ns(2).
//!
//! There is one of each kind, and no call makes another: `clone` and `unshare` refuse the flags as a kernel does that
//! was built without them. The links show who shares what: all share all.

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
use vfs::anonymous;
use vfs::attributes::FileKind;
use vfs::clock;
use vfs::dentry::{Dentry, Linkable};
use vfs::fd_table::OnExec;
use vfs::file::{File, FileOperations, Handle};
use vfs::filesystem::FileSystemType;
use vfs::generated::{Class, ownership};
use vfs::inode::{Body, GeneratedFile, Inode};
use vfs::mount::{Location, Mount};

use crate::process::current;

/// A namespace.
#[derive(PartialEq, Eq, Debug)]
pub struct Namespace {
    /// What it is called in a link's text.
    pub kind: &'static str,
    /// Its flag for `clone` and `setns`.
    pub flag: u64,
    /// Its inode number: those of Linux's first ones (`include/linux/proc_ns.h`); of the last two Debian's kernel
    /// numbers as they come.
    pub number: u64,
}

static CGROUP: Namespace = Namespace { kind: "cgroup", flag: CLONE_NEWCGROUP, number: 0xefff_fffb };
static IPC: Namespace = Namespace { kind: "ipc", flag: CLONE_NEWIPC, number: 0xefff_ffff };
static MOUNTS: Namespace = Namespace { kind: "mnt", flag: CLONE_NEWNS, number: 0xf000_0001 };
static NETWORK: Namespace = Namespace { kind: "net", flag: CLONE_NEWNET, number: 0xf000_0000 };
static PROCESSES: Namespace = Namespace { kind: "pid", flag: CLONE_NEWPID, number: 0xefff_fffc };
static TIME: Namespace = Namespace { kind: "time", flag: CLONE_NEWTIME, number: 0xefff_fffa };
static USERS: Namespace = Namespace { kind: "user", flag: CLONE_NEWUSER, number: 0xefff_fffd };
static NAMES: Namespace = Namespace { kind: "uts", flag: CLONE_NEWUTS, number: 0xefff_fffe };

/// The names in `/proc/PID/ns`.
pub static LINKS: &[(&str, &Namespace)] = &[
    ("cgroup", &CGROUP),
    ("ipc", &IPC),
    ("mnt", &MOUNTS),
    ("net", &NETWORK),
    ("pid", &PROCESSES),
    ("pid_for_children", &PROCESSES),
    ("time", &TIME),
    ("time_for_children", &TIME),
    ("user", &USERS),
    ("uts", &NAMES),
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
pub fn location(namespace: &'static Namespace) -> Result<Location, Errno> {
    let mount = MOUNT.get_or_try_init(|| anonymous::new_mount(&NsFs))?.clone();
    let body = Body::Made(alloc::boxed::Box::new(NamespaceFile(namespace)));
    let inode = Inode::with_number(
        &mount.filesystem,
        namespace.number,
        FileKind::Regular,
        ownership(0o444),
        body,
        clock::now(),
    );
    let label = Arc::from(text(namespace).as_bytes());
    Ok(Location { mount, dentry: Dentry::new_nameless(inode, None, label, Linkable::No) })
}

/// What a link to it says.
pub fn text(namespace: &Namespace) -> alloc::string::String {
    alloc::format!("{}:[{}]", namespace.kind, namespace.number)
}

/// The namespace that an open file stands for.
pub fn of_file(file: &File) -> Option<&'static Namespace> {
    let location = file.location();
    let is_namespace = MOUNT.get().is_some_and(|mount| Arc::ptr_eq(&location.mount, mount));
    let number = location.dentry.inode().number;
    LINKS.iter().map(|&(_, namespace)| namespace).find(|namespace| is_namespace && namespace.number == number)
}

struct NamespaceFile(&'static Namespace);

impl GeneratedFile for NamespaceFile {
    fn open(&self) -> Result<Arc<dyn FileOperations>, Errno> {
        Ok(Arc::new(Opened(self.0)))
    }

    fn class(&self) -> Class {
        Class::System
    }

    fn is_immutable(&self) -> bool {
        true
    }
}

struct Opened(&'static Namespace);

impl FileOperations for Opened {
    fn is_pollable(&self) -> bool {
        false
    }

    fn ioctl(&self, _file: &File, request: u32, argument: u64) -> Result<u64, Failure> {
        let is_users = *self.0 == USERS;
        match request {
            NS_GET_NSTYPE => Ok(self.0.flag),
            NS_GET_USERNS if is_users => Err(Errno::EPERM.into()),
            NS_GET_USERNS => Ok(open_namespace(&USERS)?.into()),
            // The first ones have none.
            NS_GET_PARENT if is_users || *self.0 == PROCESSES => Err(Errno::EPERM.into()),
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
fn open_namespace(namespace: &'static Namespace) -> Result<u32, Errno> {
    let file = File::new(location(namespace)?, Handle::Special(Arc::new(Opened(namespace))), O_RDONLY, None);
    let thread = current().ok_or(Errno::ENOTTY)?;
    thread.files().insert(file, OnExec::from_open_flags(O_CLOEXEC), thread.descriptor_limit())
}
