//! A file that gets a name while its last one goes: one comes after the other, as on Linux.

use super::changes::while_changing;
use super::*;

/// Directories `d` and `e`, a file in each, and the place of the one in `d`.
fn with_files(tree: &Tree, in_d: &str, in_e: &str) -> Location {
    for (directory, name) in [("d", in_d), ("e", in_e)] {
        tree.make("/", directory, NewFile::directory(0o755)).expect("made");
        tree.make(&alloc::format!("/{directory}"), name, NewFile::regular(0o644)).expect("made");
    }
    tree.find(&alloc::format!("/d/{in_d}")).expect("there")
}

fn link(tree: &Tree, target: &Location, name: &str) -> Result<(), Errno> {
    change::link(target, &tree.find("/e")?, name.as_bytes(), &Credentials::root())
}

#[test]
fn a_file_that_is_being_named_keeps_its_last_name_so_long() {
    for store in [Store::Elsewhere, Store::Shared] {
        let (_alone, tree) = tree(store);
        let target = with_files(&tree, "a", "b");
        let named = target.clone();
        while_changing(
            &tree,
            |disk| &disk.change_gate,
            move |tree| assert_eq!(link(&tree, &named, "slow"), Ok(())),
            alloc::vec![|tree| assert_eq!(tree.remove("/d", "a", Victim::File), Ok(()))],
        );
        assert!(Arc::ptr_eq(&tree.inode("/e/slow"), target.dentry.inode()));
        assert_eq!(target.dentry.inode().attributes.links(), 1);
    }
}

/// Tries to give the file another name while its last one goes.
fn named_too_late(tree: &Tree, target: &Location, taking: fn(&Tree) -> Result<(), Errno>) {
    *TARGET.lock().expect("no other test") = Some(target.clone());
    while_changing(
        tree,
        |disk| &disk.answer_gate,
        move |tree| assert_eq!(taking(&tree), Ok(())),
        alloc::vec![|tree| {
            let target = TARGET.lock().expect("no other test").take().expect("a target");
            assert_eq!(link(tree, &target, "late"), Err(Errno::ENOENT));
        }],
    );
    assert_eq!(tree.find("/e/late").err(), Some(Errno::ENOENT));
    assert_eq!(target.dentry.inode().attributes.links(), 0);
}

static TARGET: Mutex<Option<Location>> = Mutex::new(None);

#[test]
fn who_loses_its_last_name_by_unlink_gets_no_other() {
    let (_alone, tree) = tree(Store::Elsewhere);
    let target = with_files(&tree, "slow", "b");
    named_too_late(&tree, &target, |tree| tree.remove("/d", "slow", Victim::File));
}

#[test]
fn who_loses_its_last_name_by_rename_gets_no_other() {
    let (_alone, tree) = tree(Store::Elsewhere);
    let target = with_files(&tree, "a", "b");
    // From a third directory, as both of a rename are locked.
    tree.make("/", "f", NewFile::directory(0o755)).expect("made");
    tree.make("/f", "slow", NewFile::regular(0o644)).expect("made");
    named_too_late(&tree, &target, |tree| tree.rename(("/f", "slow"), ("/d", "a"), Target::Replace));
}
