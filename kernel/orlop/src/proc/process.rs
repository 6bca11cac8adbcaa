//! `/proc/PID` and `/proc/PID/task/TID`: what lies in the directory of a process or a thread.

use alloc::boxed::Box;
use alloc::format;
use alloc::sync::Arc;
use alloc::vec::Vec;

use abi::Errno;
use libkernel::text::Text;
use vfs::attributes::FileKind;
use vfs::directory::{Admission, DirectoryOperations, Emit, Exposure, Listing};
use vfs::file::FileOperations;
use vfs::filesystem::FileSystem;
use vfs::generated::content::{Content, SequenceFile};
use vfs::generated::{Class, folder, inode_in, list_in_order};
use vfs::inode::{Body, GeneratedFile, Inode, LinkTarget, MagicLink};
use vfs::mount::Location;
use vfs::{display_path, short};

use super::descriptors::{Descriptors, Show};
use super::mounts::{self, Mounts};
use super::namespace_links::NamespaceLinks;
use super::subject::Subject;
use super::task::Tasks;
use super::view::{Hiding, View};
use super::{calls, children, kept, map_files, maps, namespaces, scheduling, sizes, smaps, status, window};
use crate::process::{find_process, find_thread, next_process};
use crate::time::posix;

/// What a name in the directory stands for.
#[derive(Clone, Copy)]
enum Node {
    /// A text that is written at one time.
    Text(Write),
    /// The same, and what takes what is written.
    Kept(Write, Store),
    /// A file that is opened by its own code.
    File(Open),
    /// A link to a place.
    Link(fn(&Subject) -> Result<Location, Errno>),
    /// The threads.
    Tasks,
    /// The files that are mapped.
    MapFiles,
    /// The namespaces that it is in.
    Namespaces,
    /// The open descriptors, as links or as texts.
    Descriptors(Show),
}

type Write = fn(&Subject, &mut Text) -> Result<(), Errno>;
type Store = fn(&Subject, u64, &[u8]) -> Result<usize, Errno>;
type Open = fn(Subject) -> Result<Arc<dyn FileOperations>, Errno>;

/// In whose directory a name is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Shown {
    Everywhere,
    OfProcess,
    OfThread,
}

struct Named {
    name: &'static str,
    permissions: u32,
    shown: Shown,
    node: Node,
}

impl Named {
    const fn new(name: &'static str, permissions: u32, node: Node) -> Named {
        Named { name, permissions, shown: Shown::Everywhere, node }
    }

    /// The name is in the directories of threads alone.
    const fn of_thread(self) -> Named {
        Named { shown: Shown::OfThread, ..self }
    }

    /// The name is in the directories of processes alone.
    const fn of_process(self) -> Named {
        Named { shown: Shown::OfProcess, ..self }
    }
}

const fn text(name: &'static str, write: Write) -> Named {
    Named::new(name, 0o444, Node::Text(write))
}

const fn kept(name: &'static str, write: Write, store: Store) -> Named {
    Named::new(name, 0o644, Node::Kept(write, store))
}

const fn private_text(name: &'static str, write: Write) -> Named {
    Named::new(name, 0o400, Node::Text(write))
}

const fn file(name: &'static str, permissions: u32, open: Open) -> Named {
    Named::new(name, permissions, Node::File(open))
}

const fn link(name: &'static str, target: fn(&Subject) -> Result<Location, Errno>) -> Named {
    Named::new(name, 0o777, Node::Link(target))
}

