//! `/proc/PID` and `/proc/PID/task/TID`: what lies in the directory of a process or a thread.

use alloc::boxed::Box;
use alloc::format;
use alloc::sync::Arc;
use alloc::vec::Vec;

use abi::Errno;
use libkernel::addr::UserAddr;

use super::descriptors::{Descriptors, Show};
use super::task::Tasks;
use super::{maps, status, system};
use crate::fs::attributes::FileKind;
use crate::fs::dentry::Dentry;
use crate::fs::generated::entry;
use crate::fs::generated::text::{Source, TextFile};
use crate::fs::inode::{Body, GeneratedDirectory, GeneratedEntry, LinkTarget, MagicLink, Ownership};
use crate::fs::mount::{self, Location};
use crate::fs::{FsContext, display_path};
use crate::memory::AddressSpace;
use crate::process::{Pid, Process, Thread, find_process, find_thread, next_process};

/// A process, or one thread of it, that a directory is about.
#[derive(Clone)]
pub struct Subject {
    /// The process.
    pub process: Arc<Process>,
    /// The thread that is named, if it is not the process; else any thread speaks for that.
    thread: Option<Arc<Thread>>,
    scope: Scope,
}

/// What a subject's sums are of.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Scope {
    Process,
    Thread,
}

impl Subject {
    /// A process as a whole.
    pub fn of_process(process: Arc<Process>) -> Subject {
        Subject { process, thread: None, scope: Scope::Process }
    }

    /// The process that one of its threads names.
    fn named_by(thread: Arc<Thread>) -> Subject {
        Subject { process: thread.process().clone(), thread: Some(thread), scope: Scope::Process }
    }

    /// One thread.
    pub fn of_thread(process: Arc<Process>, thread: Arc<Thread>) -> Subject {
        Subject { process, thread: Some(thread), scope: Scope::Thread }
    }

    /// The thread that is asked; none once the process has ended.
    pub fn thread(&self) -> Option<Arc<Thread>> {
        self.thread.clone().or_else(|| self.process.find_thread(|_| true))
    }

    /// Whether it is about one thread alone.
    pub fn is_thread(&self) -> bool {
        self.scope == Scope::Thread
    }

    /// The number that the directory is named by.
    pub fn id(&self) -> Pid {
        self.thread.as_ref().map_or(self.process.pid(), |thread| thread.id())
    }

    /// The inode number of the entry at `index`; above those of all fixed names.
    pub fn inode_number(&self, index: u64) -> u64 {
        const FIRST: u64 = 1 << 32;
        const ENTRIES: u64 = 64;
        FIRST + (u64::from(self.id().number()) * 2 + u64::from(self.is_thread())) * ENTRIES + index
    }

    /// The files of a process belong to its effective user.
    pub fn ownership(&self, permissions: u32) -> Ownership {
        let (user, group) = self.thread().map_or((0, 0), |thread| {
            thread.with_credentials(|credentials| (credentials.user.effective, credentials.group.effective))
        });
        Ownership { permissions, user, group }
    }

    /// The memory, unless the process has ended.
    pub fn address_space(&self) -> Result<Arc<AddressSpace>, Errno> {
        self.process.address_space().ok_or(Errno::ESRCH)
    }

    fn context(&self) -> Result<Arc<FsContext>, Errno> {
        self.thread().and_then(|thread| thread.try_fs()).ok_or(Errno::ENOENT)
    }
}

/// What a name in the directory stands for.
#[derive(Clone, Copy)]
enum Node {
    /// A text.
    File(u32, fn(&Subject) -> Result<Vec<u8>, Errno>),
    /// A link to a place.
    Link(fn(&Subject) -> Result<Location, Errno>),
    /// The threads.
    Tasks,
    /// The open descriptors, as links or as texts.
    Descriptors(Show),
}

struct Named {
    name: &'static str,
    node: Node,
}

const fn file(name: &'static str, make: fn(&Subject) -> Result<Vec<u8>, Errno>) -> Named {
    Named { name, node: Node::File(0o444, make) }
}

