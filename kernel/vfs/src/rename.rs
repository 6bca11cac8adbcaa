//! Moving names: rename(2) and its variants.
//!
//! Lock order: the rename lock, then what keeps the names of both directories, of the upper one first; of two that do
//! not lie below each other in the order of their addresses; then that of a directory which is replaced. The rename
//! lock keeps the shape of the tree, so that a directory cannot be moved below itself by two renames at once.

use alloc::sync::Arc;

use abi::Errno;
use sched::Mutex;
use subject::Credentials;

use super::change;
use super::clock;
use super::dentry::Dentry;
use super::directory::cache::Changing;
use super::directory::{Directory, Key, LeftBehind, Name, Renaming, Store};
use super::inode::Inode;
use super::mount::Location;
use super::moves::Moving;
use super::notify::Event;
use super::permission::{self, Access};
use super::remove::{self, Hold, Victim};
use super::writers::MountWriter;

/// What becomes of a target that exists.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Target {
    /// It is replaced.
    Replace,
    /// EEXIST: `RENAME_NOREPLACE`.
    Keep,
    /// It takes the source's place: `RENAME_EXCHANGE`.
    Exchange,
}

/// What is left where the source was.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Behind {
    /// Nothing.
    Nothing,
    /// A whiteout, character device 0:0, which hides a name below in a file system of layers: `RENAME_WHITEOUT`.
    Whiteout,
}

/// One end of a rename: a directory and a name in it.
pub struct End<'a> {
    /// The directory.
    pub directory: &'a Location,
    /// The name in it.
    pub name: Key<'a>,
    /// Slashes followed the name.
    pub must_be_directory: bool,
}

/// Held while the shape of the tree changes.
static SHAPE: Mutex<()> = Mutex::new(());

/// Renames `from` to `to`. Nothing is left behind where they exchange places.
pub fn rename(
    from: End<'_>,
    to: End<'_>,
    target: Target,
    behind: Behind,
    credentials: &Credentials,
) -> Result<(), Errno> {
    if !Arc::ptr_eq(&from.directory.mount, &to.directory.mount) {
        return Err(Errno::EXDEV);
    }
    let _writer = MountWriter::enter(&from.directory.mount)?;
    let (old_parent, new_parent) = (from.directory.dentry.inode(), to.directory.dentry.inode());
    // In a directory that is made up, `/proc` or sysfs, no name is found that could be moved.
    let refusal = |parent: &Inode| if parent.is_directory() { Errno::ENOENT } else { Errno::ENOTDIR };
    let old = old_parent.changeable_directory().ok_or_else(|| refusal(old_parent))?;
    let new = new_parent.changeable_directory().ok_or_else(|| refusal(new_parent))?;
    // A whiteout is a file, which a file system that stores its names would have to make in the same step.
    if behind == Behind::Whiteout && old.store != Store::Memory {
        return Err(Errno::EINVAL);
    }
    old.refresh(&from.directory.dentry, &from.name)?;
    new.refresh(&to.directory.dentry, &to.name)?;
    // The shape first: by it the order of the two locks below is known, and `check_ends` may ask who lies below whom.
    let _shape = SHAPE.lock();
    let _locks = lock_both(from.directory, to.directory, old, new);
    let source = old.find_to_change(&from.directory.dentry, &from.name)?.ok_or(Errno::ENOENT)?;
    let existing = new.find_to_change(&to.directory.dentry, &to.name)?;
    check_ends(&from, &to, target, &source, existing.as_ref())?;
    if let Some(existing) = &existing
        && Arc::ptr_eq(existing.inode(), source.inode())
    {
        return Ok(());
    }
    check_rights(&from, &to, target, &source, existing.as_ref(), credentials)?;
    let moves_directory =
        [Some(&source), existing.as_ref()].into_iter().flatten().any(|end| end.inode().is_directory());
    // Before the first name changes, until the last has: a walk that must not leave its place looks at it before and
    // after.
    let _moving = moves_directory.then(Moving::start);
    let plan = Plan { from: &from, to: &to, old, new, source };
    match existing {
        Some(other) if target == Target::Exchange => plan.exchange(other),
        existing => {
            let whiteout = match behind {
                Behind::Whiteout => Some(change::new_whiteout(from.directory, &from.name, credentials)?),
                Behind::Nothing => None,
            };
            plan.replace(existing, whiteout)
        }
    }
}

