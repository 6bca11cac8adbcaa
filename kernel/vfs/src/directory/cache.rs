//! The dentry cache: what is known of names that their file system could tell again, and how much of it.
//!
//! A directory whose names are elsewhere ([`Store`]) keeps what it has learned among its names: a dentry, or that there
//! is none. Whoever misses a name holds the directory's look-ups shared while the file system tells it, so that a slow
//! answer stops no other look-up. Changes hold them exclusively, and find all that they change known: nothing that is
//! known goes while look-ups are held otherwise. Where others change names, too ([`Store::Shared`]), whoever walks asks
//! whether what is known still holds with look-ups held shared, and forgets what does not; a name that is to be changed
//! is asked for anew before changes are locked, and taken for true then.
//!
//! Names that nobody uses go again once there are many, the directories in the order in which they came, whoever made
//! them many. One of which somebody holds a dentry stays, and with it all above it. A directory that is forgotten is
//! taken apart, as names and dentries hold each other; whoever stands in it still finds names, and nothing keeps them.
//!
//! Lock order: a directory's look-ups, which take the place of its `changes`, then its names or the list of
//! directories; both are leaves. Who takes directories apart holds none before that.

use alloc::collections::BTreeMap;
use alloc::sync::{Arc, Weak};
use core::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use abi::Errno;
use hal::sync::SpinLock;
use sched::RwLock;
use sched::mutex::MutexGuard;
use sched::rwlock::WriteGuard;

use super::pending::Pending;
use super::{Directory, Key, Known, Name, Store};
use crate::dentry::Dentry;
use crate::inode::Inode;

/// What a directory needs besides its names to keep them for a while.
pub struct Cached {
    /// Shared by who looks names up, exclusive to who changes them.
    look_ups: RwLock<()>,
    pending: Pending,
    /// Its number in the list of directories that keep names; 0 while it is not there.
    ticket: AtomicU64,
    /// Names that it keeps.
    kept: AtomicUsize,
}

/// Names that all directories keep.
static KEPT: AtomicUsize = AtomicUsize::new(0);

/// Directories that keep names, in the order in which they came.
static DIRECTORIES: SpinLock<BTreeMap<u64, Weak<Inode>>> = SpinLock::new(BTreeMap::new());

static NEXT_TICKET: AtomicU64 = AtomicU64::new(1);

/// One name may be kept for so many frames of memory.
const FRAMES_PER_NAME: usize = 8;

/// Names that are looked at, to see whether they can go, for each one that comes when there are too many.
const LOOKS: usize = 8;

/// How many names may be kept.
pub fn limit() -> usize {
    hal::frame::total() / FRAMES_PER_NAME
}

/// How many are.
pub fn kept() -> usize {
    KEPT.load(Ordering::SeqCst)
}

impl Cached {
    /// Nothing yet.
    pub const fn new() -> Cached {
        Cached {
            look_ups: RwLock::new(()),
            pending: Pending::new(),
            ticket: AtomicU64::new(0),
            kept: AtomicUsize::new(0),
        }
    }

    #[cold]
    #[inline(never)]
    fn lock_look_ups_out(&self) -> WriteGuard<'_, ()> {
        self.look_ups.write()
    }

    /// What changes have learned counts against the limit like what look-ups have.
    #[cold]
    #[inline(never)]
    fn end_changes(look_ups: WriteGuard<'_, ()>) {
        drop(look_ups);
        shrink_if_full();
    }

    fn count(&self, more: usize) {
        self.kept.fetch_add(more, Ordering::SeqCst);
        KEPT.fetch_add(more, Ordering::SeqCst);
    }

    fn uncount(&self, fewer: usize) {
        self.kept.fetch_sub(fewer, Ordering::SeqCst);
        KEPT.fetch_sub(fewer, Ordering::SeqCst);
    }

    /// Enters the directory in the list, if it is not there.
    fn enlist(&self, inode: &Arc<Inode>) {
        if self.ticket.load(Ordering::SeqCst) != 0 {
            return;
        }
        let ticket = NEXT_TICKET.fetch_add(1, Ordering::SeqCst);
        if self.ticket.compare_exchange(0, ticket, Ordering::SeqCst, Ordering::SeqCst).is_ok() {
            DIRECTORIES.lock().insert(ticket, Arc::downgrade(inode));
        }
    }
}

impl Drop for Cached {
    fn drop(&mut self) {
        let kept = *self.kept.get_mut();
        KEPT.fetch_sub(kept, Ordering::SeqCst);
        let ticket = *self.ticket.get_mut();
        if ticket != 0 {
            let entry = DIRECTORIES.lock().remove(&ticket);
            drop(entry);
        }
    }
}

/// Leave to change the names of a directory, across all steps of the change.
pub struct Changing<'a> {
    _changes: Option<MutexGuard<'a, ()>>,
    look_ups: Option<WriteGuard<'a, ()>>,
}

impl Drop for Changing<'_> {
    #[inline(always)]
    fn drop(&mut self) {
        if let Some(look_ups) = self.look_ups.take() {
            Cached::end_changes(look_ups);
        }
    }
}

