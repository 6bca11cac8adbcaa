//! Copies files and folders of this machine into an archive: with their times and permissions, links as links.
//!
//! Owners stay behind: in the guest everything is root's.

use std::collections::HashMap;
use std::fs::{self, Metadata};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

use anyhow::{Context, Result, bail};
use walkdir::WalkDir;

use super::archive::{Archive, Device, Entry, Kind};

/// Puts the file or the whole folder `host` at `guest`.
pub fn insert(archive: &mut Archive, host: &Path, guest: &str) -> Result<()> {
    let metadata = fs::metadata(host).with_context(|| format!("cannot read {}", host.display()))?;
    if metadata.is_dir() {
        return insert_tree(archive, host, guest);
    }
    let target = if guest.ends_with('/') {
        let name = host.file_name().with_context(|| format!("{} has no name", host.display()))?;
        format!("{guest}{}", name.to_string_lossy())
    } else {
        guest.to_owned()
    };
    archive.insert(&target, entry(host, &metadata)?)
}

/// Puts everything below the folder `host` below `guest`; symbolic links stay links, and so do names of one file.
pub fn insert_tree(archive: &mut Archive, host: &Path, guest: &str) -> Result<()> {
    let mut names = HashMap::new();
    for item in WalkDir::new(host).sort_by_file_name() {
        let item = item.with_context(|| format!("cannot walk through {}", host.display()))?;
        let below = item.path().strip_prefix(host)?;
        let below = below.to_str().with_context(|| format!("{} is not UTF-8", item.path().display()))?;
        let target = format!("{guest}/{below}");
        let metadata = item.metadata()?;
        let file = (metadata.dev(), metadata.ino());
        let may_be_known = metadata.is_file() && metadata.nlink() > 1;
        let entry = match names.get(&file).filter(|_| may_be_known) {
            Some(first) => entry_of(&metadata, Kind::HardLink(String::clone(first))),
            None => entry(item.path(), &metadata)?,
        };
        if may_be_known {
            names.entry(file).or_insert_with(|| target.clone());
        }
        archive.insert(&target, entry)?;
    }
    Ok(())
}

fn entry_of(metadata: &Metadata, kind: Kind) -> Entry {
    // A time that does not fit is as near as can be.
    let time = u32::try_from(metadata.mtime().max(0)).unwrap_or(u32::MAX);
    Entry { permissions: metadata.mode() & 0o7777, time, kind }
}

fn entry(path: &Path, metadata: &Metadata) -> Result<Entry> {
    let kind = metadata.file_type();
    let read = || format!("cannot read {}", path.display());
    let kind = if kind.is_dir() {
        Kind::Directory
    } else if kind.is_file() {
        Kind::File(fs::read(path).with_context(read)?)
    } else if kind.is_symlink() {
        let target = fs::read_link(path).with_context(read)?;
        Kind::Symlink(target.to_str().context("a link's target is not UTF-8")?.to_owned())
    } else if kind.is_char_device() {
        Kind::CharacterDevice(device(metadata))
    } else if kind.is_block_device() {
        Kind::BlockDevice(device(metadata))
    } else if kind.is_fifo() {
        Kind::Fifo
    } else {
        bail!("{} is a socket: it cannot be copied", path.display());
    };
    Ok(entry_of(metadata, kind))
}

fn device(metadata: &Metadata) -> Device {
    let number = metadata.rdev();
    Device { major: rustix::fs::major(number), minor: rustix::fs::minor(number) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tree_is_copied_with_its_links_modes_and_times() {
        let host = tempfile::tempdir().unwrap();
        let path = |name: &str| host.path().join(name);
        fs::create_dir(path("d")).unwrap();
        fs::write(path("d/f"), "text").unwrap();
        fs::hard_link(path("d/f"), path("d/g")).unwrap();
        std::os::unix::fs::symlink("f", path("d/l")).unwrap();
        let long_ago = std::time::UNIX_EPOCH + std::time::Duration::from_secs(1_000_000_000);
        fs::File::options().write(true).open(path("d/f")).unwrap().set_modified(long_ago).unwrap();
        let mut copied = Archive::default();
        insert(&mut copied, host.path(), "/srv").unwrap();

        let mut expected = Archive::default();
        let mut expect = |name: &str, kind: Kind| {
            let entry = entry_of(&fs::symlink_metadata(path(name)).unwrap(), kind);
            if name.starts_with("d/f") {
                assert_eq!(entry.time, 1_000_000_000);
            }
            expected.insert(&format!("srv/{name}"), entry).unwrap();
        };
        expect("", Kind::Directory);
        expect("d", Kind::Directory);
        expect("d/f", Kind::File(b"text".to_vec()));
        expect("d/g", Kind::HardLink("/srv/d/f".to_owned()));
        expect("d/l", Kind::Symlink("f".to_owned()));
        assert_eq!(copied.to_bytes().unwrap(), expected.to_bytes().unwrap());
    }
}