type Guards<'a> = (Changing<'a>, Option<Changing<'a>>);

/// Locks the directories' changes; one lock if they are the same. A removal locks a directory after the one that it is
/// in: so of two that lie below each other the upper one comes first, else the lower address. The shape of the tree is
/// locked.
fn lock_both<'a>(from: &Location, to: &Location, old: &'a Directory, new: &'a Directory) -> Guards<'a> {
    let address = |directory: &Directory| core::ptr::from_ref(directory).addr();
    if address(old) == address(new) {
        return (old.lock_changes(), None);
    }
    let is_old_first = if from.dentry.is_ancestor_of(&to.dentry) {
        true
    } else {
        !to.dentry.is_ancestor_of(&from.dentry) && address(old) < address(new)
    };
    let (first, second) = if is_old_first { (old, new) } else { (new, old) };
    let first = first.lock_changes();
    (first, Some(second.lock_changes()))
}

/// What is wrong with the two names themselves.
fn check_ends(
    from: &End<'_>,
    to: &End<'_>,
    target: Target,
    source: &Arc<Dentry>,
    existing: Option<&Arc<Dentry>>,
) -> Result<(), Errno> {
    match (target, existing) {
        (Target::Keep, Some(_)) => return Err(Errno::EEXIST),
        (Target::Exchange, None) => return Err(Errno::ENOENT),
        _ => {}
    }
    let source_is_directory = source.inode().is_directory();
    if !source_is_directory {
        let other_may_be_file = target == Target::Exchange;
        if from.must_be_directory || (to.must_be_directory && !other_may_be_file) {
            return Err(Errno::ENOTDIR);
        }
    }
    if target == Target::Exchange
        && to.must_be_directory
        && existing.is_some_and(|other| !other.inode().is_directory())
    {
        return Err(Errno::ENOTDIR);
    }
    if source_is_directory && source.is_ancestor_of(&to.directory.dentry) {
        return Err(Errno::EINVAL);
    }
    match existing {
        Some(other) if other.inode().is_directory() && other.is_ancestor_of(&from.directory.dentry) => {
            Err(if target == Target::Exchange { Errno::EINVAL } else { Errno::ENOTEMPTY })
        }
        _ => Ok(()),
    }
}

/// What the caller may not do.
fn check_rights(
    from: &End<'_>,
    to: &End<'_>,
    target: Target,
    source: &Arc<Dentry>,
    existing: Option<&Arc<Dentry>>,
    credentials: &Credentials,
) -> Result<(), Errno> {
    let kind_of =
        |dentry: &Dentry| if dentry.inode().is_directory() { Victim::Directory } else { Victim::File };
    change::may_change(from.directory, credentials)?;
    remove::check_victim(from.directory.dentry.inode(), source, kind_of(source), credentials)?;
    change::may_change(to.directory, credentials)?;
    if let Some(existing) = existing {
        let expected = if target == Target::Exchange { kind_of(existing) } else { kind_of(source) };
        remove::check_victim(to.directory.dentry.inode(), existing, expected, credentials)?;
    }
    let moves = !Arc::ptr_eq(&from.directory.dentry, &to.directory.dentry);
    if moves && source.inode().is_directory() {
        permission::check(source.inode(), credentials, Access::WRITE)?;
    }
    if let Some(existing) = existing
        && moves
        && target == Target::Exchange
        && existing.inode().is_directory()
    {
        permission::check(existing.inode(), credentials, Access::WRITE)?;
    }
    if moves { check_links(from, to, source, existing) } else { Ok(()) }
}

/// EMLINK where a directory would come to hold one more than it may.
fn check_links(
    from: &End<'_>,
    to: &End<'_>,
    source: &Arc<Dentry>,
    existing: Option<&Arc<Dentry>>,
) -> Result<(), Errno> {
    let gainer = match (source.inode().is_directory(), existing.map(|other| other.inode().is_directory())) {
        (true, None | Some(false)) => to,
        (false, Some(true)) => from,
        _ => return Ok(()),
    };
    gainer.directory.dentry.inode().attributes.check_links()
}