static NAMES: &[Named] = &[
    file("auxv", 0o400, window::auxiliary_vector),
    // No hierarchy of control groups is there to be in.
    text("cgroup", |_, _| Ok(())),
    file("children", 0o444, children::open).of_thread(),
    file("cmdline", 0o444, window::command_line),
    kept("comm", kept::name, kept::set_name),
    kept("coredump_filter", kept::dump_filter, kept::set_dump_filter).of_process(),
    link("cwd", |subject| Ok(subject.context()?.working_directory())),
    file("environ", 0o400, window::environment),
    link("exe", maps::executable),
    Named::new("fd", 0o500, Node::Descriptors(Show::Links)),
    Named::new("fdinfo", 0o555, Node::Descriptors(Show::Texts)),
    kept("gid_map", namespaces::identity_map, namespaces::set_identity_map),
    private_text("io", status::transfers),
    text("limits", status::limits),
    kept("loginuid", kept::login_user, kept::set_login_user),
    Named::new("map_files", 0o500, Node::MapFiles).of_process(),
    file("maps", 0o444, maps::maps),
    file("mem", 0o600, window::memory),
    file("mountinfo", 0o444, |subject| mounts(&subject, mounts::information_line)),
    file("mounts", 0o444, |subject| mounts(&subject, mounts::table_line)),
    file("mountstats", 0o400, |subject| mounts(&subject, mounts::statistics_line)).of_process(),
    Named::new("ns", 0o511, Node::Namespaces),
    kept("oom_adj", kept::old_oom_adjustment, kept::set_old_oom_adjustment),
    text("oom_score", kept::oom_score),
    kept("oom_score_adj", kept::oom_adjustment, kept::set_oom_adjustment),
    file("pagemap", 0o400, smaps::page_map),
    private_text("personality", status::personality),
    kept("projid_map", namespaces::identity_map, namespaces::set_identity_map),
    link("root", |subject| Ok(subject.context()?.root())),
    kept("sched", scheduling::show, scheduling::clear),
    text("sessionid", kept::login_session),
    kept("setgroups", namespaces::group_setting, namespaces::set_group_setting),
    file("smaps", 0o444, smaps::smaps),
    file("smaps_rollup", 0o444, smaps::rollup),
    file("stack", 0o400, calls::stack),
    text("stat", status::stat),
    text("statm", sizes::statm),
    text("status", status::status),
    private_text("syscall", calls::system_call),
    Named::new("task", 0o555, Node::Tasks).of_process(),
    text("timers", timers).of_process(),
    Named::new("timerslack_ns", 0o666, Node::Kept(kept::timer_slack, kept::set_timer_slack)).of_process(),
    kept("uid_map", namespaces::identity_map, namespaces::set_identity_map),
    text("wchan", calls::waiting_place),
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
        let hidden = if is_thread { Shown::OfProcess } else { Shown::OfThread };
        let shown = move |named: &&Named| named.shown != hidden;
        (1..).zip(NAMES.iter().filter(shown))
    }
}

fn kind_of(node: Node) -> FileKind {
    match node {
        Node::Text(_) | Node::Kept(..) | Node::File(_) => FileKind::Regular,
        Node::Link(_) => FileKind::Symlink,
        Node::Tasks | Node::MapFiles | Node::Namespaces | Node::Descriptors(_) => FileKind::Directory,
    }
}

impl Exposure for Entries {
    fn class(&self) -> Class {
        Class::Process
    }

    fn is_immutable(&self) -> bool {
        true
    }

    fn admission(&self, filesystem: &FileSystem) -> Admission {
        if self.subject.is_thread() { Admission::ByMode } else { self.subject.admission_to(filesystem) }
    }

    fn is_shown(&self, filesystem: &FileSystem) -> bool {
        self.subject.is_shown_by(filesystem)
    }
}

impl DirectoryOperations for Entries {
    fn look_up(&self, directory: &Inode, name: &[u8]) -> Result<Arc<Inode>, Errno> {
        self.subject.check()?;
        let found = self.names().find(|(_, named)| named.name.as_bytes() == name);
        let (index, named) = found.ok_or(Errno::ENOENT)?;
        let subject = self.subject.clone();
        let body = match named.node {
            Node::Text(write) => Body::Made(Box::new(SubjectFile { subject, open: Opening::Text(write) })),
            Node::Kept(write, store) => {
                Body::Made(Box::new(SubjectFile { subject, open: Opening::Kept(write, store) }))
            }
            Node::File(open) => Body::Made(Box::new(SubjectFile { subject, open: Opening::File(open) })),
            Node::Link(target) => Body::Magic(Box::new(SubjectLink { subject, target })),
            Node::Tasks => folder(Tasks { subject }),
            Node::MapFiles => folder(map_files::MapFiles { subject }),
            Node::Namespaces => folder(NamespaceLinks { subject }),
            Node::Descriptors(show) => folder(Descriptors { subject, show }),
        };
        let number = self.subject.inode_number(index);
        let ownership = self.subject.ownership(named.permissions);
        Ok(inode_in(directory, number, kind_of(named.node), ownership, body))
    }

    fn list(&self, position: u64, emit: &mut Emit<'_>) -> Result<(), Errno> {
        self.subject.check().map_err(|_| Errno::ENOENT)?;
        let shown = self.names().map(|(index, named)| Listing {
            name: named.name.as_bytes(),
            number: self.subject.inode_number(index),
            kind: kind_of(named.node),
        });
        list_in_order(shown, position, emit);
        Ok(())
    }
}

