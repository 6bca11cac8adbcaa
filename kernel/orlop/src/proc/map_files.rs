//! `/proc/PID/map_files`: the files that a process has mapped, by the addresses: proc(5).
//!
//! Whoever may look into the process sees the names and reads the links; what they lead to is opened by who may
//! checkpoint processes, since a mapping may outlive every way that led to the file (Linux: `proc_map_files_get_link`).

use alloc::boxed::Box;
use alloc::format;
use alloc::sync::Arc;

use abi::Errno;
use libkernel::addr::{UserAddr, UserRange};
use subject::capability;
use vfs::attributes::FileKind;
use vfs::directory::{Admission, DirectoryOperations, Emit, Exposure, Listing};
use vfs::filesystem::FileSystem;
use vfs::generated::{Class, inode_in};
use vfs::inode::{Body, Inode, LinkTarget, MagicLink};
use vfs::{File, short};

use super::maps::BATCH;
use super::process::shown_path;
use super::subject::Subject;
use crate::process::current;

/// The directory.
pub struct MapFiles {
    pub subject: Subject,
}

impl MapFiles {
    fn number(&self, range: UserRange) -> u64 {
        const ABOVE_DESCRIPTORS: u64 = 1 << 62;
        let process = self.subject.inode_number(0) << 36;
        (ABOVE_DESCRIPTORS + (range.start().as_u64() >> 12)).wrapping_add(process)
    }
}

/// The range that a name says: two hexadecimal numbers without leading zeroes.
fn parse(name: &[u8]) -> Option<UserRange> {
    let mut halves = core::str::from_utf8(name).ok()?.splitn(2, '-');
    let mut half = || {
        let digits = halves.next()?;
        let is_plain = !digits.is_empty() && (digits == "0" || !digits.starts_with('0'));
        let are_digits = digits.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        if is_plain && are_digits { u64::from_str_radix(digits, 16).ok() } else { None }
    };
    let (start, end) = (half()?, half()?);
    UserRange::new(UserAddr::new(start), end.checked_sub(start)?)
}

/// The file that is mapped at exactly these addresses. ENOENT where none is.
fn file_at(subject: &Subject, range: UserRange) -> Result<Arc<File>, Errno> {
    let space = subject.address_space().map_err(|_| Errno::ENOENT)?;
    let area = space.describe_area(range.start()).filter(|area| area.range == range);
    area.and_then(|area| area.file).and_then(File::from_mapped).ok_or(Errno::ENOENT)
}

impl Exposure for MapFiles {
    fn admission(&self, _filesystem: &FileSystem) -> Admission {
        self.subject.admission_of_itself()
    }

    fn class(&self) -> Class {
        Class::Process
    }
}

impl DirectoryOperations for MapFiles {
    fn look_up(&self, directory: &Inode, name: &[u8]) -> Result<Arc<Inode>, Errno> {
        self.subject.check().map_err(|_| Errno::ENOENT)?;
        let inspection = self.subject.inspect()?;
        let range = parse(name).ok_or(Errno::ENOENT)?;
        let file = file_at(&self.subject, range)?;
        drop(inspection);
        let readable = if file.is_readable() { 0o400 } else { 0 };
        let writable = if file.is_writable() { 0o200 } else { 0 };
        let subject = self.subject.clone();
        let ownership = subject.ownership(readable | writable);
        let body = Body::Magic(Box::new(MapLink { subject, range }));
        Ok(inode_in(directory, self.number(range), FileKind::Symlink, ownership, body))
    }

    /// Each name is at the position where its addresses end.
    fn list(&self, position: u64, emit: &mut Emit<'_>) -> Result<(), Errno> {
        self.subject.check().map_err(|_| Errno::ENOENT)?;
        let space = self.subject.inspect().map(|_inspection| self.subject.address_space())?;
        let Ok(space) = space else { return Ok(()) };
        let mut from = UserAddr::new(position);
        loop {
            let batch = space.describe_areas(from, BATCH)?;
            let Some(last) = batch.last() else { return Ok(()) };
            from = last.range.end();
            for area in batch.iter().filter(|area| area.file.is_some()) {
                let (start, end) = (area.range.start().as_u64(), area.range.end().as_u64());
                let name = format!("{start:x}-{end:x}");
                let number = self.number(area.range);
                if !emit(end, Listing { name: name.as_bytes(), number, kind: FileKind::Symlink }) {
                    return Ok(());
                }
            }
        }
    }
}

/// The link that stands for a mapped file.
struct MapLink {
    subject: Subject,
    range: UserRange,
}

impl MagicLink for MapLink {
    fn follow(&self) -> Result<LinkTarget, Errno> {
        let may = current().is_none_or(|thread| {
            thread.with_credentials(|credentials| {
                credentials.has_capability(capability::CHECKPOINT_RESTORE)
                    || credentials.has_capability(capability::SYS_ADMIN)
            })
        });
        if !may {
            return Err(Errno::EPERM);
        }
        Ok(LinkTarget::Place(file_at(&self.subject, self.range)?.location().clone()))
    }

    fn text(&self) -> Result<Arc<[u8]>, Errno> {
        let file = self.subject.inspect().and_then(|_inspection| file_at(&self.subject, self.range))?;
        Ok(Arc::from(short(shown_path(file.location())?)?))
    }

    fn class(&self) -> Class {
        Class::Process
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_two_plain_numbers() {
        let range = |name: &[u8]| parse(name).map(|range| (range.start().as_u64(), range.end().as_u64()));
        assert_eq!(range(b"400000-4010ff"), Some((0x40_0000, 0x40_10ff)));
        assert_eq!(range(b"0-1000"), Some((0, 0x1000)));
        for name in [
            "",
            "-",
            "1000",
            "1000-",
            "-1000",
            "2000-1000",
            "01000-2000",
            "1000-02000",
            "1000-2000 ",
            "1000-2G",
            "1000-2000-3",
        ] {
            assert_eq!(range(name.as_bytes()), None, "{name}");
        }
    }
}
