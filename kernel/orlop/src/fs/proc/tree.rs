//! The fixed names of procfs: tables, and the directories made from them.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;

use abi::Errno;

use super::text::{Made, TextFile};
use super::{process, sysctl, system, task};
use crate::fs::attributes::FileKind;
use crate::fs::clock;
use crate::fs::dentry::Dentry;
use crate::fs::filesystem::FileSystem;
use crate::fs::inode::{Body, GeneratedDirectory, GeneratedEntry, Inode, LinkTarget, MagicLink, Ownership};

/// One fixed name.
pub struct Fixed {
    name: &'static str,
    node: Node,
}

/// What a fixed name stands for.
enum Node {
    /// A text for everyone to read.
    File(fn() -> Result<Vec<u8>, Errno>),
    /// A link whose text depends on who reads it.
    Link(fn() -> Result<Arc<[u8]>, Errno>),
    /// More fixed names.
    Directory(&'static [Fixed]),
}

const fn file(name: &'static str, make: fn() -> Result<Vec<u8>, Errno>) -> Fixed {
    Fixed { name, node: Node::File(make) }
}

const fn link(name: &'static str, text: fn() -> Result<Arc<[u8]>, Errno>) -> Fixed {
    Fixed { name, node: Node::Link(text) }
}

const fn directory(name: &'static str, names: &'static [Fixed]) -> Fixed {
    Fixed { name, node: Node::Directory(names) }
}

static ROOT: &[Fixed] = &[
    file("cmdline", system::command_line),
    file("cpuinfo", system::cpuinfo),
    file("devices", system::devices),
    file("filesystems", system::filesystems),
    file("loadavg", system::loadavg),
    file("meminfo", system::meminfo),
    #[cfg(debug_assertions)]
    file("lock_stat", system::lock_statistics),
    link("mounts", system::mounts_link),
    link("self", task::self_link),
    file("stat", system::stat),
    file("swaps", system::swaps),
    directory("sys", SYS),
    link("thread-self", task::thread_self_link),
    file("uptime", system::uptime),
    file("version", system::version),
    file("vmstat", system::vmstat),
];

static SYS: &[Fixed] = &[directory("fs", FS), directory("kernel", KERNEL), directory("vm", VM)];

static FS: &[Fixed] = &[
    file("file-max", sysctl::file_max),
    file("nr_open", sysctl::open_max),
    file("pipe-max-size", sysctl::pipe_max_size),
];

static KERNEL: &[Fixed] = &[
    file("domainname", sysctl::domain_name),
    file("hostname", sysctl::host_name),
    file("ngroups_max", sysctl::groups_max),
    file("osrelease", sysctl::release),
    file("ostype", sysctl::system_name),
    file("pid_max", sysctl::pid_max),
    directory("random", RANDOM),
    file("threads-max", sysctl::threads_max),
    file("version", sysctl::build),
];

static RANDOM: &[Fixed] = &[
    file("boot_id", sysctl::boot_id),
    file("entropy_avail", sysctl::entropy),
    file("poolsize", sysctl::entropy),
    file("uuid", sysctl::uuid),
];

static VM: &[Fixed] =
    &[file("max_map_count", sysctl::max_map_count), file("overcommit_memory", sysctl::overcommit)];

/// Root owns everything that is not about one process.
fn ownership(permissions: u32) -> Ownership {
    Ownership { permissions, user: 0, group: 0 }
}

/// The root of a procfs.
pub fn new_root(filesystem: &Arc<FileSystem>) -> Arc<Dentry> {
    let body = Body::Generated(Box::new(Root));
    Dentry::new_root(Inode::new(filesystem, FileKind::Directory, ownership(0o555), body, clock::now()))
}

/// A dentry for something found in `directory`, with an inode of its own number.
pub fn entry(
    directory: &Arc<Dentry>,
    name: &[u8],
    number: u64,
    kind: FileKind,
    ownership: Ownership,
    body: Body,
) -> Arc<Dentry> {
    let filesystem = &directory.inode().filesystem;
    let inode = Inode::with_number(filesystem, number, kind, ownership, body, clock::now());
    Dentry::new(inode, directory.clone(), Arc::from(name))
}

/// Inode numbers: those of fixed names count up from here by a mix of their directory's number and their place in it; those of processes
/// lie above all of them.
fn fixed_number(directory: u64, index: usize) -> u64 {
    const FIRST: u64 = 2;
    const FANOUT: u64 = 32;
    (directory % (1 << 24)) * FANOUT + FIRST + index as u64
}

fn kind_of(node: &Node) -> FileKind {
    match node {
        Node::File(_) => FileKind::Regular,
        Node::Link(_) => FileKind::Symlink,
        Node::Directory(_) => FileKind::Directory,
    }
}

/// A directory of fixed names.
struct FixedDirectory {
    number: u64,
    names: &'static [Fixed],
}

impl GeneratedDirectory for FixedDirectory {
    fn lookup(&self, directory: &Arc<Dentry>, name: &[u8]) -> Result<Arc<Dentry>, Errno> {
        find_fixed(self.names, self.number, directory, name)
    }