/// The directory of the process with this number, below the root. Any thread's number will do, though none of them is
/// listed.
pub fn find(view: &View, root: &Inode, number: u32) -> Result<Arc<Inode>, Errno> {
    let numbers = view.pid_namespace();
    let pid = i32::try_from(number).ok().and_then(|number| numbers.find(number)).ok_or(Errno::ENOENT)?;
    let process = find_process(pid).map(|process| Subject::of_process(process, numbers.clone()));
    let named = || find_thread(pid).map(|thread| Subject::named_by(thread, numbers.clone()));
    let subject = process.or_else(named).ok_or(Errno::ENOENT)?;
    // Of what is only invisible the name is still found, and then nothing can be done with it: as on Linux, where all
    // of it is ENOENT.
    if view.hiding() == Hiding::Ptraceable && !view.shows(&subject.process, Hiding::Ptraceable) {
        return Err(Errno::ENOENT);
    }
    let (number, ownership) = (subject.inode_number(0), subject.ownership(0o555));
    let body = folder(Entries { subject });
    Ok(inode_in(root, number, FileKind::Directory, ownership, body))
}

/// The processes with numbers from `from` on; each one's position is its number.
pub fn list(view: &View, from: u64, emit: &mut Emit<'_>) {
    let numbers = view.pid_namespace();
    let mut from = u32::try_from(from).unwrap_or(u32::MAX);
    while let Some(process) = next_process(numbers, from) {
        let pid = process.pid().number_in(numbers);
        from = pid.saturating_add(1);
        if !view.shows(&process, Hiding::Invisible) {
            continue;
        }
        let name = format!("{pid}");
        let number = Subject::of_process(process, numbers.clone()).inode_number(0);
        let shown = Listing { name: name.as_bytes(), number, kind: FileKind::Directory };
        if !emit(u64::from(pid) + 1, shown) {
            return;
        }
    }
}

/// A file about a subject.
struct SubjectFile {
    subject: Subject,
    open: Opening,
}

enum Opening {
    Text(Write),
    Kept(Write, Store),
    File(Open),
}

impl GeneratedFile for SubjectFile {
    fn open(&self) -> Result<Arc<dyn FileOperations>, Errno> {
        self.subject.check()?;
        let subject = self.subject.clone();
        match self.open {
            Opening::Text(write) => {
                Ok(SequenceFile::open(SubjectText { subject, write, store: None }, Class::Process))
            }
            Opening::Kept(write, store) => {
                Ok(SequenceFile::open(SubjectText { subject, write, store: Some(store) }, Class::Process))
            }
            Opening::File(open) => open(subject),
        }
    }

    fn class(&self) -> Class {
        Class::Process
    }
}

/// A text about a subject.
struct SubjectText {
    subject: Subject,
    write: Write,
    store: Option<Store>,
}

impl Content for SubjectText {
    fn fill(&self, _cursor: u64, text: &mut Text) -> Result<Option<u64>, Errno> {
        self.subject.check()?;
        (self.write)(&self.subject, text)?;
        Ok(None)
    }

    fn is_writable(&self) -> bool {
        self.store.is_some()
    }

    fn store(&self, position: u64, bytes: &[u8]) -> Result<usize, Errno> {
        self.subject.check()?;
        self.store.map_or(Err(Errno::EINVAL), |store| store(&self.subject, position, bytes))
    }
}

/// A link to a place of a subject.
struct SubjectLink {
    subject: Subject,
    target: fn(&Subject) -> Result<Location, Errno>,
}

impl SubjectLink {
    fn place(&self) -> Result<Location, Errno> {
        let _inspection = self.subject.inspect()?;
        (self.target)(&self.subject)
    }
}

impl MagicLink for SubjectLink {
    fn follow(&self) -> Result<LinkTarget, Errno> {
        self.place().map(LinkTarget::Place)
    }

    fn text(&self) -> Result<Arc<[u8]>, Errno> {
        Ok(Arc::from(short(shown_path(&self.place()?)?)?))
    }

    fn class(&self) -> Class {
        Class::Process
    }
}

/// The path of a place as the running thread's root makes it, or that of its namespace where no thread has one.
pub fn shown_path(place: &Location) -> Result<Vec<u8>, Errno> {
    let root = match crate::process::current().and_then(|thread| thread.try_fs()) {
        Some(context) => context.root(),
        None => {
            let mounts = place.mount.namespace().ok_or(Errno::ENOENT)?;
            mounts.root().ok_or(Errno::ENOENT)?.root_location()
        }
    };
    display_path(place, &root)
}

fn mounts(subject: &Subject, line: mounts::Line) -> Result<Arc<dyn FileOperations>, Errno> {
    // Linux: `mounts_open_common`.
    let root = subject.context().map_err(|_| Errno::EINVAL)?.root();
    let namespace = subject.thread().ok_or(Errno::EINVAL)?.namespaces().mounts.clone();
    Ok(SequenceFile::open(Mounts { namespace, root, line }, Class::Process))
}

/// `timers`: those of `timer_create`.
fn timers(subject: &Subject, text: &mut Text) -> Result<(), Errno> {
    posix::describe(&subject.process, text)
}