/// What is known of a name: what it stands for, or that there is none such.
type Answer = Option<Arc<Dentry>>;

impl Directory {
    /// Locks out other changes and, where names are elsewhere, look-ups. Of two directories the one further up the tree
    /// comes first, else the one with the lower address.
    #[inline(always)]
    pub fn lock_changes(&self) -> Changing<'_> {
        match &self.cached {
            None => {
                let changes = self.changes.lock();
                Changing { _changes: Some(changes), look_ups: None }
            }
            Some(cached) => {
                let look_ups = cached.lock_look_ups_out();
                Changing { _changes: None, look_ups: Some(look_ups) }
            }
        }
    }

    /// Asks anew for a name that is to be changed, where others change names, too. Before changes are locked, as what
    /// no longer holds may be a whole tree.
    #[inline(always)]
    pub fn refresh(&self, directory: &Arc<Dentry>, key: &Key<'_>) -> Result<(), Errno> {
        if self.store == Store::Shared { self.ask_anew(directory, key) } else { Ok(()) }
    }

    #[cold]
    fn ask_anew(&self, directory: &Arc<Dentry>, key: &Key<'_>) -> Result<(), Errno> {
        match self.find_elsewhere(directory, key) {
            Ok(_) | Err(Errno::ENOENT) => Ok(()),
            Err(errno) => Err(errno),
        }
    }

    /// Whether what is known of a name still holds. A name that something is mounted on always does.
    fn holds(&self, directory: &Dentry, key: &Key<'_>, known: &Answer) -> Result<bool, Errno> {
        if known.as_ref().is_some_and(|dentry| dentry.is_mount_point()) {
            return Ok(true);
        }
        let inode = known.as_ref().map(|dentry| &**dentry.inode());
        self.operations.revalidate(directory.inode(), key.name, inode)
    }

    /// Forgets what was known of a name, unless it is another dentry's by now; returns the dentry, which may have a
    /// whole tree below it. Look-ups are held shared, so that nobody moves it.
    fn forget(&self, key: &Key<'_>, known: &Answer) -> Answer {
        let mut names = self.names.write();
        let is_same = match (names.known(key), known.as_ref()) {
            (Known::There(now), Some(then)) => Arc::ptr_eq(now, then),
            (Known::Absent, None) => true,
            _ => false,
        };
        let entry = if is_same { names.remove(key) } else { None };
        drop(names);
        self.uncount(entry.iter().count());
        entry?.dentry.inspect(|dentry| dentry.mark_removed())
    }

    fn uncount(&self, fewer: usize) {
        if let Some(cached) = &self.cached {
            cached.uncount(fewer);
        }
    }

    /// What is known of a name; `None` where its file system has to be asked. ENOENT in a directory that has been
    /// removed.
    fn recall(&self, key: &Key<'_>) -> Result<Option<Answer>, Errno> {
        let names = self.names.read_or_count_per_cpu();
        match names.known(key) {
            _ if names.is_dead() => Err(Errno::ENOENT),
            Known::There(dentry) => Ok(Some(Some(dentry.clone()))),
            Known::Absent => Ok(Some(None)),
            Known::Nothing => Ok(None),
        }
    }

    /// What a name stands for in a directory whose names are elsewhere. ENOENT where there is none; what the file
    /// system says where it cannot tell.
    pub fn find_elsewhere(&self, directory: &Arc<Dentry>, key: &Key<'_>) -> Result<Arc<Dentry>, Errno> {
        let cached = self.cached.as_ref().ok_or(Errno::ENOENT)?;
        if self.store != Store::Shared
            && let Some(known) = self.recall(key)?
        {
            return known.ok_or(Errno::ENOENT);
        }
        loop {
            let mut gone = None;
            let found = self.find_shared(cached, directory, key, &mut gone);
            if let Some(gone) = gone {
                take_apart(gone);
            }
            shrink_if_full();
            match found? {
                Some(known) => return known.ok_or(Errno::ENOENT),
                None => cached.pending.wait(key.name)?,
            }
        }
    }

    /// A try of it, with look-ups shared: `None` while somebody else looks the name up. What no longer holds is `gone`.
    fn find_shared(
        &self,
        cached: &Cached,
        directory: &Arc<Dentry>,
        key: &Key<'_>,
        gone: &mut Answer,
    ) -> Result<Option<Answer>, Errno> {
        let _shared = cached.look_ups.read();
        if self.store == Store::Shared
            && let Some(known) = self.recall(key)?
        {
            if self.holds(directory, key, &known)? {
                return Ok(Some(known));
            }
            *gone = self.forget(key, &known);
        }
        // Ends after the answer is among the names, where who waits for it finds it.
        let Some(_own) = cached.pending.begin(key.name)? else { return Ok(None) };
        // Somebody may have found it between the look and the beginning.
        match self.recall(key)? {
            Some(known) => Ok(Some(known)),
            None => self.ask(directory, key).map(Some),
        }
    }

    /// What a name stands for, for who has locked changes and is to change it: afterwards that is known, also that
    /// there is none such. ENOENT where the directory has been removed, which comes before anything else that is wrong;
    /// what the file system says where it cannot tell.
    #[inline(always)]
    pub fn find_to_change(
        &self,
        directory: &Arc<Dentry>,
        key: &Key<'_>,
    ) -> Result<Option<Arc<Dentry>>, Errno> {
        let names = self.names.read();
        if names.is_dead() {
            return Err(Errno::ENOENT);
        }
        if self.store == Store::Memory {
            return Ok(names.find(key).cloned());
        }
        drop(names);
        self.learn_to_change(directory, key)
    }

    #[inline(never)]
    fn learn_to_change(&self, directory: &Arc<Dentry>, key: &Key<'_>) -> Result<Answer, Errno> {
        match self.recall(key)? {
            Some(known) => Ok(known),
            None => self.ask(directory, key),
        }
    }

    /// Asks the file system for a name, and keeps the answer, but for what stands in a directory that has been
    /// forgotten: it would hold itself for ever. ENOMEM where the answer cannot be kept. Look-ups are held in either
    /// way.
    fn ask(&self, directory: &Arc<Dentry>, key: &Key<'_>) -> Result<Answer, Errno> {
        let label: Name = Arc::from(key.name);
        let found = match self.operations.look_up(directory.inode(), key.name) {
            Ok(inode) => Some(Dentry::new(inode, directory.clone(), label.clone())),
            Err(Errno::ENOENT) => None,
            Err(errno) => return Err(errno),
        };
        if self.store == Store::Shared && directory.is_cut_off() {
            return Ok(found);
        }
        self.names.write().learn(key, label, found.clone())?;
        if let Some(cached) = &self.cached {
            cached.count(1);
            cached.enlist(directory.inode());
        }
        Ok(found)
    }

    /// Enters a name that [`Directory::find_to_change`] has not found. ENOMEM, only where all names are in memory,
    /// without room for it.
    #[inline(always)]
    pub fn enter(&self, key: &Key<'_>, name: Name, dentry: Arc<Dentry>) -> Result<(), Errno> {
        if self.store == Store::Memory {
            return self.names.write().insert(key, name, dentry);
        }
        self.note(key, Some(dentry));
        Ok(())
    }

    /// Takes a name away: from now on there is none such.
    #[inline(always)]
    pub fn take_away(&self, key: &Key<'_>) -> Option<Arc<Dentry>> {
        if self.store == Store::Memory {
            let entry = self.names.write().remove(key);
            return entry?.dentry;
        }
        self.note(key, None)
    }

    /// Notes what a name stands for; returns what was known of it. Of one that is not kept nothing is noted.
    #[inline(never)]
    fn note(&self, key: &Key<'_>, dentry: Answer) -> Answer {
        self.names.write().exchange(key, dentry)?
    }

    /// Lets names go that nobody uses, at most as many as are looked at.
    fn let_go(&self, looks: usize) {
        // Who changes a directory counts on what is known of the names.
        let Some(changes) = self.cached.as_ref().and_then(|cached| cached.look_ups.try_write()) else {
            return;
        };
        for _ in 0..looks {
            // Whatever goes with the name goes with no spin lock held.
            let entry = self.names.write().take_unused(looks);
            match entry {
                Some(entry) => {
                    self.uncount(1);
                    drop(entry);
                }
                None => break,
            }
        }
        drop(changes);
    }
}