    fn list(
        &self,
        position: u64,
        emit: &mut dyn FnMut(u64, GeneratedEntry<'_>) -> bool,
    ) -> Result<(), Errno> {
        list_fixed(self.names, self.number, position, emit);
        Ok(())
    }
}

fn find_fixed(
    names: &'static [Fixed],
    directory_number: u64,
    directory: &Arc<Dentry>,
    name: &[u8],
) -> Result<Arc<Dentry>, Errno> {
    let index = names.iter().position(|fixed| fixed.name.as_bytes() == name).ok_or(Errno::ENOENT)?;
    let fixed = names.get(index).ok_or(Errno::ENOENT)?;
    let number = fixed_number(directory_number, index);
    let (permissions, body) = match &fixed.node {
        Node::File(make) => (0o444, Body::Special(TextFile::operations(Made(*make)))),
        Node::Link(text) => (0o777, Body::Magic(Box::new(TextLink(*text)))),
        Node::Directory(names) => (0o555, Body::Generated(Box::new(FixedDirectory { number, names }))),
    };
    Ok(entry(directory, name, number, kind_of(&fixed.node), ownership(permissions), body))
}

/// Lists fixed names from `position` on; `false` when `emit` had enough.
fn list_fixed(
    names: &[Fixed],
    directory_number: u64,
    position: u64,
    emit: &mut dyn FnMut(u64, GeneratedEntry<'_>) -> bool,
) -> bool {
    for (index, fixed) in names.iter().enumerate().skip(usize::try_from(position).unwrap_or(usize::MAX)) {
        let number = fixed_number(directory_number, index);
        let shown = GeneratedEntry { name: fixed.name.as_bytes(), number, kind: kind_of(&fixed.node) };
        if !emit(index as u64 + 1, shown) {
            return false;
        }
    }
    true
}

/// A link whose text is one function.
struct TextLink(fn() -> Result<Arc<[u8]>, Errno>);

impl MagicLink for TextLink {
    fn follow(&self) -> Result<LinkTarget, Errno> {
        (self.0)().map(LinkTarget::Path)
    }

    fn text(&self) -> Result<Arc<[u8]>, Errno> {
        (self.0)()
    }
}

/// The root: fixed names, then processes. A process stands at the position of its number, above all fixed names.
struct Root;

/// The inode number of the root.
const ROOT_NUMBER: u64 = 0;

/// The position of process 0, which does not exist.
const FIRST_PROCESS: u64 = 256;

impl GeneratedDirectory for Root {
    fn lookup(&self, directory: &Arc<Dentry>, name: &[u8]) -> Result<Arc<Dentry>, Errno> {
        match task::parse_number(name) {
            Some(pid) => process::find(directory, name, pid),
            None => find_fixed(ROOT, ROOT_NUMBER, directory, name),
        }
    }

    fn list(
        &self,
        position: u64,
        emit: &mut dyn FnMut(u64, GeneratedEntry<'_>) -> bool,
    ) -> Result<(), Errno> {
        if position < FIRST_PROCESS && !list_fixed(ROOT, ROOT_NUMBER, position, emit) {
            return Ok(());
        }
        process::list(position.saturating_sub(FIRST_PROCESS), &mut |next, shown| {
            emit(FIRST_PROCESS + next, shown)
        });
        Ok(())
    }
}
