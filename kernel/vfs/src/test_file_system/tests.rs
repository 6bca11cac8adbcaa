//! What tmpfs cannot show: look-ups and evictions that sleep, answers that are kept and forgotten, file systems that
//! fail.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::Ordering::SeqCst;
use std::sync::{Mutex, MutexGuard, PoisonError};

use abi::Errno;
use sched::hosted::Run;
use subject::Credentials;

use super::{Disk, ROOT};
use crate::attribute_changes::set_mode;
use crate::attributes::FileKind;
use crate::change::{self, NewFile};
use crate::directory::{Key, Store, cache};
use crate::inode::Inode;
use crate::mount::Location;
use crate::reaper;
use crate::remove::{self, Victim};
use crate::rename::{self, Behind, End, Target};
use crate::walk::{LastLink, Walk};
use crate::{FsContext, listing};

mod changes;
mod endings;
mod links;
mod naming;
pub(super) mod sources;

/// The reaper and the list of directories are everybody's, so these tests run one after the other.
static ALONE: Mutex<()> = Mutex::new(());

/// Runs tasks until all have ended.
pub(super) fn with_tasks(tasks: Vec<alloc::boxed::Box<dyn FnOnce() + Send>>) {
    let mut run = Run::new();
    tasks.into_iter().for_each(|task| run.task(task));
    run.run_until_the_end();
}

/// A mount of a disk, and someone to use it.
#[derive(Clone)]
pub(super) struct Tree {
    pub disk: Arc<Disk>,
    pub context: Arc<FsContext>,
}

/// The tree goes before the guard, so that it is left to nobody but the next test.
pub(super) fn tree(store: Store) -> (MutexGuard<'static, ()>, Tree) {
    let alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    hal::cpu::id();
    // What the test before has left.
    reaper::reap();
    let disk = Disk::new(store);
    let context = FsContext::at(disk.mount().root_location());
    (alone, Tree { disk, context })
}

impl Tree {
    fn root(&self) -> Location {
        self.context.root()
    }

    pub fn find(&self, path: &str) -> Result<Location, Errno> {
        let credentials = Credentials::root();
        Walk::new(&self.context, &credentials).resolve(Some(self.root()), path.as_bytes(), LastLink::Keep)
    }

    pub fn inode(&self, path: &str) -> Arc<Inode> {
        self.find(path).expect("there").dentry.inode().clone()
    }

    pub fn make(&self, directory: &str, name: &str, new: NewFile) -> Result<(), Errno> {
        change::create(&self.find(directory)?, name.as_bytes(), new, &Credentials::root()).map(drop)
    }

    fn file(&self, name: &str) -> Result<(), Errno> {
        self.make("/", name, NewFile::regular(0o644))
    }

    fn remove(&self, directory: &str, name: &str, victim: Victim) -> Result<(), Errno> {
        remove::remove(&self.find(directory)?, name.as_bytes(), victim, &Credentials::root())
    }

    fn rename(&self, from: (&str, &str), to: (&str, &str), target: Target) -> Result<(), Errno> {
        let (old, new) = (self.find(from.0)?, self.find(to.0)?);
        let end = |directory, name| End { directory, name: Key::new(name), must_be_directory: false };
        let (from, to) = (end(&old, from.1.as_bytes()), end(&new, to.1.as_bytes()));
        rename::rename(from, to, target, Behind::Nothing, &Credentials::root())
    }

    fn look_ups(&self) -> usize {
        self.disk.look_ups.load(SeqCst)
    }

    /// Forgets what nobody uses, of as many directories as there are, and has the file system finish with it.
    pub fn forget(&self) {
        self.let_go();
        reaper::reap();
    }

    /// The first half of it.
    fn let_go(&self) {
        (0..8).for_each(|_| cache::shrink(1000));
    }
}

