//! Trees whose files are made when they are looked at: tables of fixed names, and the directories made from them.
//!
//! A look-up makes a fresh inode for the name. procfs and sysfs are such trees.

pub mod content;
pub mod setting;

use alloc::boxed::Box;
use alloc::sync::Arc;

use abi::Errno;
use libkernel::text::Text;

use super::attributes::FileKind;
use super::clock;
use super::dentry::Dentry;
use super::directory::{DirectoryOperations, Emit, Exposure, Listing};
use super::file::FileOperations;
use super::filesystem::FileSystem;
use super::inode::{Body, GeneratedFile, Inode, LinkTarget, MagicLink, Ownership};
use content::{Content, SequenceFile};
use setting::{Setting, SettingFile};

/// What a generated file belongs to. Linux serves each by code of its own, and programs see the difference.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Class {
    /// A process: `/proc/PID`.
    Process,
    /// The system: `/proc`.
    System,
    /// The kernel's settings: `/proc/sys`.
    Setting,
    /// The machine: `/sys`.
    Sysfs,
}

impl Class {
    /// How the writing of a file is refused that takes nothing.
    pub fn refusal(self) -> Errno {
        match self {
            Class::Process | Class::Setting => Errno::EINVAL,
            Class::System | Class::Sysfs => Errno::EIO,
        }
    }

    /// Why no name for a file of this kind can be made: `/proc` says that it cannot find them, while what sysfs says
    /// depends on what is to be made.
    pub fn name_refusal(self, kind: FileKind) -> Errno {
        match (self, kind) {
            (Class::Sysfs, FileKind::Regular) => Errno::EACCES,
            (Class::Sysfs, _) => Errno::EPERM,
            _ => Errno::ENOENT,
        }
    }

    /// `st_size`: sysfs promises a page of each file.
    pub fn shown_size(self) -> u64 {
        if self == Class::Sysfs { libkernel::addr::PAGE_SIZE } else { 0 }
    }
}

/// Writes the whole text of a file.
pub type Make = fn(&mut Text) -> Result<(), Errno>;

/// Makes a fresh opening of a file for the running thread.
pub type Open = fn() -> Result<Arc<dyn FileOperations>, Errno>;

/// One fixed name.
pub struct Fixed {
    name: &'static str,
    node: Node,
}

