//! What `stat` tells about a file besides its content: kind, mode, owner, links and times.
//!
//! Mode and owner are atomics because path walk reads them for every directory it passes; the times are under a lock.
//! Mode and owner change through [`AttributeChanges`](super::attribute_operations::AttributeChanges) alone.

use core::sync::atomic::{AtomicU32, Ordering};

use abi::Errno;
use abi::fs::{
    S_IFBLK, S_IFCHR, S_IFDIR, S_IFIFO, S_IFLNK, S_IFMT, S_IFREG, S_IFSOCK, device_major, device_minor,
    make_device,
};
use abi::time::Timespec;
use hal::sync::SpinLock;
use sched::Mutex;
use sched::mutex::MutexGuard;
use subject::{AtomicId, GroupId, OfGroup, OfUser, UserId};

/// What kind of thing an inode is: the `S_IFMT` bits of its mode.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FileKind {
    /// Bytes with a size.
    Regular,
    /// Names.
    Directory,
    /// A path in place of a file.
    Symlink,
    /// A named pipe.
    Fifo,
    /// A character device.
    CharacterDevice,
    /// A block device.
    BlockDevice,
    /// A socket.
    Socket,
    /// A file without a type, as `eventfd` and its like are.
    Untyped,
}

impl FileKind {
    /// The kind that the type bits of `mode` name; no bits at all mean a regular file, as `mknod` has it.
    pub fn from_mode(mode: u32) -> Option<FileKind> {
        Some(match mode & S_IFMT {
            0 | S_IFREG => FileKind::Regular,
            S_IFDIR => FileKind::Directory,
            S_IFLNK => FileKind::Symlink,
            S_IFIFO => FileKind::Fifo,
            S_IFCHR => FileKind::CharacterDevice,
            S_IFBLK => FileKind::BlockDevice,
            S_IFSOCK => FileKind::Socket,
            _ => return None,
        })
    }

    /// The type bits of a mode.
    pub fn mode_bits(self) -> u32 {
        match self {
            FileKind::Regular => S_IFREG,
            FileKind::Directory => S_IFDIR,
            FileKind::Symlink => S_IFLNK,
            FileKind::Fifo => S_IFIFO,
            FileKind::CharacterDevice => S_IFCHR,
            FileKind::BlockDevice => S_IFBLK,
            FileKind::Socket => S_IFSOCK,
            FileKind::Untyped => 0,
        }
    }

    /// What kind of device it is the node of; `None` for anything else.
    pub const fn device_kind(self) -> Option<DeviceKind> {
        match self {
            FileKind::CharacterDevice => Some(DeviceKind::Character),
            FileKind::BlockDevice => Some(DeviceKind::Block),
            _ => None,
        }
    }

    /// The `d_type` of `getdents64`: the type bits, shifted down (readdir(3)).
    pub fn directory_entry_type(self) -> u8 {
        (self.mode_bits() >> 12) as u8
    }
}

/// The two kinds of device. Each has numbers of its own: character device 1:3 has nothing to do with block device 1:3.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DeviceKind {
    /// Bytes one after the other.
    Character,
    /// Blocks that can be had in any order.
    Block,
}

impl DeviceKind {
    /// The kind of its nodes.
    pub const fn file_kind(self) -> FileKind {
        match self {
            DeviceKind::Character => FileKind::CharacterDevice,
            DeviceKind::Block => FileKind::BlockDevice,
        }
    }
}

/// A device number as `stat` and `mknod` carry it: 12 bits of major, 20 of minor, spread as makedev(3) says.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, PartialOrd, Ord)]
pub struct DeviceNumber {
    /// Which driver.
    pub major: u32,
    /// Which of the driver's devices.
    pub minor: u32,
}

impl DeviceNumber {
    /// The device `major:minor`.
    pub const fn new(major: u32, minor: u32) -> DeviceNumber {
        DeviceNumber { major, minor }
    }

    /// Takes a user's `dev_t` apart.
    pub const fn decode(device: u64) -> DeviceNumber {
        DeviceNumber { major: device_major(device), minor: device_minor(device) }
    }

    /// The `dev_t` that programs see.
    pub const fn encode(self) -> u64 {
        make_device(self.major, self.minor)
    }
}

/// The three times of a file, as UTC.
#[derive(Clone, Copy)]
pub struct Times {
    /// Last read.
    pub accessed: Timespec,
    /// Last change of the content.
    pub modified: Timespec,
    /// Last change of the content or of these attributes.
    pub changed: Timespec,
}

/// A change of attributes: what is `None` stays as it is.
#[derive(Clone, Copy)]
pub struct Change {
    /// Permission, set-id and sticky bits.
    pub permissions: Option<u32>,
    /// Owner and group.
    pub owner: Option<(UserId, GroupId)>,
    /// When it was last read.
    pub accessed: Option<Timespec>,
    /// When its content was last changed.
    pub modified: Option<Timespec>,
    /// When the attributes were last changed.
    pub changed: Option<Timespec>,
}

impl Change {
    /// Nothing.
    pub const NONE: Change =
        Change { permissions: None, owner: None, accessed: None, modified: None, changed: None };
}

