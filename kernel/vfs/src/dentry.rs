//! A name in the tree: what `..`, `getcwd` and mounts hang on.
//!
//! A dentry holds its inode and its parent strongly; a directory's `Names` hold its children. Removal takes the child
//! out of the parent's names, so that the two never keep each other alive. A dentry's own lock is a leaf: nothing else
//! is locked under it.

use alloc::sync::Arc;
use core::sync::atomic::{AtomicU32, Ordering};

use hal::sync::SpinLock;

use super::directory::Name;
use super::inode::Inode;
use super::notify::{self, Event};

/// Whether a file without a name may get one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Linkable {
    /// `O_TMPFILE`.
    Yes,
    /// `O_TMPFILE | O_EXCL`, `memfd_create`, pipes.
    No,
}

/// Whether a dentry's name is in its directory.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Standing {
    /// It is.
    Named,
    /// It was removed while someone still held the dentry.
    Removed,
    /// It never was.
    Nameless(Linkable),
}

struct Place {
    /// `None` for the root of a file system and for what never had a name.
    parent: Option<Arc<Dentry>>,
    name: Name,
    standing: Standing,
}

/// One name in a directory, with the inode it stands for.
pub struct Dentry {
    inode: Arc<Inode>,
    place: SpinLock<Place>,
    /// How many mounts lie on this dentry, so that path walk looks at the mount table only where one does.
    mounts: AtomicU32,
}

impl Dentry {
    /// The root of a file system, or a file without a name.
    pub fn new_root(inode: Arc<Inode>) -> Arc<Dentry> {
        Dentry::with_place(inode, Place { parent: None, name: Arc::default(), standing: Standing::Named })
    }

    /// The dentry for `name` in `parent`; the caller puts it into the parent's names.
    pub fn new(inode: Arc<Inode>, parent: Arc<Dentry>, name: Name) -> Arc<Dentry> {
        Dentry::with_place(inode, Place { parent: Some(parent), name, standing: Standing::Named })
    }

    /// A file that may have a directory but no name in it: `O_TMPFILE`, `memfd_create`.
    pub fn new_nameless(
        inode: Arc<Inode>,
        parent: Option<Arc<Dentry>>,
        label: Name,
        linkable: Linkable,
    ) -> Arc<Dentry> {
        Dentry::with_place(inode, Place { parent, name: label, standing: Standing::Nameless(linkable) })
    }

    fn with_place(inode: Arc<Inode>, place: Place) -> Arc<Dentry> {
        Arc::new(Dentry { inode, place: SpinLock::new(place), mounts: AtomicU32::new(0) })
    }

    /// What the name stands for.
    pub fn inode(&self) -> &Arc<Inode> {
        &self.inode
    }

    /// The directory the name is in.
    pub fn parent(&self) -> Option<Arc<Dentry>> {
        self.place.lock().parent.clone()
    }

    /// The name, without its directory.
    pub fn name(&self) -> Name {
        self.place.lock().name.clone()
    }

    /// Parent and name, read together.
    pub fn place(&self) -> (Option<Arc<Dentry>>, Name) {
        let place = self.place.lock();
        (place.parent.clone(), place.name.clone())
    }

    /// Whether the name has been removed.
    pub fn is_removed(&self) -> bool {
        self.place.lock().standing != Standing::Named
    }

    /// Whether it never had a name.
    pub fn is_nameless(&self) -> bool {
        matches!(self.place.lock().standing, Standing::Nameless(_))
    }

    /// Whether it may get a name although it has none: `O_TMPFILE`.
    pub fn is_linkable_without_name(&self) -> bool {
        self.place.lock().standing == Standing::Nameless(Linkable::Yes)
    }

    /// The file has got a name elsewhere: this dentry gives it none any more.
    pub fn forbid_linking(&self) {
        let mut place = self.place.lock();
        if place.standing == Standing::Nameless(Linkable::Yes) {
            place.standing = Standing::Nameless(Linkable::No);
        }
    }

    /// The name was taken out of its directory.
    pub fn mark_removed(&self) {
        self.place.lock().standing = Standing::Removed;
    }

    /// A rename: the dentry is now `name` in `parent`.
    pub fn move_to(&self, parent: Arc<Dentry>, name: Name) {
        let mut place = self.place.lock();
        let old_name = core::mem::replace(&mut place.name, name);
        let old_parent = place.parent.replace(parent);
        place.standing = Standing::Named;
        drop(place);
        drop((old_name, old_parent));
    }

    /// Whether `self` is `other` or lies above it.
    pub fn is_ancestor_of(self: &Arc<Self>, other: &Arc<Dentry>) -> bool {
        let mut current = other.clone();
        loop {
            if Arc::ptr_eq(self, &current) {
                return true;
            }
            match current.parent() {
                Some(parent) => current = parent,
                None => return false,
            }
        }
    }

    /// Whether its name, or one above it, has been removed.
    pub fn is_cut_off(self: &Arc<Self>) -> bool {
        let mut current = self.clone();
        loop {
            if current.is_removed() {
                return true;
            }
            match current.parent() {
                Some(parent) => current = parent,
                None => return false,
            }
        }
    }

    /// Something has happened to what the name stands for: who watches its directory is told, and who watches it, if it
    /// is one itself.
    #[inline]
    pub fn tell(&self, event: Event) {
        if notify::is_any() {
            self.tell_watchers(event);
        }
    }

    #[cold]
    fn tell_watchers(&self, event: Event) {
        if let Some(parent) = self.parent() {
            parent.inode.watched.tell(event);
        }
        self.inode.watched.tell(event);
    }

    /// Whether something is mounted here.
    pub fn is_mount_point(&self) -> bool {
        self.mounts.load(Ordering::Relaxed) != 0
    }

    pub(crate) fn add_mount(&self) {
        self.mounts.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn remove_mount(&self) {
        self.mounts.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Drop for Dentry {
    /// Lets go of the chain of parents one by one: a removed chain can be deeper than the kernel's stack.
    fn drop(&mut self) {
        let mut next = self.place.get_mut().parent.take();
        while let Some(parent) = next {
            next = Arc::into_inner(parent).and_then(|mut last| last.place.get_mut().parent.take());
        }
    }
}
