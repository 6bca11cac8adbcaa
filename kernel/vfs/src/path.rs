//! Paths of places: `getcwd`, `/proc/PID/fd`, `/proc/PID/maps`, mount points.

use alloc::sync::Arc;
use alloc::vec::Vec;

use abi::Errno;
use outcome::OrErrno;

use super::directory::Name;
use super::mount::Location;

/// How a place is reached.
pub struct PlacePath {
    /// The path, from the root it was asked against.
    pub text: Vec<u8>,
    /// Whether that root lies above the place at all.
    pub reachable: bool,
    /// Whether its name has been removed.
    pub removed: bool,
}

/// The longest path that a call or a link gives, with its end (Linux: `PATH_MAX`).
const MOST: usize = 4096;

/// ENAMETOOLONG for a path that is too long for a call's answer or a link's text. A place can lie as deep as a program
/// likes.
pub fn short(text: Vec<u8>) -> Result<Vec<u8>, Errno> {
    if text.len() < MOST { Ok(text) } else { Err(Errno::ENAMETOOLONG) }
}

/// The path of `place` as seen from `root`. ENOMEM without room for it.
pub fn path_from(place: &Location, root: &Location) -> Result<PlacePath, Errno> {
    let mut names: Vec<Name> = Vec::new();
    let removed = place.dentry.is_removed();
    let mut current = place.clone();
    let reachable = loop {
        if current.same_as(root) {
            break true;
        }
        if Arc::ptr_eq(&current.dentry, &current.mount.root) {
            match current.mount.place() {
                Some(outside) => current = outside,
                None => break false,
            }
            continue;
        }
        let (parent, name) = current.dentry.place();
        names.try_reserve(1).or_errno()?;
        names.push(name);
        match parent {
            Some(parent) => current.dentry = parent,
            None => break false,
        }
    };
    Ok(PlacePath { text: join(&names)?, reachable, removed })
}

/// The path as Linux shows it in `/proc`: nameless files by their description, removed ones marked.
pub fn display_path(place: &Location, root: &Location) -> Result<Vec<u8>, Errno> {
    if let Some(description) = place.dentry.inode().filesystem.kind.description(&place.dentry) {
        return Ok(description);
    }
    let PlacePath { mut text, removed, .. } = path_from(place, root)?;
    if removed {
        text.extend_from_slice(b" (deleted)");
    }
    Ok(text)
}

/// Joins names, the innermost first, to a path.
pub fn join(names: &[Name]) -> Result<Vec<u8>, Errno> {
    if names.is_empty() {
        return Ok(b"/".to_vec());
    }
    let mut text = Vec::new();
    text.try_reserve_exact(names.iter().map(|name| name.len() + 1).sum()).or_errno()?;
    for name in names.iter().rev() {
        text.push(b'/');
        text.extend_from_slice(name);
    }
    Ok(text)
}