#[test]
fn a_slow_look_up_stops_no_other() {
    let (_alone, tree) = tree(Store::Elsewhere);
    for name in [&b"slow"[..], b"quick"] {
        tree.disk.make(ROOT, name, FileKind::Regular);
    }
    tree.disk.look_up_gate.close();
    let [slow, quick] = [tree.clone(), tree.clone()];
    with_tasks(alloc::vec![
        alloc::boxed::Box::new(move || assert!(slow.find("/slow").is_ok())),
        alloc::boxed::Box::new(move || {
            quick.disk.look_up_gate.wait_for(1);
            assert!(quick.find("/quick").is_ok());
            assert_eq!(quick.find("/none").err(), Some(Errno::ENOENT));
            quick.disk.look_up_gate.open();
        }),
    ]);
    assert_eq!(tree.look_ups(), 3);
}

#[test]
fn who_misses_a_name_at_once_gets_one_answer() {
    let (_alone, tree) = tree(Store::Elsewhere);
    tree.disk.make(ROOT, b"slow", FileKind::Regular);
    tree.disk.look_up_gate.close();
    let found = Arc::new(sched::Mutex::new(Vec::new()));
    let mut tasks: Vec<alloc::boxed::Box<dyn FnOnce() + Send>> = Vec::new();
    for name in ["/slow", "/slow", "/slow", "/slow-none", "/slow-none"] {
        let (tree, found) = (tree.clone(), found.clone());
        tasks.push(alloc::boxed::Box::new(move || {
            let dentry = tree.find(name).map(|place| Arc::as_ptr(&place.dentry).addr());
            found.lock().push(dentry);
        }));
    }
    let opener = tree.clone();
    tasks.push(alloc::boxed::Box::new(move || {
        opener.disk.look_up_gate.wait_for(2);
        (0..20).for_each(|_| sched::yield_now());
        opener.disk.look_up_gate.open();
    }));
    with_tasks(tasks);
    let place = Arc::as_ptr(&tree.find("/slow").expect("there").dentry).addr();
    let found = found.lock();
    assert_eq!(found.iter().filter(|&&one| one == Ok(place)).count(), 3);
    assert_eq!(found.iter().filter(|&&one| one == Err(Errno::ENOENT)).count(), 2);
    assert_eq!(tree.look_ups(), 2);
}

#[test]
fn a_change_waits_for_look_ups_and_is_seen_by_the_next() {
    let (_alone, tree) = tree(Store::Elsewhere);
    tree.disk.make(ROOT, b"slow", FileKind::Regular);
    tree.disk.look_up_gate.close();
    let [walker, remover] = [tree.clone(), tree.clone()];
    with_tasks(alloc::vec![
        alloc::boxed::Box::new(move || assert!(walker.find("/slow").is_ok())),
        alloc::boxed::Box::new(move || {
            remover.disk.look_up_gate.wait_for(1);
            remover.disk.look_up_gate.open();
            assert_eq!(remover.remove("/", "slow", Victim::File), Ok(()));
            assert_eq!(remover.find("/slow").err(), Some(Errno::ENOENT));
        }),
    ]);
    assert_eq!(tree.look_ups(), 1);
}

#[test]
fn answers_are_kept_also_that_there_is_no_such_name() {
    let (_alone, tree) = tree(Store::Elsewhere);
    for _ in 0..3 {
        assert_eq!(tree.find("/none").err(), Some(Errno::ENOENT));
    }
    assert_eq!(tree.look_ups(), 1);
    tree.file("none").expect("made");
    assert!(tree.find("/none").is_ok());
    assert_eq!(tree.file("none"), Err(Errno::EEXIST));
    tree.remove("/", "none", Victim::File).expect("removed");
    assert_eq!(tree.find("/none").err(), Some(Errno::ENOENT));
    assert_eq!(tree.look_ups(), 1);
}

