//! A file tree in memory, written as a `newc` cpio archive: the format of Linux's initramfs.
//!
//! The same tree always gives the same bytes: entries are sorted, owned by root, and dated 1970 unless they bring a
//! time. Format: Linux, Documentation/driver-api/early-userspace/buffer-format.rst.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail};

const TRAILER: &str = "TRAILER!!!";

/// What lies at one path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Permission bits, without the type.
    pub permissions: u32,
    /// When it was last changed, in seconds since 1970.
    pub time: u32,
    /// The type, with its content.
    pub kind: Kind,
}

/// The types of files, with what belongs to each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A folder.
    Directory,
    /// A regular file with its content.
    File(Vec<u8>),
    /// Another name of a regular file that is in the archive, by its path.
    HardLink(String),
    /// A symbolic link with its target.
    Symlink(String),
    /// A character device with its numbers.
    CharacterDevice(Device),
    /// A block device with its numbers.
    BlockDevice(Device),
    /// A named pipe.
    Fifo,
}

/// The numbers of a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Device {
    /// Names the driver.
    pub major: u32,
    /// Names the device among those of its driver.
    pub minor: u32,
}

impl Kind {
    /// The type in the mode word (`S_IFMT`, inode(7)).
    fn mode_bits(&self) -> u32 {
        match self {
            Kind::Directory => 0o040_000,
            Kind::File(_) | Kind::HardLink(_) => 0o100_000,
            Kind::Symlink(_) => 0o120_000,
            Kind::CharacterDevice(_) => 0o020_000,
            Kind::BlockDevice(_) => 0o060_000,
            Kind::Fifo => 0o010_000,
        }
    }

    fn content(&self) -> &[u8] {
        match self {
            Kind::File(content) => content,
            Kind::Symlink(target) => target.as_bytes(),
            _ => &[],
        }
    }

    fn device(&self) -> Device {
        match self {
            Kind::CharacterDevice(device) | Kind::BlockDevice(device) => *device,
            _ => Device { major: 0, minor: 0 },
        }
    }
}

impl Entry {
    /// An entry without a time.
    pub fn new(permissions: u32, kind: Kind) -> Self {
        Self { permissions, time: 0, kind }
    }
}

/// A tree of files; paths have no leading slash.
#[derive(Default)]
pub struct Archive {
    entries: BTreeMap<String, Entry>,
}

impl Archive {
    /// Whether nothing was put in.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Puts `entry` at `path`, creating the folders above it. A later entry takes the place of an earlier one, but a
    /// folder that has files below it stays a folder.
    pub fn insert(&mut self, path: &str, entry: Entry) -> Result<()> {
        let path = normalise(path)?;
        if path.is_empty() {
            return Ok(());
        }
        let below = format!("{path}/");
        let has_children =
            self.entries.range(below.clone()..).next().is_some_and(|(next, _)| next.starts_with(&below));
        if has_children && entry.kind != Kind::Directory {
            bail!("/{path} is a folder with files in it, and something else is to be put in its place");
        }
        self.create_parents(&path)?;
        self.entries.insert(path, entry);
        Ok(())
    }

    /// Puts a regular file at `path`.
    pub fn insert_file(&mut self, path: &str, permissions: u32, content: impl Into<Vec<u8>>) -> Result<()> {
        self.insert(path, Entry::new(permissions, Kind::File(content.into())))
    }

    /// Puts a folder at `path`.
    pub fn insert_directory(&mut self, path: &str, permissions: u32) -> Result<()> {
        self.insert(path, Entry::new(permissions, Kind::Directory))
    }

    /// How many bytes of content there are.
    pub fn content_length(&self) -> u64 {
        self.entries.values().map(|entry| entry.kind.content().len() as u64).sum()
    }

    /// The archive's bytes, padded so that another archive can follow.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        let inodes = self.inodes()?;
        for (path, entry) in &self.entries {
            write_entry(&mut bytes, inodes[path.as_str()], path, entry)
                .with_context(|| format!("/{path} does not fit into a cpio archive"))?;
        }
        let trailer = Entry::new(0, Kind::File(Vec::new()));
        write_entry(&mut bytes, Inode { number: 0, names: 1 }, TRAILER, &trailer)?;
        Ok(bytes)
    }

    /// Each path's file. Names of one file have one number, which is how an unpacker knows them; the content stands
    /// with one of them.
    fn inodes(&self) -> Result<BTreeMap<&str, Inode>> {
        let mut inodes = BTreeMap::new();
        for (number, (path, entry)) in (1..).zip(&self.entries) {
            let names = if entry.kind == Kind::Directory { 2 } else { 1 };
            inodes.insert(path.as_str(), Inode { number, names });
        }
        let links = self.entries.iter().filter_map(|(path, entry)| match &entry.kind {
            Kind::HardLink(target) => Some((path, normalise(target))),
            _ => None,
        });
        let mut targets: BTreeMap<String, Vec<&str>> = BTreeMap::new();
        for (path, target) in links {
            targets.entry(target?).or_default().push(path);
        }
        for (target, names) in targets {
            if !matches!(self.entries.get(&target), Some(Entry { kind: Kind::File(_), .. })) {
                bail!("/{} is to be the same as /{target}, which is no file", names.join(", /"));
            }
            let inode =
                Inode { number: inodes[target.as_str()].number, names: u32::try_from(names.len())? + 1 };
            for name in
                names.into_iter().chain(self.entries.get_key_value(&target).map(|(path, _)| path.as_str()))
            {
                inodes.insert(name, inode);
            }
        }
        Ok(inodes)
    }

    fn create_parents(&mut self, path: &str) -> Result<()> {
        for (end, _) in path.match_indices('/') {
            let parent = &path[..end];
            match self.entries.get(parent).map(|entry| &entry.kind) {
                Some(Kind::Directory) => {}
                Some(_) => bail!("/{path} cannot be added: /{parent} is no folder"),
                None => {
                    self.entries.insert(parent.to_owned(), Entry::new(0o755, Kind::Directory));
                }
            }
        }
        Ok(())
    }
}

