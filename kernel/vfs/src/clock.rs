//! The time that files are stamped with.

use abi::fs::{MS_NOATIME, MS_NODIRATIME, MS_RDONLY, MS_RELATIME};
use abi::time::Timespec;
use sched::deadline::wall_clock_ns;

use super::attributes::Times;
use super::mount::Location;

/// The wall clock.
pub fn now() -> Timespec {
    Timespec::of_ns(wall_clock_ns())
}

/// The file was read: sets the access time as the mount's flags have it.
pub fn touch_accessed(place: &Location) {
    if keeps_access_times(place) {
        let (now, relative) = (now(), place.mount.flags() & MS_RELATIME != 0);
        place.dentry.inode().attributes.update_times(|times| {
            if !relative || is_stale(times, now) {
                times.accessed = now;
            }
        });
    }
}

/// Whether reading the file would change its access time.
pub fn is_access_due(place: &Location) -> bool {
    let relative = place.mount.flags() & MS_RELATIME != 0;
    keeps_access_times(place) && (!relative || is_stale(&place.dentry.inode().attributes.times(), now()))
}

fn keeps_access_times(place: &Location) -> bool {
    let directories = if place.dentry.inode().is_directory() { MS_NODIRATIME } else { 0 };
    place.mount.flags() & (MS_NOATIME | MS_RDONLY | directories) == 0
}

/// With `MS_RELATIME` the time is set only where it is not younger than the last change, or a day old: mount(8).
fn is_stale(times: &Times, now: Timespec) -> bool {
    const DAY_SECONDS: i64 = 24 * 60 * 60;
    let accessed = key(times.accessed);
    accessed <= key(times.modified)
        || accessed <= key(times.changed)
        || now.tv_sec.saturating_sub(times.accessed.tv_sec) >= DAY_SECONDS
}

fn key(time: Timespec) -> (i64, i64) {
    (time.tv_sec, time.tv_nsec)
}