/// A name has gone from one directory, and come to the other.
fn tell_of_move(old: &Inode, new: &Inode) {
    if core::ptr::eq(old, new) {
        old.watched.tell(Event::Renamed);
    }
    old.watched.tell(Event::Deleted);
    new.watched.tell(Event::Created);
}

/// A rename that has been checked, with both directories locked.
struct Plan<'a> {
    from: &'a End<'a>,
    to: &'a End<'a>,
    old: &'a Directory,
    new: &'a Directory,
    source: Arc<Dentry>,
}

impl Plan<'_> {
    fn parents(&self) -> (&Inode, &Inode) {
        (self.from.directory.dentry.inode(), self.to.directory.dentry.inode())
    }

    fn replace(self, existing: Option<Arc<Dentry>>, whiteout: Option<Arc<Dentry>>) -> Result<(), Errno> {
        let label: Name = Arc::from(self.to.name.name);
        // Locked before the file system is asked: else a name could be made meanwhile, in a directory or of a file that
        // goes.
        let hold = existing.as_ref().map(|existing| Hold::begin(existing)).transpose()?;
        let (old_parent, new_parent) = self.parents();
        let left = if whiteout.is_some() { LeftBehind::Whiteout } else { LeftBehind::Nothing };
        self.ask(existing.as_ref(), left)?;
        // The new name comes before the old one goes: whoever looks up both finds the file under one at least, and what
        // can fail (`enter`) leaves the old one as it was.
        let replaced = match &existing {
            Some(_) => self.new.names.write().supersede(&self.to.name, self.source.clone()),
            None => {
                self.new.enter(&self.to.name, label.clone(), self.source.clone())?;
                None
            }
        };
        if let Some(existing) = &existing {
            existing.mark_removed();
            remove::forget(new_parent, existing.inode());
        }
        if let Some(hold) = hold {
            hold.finish();
        }
        let moved = match whiteout {
            Some(whiteout) => self.old.names.write().supersede(&self.from.name, whiteout),
            None => self.old.take_away(&self.from.name),
        };
        // Last: until then a path that is told (`getcwd`) is the old one.
        self.source.move_to(self.to.directory.dentry.clone(), label);
        if self.source.inode().is_directory() {
            old_parent.remove_link();
            new_parent.add_link();
        }
        self.stamp();
        tell_of_move(old_parent, new_parent);
        if let Some(replaced) = &existing {
            replaced.inode().watched.tell(Event::Attributes);
        }
        drop((replaced, moved));
        Ok(())
    }

    fn exchange(self, other: Arc<Dentry>) -> Result<(), Errno> {
        let (old_parent, new_parent) = self.parents();
        self.ask(Some(&other), LeftBehind::Other)?;
        let (old_place, new_place) = (self.source.place(), other.place());
        let first = self.new.names.write().replace(&self.to.name, self.source.clone());
        let second = self.old.names.write().replace(&self.from.name, other.clone());
        self.source.move_to(self.to.directory.dentry.clone(), new_place.1);
        other.move_to(self.from.directory.dentry.clone(), old_place.1);
        match (self.source.inode().is_directory(), other.inode().is_directory()) {
            (true, false) => {
                old_parent.remove_link();
                new_parent.add_link();
            }
            (false, true) => {
                new_parent.remove_link();
                old_parent.add_link();
            }
            _ => {}
        }
        other.inode().touch_changed(clock::now());
        self.stamp();
        tell_of_move(old_parent, new_parent);
        tell_of_move(new_parent, old_parent);
        drop((first, second));
        Ok(())
    }

    /// Has the file system do its part.
    fn ask(&self, existing: Option<&Arc<Dentry>>, behind: LeftBehind) -> Result<(), Errno> {
        let (old_parent, new_parent) = self.parents();
        self.old.operations.rename(&Renaming {
            from: (old_parent, self.from.name.name, self.source.inode()),
            to: (new_parent, self.to.name.name),
            existing: existing.map(|existing| &**existing.inode()),
            behind,
        })
    }

    fn stamp(&self) {
        let now = clock::now();
        let (old_parent, new_parent) = self.parents();
        old_parent.touch_modified(now);
        new_parent.touch_modified(now);
        self.source.inode().touch_changed(now);
    }
}
