//! Changes of attributes that meet: one at a time, stored in the order in which they are made, set-id bits of writers
//! included.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;

use abi::Errno;
use libkernel::signal_set::Signal;
use memory::user::IoSource;
use outcome::Failure;
use sched::Mutex;
use subject::{Credentials, Pid, UserId};

use super::tests::{Tree, tree, with_tasks};
use super::{ROOT, Stored};
use crate::attribute_changes::{set_mode, set_owner};
use crate::change::NewFile;
use crate::directory::Store;
use crate::extended;
use crate::open::{self, How};
use crate::running::{self, Running};
use crate::walk::Walk;

const OWNER: u32 = 7;

fn user() -> Credentials {
    let mut user = Credentials::root();
    user.set_user(user.user_namespace.user(OWNER).expect("a user")).expect("root may");
    user
}

/// Who runs the tests, for who writes: an ordinary user.
struct User;

impl Running for User {
    fn file_size_limit(&self) -> Option<u64> {
        None
    }

    fn process(&self) -> Option<Pid> {
        None
    }

    fn show_credentials(&self, look: &mut dyn FnMut(&Credentials)) {
        look(&user());
    }

    fn send_signal(&self, _signal: Signal) {}
}

/// A file `a` of the owner's with these permissions.
fn with_file(tree: &Tree, permissions: u32) {
    tree.make("/", "a", NewFile::regular(0o600)).expect("made");
    let place = tree.find("/a").expect("there");
    set_owner(&place, OWNER, 0, &Credentials::root()).expect("stored");
    set_mode(&place, permissions, &Credentials::root()).expect("stored");
}

fn stored(tree: &Tree) -> Stored {
    let number = tree.disk.find(ROOT, b"a").expect("stored");
    tree.disk.files.lock().get(&number).cloned().expect("stored")
}

/// Does `first`, then `second` while the file system is busy with the first, and says how the second ended.
fn meet(
    tree: &Tree,
    first: impl FnOnce(&Tree) + Send + 'static,
    second: impl FnOnce(&Tree) -> Result<(), Errno> + Send + 'static,
) -> Result<(), Errno> {
    tree.disk.store_gate.close();
    let outcome = Arc::new(Mutex::new(None));
    let [one, other, opener] = [tree.clone(), tree.clone(), tree.clone()];
    let seen = outcome.clone();
    let tasks: Vec<Box<dyn FnOnce() + Send>> = vec![
        Box::new(move || first(&one)),
        Box::new(move || {
            other.disk.store_gate.wait_for(1);
            let ended = second(&other);
            *seen.lock() = Some(ended);
        }),
        Box::new(move || {
            opener.disk.store_gate.wait_for(1);
            (0..50).for_each(|_| sched::yield_now());
            opener.disk.store_gate.open();
        }),
    ];
    with_tasks(tasks);
    let ended = outcome.lock().take();
    ended.expect("it ended")
}

fn as_root(tree: &Tree, mode: u32) -> Result<(), Errno> {
    set_mode(&tree.find("/a").expect("there"), mode, &Credentials::root())
}

fn give_to_root(tree: &Tree) {
    set_owner(&tree.find("/a").expect("there"), 0, 0, &Credentials::root()).expect("stored");
}

#[test]
fn who_owned_a_file_changes_it_no_more_while_it_is_given_away() {
    let (_alone, tree) = tree(Store::Elsewhere);
    with_file(&tree, 0o755);
    let outcome =
        meet(&tree, give_to_root, |tree| set_mode(&tree.find("/a").expect("there"), 0o4755, &user()));
    assert_eq!(outcome, Err(Errno::EPERM));
    let attributes = &tree.inode("/a").attributes;
    assert_eq!((attributes.owner(), attributes.permissions()), (UserId::ROOT, 0o755));
}

#[test]
fn changes_are_stored_in_the_order_in_which_they_are_made() {
    let (_alone, tree) = tree(Store::Elsewhere);
    with_file(&tree, 0o644);
    let first = |tree: &Tree| as_root(tree, 0o600).expect("stored");
    meet(&tree, first, |tree| as_root(tree, 0o640)).expect("stored");
    assert_eq!(tree.inode("/a").attributes.permissions(), stored(&tree).permissions);
}

