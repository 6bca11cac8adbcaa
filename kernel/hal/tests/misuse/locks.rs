//! Locks that are handed another lock's guard.
use hal::sync::TryRwLock;

#[test]
#[should_panic(expected = "another lock's writer")]
fn counting_per_cpu_by_another_locks_writer() {
    static FIRST: TryRwLock<u32> = TryRwLock::new(1, ());
    static SECOND: TryRwLock<u32> = TryRwLock::new(2, ());
    FIRST.count_per_cpu(|| SECOND.try_write().expect("nobody is inside"));
}
