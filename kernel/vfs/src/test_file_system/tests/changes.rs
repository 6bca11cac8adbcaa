//! Changes that take their time or fail, and what others see of the names meanwhile.

use core::sync::atomic::AtomicUsize;

use super::super::Gate;
use super::*;

type Task = alloc::boxed::Box<dyn FnOnce() + Send>;

/// Runs a change that stops at its gate, and something else meanwhile, which may have to wait for the change.
pub(super) fn while_changing(
    tree: &Tree,
    gate: fn(&Disk) -> &Gate,
    change: impl FnOnce(Tree) + Send + 'static,
    meanwhile: Vec<fn(&Tree)>,
) {
    gate(&tree.disk).close();
    let [changer, opener] = [tree.clone(), tree.clone()];
    let (begun, all) = (Arc::new(AtomicUsize::new(0)), meanwhile.len());
    let mut tasks: Vec<Task> = alloc::vec![alloc::boxed::Box::new(move || change(changer))];
    for step in meanwhile {
        let (tree, begun) = (tree.clone(), begun.clone());
        tasks.push(alloc::boxed::Box::new(move || {
            gate(&tree.disk).wait_for(1);
            begun.fetch_add(1, SeqCst);
            step(&tree);
        }));
    }
    tasks.push(alloc::boxed::Box::new(move || {
        gate(&opener.disk).wait_for(1);
        while begun.load(SeqCst) < all {
            sched::yield_now();
        }
        (0..50).for_each(|_| sched::yield_now());
        gate(&opener.disk).open();
    }));
    with_tasks(tasks);
}

/// That the instance keeps nothing but its root.
fn check_nothing_is_left(tree: &Tree) {
    reaper::reap();
    assert_eq!(cache::kept(), 0);
    assert_eq!(Arc::strong_count(&tree.disk), 1 + 1 + 1, "the test's, the instance's and the root's");
}

#[test]
fn a_directory_that_could_not_be_removed_is_as_it_was() {
    for store in [Store::Memory, Store::Elsewhere, Store::Shared] {
        let (_alone, tree) = tree(store);
        for name in ["d", "e"] {
            tree.make("/", name, NewFile::directory(0o755)).expect("made");
        }
        *tree.disk.failure.lock() = Some(Errno::EBUSY);
        assert_eq!(tree.remove("/", "d", Victim::Directory), Err(Errno::EBUSY));
        assert_eq!(tree.rename(("/", "e"), ("/", "d"), Target::Replace), Err(Errno::EBUSY));
        *tree.disk.failure.lock() = None;
        assert_eq!(tree.make("/d", "a", NewFile::regular(0o644)), Ok(()));
        assert_eq!(tree.inode("/").attributes.links(), 4);
    }
}

#[test]
fn who_makes_a_name_waits_for_the_removal_of_its_directory() {
    for store in [Store::Memory, Store::Elsewhere] {
        let (_alone, tree) = tree(store);
        for name in ["slow-full", "slow-empty"] {
            tree.make("/", name, NewFile::directory(0o755)).expect("made");
        }
        // What only the file system knows of.
        let full = tree.disk.find(ROOT, b"slow-full").expect("stored");
        tree.disk.make(full, b"hidden", FileKind::Regular);
        for (name, removed, made) in
            [("slow-full", Err(Errno::ENOTEMPTY), Ok(())), ("slow-empty", Ok(()), Err(Errno::ENOENT))]
        {
            tree.disk.change_gate.close();
            let [remover, maker, opener] = [tree.clone(), tree.clone(), tree.clone()];
            let directory = tree.find(&alloc::format!("/{name}")).expect("there");
            with_tasks(alloc::vec![
                alloc::boxed::Box::new(move || {
                    assert_eq!(remover.remove("/", name, Victim::Directory), removed);
                }),
                alloc::boxed::Box::new(move || {
                    maker.disk.change_gate.wait_for(1);
                    let new = NewFile::regular(0o644);
                    let outcome = change::create(&directory, b"a", new, &Credentials::root());
                    assert_eq!(outcome.map(drop), made);
                }),
                alloc::boxed::Box::new(move || {
                    opener.disk.change_gate.wait_for(1);
                    (0..20).for_each(|_| sched::yield_now());
                    opener.disk.change_gate.open();
                }),
            ]);
        }
    }
}