#[test]
fn a_file_that_is_given_away_loses_its_set_id_bits_in_the_same_step() {
    let (_alone, tree) = tree(Store::Elsewhere);
    with_file(&tree, 0o4755);
    let seen = Arc::new(Mutex::new(Vec::new()));
    let looks = seen.clone();
    let outcome = meet(&tree, give_to_root, move |tree| {
        let inode = tree.inode("/a");
        let held = inode.lock_attributes();
        let attributes = &held.inode().attributes;
        looks.lock().push((attributes.owner(), attributes.permissions()));
        Ok(())
    });
    assert_eq!((outcome, &seen.lock()[..]), (Ok(()), &[(UserId::ROOT, 0o755)][..]));
}

/// Writes a byte as who runs the tests.
fn write(tree: &Tree) -> Result<usize, Failure> {
    let credentials = Credentials::root();
    let mut walk = Walk::new(&tree.context, &credentials);
    let how = How::new(abi::fs::O_WRONLY, 0)?;
    let file = open::open(&mut walk, Some(tree.context.root()), b"/a", how)?;
    file.write_at(0, &mut IoSource::kernel(b"x"))
}

#[test]
fn what_a_write_takes_away_stays_away() {
    running::ask_by(&User);
    let (_alone, tree) = tree(Store::Elsewhere);
    with_file(&tree, 0o4755);
    assert!(matches!(write(&tree), Ok(1)));
    assert_eq!(stored(&tree).permissions, 0o755);
    tree.forget();
    assert_eq!(tree.inode("/a").attributes.permissions(), 0o755);
}

#[test]
fn nothing_is_written_where_the_loss_of_set_id_bits_cannot_be_stored() {
    running::ask_by(&User);
    let (_alone, tree) = tree(Store::Elsewhere);
    with_file(&tree, 0o4755);
    let inode = tree.inode("/a");
    *tree.disk.failure.lock() = Some(Errno::EIO);
    let outcome = write(&tree);
    *tree.disk.failure.lock() = None;
    assert!(matches!(outcome, Err(Failure::Errno(Errno::EIO))));
    assert_eq!((inode.size(), inode.attributes.permissions()), (0, 0o4755));
}

#[test]
fn extended_attributes_are_where_the_file_system_stores_them() {
    let (_alone, tree) = tree(Store::Elsewhere);
    with_file(&tree, 0o644);
    let root = Credentials::root();
    let inode = tree.inode("/a");
    let value = b"value".to_vec();
    let changes = inode.lock_attributes();
    extended::set(&changes, b"user.name".to_vec(), value.clone(), 0).expect("stored");
    extended::set(&changes, b"trusted.name".to_vec(), value.clone(), 0).expect("stored");
    extended::set(&changes, b"security.capability".to_vec(), value.clone(), 0).expect("stored");
    drop(changes);
    drop(inode);
    tree.forget();
    // Read anew.
    let inode = tree.inode("/a");
    assert_eq!(extended::get(&inode, b"user.name").as_deref(), Ok(&value));
    assert_eq!(extended::get(&inode, b"user.none").err(), Some(Errno::ENODATA));
    let list = |by: &Credentials| extended::list(&inode, by).expect("memory");
    assert_eq!(list(&root), b"security.capability\0trusted.name\0user.name\0");
    assert_eq!(list(&user()), b"security.capability\0user.name\0");
    // What a file gives to who executes it goes with its owner, or the owner stays.
    assert!(inode.extended.has_capabilities());
    let owner = inode.attributes.owner();
    let place = tree.find("/a").expect("there");
    *tree.disk.failure.lock() = Some(Errno::EIO);
    assert_eq!(set_owner(&place, OWNER + 1, 0, &root), Err(Errno::EIO));
    assert!(inode.extended.has_capabilities());
    assert_eq!(inode.attributes.owner(), owner);
    *tree.disk.failure.lock() = None;
    set_owner(&place, OWNER + 1, 0, &root).expect("stored");
    assert!(!inode.extended.has_capabilities());
    assert_eq!(extended::get(&inode, b"security.capability").err(), Some(Errno::ENODATA));
}

#[test]
fn a_file_system_without_extended_attributes_says_so() {
    let mount = crate::anonymous::new_mount(&super::tests::sources::Named).expect("a device number");
    hal::cpu::id();
    let inode = mount.root.inode();
    let changes = inode.lock_attributes();
    let refused = Some(Errno::EOPNOTSUPP);
    assert_eq!(extended::get(inode, b"trusted.a").err(), refused);
    assert_eq!(extended::set(&changes, b"trusted.a".to_vec(), Vec::new(), 0).err(), refused);
    assert_eq!(extended::remove(&changes, b"trusted.a").err(), refused);
    assert_eq!(extended::list(inode, &Credentials::root()), Ok(Vec::new()));
}
