//! Locks that are handed another lock's guard.
use hal::sync::TryRwLock;

#[test]
#[should_panic(expected = "another lock's writer")]
fn spreading_by_another_locks_writer() {
    static FIRST: TryRwLock<u32> = TryRwLock::new(1);
    static SECOND: TryRwLock<u32> = TryRwLock::new(2);
    FIRST.spread(|| SECOND.try_write().expect("nobody is inside"));
}
