//! What directories do: where their names are, and what their file system has to do when names change.
//!
//! Everything that is so for all directories is done above it: permissions, the order of checks, entering and taking
//! away names ([`Names`](super::Names)), link counts and times. The traits have the answers of a directory that cannot
//! be changed.

use alloc::boxed::Box;
use alloc::sync::Arc;

use abi::Errno;
use hal::sync::SpinRwLock;
use sched::Mutex;

use super::Names;
use super::cache::Cached;
use crate::attributes::FileKind;
use crate::change::NewFile;
use crate::filesystem::FileSystem;
use crate::generated::Class;
use crate::inode::{Inode, Ownership};
use crate::walk::MAX_NAME;

/// A directory's names, and what is behind them.
pub struct Directory {
    /// The names in memory; the lock is a leaf and held only to look or to change one name.
    pub names: SpinRwLock<Names>,
    /// Held by whoever changes names, across all steps of the change, where all names are in memory
    /// ([`Directory::lock_changes`]).
    pub(super) changes: Mutex<()>,
    /// Where its names are.
    pub store: Store,
    /// What its file system does.
    pub operations: Box<dyn DirectoryOperations>,
    /// What it takes to keep names that are elsewhere.
    pub(super) cached: Option<Box<Cached>>,
}

/// Where the names of a directory are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Store {
    /// In memory, all of them: what is not there, is not.
    Memory,
    /// Elsewhere; what is known of one is kept, and holds until this kernel changes it.
    Elsewhere,
    /// Elsewhere, and others change them, too: before it is used, what is known of one is asked for anew.
    Shared,
    /// Nowhere: each is made up when it is looked for, and none can be made by a program.
    MadeUp,
}

impl Store {
    /// Whether a name that is in memory holds without asking anybody.
    #[inline]
    pub fn is_known_here(self) -> bool {
        matches!(self, Store::Memory | Store::Elsewhere)
    }
}

impl Directory {
    /// A directory, none of whose names is in memory yet.
    pub fn new(operations: Box<dyn DirectoryOperations>) -> Directory {
        let store = operations.store();
        let cached = matches!(store, Store::Elsewhere | Store::Shared).then(|| Box::new(Cached::new()));
        Directory { names: SpinRwLock::new(Names::new()), changes: Mutex::new(()), store, operations, cached }
    }

    /// Whether programs can make and remove names.
    #[inline]
    pub fn is_changeable(&self) -> bool {
        self.store != Store::MadeUp
    }
}

/// One name in a listing.
pub struct Listing<'a> {
    /// The name.
    pub name: &'a [u8],
    /// Its inode number.
    pub number: u64,
    /// Its type.
    pub kind: FileKind,
}

/// Takes one name of a listing with the position that follows it; `false` when it has had enough.
pub type Emit<'a> = dyn FnMut(u64, Listing<'_>) -> bool + 'a;

/// What a directory's file system does. For all that changes names the caller has locked the directory's changes, and
/// its look-ups, too, where names are elsewhere ([`Directory::lock_changes`]); has found the name there or not there;
/// and enters or takes it away in [`Directory::names`] when the file system has done its part.
pub trait DirectoryOperations: Exposure {
    /// Where the names are; asked once.
    fn store(&self) -> Store {
        Store::MadeUp
    }

    /// What `name` stands for. ENOENT where there is none. Not asked where all names are in memory, nor while it is
    /// known. Several names are looked up at once, and no name changes meanwhile; of a directory whose names are
    /// elsewhere each by one caller at a time.
    fn look_up(&self, directory: &Inode, name: &[u8]) -> Result<Arc<Inode>, Errno> {
        let _ = (directory, name);
        Err(Errno::ENOENT)
    }

    /// Whether what is known of a name still holds: that it stands for an inode, or that there is none. Asked only
    /// where others change names, too ([`Store::Shared`]).
    fn revalidate(&self, directory: &Inode, name: &[u8], known: Option<&Inode>) -> Result<bool, Errno> {
        let _ = (directory, name, known);
        Ok(true)
    }

