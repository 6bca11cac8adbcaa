//! `/proc/PID/maps` and `/proc/PID/exe`: what a process has in its memory.

use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;

use abi::Errno;
use libkernel::addr::UserAddr;
use libkernel::fault::Access;
use libkernel::text::{Text, Within};
use memory::AddressSpace;
use memory::area::{AreaDescription, Role};
use vfs::file::{File, FileOperations};
use vfs::generated::Class;
use vfs::generated::content::{Content, SequenceFile};
use vfs::mount::Location;

use super::process::shown_path;
use super::subject::Subject;

/// Areas that are described under one hold of the address space's lock.
pub const BATCH: usize = 32;

/// Writes what a file shows of one area.
pub type Describe = fn(&AddressSpace, &AreaDescription, &mut Text) -> Result<(), Errno>;

/// The areas of the memory that a process had when the file was opened.
pub struct Areas {
    subject: Subject,
    space: Weak<AddressSpace>,
    describe: Describe,
}

impl Areas {
    /// Opens a file that shows each area so.
    pub fn open(subject: Subject, describe: Describe) -> Result<Arc<dyn FileOperations>, Errno> {
        let space = subject.memory()?;
        Ok(SequenceFile::open(Areas { subject, space, describe }, Class::Process))
    }
}

impl Content for Areas {
    /// The cursor is the address where the area before ends.
    fn fill(&self, cursor: u64, text: &mut Text) -> Result<Option<u64>, Errno> {
        self.subject.check()?;
        let Some(space) = self.space.upgrade() else { return Ok(None) };
        let batch = space.describe_areas(UserAddr::new(cursor), BATCH)?;
        for area in &batch {
            (self.describe)(&space, area, text)?;
        }
        Ok(batch.last().map(|last| last.range.end().as_u64()))
    }
}

/// Opens `maps`: proc(5). Empty once the process has ended.
pub fn maps(subject: Subject) -> Result<Arc<dyn FileOperations>, Errno> {
    Areas::open(subject, |_, area, text| {
        line(area, text);
        Ok(())
    })
}

/// Where Linux begins the name of an area.
pub const NAME_COLUMN: usize = 73;

/// The line of an area.
pub fn line(area: &AreaDescription, text: &mut Text) {
    let letter = |is_set: bool, letter: u8| if is_set { letter } else { b'-' };
    let start = text.bytes().len();
    text.hexadecimal(area.range.start().as_u64(), 8);
    text.put(b"-");
    text.hexadecimal(area.range.end().as_u64(), 8);
    text.put(&[
        b' ',
        letter(area.prot.allows(Access::Read), b'r'),
        letter(area.prot.is_writable(), b'w'),
        letter(area.prot.is_executable(), b'x'),
        if area.shared { b's' } else { b'p' },
        b' ',
    ]);
    text.hexadecimal(area.offset, 8);
    let (device, number) = area.file.as_deref().and_then(File::of_mapped).map_or(((0, 0), 0), |file| {
        let device = file.inode().filesystem.device;
        ((device.major, device.minor), file.inode().number)
    });
    text.put(b" ");
    text.hexadecimal(u64::from(device.0), 2);
    text.put(b":");
    text.hexadecimal(u64::from(device.1), 2);
    text.put(b" ");
    text.decimal(number);
    text.put(b" ");
    let name = name_of(area);
    if !name.is_empty() {
        text.pad(start, NAME_COLUMN);
        text.name(&name, Within::Line);
    }
    text.put(b"\n");
}

fn name_of(area: &AreaDescription) -> Vec<u8> {
    if let Some(file) = area.file.as_deref().and_then(File::of_mapped) {
        return shown_path(file.location()).unwrap_or_default();
    }
    match area.role {
        Role::None => Vec::new(),
        Role::Heap => b"[heap]".to_vec(),
        Role::Stack => b"[stack]".to_vec(),
        Role::Vvar => b"[vvar]".to_vec(),
        Role::Vdso => b"[vdso]".to_vec(),
        Role::SharedAnonymous => b"/dev/zero (deleted)".to_vec(),
    }
}

/// `exe`: the program's file.
pub fn executable(subject: &Subject) -> Result<Location, Errno> {
    program_of(&*subject.address_space().map_err(|_| Errno::ENOENT)?)
}

/// The program that a memory was made for. ENOENT without one.
pub fn program_of(space: &AddressSpace) -> Result<Location, Errno> {
    let program = space.program().and_then(File::from_mapped).ok_or(Errno::ENOENT)?;
    Ok(program.location().clone())
}
