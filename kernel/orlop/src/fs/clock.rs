//! The time that files are stamped with.

use abi::fs::{MS_NOATIME, MS_NODIRATIME, MS_RDONLY, MS_RELATIME};
use abi::time::Timespec;

use super::mount::Location;

/// Now, as UTC.
pub fn now() -> Timespec {
    const NS_PER_SECOND: u64 = 1_000_000_000;
    let ns = hal::time::wall_clock_at_boot_ns().saturating_add(hal::time::now_ns());
    Timespec { tv_sec: (ns / NS_PER_SECOND) as i64, tv_nsec: (ns % NS_PER_SECOND) as i64 }
}

/// The file was read: sets the access time as the mount's flags have it.
///
/// With `MS_RELATIME` it is set only where it is not younger than the last change, or a day old: mount(8).
pub fn touch_accessed(place: &Location) {
    const DAY_SECONDS: i64 = 24 * 60 * 60;
    let flags = place.mount.flags();
    let inode = place.dentry.inode();
    let quiet =
        if inode.is_directory() { MS_NOATIME | MS_NODIRATIME | MS_RDONLY } else { MS_NOATIME | MS_RDONLY };
    if flags & quiet != 0 {
        return;
    }
    let now = now();
    inode.attributes.update_times(|times| {
        let accessed = key(times.accessed);
        let stale = accessed <= key(times.modified)
            || accessed <= key(times.changed)
            || now.tv_sec.saturating_sub(times.accessed.tv_sec) >= DAY_SECONDS;
        if flags & MS_RELATIME == 0 || stale {
            times.accessed = now;
        }
    });
}

fn key(time: Timespec) -> (i64, i64) {
    (time.tv_sec, time.tv_nsec)
}
