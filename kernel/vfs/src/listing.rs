//! Listing directories: the entries from a position on.
//!
//! Position 0 is `.`, 1 is `..`. In a directory held in memory the positions after that count down from [`NEWEST`] by
//! the entries' cookies, so that a position stays good while names come and go; a generated directory numbers its
//! entries itself.

use super::attributes::FileKind;
use super::directory::Store;
use super::mount::Location;

use abi::Errno;

/// The cookie above all cookies.
const NEWEST: u64 = 1 << 62;

/// The position of the first entry after `.` and `..`.
const FIRST: u64 = 2;

/// One entry of a listing.
pub struct Listed<'a> {
    /// The name.
    pub name: &'a [u8],
    /// The inode's number.
    pub number: u64,
    /// The inode's type.
    pub kind: FileKind,
    /// The position after this entry.
    pub next: u64,
}

/// Hands entries from `position` on to `emit` until it says stop (`false`) or there are no more. `emit` runs under a
/// spin lock: it must not sleep.
pub fn list(place: &Location, position: u64, mut emit: impl FnMut(Listed<'_>) -> bool) -> Result<(), Errno> {
    let directory = &place.dentry;
    if position == 0 {
        let number = directory.inode().number;
        if !emit(Listed { name: b".", number, kind: FileKind::Directory, next: 1 }) {
            return Ok(());
        }
    }
    if position <= 1 {
        let number = directory.parent().map_or(directory.inode().number, |parent| parent.inode().number);
        if !emit(Listed { name: b"..", number, kind: FileKind::Directory, next: FIRST }) {
            return Ok(());
        }
    }
    let offset = position.max(FIRST) - FIRST;
    let stored = directory.inode().directory().ok_or(Errno::ENOTDIR)?;
    match stored.store {
        Store::Memory => {
            let names = stored.names.read_or_count_per_cpu();
            for (cookie, entry) in names.newest_first(NEWEST.saturating_sub(offset)) {
                let Some(dentry) = &entry.dentry else { continue };
                let inode = dentry.inode();
                let next = FIRST + (NEWEST - cookie);
                if !emit(Listed { name: &entry.name, number: inode.number, kind: inode.kind, next }) {
                    break;
                }
            }
            Ok(())
        }
        Store::MadeUp | Store::Elsewhere | Store::Shared => {
            stored.operations.list(offset, &mut |next, entry| {
                emit(Listed {
                    name: entry.name,
                    number: entry.number,
                    kind: entry.kind,
                    next: next.saturating_add(FIRST),
                })
            })
        }
    }
}