    /// Hands the entries from `position` on to `emit`. Positions start at 0 and exclude `.` and `..`. Not asked where
    /// all names are in memory.
    fn list(&self, position: u64, emit: &mut Emit<'_>) -> Result<(), Errno> {
        let _ = (position, emit);
        Ok(())
    }

    /// The longest name there can be; a longer one is ENAMETOOLONG rather than not there. What makes up its names says
    /// that there is none such.
    fn longest_name(&self) -> usize {
        if self.store() == Store::MadeUp { usize::MAX } else { MAX_NAME }
    }

    /// Why no name for a file of this kind can be made. Whoever asks has found that it is not there.
    fn refusal(&self, kind: FileKind) -> Errno {
        self.class().name_refusal(kind)
    }

    /// A new inode, to be called `name`. ENOSPC without room.
    fn create(
        &self,
        directory: &Inode,
        name: &[u8],
        new: NewFile,
        ownership: Ownership,
    ) -> Result<Arc<Inode>, Errno> {
        let _ = (directory, name, ownership);
        Err(self.refusal(new.kind()))
    }

    /// A new regular file that is to have no name: `O_TMPFILE`.
    fn create_nameless(&self, directory: &Inode, ownership: Ownership) -> Result<Arc<Inode>, Errno> {
        let _ = (directory, ownership);
        Err(Errno::EOPNOTSUPP)
    }

    /// An inode is to be called `name`, too.
    fn link(&self, directory: &Inode, name: &[u8], inode: &Inode) -> Result<(), Errno> {
        let _ = (directory, name, inode);
        Err(Errno::EPERM)
    }

    /// The name of an inode, if it is a directory an empty one, is to go.
    fn remove(&self, directory: &Inode, name: &[u8], inode: &Inode) -> Result<(), Errno> {
        let _ = (directory, name, inode);
        Err(Errno::EPERM)
    }

    /// A name is to move. Asked of the directory that it is in; the changes of both are locked.
    fn rename(&self, plan: &Renaming<'_>) -> Result<(), Errno> {
        let _ = plan;
        Err(Errno::EPERM)
    }
}

/// A rename as a file system sees it.
pub struct Renaming<'a> {
    /// The directory and the name that move, and the inode that has it.
    pub from: (&'a Inode, &'a [u8], &'a Inode),
    /// Where they go.
    pub to: (&'a Inode, &'a [u8]),
    /// What has the new name until then.
    pub existing: Option<&'a Inode>,
    /// What becomes of the old name.
    pub behind: LeftBehind,
}

/// What a rename leaves under the old name.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LeftBehind {
    /// Nothing; what had the new name loses it.
    Nothing,
    /// A whiteout.
    Whiteout,
    /// What had the new name.
    Other,
}

/// Who sees and enters a directory that the kernel makes up. Others are entered by their mode.
pub trait Exposure: Send + Sync {
    /// What it belongs to.
    fn class(&self) -> Class {
        Class::System
    }

    /// Whether nothing of it can be changed: the directory of a process or a thread.
    fn is_immutable(&self) -> bool {
        false
    }

    /// Whether the running thread is let in, asked before the mode is.
    fn admission(&self, filesystem: &FileSystem) -> Admission {
        let _ = filesystem;
        Admission::ByMode
    }

    /// Whether the running thread may know that it is there.
    fn is_shown(&self, filesystem: &FileSystem) -> bool {
        let _ = filesystem;
        true
    }
}

/// Who is let into a directory that the kernel makes up.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Admission {
    /// Whom its mode grants it.
    ByMode,
    /// The running thread, whatever the mode says.
    Granted,
    /// Not the running thread.
    Refused(Errno),
}

/// The directory that is never found: the root of a file system without names.
pub struct Unreachable;

impl Exposure for Unreachable {}

impl DirectoryOperations for Unreachable {}