#[test]
fn a_failing_change_leaves_everything_as_it_was() {
    let (_alone, tree) = tree(Store::Elsewhere);
    tree.file("a").expect("made");
    tree.make("/", "d", NewFile::directory(0o755)).expect("made");
    for (errno, name) in [(Errno::EIO, "x"), (Errno::ENOSPC, "y")] {
        let path = alloc::format!("/{name}");
        *tree.disk.failure.lock() = Some(errno);
        assert_eq!(tree.find(&path).err(), Some(errno));
        assert_eq!(tree.file(name), Err(errno));
        assert_eq!(tree.remove("/", "a", Victim::File), Err(errno));
        assert_eq!(tree.remove("/", "d", Victim::Directory), Err(errno));
        assert_eq!(tree.rename(("/", "a"), ("/d", "b"), Target::Replace), Err(errno));
        assert_eq!(set_mode(&tree.find("/a").expect("there"), 0, &Credentials::root()), Err(errno));
        *tree.disk.failure.lock() = None;
        assert_eq!(tree.inode("/a").attributes.permissions(), 0o644);
        assert_eq!(tree.find(&path).err(), Some(Errno::ENOENT));
        *tree.disk.failure.lock() = Some(errno);
        assert_eq!(tree.file(name), Err(errno));
        *tree.disk.failure.lock() = None;
        assert_eq!(tree.find(&path).err(), Some(Errno::ENOENT));
    }
    tree.make("/d", "inside", NewFile::regular(0o644)).expect("the directory takes names as before");
    tree.file("x").expect("made");
}

#[test]
fn two_names_of_a_file_are_one_inode() {
    let (_alone, tree) = tree(Store::Elsewhere);
    tree.file("a").expect("made");
    let credentials = Credentials::root();
    change::link(&tree.find("/a").expect("there"), &tree.root(), b"b", &credentials).expect("linked");
    assert!(Arc::ptr_eq(&tree.inode("/a"), &tree.inode("/b")));
    tree.forget();
    let held = tree.inode("/a");
    assert_eq!(held.attributes.links(), 2);
    assert!(Arc::ptr_eq(&held, &tree.inode("/b")));
    tree.remove("/", "a", Victim::File).expect("removed");
    assert_eq!(tree.inode("/b").attributes.links(), 1);
    assert!(Arc::ptr_eq(&held, &tree.inode("/b")));
}

#[test]
fn who_looks_up_what_is_being_evicted_waits_and_reads_it_anew() {
    let (_alone, tree) = tree(Store::Elsewhere);
    tree.file("a").expect("made");
    set_mode(&tree.find("/a").expect("there"), 0o600, &Credentials::root()).expect("stored");
    tree.let_go();
    tree.disk.eviction_gate.close();
    let reads = tree.disk.reads.load(SeqCst);
    let [walker, opener] = [tree.clone(), tree.clone()];
    with_tasks(alloc::vec![
        alloc::boxed::Box::new(reaper::reap),
        alloc::boxed::Box::new(move || {
            walker.disk.eviction_gate.wait_for(1);
            assert_eq!(walker.inode("/a").attributes.permissions(), 0o600);
            assert_eq!(walker.disk.evictions.load(SeqCst), 1);
        }),
        alloc::boxed::Box::new(move || {
            opener.disk.eviction_gate.wait_for(1);
            (0..20).for_each(|_| sched::yield_now());
            assert_eq!(opener.disk.reads.load(SeqCst), reads);
            opener.disk.eviction_gate.open();
        }),
    ]);
    assert_eq!(tree.disk.reads.load(SeqCst), reads + 1);
}

#[test]
fn a_file_without_names_is_freed_when_nobody_holds_it() {
    let (_alone, tree) = tree(Store::Elsewhere);
    tree.file("a").expect("made");
    let number = tree.disk.find(ROOT, b"a").expect("stored");
    let held = tree.inode("/a");
    tree.remove("/", "a", Victim::File).expect("removed");
    reaper::reap();
    assert!(tree.disk.files.lock().contains_key(&number));
    drop(held);
    // Nothing is done where the last reference goes.
    assert!(tree.disk.files.lock().contains_key(&number));
    reaper::reap();
    assert!(!tree.disk.files.lock().contains_key(&number));
}

