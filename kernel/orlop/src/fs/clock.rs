//! The time that files are stamped with.

use abi::fs::{MS_NOATIME, MS_NODIRATIME, MS_RDONLY, MS_RELATIME};
use abi::time::Timespec;

use super::mount::Location;

pub use crate::time::wall_clock as now;

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
