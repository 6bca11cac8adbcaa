//! `/proc/PID/mounts`, `mountinfo` and `mountstats`: the table of mounts, as the process sees it: proc(5).
//!
//! An opening keeps the root directory that the process had then, and shows the mounts below it whatever becomes of the
//! process.

use alloc::sync::Arc;

use abi::Errno;
use abi::fs::{
    MS_DIRSYNC, MS_LAZYTIME, MS_MANDLOCK, MS_NOATIME, MS_NODEV, MS_NODIRATIME, MS_NOEXEC, MS_NOSUID,
    MS_RDONLY, MS_RELATIME, MS_SYNCHRONOUS,
};
use libkernel::text::{Text, Within};
use outcome::OrErrno;
use vfs::generated::content::{Changes, Content};
use vfs::mount::{self, Location, Mount, Propagation};
use vfs::path_from;

/// Mounts that are described at one time.
const BATCH: usize = 16;

/// Writes the line of a mount at a path.
pub type Line = fn(&Shown<'_>, &mut Text) -> Result<(), Errno>;

/// A mount, as it is shown.
pub struct Shown<'a> {
    mount: &'a Mount,
    /// Its path, seen from the root.
    place: &'a [u8],
    root: &'a Location,
}

/// The mounts of a namespace below a root, a line for each.
pub struct Mounts {
    /// The namespace.
    pub namespace: Arc<mount::Namespace>,
    /// The root directory.
    pub root: Location,
    /// The line.
    pub line: Line,
}

impl Content for Mounts {
    /// The cursor is a number of the list's order.
    fn fill(&self, cursor: u64, text: &mut Text) -> Result<Option<u64>, Errno> {
        let mut next = None;
        for (number, mount) in self.namespace.from(cursor).take(BATCH) {
            let path = path_from(&mount.root_location(), &self.root)?;
            if path.reachable {
                (self.line)(&Shown { mount: &mount, place: &path.text, root: &self.root }, text)?;
            }
            next = Some(number + 1);
        }
        Ok(next)
    }

    fn changes(&self) -> Option<&Changes> {
        Some(&self.namespace.changes)
    }
}

/// `mounts`: source, place, type, flags, and two numbers for programs of old.
pub fn table_line(shown: &Shown<'_>, text: &mut Text) -> Result<(), Errno> {
    let Shown { mount, place, .. } = shown;
    text.name(&mount.source, Within::FirstField);
    text.put(b" ");
    text.name(place, Within::Field);
    write!(text, " {} ", mount.filesystem.kind.name());
    flag_words(mount.flags(), mount.filesystem.flags(), text);
    mount.filesystem.show_options(text);
    text.put(b" 0 0\n");
    Ok(())
}

/// `mountinfo`: the same with numbers, the parent, and the directory that shows.
pub fn information_line(shown: &Shown<'_>, text: &mut Text) -> Result<(), Errno> {
    let Shown { mount, place, root } = shown;
    let parent = mount.place().map_or(mount.id, |place| place.mount.id);
    let device = mount.filesystem.device;
    write!(text, "{} {parent} {}:{} ", mount.id, device.major, device.minor);
    text.name(&shown_root(mount)?, Within::Field);
    text.put(b" ");
    text.name(place, Within::Field);
    text.put(b" ");
    flag_words(mount.own_flags(), 0, text);
    propagation_words(mount, root, text);
    write!(text, " - {} ", mount.filesystem.kind.name());
    text.name(&mount.source, Within::FirstField);
    text.put(b" ");
    let whole = mount.filesystem.flags();
    flag_words(whole & MS_RDONLY, whole, text);
    mount.filesystem.show_options(text);
    text.put(b"\n");
    Ok(())
}

/// How it stands to others: proc(5), "optional fields".
fn propagation_words(mount: &Mount, root: &Location, text: &mut Text) {
    if let Some(peers) = mount.peers() {
        write!(text, " shared:{}", peers.id);
    }
    if let Some(master) = mount.master() {
        write!(text, " master:{}", master.id);
        let nearest = mount.nearest_master_below(root);
        if let Some(nearest) = nearest.filter(|nearest| nearest.id != master.id) {
            write!(text, " propagate_from:{}", nearest.id);
        }
    }
    if matches!(mount.propagation(), Propagation::Unbindable) {
        text.put(b" unbindable");
    }
}

/// `mountstats`: for people.
pub fn statistics_line(shown: &Shown<'_>, text: &mut Text) -> Result<(), Errno> {
    let Shown { mount, place, .. } = shown;
    text.put(b"device ");
    text.name(&mount.source, Within::FirstField);
    text.put(b" mounted on ");
    text.name(place, Within::Field);
    writeln!(text, " with fstype {}", mount.filesystem.kind.name());
    Ok(())
}

/// The path of the directory that shows, within its file system.
fn shown_root(mount: &Mount) -> Result<alloc::vec::Vec<u8>, Errno> {
    let mut names = alloc::vec::Vec::new();
    let mut dentry = mount.root.clone();
    while let (Some(parent), name) = dentry.place() {
        names.try_reserve(1).or_errno()?;
        names.push(name);
        dentry = parent;
    }
    vfs::path::join(&names)
}

/// Whether it is to be read alone, what else holds for the whole file system, and what for the mount.
fn flag_words(flags: u64, whole: u64, text: &mut Text) {
    let words: [(u64, &[u8]); 6] = [
        (MS_NOSUID, b",nosuid"),
        (MS_NODEV, b",nodev"),
        (MS_NOEXEC, b",noexec"),
        (MS_NOATIME, b",noatime"),
        (MS_NODIRATIME, b",nodiratime"),
        (MS_RELATIME, b",relatime"),
    ];
    text.put(if flags & MS_RDONLY != 0 { b"ro" } else { b"rw" });
    let of_whole: [(u64, &[u8]); 4] = [
        (MS_SYNCHRONOUS, b",sync"),
        (MS_DIRSYNC, b",dirsync"),
        (MS_MANDLOCK, b",mand"),
        (MS_LAZYTIME, b",lazytime"),
    ];
    of_whole.iter().filter(|(flag, _)| whole & flag != 0).for_each(|(_, word)| text.put(word));
    words.iter().filter(|(flag, _)| flags & flag != 0).for_each(|(_, word)| text.put(word));
}

/// `/proc/mounts`: the table of the process that asks.
pub fn link() -> Result<Arc<[u8]>, Errno> {
    Ok(Arc::from(&b"self/mounts"[..]))
}