const fn private_file(name: &'static str, make: fn(&Subject) -> Result<Vec<u8>, Errno>) -> Named {
    Named { name, node: Node::File(0o400, make) }
}

const fn link(name: &'static str, target: fn(&Subject) -> Result<Location, Errno>) -> Named {
    Named { name, node: Node::Link(target) }
}

static NAMES: &[Named] = &[
    private_file("auxv", auxiliary_vector),
    file("cmdline", command_line),
    file("comm", comm),
    link("cwd", |subject| Ok(subject.context()?.working_directory())),
    private_file("environ", environment),
    link("exe", maps::executable),
    Named { name: "fd", node: Node::Descriptors(Show::Links) },
    Named { name: "fdinfo", node: Node::Descriptors(Show::Texts) },
    file("limits", status::limits),
    file("maps", maps::maps),
    file("mountinfo", mount_info),
    file("mounts", mounts),
    link("root", |subject| Ok(subject.context()?.root())),
    file("stat", status::stat),
    file("statm", status::statm),
    file("status", status::status),
    Named { name: "task", node: Node::Tasks },
];

/// The directory of a process or thread.
pub struct Entries {
    subject: Subject,
}

impl Entries {
    /// The directory of a thread, which lacks `task`.
    pub fn of_thread(subject: Subject) -> Entries {
        Entries { subject }
    }

    fn names(&self) -> impl Iterator<Item = (u64, &'static Named)> {
        let is_thread = self.subject.is_thread();
        let shown = move |named: &&Named| !(is_thread && matches!(named.node, Node::Tasks));
        (1..).zip(NAMES.iter().filter(shown))
    }
}

fn kind_of(node: Node) -> FileKind {
    match node {
        Node::File(..) => FileKind::Regular,
        Node::Link(_) => FileKind::Symlink,
        Node::Tasks | Node::Descriptors(_) => FileKind::Directory,
    }
}

impl GeneratedDirectory for Entries {
    fn lookup(&self, directory: &Arc<Dentry>, name: &[u8]) -> Result<Arc<Dentry>, Errno> {
        let found = self.names().find(|(_, named)| named.name.as_bytes() == name);
        let (index, named) = found.ok_or(Errno::ENOENT)?;
        let subject = self.subject.clone();
        let (permissions, body): (u32, Body) = match named.node {
            Node::File(permissions, make) => {
                (permissions, Body::Special(TextFile::operations(SubjectText { subject, make })))
            }
            Node::Link(target) => (0o777, Body::Magic(Box::new(SubjectLink { subject, target }))),
            Node::Tasks => (0o555, Body::Generated(Box::new(Tasks { process: subject.process }))),
            Node::Descriptors(show) => (0o500, Body::Generated(Box::new(Descriptors { subject, show }))),
        };
        let (number, ownership) = (self.subject.inode_number(index), self.subject.ownership(permissions));
        Ok(entry(directory, name, number, kind_of(named.node), ownership, body))
    }