/// What a fixed name stands for.
enum Node {
    /// A text for everyone to read.
    File(Make),
    /// A text that is made in pieces.
    Sequence(&'static dyn Content),
    /// A setting, with the permissions of its file.
    Setting(u32, Setting),
    /// A file with code of its own, with its permissions: what opens it, for the running thread.
    Opened(u32, Open),
    /// A link whose text depends on who reads it.
    Link(fn() -> Result<Arc<[u8]>, Errno>),
    /// More fixed names.
    Directory(&'static [Fixed]),
    /// The same, of which the machine says which they are.
    Chosen(fn() -> &'static [Fixed]),
    /// A directory whose names are not fixed; is told its inode number.
    Generated(fn(u64) -> Box<dyn DirectoryOperations>),
}

/// A text that is made at one time.
pub const fn file(name: &'static str, make: Make) -> Fixed {
    Fixed { name, node: Node::File(make) }
}

/// A text that is made in pieces.
pub const fn sequence(name: &'static str, content: &'static dyn Content) -> Fixed {
    Fixed { name, node: Node::Sequence(content) }
}

/// A file with code of its own.
pub const fn opened(name: &'static str, permissions: u32, open: Open) -> Fixed {
    Fixed { name, node: Node::Opened(permissions, open) }
}

/// A setting that is only shown: a number.
pub const fn shown(name: &'static str, get: fn() -> i64) -> Fixed {
    Fixed { name, node: Node::Setting(0o444, Setting::Shown(get)) }
}

/// A setting that is only shown: a text.
pub const fn shown_text(name: &'static str, make: Make) -> Fixed {
    Fixed { name, node: Node::Setting(0o444, Setting::Text(make)) }
}

/// A setting that root may change.
pub const fn setting(name: &'static str, setting: Setting) -> Fixed {
    Fixed { name, node: Node::Setting(0o644, setting) }
}

/// A setting with permissions of its own.
pub const fn setting_with(name: &'static str, permissions: u32, setting: Setting) -> Fixed {
    Fixed { name, node: Node::Setting(permissions, setting) }
}

/// A link.
pub const fn link(name: &'static str, text: fn() -> Result<Arc<[u8]>, Errno>) -> Fixed {
    Fixed { name, node: Node::Link(text) }
}

/// A directory of more fixed names.
pub const fn directory(name: &'static str, names: &'static [Fixed]) -> Fixed {
    Fixed { name, node: Node::Directory(names) }
}

/// A directory of fixed names, of which the machine says which they are.
pub const fn chosen(name: &'static str, names: fn() -> &'static [Fixed]) -> Fixed {
    Fixed { name, node: Node::Chosen(names) }
}

/// A directory whose names are not all fixed.
pub const fn generated(name: &'static str, make: fn(u64) -> Box<dyn DirectoryOperations>) -> Fixed {
    Fixed { name, node: Node::Generated(make) }
}

/// Root owns everything that is not about one process.
pub fn ownership(permissions: u32) -> Ownership {
    Ownership::of_root(permissions)
}

/// The root of a tree.
pub fn new_root(filesystem: &Arc<FileSystem>, root: impl DirectoryOperations + 'static) -> Arc<Dentry> {
    let body = folder(root);
    Dentry::new_root(Inode::new(filesystem, FileKind::Directory, ownership(0o555), body, clock::now()))
}

/// An inode for something found in `directory`, with a number of its own.
pub fn inode_in(
    directory: &Inode,
    number: u64,
    kind: FileKind,
    ownership: Ownership,
    body: Body,
) -> Arc<Inode> {
    Inode::with_number(&directory.filesystem, number, kind, ownership, body, clock::now())
}

/// A directory that is made up.
pub fn folder(operations: impl DirectoryOperations + 'static) -> Body {
    Body::directory(Box::new(operations))
}

/// Inode numbers: those of fixed names count up from here by a mix of their directory's number and their place in it;
/// those of processes lie above all of them.
fn fixed_number(directory: u64, index: usize) -> u64 {
    const FIRST: u64 = 2;
    const FANOUT: u64 = 128;
    (directory % (1 << 24)) * FANOUT + FIRST + index as u64
}

fn kind_of(node: &Node) -> FileKind {
    match node {
        Node::File(_) | Node::Sequence(_) | Node::Opened(..) | Node::Setting(..) => FileKind::Regular,
        Node::Link(_) => FileKind::Symlink,
        Node::Directory(_) | Node::Chosen(_) | Node::Generated(_) => FileKind::Directory,
    }
}

/// A directory of fixed names.
pub struct FixedDirectory {
    /// Its inode number.
    pub number: u64,
    /// What is in it.
    pub names: &'static [Fixed],
    /// What its files belong to.
    pub class: Class,
}

impl Exposure for FixedDirectory {
    fn class(&self) -> Class {
        if are_settings(self.names) { Class::Setting } else { self.class }
    }
}

impl DirectoryOperations for FixedDirectory {
    fn look_up(&self, directory: &Inode, name: &[u8]) -> Result<Arc<Inode>, Errno> {
        find_fixed(self.names, self.number, self.class, directory, name)
    }

    fn list(&self, position: u64, emit: &mut Emit<'_>) -> Result<(), Errno> {
        list_fixed(self.names, self.number, position, emit);
        Ok(())
    }
}

/// Whether these are settings, or directories of such.
fn are_settings(names: &[Fixed]) -> bool {
    names.first().is_some_and(|first| match &first.node {
        Node::Setting(..) => true,
        Node::Directory(names) => are_settings(names),
        _ => false,
    })
}

/// The inode for one of `names` in `directory`, whose inode has that number and whose files belong to `class`. ENOENT
/// where there is none.
pub fn find_fixed(
    names: &'static [Fixed],
    directory_number: u64,
    class: Class,
    directory: &Inode,
    name: &[u8],
) -> Result<Arc<Inode>, Errno> {
    let index = names.iter().position(|fixed| fixed.name.as_bytes() == name).ok_or(Errno::ENOENT)?;
    let fixed = names.get(index).ok_or(Errno::ENOENT)?;
    let number = fixed_number(directory_number, index);
    let (permissions, body) = match &fixed.node {
        Node::File(make) => (0o444, Body::Made(Box::new(FixedFile { content: Made(*make), class }))),
        Node::Sequence(content) => (0o444, Body::Made(Box::new(FixedFile { content: *content, class }))),
        Node::Opened(permissions, open) => {
            (*permissions, Body::Made(Box::new(OpenedFile { open: *open, class })))
        }
        Node::Setting(permissions, setting) => (*permissions, Body::Made(Box::new(SettingFile(*setting)))),
        Node::Link(text) => (0o777, Body::Magic(Box::new(TextLink(*text)))),
        Node::Directory(names) => (0o555, folder(FixedDirectory { number, names, class })),
        Node::Chosen(names) => (0o555, folder(FixedDirectory { number, names: names(), class })),
        Node::Generated(make) => (0o555, Body::directory(make(number))),
    };
    Ok(inode_in(directory, number, kind_of(&fixed.node), ownership(permissions), body))
}

/// Lists fixed names from `position` on; `false` when `emit` had enough.
pub fn list_fixed(names: &[Fixed], directory_number: u64, position: u64, emit: &mut Emit<'_>) -> bool {
    let shown = names.iter().enumerate().map(|(index, fixed)| Listing {
        name: fixed.name.as_bytes(),
        number: fixed_number(directory_number, index),
        kind: kind_of(&fixed.node),
    });
    list_in_order(shown, position, emit)
}

/// Lists names whose positions are their places, from `position` on; `false` when `emit` had enough.
pub fn list_in_order<'a>(
    names: impl Iterator<Item = Listing<'a>>,
    position: u64,
    emit: &mut Emit<'_>,
) -> bool {
    let first = usize::try_from(position).unwrap_or(usize::MAX);
    (1..).zip(names).skip(first).all(|(next, shown)| emit(next, shown))
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

/// A file whose content is the same for everyone.
struct FixedFile<C> {
    content: C,
    class: Class,
}

impl<C: Content + Copy + 'static> GeneratedFile for FixedFile<C> {
    fn open(&self) -> Result<Arc<dyn FileOperations>, Errno> {
        Ok(SequenceFile::open(self.content, self.class))
    }

    fn class(&self) -> Class {
        self.class
    }
}

/// A file with code of its own.
struct OpenedFile {
    open: Open,
    class: Class,
}

impl GeneratedFile for OpenedFile {
    fn open(&self) -> Result<Arc<dyn FileOperations>, Errno> {
        (self.open)()
    }

    fn class(&self) -> Class {
        self.class
    }
}

/// A content of one record, written by a function.
#[derive(Clone, Copy)]
pub struct Made<F>(pub F);

impl<F: Fn(&mut Text) -> Result<(), Errno> + Send + Sync> Content for Made<F> {
    fn fill(&self, _cursor: u64, text: &mut Text) -> Result<Option<u64>, Errno> {
        (self.0)(text)?;
        Ok(None)
    }
}

impl Content for &'static dyn Content {
    fn fill(&self, cursor: u64, text: &mut Text) -> Result<Option<u64>, Errno> {
        (**self).fill(cursor, text)
    }

    fn changes(&self) -> Option<&content::Changes> {
        (**self).changes()
    }
}