#[test]
fn what_nobody_uses_is_forgotten_and_what_lies_above_something_used_is_not() {
    let (_alone, tree) = tree(Store::Elsewhere);
    tree.make("/", "d", NewFile::directory(0o755)).expect("made");
    tree.make("/d", "e", NewFile::directory(0o755)).expect("made");
    tree.make("/d/e", "used", NewFile::regular(0o644)).expect("made");
    for number in 0..100 {
        tree.file(&alloc::format!("f{number}")).expect("made");
    }
    let (used, kept) = (tree.find("/d/e/used").expect("there"), cache::kept());
    assert_eq!(kept, 103);
    tree.forget();
    assert_eq!(cache::kept(), 3);
    let look_ups = tree.look_ups();
    assert!(Arc::ptr_eq(&tree.find("/d/e/used").expect("there").dentry, &used.dentry));
    assert_eq!(tree.look_ups(), look_ups);
    assert!(tree.find("/f7").is_ok());
    assert_eq!(tree.look_ups(), look_ups + 1);
    drop(used);
    tree.forget();
    tree.forget();
    assert_eq!(cache::kept(), 0);
    assert!(tree.find("/d/e/used").is_ok());
}

#[test]
fn what_others_change_is_asked_for_anew() {
    let (_alone, tree) = tree(Store::Shared);
    assert_eq!(tree.find("/d/a").err(), Some(Errno::ENOENT));
    let folder = tree.disk.make(ROOT, b"d", FileKind::Directory);
    let first = tree.disk.make(folder, b"a", FileKind::Regular);
    assert_eq!(tree.inode("/d/a").number, first);
    let look_ups = tree.look_ups();
    assert_eq!(tree.inode("/d/a").number, first);
    assert_eq!(tree.look_ups(), look_ups);
    tree.disk.take(folder, b"a");
    assert_eq!(tree.find("/d/a").err(), Some(Errno::ENOENT));
    let second = tree.disk.make(folder, b"a", FileKind::Regular);
    assert_eq!(tree.make("/d", "a", NewFile::regular(0o644)), Err(Errno::EEXIST));
    assert_eq!(tree.inode("/d/a").number, second);
    // A whole tree goes, of which somebody holds a part.
    let held = tree.find("/d/a").expect("there");
    tree.disk.take(ROOT, b"d");
    assert_eq!(tree.find("/d/a").err(), Some(Errno::ENOENT));
    assert_eq!(held.dentry.inode().number, second);
    drop(held);
    tree.forget();
    assert_eq!(Arc::strong_count(&tree.disk), 1 + 1 + 1, "the test's, the instance's and the root's");
}

#[test]
fn directories_are_removed_and_replaced_as_their_file_system_says() {
    let (_alone, tree) = tree(Store::Elsewhere);
    for name in ["d", "e"] {
        tree.make("/", name, NewFile::directory(0o755)).expect("made");
    }
    tree.make("/d", "a", NewFile::regular(0o644)).expect("made");
    tree.forget();
    assert_eq!(tree.remove("/", "d", Victim::Directory), Err(Errno::ENOTEMPTY));
    tree.rename(("/d", "a"), ("/e", "b"), Target::Replace).expect("moved");
    assert_eq!(tree.find("/d/a").err(), Some(Errno::ENOENT));
    assert!(tree.find("/e/b").is_ok());
    let removed = tree.find("/d").expect("there");
    tree.remove("/", "d", Victim::Directory).expect("empty");
    let made = change::create(&removed, b"late", NewFile::regular(0o644), &Credentials::root());
    assert_eq!(made.err(), Some(Errno::ENOENT));
    tree.file("f").expect("made");
    tree.rename(("/", "f"), ("/", "e"), Target::Exchange).expect("exchanged");
    assert!(tree.inode("/e").kind == FileKind::Regular && tree.find("/f/b").is_ok());
    tree.forget();
    assert!(tree.inode("/e").kind == FileKind::Regular && tree.find("/f/b").is_ok());
    let mut names = Vec::new();
    listing::list(&tree.root(), 2, |entry| {
        names.push(entry.name.to_vec());
        true
    })
    .expect("a directory");
    assert_eq!(names, [b"e", b"f"]);
}
