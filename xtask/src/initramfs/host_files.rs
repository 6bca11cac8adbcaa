//! Copies files and folders of this machine into an archive.

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

/// Puts everything below the folder `host` below `guest`; symbolic links stay links.
pub fn insert_tree(archive: &mut Archive, host: &Path, guest: &str) -> Result<()> {
    for item in WalkDir::new(host).sort_by_file_name() {
        let item = item.with_context(|| format!("cannot walk through {}", host.display()))?;
        let below = item.path().strip_prefix(host)?;
        let below = below.to_str().with_context(|| format!("{} is not UTF-8", item.path().display()))?;
        archive.insert(&format!("{guest}/{below}"), entry(item.path(), &item.metadata()?)?)?;
    }
    Ok(())
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
    Ok(Entry { permissions: metadata.mode() & 0o7777, kind })
}

fn device(metadata: &Metadata) -> Device {
    let number = metadata.rdev();
    Device { major: rustix::fs::major(number), minor: rustix::fs::minor(number) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tree_is_copied_with_its_links_and_modes() {
        let host = tempfile::tempdir().unwrap();
        fs::create_dir(host.path().join("d")).unwrap();
        fs::write(host.path().join("d/f"), "text").unwrap();
        std::os::unix::fs::symlink("f", host.path().join("d/l")).unwrap();
        let mut copied = Archive::default();
        insert(&mut copied, host.path(), "/srv").unwrap();

        let mode = |name| fs::symlink_metadata(host.path().join(name)).unwrap().mode() & 0o7777;
        let mut expected = Archive::default();
        let top = fs::metadata(host.path()).unwrap().mode() & 0o7777;
        expected.insert_directory("srv", top).unwrap();
        expected.insert_directory("srv/d", mode("d")).unwrap();
        expected.insert_file("srv/d/f", mode("d/f"), "text").unwrap();
        let link = Entry { permissions: mode("d/l"), kind: Kind::Symlink("f".to_owned()) };
        expected.insert("srv/d/l", link).unwrap();
        assert_eq!(copied.to_bytes().unwrap(), expected.to_bytes().unwrap());
    }
}