    fn list(
        &self,
        position: u64,
        emit: &mut dyn FnMut(u64, GeneratedEntry<'_>) -> bool,
    ) -> Result<(), Errno> {
        for (index, named) in self.names().skip(usize::try_from(position).unwrap_or(usize::MAX)) {
            let number = self.subject.inode_number(index);
            let shown = GeneratedEntry { name: named.name.as_bytes(), number, kind: kind_of(named.node) };
            if !emit(index, shown) {
                break;
            }
        }
        Ok(())
    }
}

/// The directory of the process with this number, below the root. Any thread's number will do, though none of them is listed.
pub fn find(root: &Arc<Dentry>, name: &[u8], pid: u32) -> Result<Arc<Dentry>, Errno> {
    let process = find_process(Pid::new(pid)).map(Subject::of_process);
    let subject =
        process.or_else(|| find_thread(Pid::new(pid)).map(Subject::named_by)).ok_or(Errno::ENOENT)?;
    let (number, ownership) = (subject.inode_number(0), subject.ownership(0o555));
    let body = Body::Generated(Box::new(Entries { subject }));
    Ok(entry(root, name, number, FileKind::Directory, ownership, body))
}

/// The processes with numbers from `from` on; each one's position is its number.
pub fn list(from: u64, emit: &mut dyn FnMut(u64, GeneratedEntry<'_>) -> bool) {
    let mut from = u32::try_from(from).unwrap_or(u32::MAX);
    while let Some(process) = next_process(Pid::new(from)) {
        let pid = process.pid().number();
        let name = format!("{pid}");
        let number = Subject::of_process(process).inode_number(0);
        let shown = GeneratedEntry { name: name.as_bytes(), number, kind: FileKind::Directory };
        if !emit(u64::from(pid) + 1, shown) {
            return;
        }
        from = pid.saturating_add(1);
    }
}

/// A text about a subject.
struct SubjectText {
    subject: Subject,
    make: fn(&Subject) -> Result<Vec<u8>, Errno>,
}

impl Source for SubjectText {
    fn text(&self) -> Result<Vec<u8>, Errno> {
        (self.make)(&self.subject)
    }
}

/// A link to a place of a subject.
struct SubjectLink {
    subject: Subject,
    target: fn(&Subject) -> Result<Location, Errno>,
}

impl MagicLink for SubjectLink {
    fn follow(&self) -> Result<LinkTarget, Errno> {
        (self.target)(&self.subject).map(LinkTarget::Place)
    }

    fn text(&self) -> Result<Arc<[u8]>, Errno> {
        Ok(Arc::from(shown_path(&(self.target)(&self.subject)?)?))
    }
}

/// The path of a place as the running thread's root makes it.
pub fn shown_path(place: &Location) -> Result<Vec<u8>, Errno> {
    let root = match crate::process::current().and_then(|thread| thread.try_fs()) {
        Some(context) => context.root(),
        None => mount::root().ok_or(Errno::ENOENT)?,
    };
    Ok(display_path(place, &root))
}

/// Bytes of the subject's memory, as far as they can be read.
fn memory_text(subject: &Subject, start: UserAddr, length: u64) -> Result<Vec<u8>, Errno> {
    /// The most that arguments or environment take.
    const MOST: u64 = 1 << 20;
    let Ok(space) = subject.address_space() else { return Ok(Vec::new()) };
    let length = length.min(MOST) as usize;
    let mut bytes = Vec::new();
    bytes.try_reserve_exact(length).map_err(|_| Errno::ENOMEM)?;
    bytes.resize(length, 0);
    let count = space.read_remote(start, &mut bytes);
    bytes.truncate(count);
    Ok(bytes)
}

fn command_line(subject: &Subject) -> Result<Vec<u8>, Errno> {
    let Ok(space) = subject.address_space() else { return Ok(Vec::new()) };
    let range = space.layout().arguments;
    memory_text(subject, range.start(), range.length())
}

fn environment(subject: &Subject) -> Result<Vec<u8>, Errno> {
    let Ok(space) = subject.address_space() else { return Ok(Vec::new()) };
    let range = space.layout().environment;
    memory_text(subject, range.start(), range.length())
}

fn auxiliary_vector(subject: &Subject) -> Result<Vec<u8>, Errno> {
    let Ok(space) = subject.address_space() else { return Ok(Vec::new()) };
    let range = space.layout().auxiliary_vector;
    memory_text(subject, range.start(), range.length())
}

fn comm(subject: &Subject) -> Result<Vec<u8>, Errno> {
    let mut text = status::name_of(subject);
    text.push(b'\n');
    Ok(text)
}

fn mounts(subject: &Subject) -> Result<Vec<u8>, Errno> {
    system::mounts_from(&subject.context()?.root())
}

fn mount_info(subject: &Subject) -> Result<Vec<u8>, Errno> {
    system::mount_info_from(&subject.context()?.root())
}