#[test]
fn what_is_being_made_is_not_forgotten_meanwhile() {
    let (_alone, tree) = tree(Store::Shared);
    assert_eq!(tree.find("/slow").err(), Some(Errno::ENOENT));
    let make = |tree: Tree| assert_eq!(tree.file("slow"), Ok(()));
    // The file system has it by now, so what was known no longer holds.
    while_changing(
        &tree,
        |disk| &disk.answer_gate,
        make,
        alloc::vec![|tree| assert!(tree.find("/slow").is_ok())],
    );
    tree.remove("/", "slow", Victim::File).expect("there");
    assert_eq!(tree.find("/slow").err(), Some(Errno::ENOENT));
}

#[test]
fn what_is_being_moved_keeps_its_name_and_what_is_below_it() {
    let (_alone, tree) = tree(Store::Shared);
    for (directory, name) in [("/", "slow"), ("/slow", "inside"), ("/", "other")] {
        tree.make(directory, name, NewFile::directory(0o755)).expect("made");
    }
    let [moved, inside] = ["/slow", "/slow/inside"].map(|path| tree.find(path).expect("there"));
    let rename =
        |tree: Tree| assert_eq!(tree.rename(("/", "slow"), ("/other", "new"), Target::Replace), Ok(()));
    let look = |tree: &Tree| assert_eq!(tree.find("/slow").err(), Some(Errno::ENOENT));
    while_changing(&tree, |disk| &disk.answer_gate, rename, alloc::vec![look, look]);
    assert!(!moved.dentry.is_cut_off());
    assert!(tree.find("/other/new").expect("moved").same_as(&moved));
    assert!(tree.find("/other/new/inside").expect("came along").same_as(&inside));
}

#[test]
fn a_change_ends_though_its_directory_is_forgotten_meanwhile() {
    let (_alone, tree) = tree(Store::Shared);
    tree.make("/", "d", NewFile::directory(0o755)).expect("made");
    tree.make("/d", "sub", NewFile::directory(0o755)).expect("made");
    let make = |tree: Tree| assert_eq!(tree.make("/d/sub", "slow", NewFile::regular(0o644)), Ok(()));
    let forget = |tree: &Tree| {
        tree.disk.take(ROOT, b"d");
        assert_eq!(tree.find("/d").err(), Some(Errno::ENOENT));
    };
    while_changing(&tree, |disk| &disk.answer_gate, make, alloc::vec![forget]);
    tree.forget();
    check_nothing_is_left(&tree);
}

#[test]
fn who_stands_in_a_forgotten_directory_keeps_nothing_alive() {
    let (_alone, tree) = tree(Store::Shared);
    let number = tree.disk.make(ROOT, b"d", FileKind::Directory);
    let sub = tree.disk.make(number, b"sub", FileKind::Directory);
    tree.disk.make(sub, b"a", FileKind::Regular);
    let held = tree.find("/d").expect("there");
    tree.disk.take(ROOT, b"d");
    assert_eq!(tree.find("/d").err(), Some(Errno::ENOENT));
    let credentials = Credentials::root();
    let from_there = |path: &[u8]| {
        reaper::reap();
        Walk::new(&tree.context, &credentials).resolve(Some(held.clone()), path, LastLink::Keep)
    };
    assert!(from_there(b"sub/a").is_ok());
    change::create(&held, b"b", NewFile::directory(0o755), &credentials).expect("made");
    change::create(&from_there(b"b").expect("there"), b"c", NewFile::regular(0o644), &credentials)
        .expect("made");
    assert!(from_there(b"b/c").is_ok());
    drop(held);
    assert_eq!(tree.find("/none").err(), Some(Errno::ENOENT));
    tree.forget();
    check_nothing_is_left(&tree);
}

#[test]
fn names_that_only_changes_learn_of_are_as_few_as_others() {
    let (_alone, tree) = tree(Store::Elsewhere);
    tree.make("/", "d", NewFile::directory(0o755)).expect("made");
    let directory = tree.find("/d").expect("there");
    let names = (0..cache::limit() + 100).map(|number| alloc::format!("{number}"));
    for name in names {
        let credentials = Credentials::root();
        let name = name.as_bytes();
        change::create(&directory, name, NewFile::directory(0o755), &credentials).expect("made");
        remove::remove(&directory, name, Victim::Directory, &credentials).expect("empty");
        assert!(cache::kept() <= cache::limit() + 8);
    }
}
