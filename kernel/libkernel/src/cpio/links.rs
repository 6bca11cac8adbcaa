//! Hard links in an archive: entries with the same device, inode number and type are one file.

use super::Entry;
use alloc::collections::BTreeMap;

const TYPE_MASK: u32 = 0o170_000;
const DIRECTORY: u32 = 0o040_000;

/// The files with more than one name that an archive has shown so far. `F` is what the caller knows a file by.
#[derive(Debug)]
pub struct HardLinks<F> {
    files: BTreeMap<(u32, u32, u32, u32), F>,
}

impl<F> Default for HardLinks<F> {
    fn default() -> Self {
        Self { files: BTreeMap::new() }
    }
}

impl<F> HardLinks<F> {
    /// The file that `entry` is a further name of. Its data, if it has any, replaces the file's: archives carry the
    /// content with the last name.
    pub fn find(&self, entry: &Entry) -> Option<&F> {
        self.files.get(&key(entry)?)
    }

    /// Remembers the file that was made for `entry`, if it may have further names.
    pub fn remember(&mut self, entry: &Entry, file: F) {
        if let Some(key) = key(entry) {
            self.files.insert(key, file);
        }
    }

    /// Forgets everything, at the end of an archive.
    pub fn clear(&mut self) {
        self.files.clear();
    }
}

fn key(entry: &Entry) -> Option<(u32, u32, u32, u32)> {
    let kind = entry.mode & TYPE_MASK;
    let may_have_links = entry.links >= 2 && kind != DIRECTORY;
    may_have_links.then_some((entry.device.0, entry.device.1, entry.inode, kind))
}
