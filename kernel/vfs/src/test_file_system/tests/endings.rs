//! Ends of instances: what comes before them, and who waits for them.

use super::*;
use crate::mount::Mount;

/// A disk with a few files, all of whose names are known, and its only mount.
fn known_tree() -> (MutexGuard<'static, ()>, Tree) {
    let (alone, tree) = tree(Store::Elsewhere);
    tree.make("/", "d", NewFile::directory(0o755)).expect("made");
    for name in ["a", "b"] {
        tree.make("/d", name, NewFile::regular(0o644)).expect("made");
    }
    (alone, tree)
}

#[test]
fn an_instance_ends_after_its_inodes_whoever_holds_them() {
    let (_alone, Tree { disk, context }) = known_tree();
    let inode = Tree { disk: disk.clone(), context: context.clone() }.inode("/d/a");
    drop(context);
    // Nothing is done where the last mount goes.
    assert_eq!((disk.evictions.load(SeqCst), disk.unmounts.load(SeqCst)), (0, 0));
    reaper::reap();
    assert_eq!((disk.evictions.load(SeqCst), disk.unmounts.load(SeqCst)), (3, 0));
    drop(inode);
    reaper::reap();
    assert_eq!((disk.evictions.load(SeqCst), disk.unmounts.load(SeqCst)), (4, 1));
    assert_eq!((Arc::strong_count(&disk), cache::kept()), (1, 0));
}

#[test]
fn who_waits_for_the_end_waits_for_evictions() {
    let (_alone, Tree { disk, context }) = known_tree();
    let ending = context.root().mount.filesystem.ending();
    // Not the end of what is not going to end.
    assert_eq!(ending.wait(), Ok(()));
    let mount = context.root().mount;
    let other = Mount::new(mount.filesystem.clone(), mount.root.clone(), Arc::default(), 0);
    drop(mount);
    drop(context);
    assert_eq!(ending.wait(), Ok(()));
    drop(other);
    disk.eviction_gate.close();
    let (opener, waiter) = (disk.clone(), disk.clone());
    with_tasks(alloc::vec![
        alloc::boxed::Box::new(reaper::reap),
        alloc::boxed::Box::new(move || {
            waiter.eviction_gate.wait_for(1);
            assert_eq!(ending.wait(), Ok(()));
            assert_eq!(waiter.unmounts.load(SeqCst), 1);
        }),
        alloc::boxed::Box::new(move || {
            opener.eviction_gate.wait_for(1);
            (0..20).for_each(|_| sched::yield_now());
            assert_eq!(opener.unmounts.load(SeqCst), 0);
            opener.eviction_gate.open();
        }),
    ]);
}