/// Mode, owner, link count and times of an inode.
pub struct Attributes {
    /// Permission bits with set-id and sticky bits; never the type.
    permissions: AtomicU32,
    owner: AtomicId<OfUser>,
    group: AtomicId<OfGroup>,
    links: AtomicU32,
    born: Timespec,
    times: SpinLock<Times>,
    /// Held by who changes mode, owner, times by request, or extended attributes.
    changes: Mutex<()>,
}

/// The bits of a mode that are not its type.
pub const PERMISSION_BITS: u32 = 0o7777;

/// How many links an inode may have. Who adds one looks before, and between the look and the count there is room for
/// all who may add one at the same time: the count never overflows.
pub const MOST_LINKS: u32 = 1 << 31;

impl Attributes {
    /// Fresh attributes whose times are all `now`.
    pub fn new(permissions: u32, owner: UserId, group: GroupId, links: u32, now: Timespec) -> Attributes {
        Attributes {
            permissions: AtomicU32::new(permissions & PERMISSION_BITS),
            owner: AtomicId::new(owner),
            group: AtomicId::new(group),
            links: AtomicU32::new(links),
            born: now,
            times: SpinLock::new(Times { accessed: now, modified: now, changed: now }),
            changes: Mutex::new(()),
        }
    }

    /// Permission, set-id and sticky bits.
    pub fn permissions(&self) -> u32 {
        self.permissions.load(Ordering::Relaxed)
    }

    /// The user that owns the file.
    pub fn owner(&self) -> UserId {
        self.owner.load()
    }

    /// The group that owns the file.
    pub fn group(&self) -> GroupId {
        self.group.load()
    }

    pub(super) fn lock_changes(&self) -> MutexGuard<'_, ()> {
        self.changes.lock()
    }

    /// Makes a change, for who holds `changes`. Who has to see mode and owner of one moment holds it, too.
    pub(super) fn apply(&self, change: &Change) {
        if let Some(permissions) = change.permissions {
            self.permissions.store(permissions & PERMISSION_BITS, Ordering::Relaxed);
        }
        if let Some((owner, group)) = change.owner {
            self.owner.store(owner);
            self.group.store(group);
        }
        self.update_times(|times| {
            times.accessed = change.accessed.unwrap_or(times.accessed);
            times.modified = change.modified.unwrap_or(times.modified);
            times.changed = change.changed.unwrap_or(times.changed);
        });
    }

    /// How many names the file has.
    pub fn links(&self) -> u32 {
        self.links.load(Ordering::Relaxed)
    }

    /// EMLINK where no link may be added: [`MOST_LINKS`].
    pub fn check_links(&self) -> Result<(), Errno> {
        if self.links() < MOST_LINKS { Ok(()) } else { Err(Errno::EMLINK) }
    }

    /// As if so many had been added.
    #[cfg(test)]
    pub(crate) fn set_links(&self, links: u32) {
        self.links.store(links, Ordering::Relaxed);
    }

    /// Counts one name more; returns how many there were.
    pub fn add_link(&self) -> u32 {
        self.links.fetch_add(1, Ordering::Relaxed)
    }

    /// Counts one name less; returns how many there were.
    pub fn remove_link(&self) -> u32 {
        let one_less = |links: u32| links.checked_sub(1);
        self.links.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_less).unwrap_or(0)
    }

    /// A directory is gone: neither its name nor its `.` counts any more. Returns how many there were.
    pub fn remove_all_links(&self) -> u32 {
        self.links.swap(0, Ordering::Relaxed)
    }

    /// When the inode was made.
    pub fn born(&self) -> Timespec {
        self.born
    }

    /// The three times that change.
    pub fn times(&self) -> Times {
        *self.times.lock()
    }

    /// Changes the times under their lock.
    pub fn update_times(&self, change: impl FnOnce(&mut Times)) {
        change(&mut self.times.lock());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn device_numbers_travel_as_makedev_spreads_them() {
        assert_eq!(DeviceNumber::new(5, 1).encode(), 0x501);
        assert_eq!(DeviceNumber::new(136, 300).encode(), 0x0010_882c);
        for (major, minor) in [(0, 0), (1, 3), (4095, 255), (259, 1_048_575), (0xffff_ffff, 0xffff_ffff)] {
            let number = DeviceNumber::new(major, minor);
            assert_eq!(DeviceNumber::decode(number.encode()), number);
        }
    }

    #[test]
    fn kinds_and_mode_bits_agree() {
        assert_eq!(FileKind::from_mode(0o644), Some(FileKind::Regular));
        assert_eq!(FileKind::from_mode(S_IFIFO | 0o600), Some(FileKind::Fifo));
        assert_eq!(FileKind::from_mode(S_IFMT), None);
        assert_eq!(FileKind::Directory.directory_entry_type(), 4);
        for kind in [DeviceKind::Character, DeviceKind::Block] {
            assert_eq!(kind.file_kind().device_kind(), Some(kind));
        }
        assert_eq!(FileKind::Regular.device_kind(), None);
    }
}