/// Removes empty and `.` components; refuses `..`, which the kernel would resolve at unpacking.
fn normalise(path: &str) -> Result<String> {
    let components: Vec<_> = path.split('/').filter(|part| !part.is_empty() && *part != ".").collect();
    if components.contains(&"..") {
        bail!("{path}: a path in the guest cannot contain ..");
    }
    Ok(components.join("/"))
}

/// What a path leads to.
#[derive(Clone, Copy)]
struct Inode {
    number: u32,
    /// How many paths lead there.
    names: u32,
}

fn write_entry(bytes: &mut Vec<u8>, inode: Inode, path: &str, entry: &Entry) -> Result<()> {
    let content = entry.kind.content();
    let device = entry.kind.device();
    let fields = [
        inode.number,
        entry.permissions & 0o7777 | entry.kind.mode_bits(),
        0, // user
        0, // group
        inode.names,
        entry.time,
        u32::try_from(content.len()).context("more than 4 GiB")?,
        0, // device the archive was made on, two numbers
        0,
        device.major,
        device.minor,
        u32::try_from(path.len() + 1)?,
        0, // checksum, unused by this variant
    ];
    bytes.extend_from_slice(b"070701");
    for field in fields {
        bytes.extend_from_slice(format!("{field:08x}").as_bytes());
    }
    bytes.extend_from_slice(path.as_bytes());
    bytes.push(0);
    pad(bytes);
    bytes.extend_from_slice(content);
    pad(bytes);
    Ok(())
}

fn pad(bytes: &mut Vec<u8>) {
    bytes.resize(bytes.len().next_multiple_of(4), 0);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_laid_out_as_newc_says() {
        let mut archive = Archive::default();
        archive.insert_file("/a", 0o644, "hello").unwrap();
        let bytes = archive.to_bytes().unwrap();
        let header = "070701000000010000".to_owned() + "81a4";
        assert!(bytes.starts_with(header.as_bytes()));
        assert_eq!(&bytes[110..112], b"a\0");
        assert_eq!(&bytes[112..120], b"hello\0\0\0");
        assert_eq!(&bytes[120..126], b"070701");
        assert_eq!(bytes.len() % 4, 0);
    }

    #[test]
    fn parents_come_first_and_order_does_not_depend_on_insertion() {
        let build = |paths: &[&str]| {
            let mut archive = Archive::default();
            for path in paths {
                archive.insert_file(path, 0o755, *path).unwrap();
            }
            archive
        };
        let archive = build(&["bin/sh", "a/b/c"]);
        let paths: Vec<_> = archive.entries.keys().map(String::as_str).collect();
        assert_eq!(paths, ["a", "a/b", "a/b/c", "bin", "bin/sh"]);
        assert_eq!(archive.to_bytes().unwrap(), build(&["a/b/c", "bin/sh"]).to_bytes().unwrap());
    }

    #[test]
    fn names_of_one_file_share_its_number_and_time() {
        let mut archive = Archive::default();
        archive.insert("a", Entry::new(0o600, Kind::HardLink("/b".to_owned()))).unwrap();
        let file = Entry { permissions: 0o600, time: 0x5678, kind: Kind::File(b"x".to_vec()) };
        archive.insert("b", file).unwrap();
        let bytes = archive.to_bytes().unwrap();
        let second = bytes.windows(6).skip(1).position(|window| window == b"070701").unwrap() + 1;
        let field = |start: usize, index: usize| {
            let digits = &bytes[start + 6 + 8 * index..][..8];
            u32::from_str_radix(std::str::from_utf8(digits).unwrap(), 16).unwrap()
        };
        // Number, links, time and length.
        assert_eq!([0, 4, 5, 6].map(|index| field(0, index)), [2, 2, 0, 0]);
        assert_eq!([0, 4, 5, 6].map(|index| field(second, index)), [2, 2, 0x5678, 1]);
        archive.insert_directory("b", 0o755).unwrap();
        assert!(archive.to_bytes().is_err());
    }

    #[test]
    fn a_full_folder_is_not_replaced() {
        let mut archive = Archive::default();
        archive.insert_file("bin/sh", 0o755, "").unwrap();
        archive.insert_directory("bin", 0o700).unwrap();
        assert!(archive.insert_file("bin", 0o644, "").is_err());
        assert!(archive.insert_file("bin/sh/x", 0o644, "").is_err());
        assert!(archive.insert_file("../x", 0o644, "").is_err());
    }
}