/// Lets some names go where there are more than there may be.
fn shrink_if_full() {
    if kept() > limit() {
        shrink(LOOKS);
    }
}

/// Lets names go that nobody uses, `looks` of one directory at most: of the one that has kept names for longest, which
/// goes to the end of the list then.
pub fn shrink(looks: usize) {
    let first = DIRECTORIES.lock().pop_first();
    let Some(inode) = first.and_then(|(_, inode)| inode.upgrade()) else { return };
    let Some(directory) = inode.directory() else { return };
    let Some(cached) = &directory.cached else { return };
    cached.ticket.store(0, Ordering::SeqCst);
    directory.let_go(looks);
    if cached.kept.load(Ordering::SeqCst) != 0 {
        cached.enlist(&inode);
    }
}

/// Empties the directories of a tree that is going, one after the other, so that nothing in it holds itself. Waits for
/// who changes names in it.
///
/// A directory that is taken out still holds its parent, which is the way back up: nothing is made for a list of what
/// is left, and none can be too long.
pub fn take_apart(root: Arc<Dentry>) {
    let mut current = root.clone();
    loop {
        if let Some(below) = take_directory(&current) {
            current = below;
        } else if Arc::ptr_eq(&current, &root) {
            return;
        } else {
            let Some(parent) = current.parent() else { return };
            current = parent;
        }
    }
}

/// Takes names out of a directory, until one of them is a directory's.
fn take_directory(dentry: &Dentry) -> Option<Arc<Dentry>> {
    let directory = dentry.inode().directory()?;
    let _changes = directory.lock_changes();
    loop {
        // Whatever goes with the name goes with no spin lock held.
        let entry = directory.names.write().take_newest()?;
        directory.uncount(1);
        if let Some(child) = entry.dentry.filter(|child| child.inode().is_directory()) {
            return Some(child);
        }
    }
}
