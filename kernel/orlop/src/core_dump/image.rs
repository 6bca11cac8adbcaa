//! What a core dump stores of a process's memory, and the files that lie in it: core(5), "Controlling which mappings
//! are written"; Linux 6.1's `vma_dump_size`.
//!
//! The threads of the process stand still, but another process may share its memory: what is surveyed here is looked up
//! anew when it is written.

use alloc::vec::Vec;

use abi::Errno;
use abi::core_dump::{
    MMF_DUMP_ANON_PRIVATE, MMF_DUMP_ANON_SHARED, MMF_DUMP_ELF_HEADERS, MMF_DUMP_MAPPED_PRIVATE,
    MMF_DUMP_MAPPED_SHARED, NT_FILE,
};
use hal::frame::SharedFrame;
use libkernel::addr::{PAGE_SIZE, UserAddr, UserRange};
use libkernel::core_dump::{Notes, Owner, Segment};
use libkernel::fault::Access;
use memory::AddressSpace;
use memory::area::{AreaDescription, AreaFlags, Role};
use outcome::OrErrno;
use vfs::File;
use zerocopy::IntoBytes;

use crate::proc::shown_path;

/// Segments in the order of their addresses, and the note of the files.
pub struct Image {
    pub segments: Vec<Segment>,
    /// Start, end, and page in the file, of each mapping of a file.
    places: Vec<[u64; 3]>,
    /// The files' names in the same order, each with its end.
    names: Vec<u8>,
}

/// Areas that are described under one hold of the address space's lock.
const BATCH: usize = 32;

/// Longer notes of files are left out (Linux: `MAX_FILE_NOTE_SIZE`).
const LONGEST_FILE_NOTE: usize = 4 << 20;

/// Looks at all areas, with the bits of `coredump_filter`.
pub fn survey(space: &AddressSpace, filter: u32) -> Result<Image, Errno> {
    let mut image = Image { segments: Vec::new(), places: Vec::new(), names: Vec::new() };
    let mut from = UserAddr::new(0);
    loop {
        let batch = space.describe_areas(from, BATCH)?;
        let Some(last) = batch.last() else { return Ok(image) };
        from = last.range.end();
        for area in &batch {
            let stored = if is_stored_whole(space, area, filter) {
                area.range.length()
            } else {
                header_size(space, area, filter)
            };
            image.segments.try_reserve(1).or_errno()?;
            image.segments.push(Segment { range: area.range, prot: area.prot, stored });
            image.note_file(area)?;
        }
    }
}

fn file_of(area: &AreaDescription) -> Option<&File> {
    area.file.as_deref().and_then(File::of_mapped)
}

/// Whether an area without name is a file's: Linux has one behind shared anonymous memory, too.
fn is_of_file(area: &AreaDescription) -> bool {
    area.file.is_some() || area.role == Role::SharedAnonymous
}

fn is_stored_whole(space: &AddressSpace, area: &AreaDescription, filter: u32) -> bool {
    if matches!(area.role, Role::Vdso | Role::Vvar) {
        return true;
    }
    if area.flags.contains(AreaFlags::DONT_DUMP) {
        return false;
    }
    if area.shared {
        let is_named = file_of(area).is_some_and(|file| file.inode().attributes.links() > 0);
        return filter & if is_named { MMF_DUMP_MAPPED_SHARED } else { MMF_DUMP_ANON_SHARED } != 0;
    }
    filter & MMF_DUMP_ANON_PRIVATE != 0 && was_written(space, area)
        || filter & MMF_DUMP_MAPPED_PRIVATE != 0 && is_of_file(area)
}

/// Whether a private area has pages of its own.
fn was_written(space: &AddressSpace, area: &AreaDescription) -> bool {
    let is_own = |page: UserAddr, frame: &SharedFrame| {
        let cached = area.object.as_ref().and_then(|object| object.page(page_index(area, page)));
        !frame.is_zero() && cached.is_none_or(|cached| cached != *frame)
    };
    let found = |page, mapped: hal::paging::Mapped| is_own(page, &mapped.frame).then_some(());
    space.page_table().find_mapped(area.range, found).is_some()
}

/// The page of the area's object that lies at an address.
fn page_index(area: &AreaDescription, page: UserAddr) -> u64 {
    (area.offset / PAGE_SIZE).wrapping_add(page.page_number().wrapping_sub(area.range.start().page_number()))
}

/// How much is stored of the start of a file, by which debuggers tell which it was: a page of what is or could be a
/// program.
fn header_size(space: &AddressSpace, area: &AreaDescription, filter: u32) -> u64 {
    let is_start = area.offset == 0 && area.prot.allows(Access::Read) && !area.shared;
    let is_wanted = filter & MMF_DUMP_ELF_HEADERS != 0 && !area.flags.contains(AreaFlags::DONT_DUMP);
    let Some(file) = file_of(area).filter(|_| is_start && is_wanted) else { return 0 };
    let mut magic = [0; 4];
    let is_program = file.inode().attributes.permissions() & 0o111 != 0
        || space.read_remote(area.range.start(), &mut magic) == magic.len() && magic == *b"\x7fELF";
    if is_program { PAGE_SIZE } else { 0 }
}

impl Image {
    fn note_file(&mut self, area: &AreaDescription) -> Result<(), Errno> {
        let name = match file_of(area) {
            _ if self.names.len() > LONGEST_FILE_NOTE => return Ok(()),
            Some(file) => shown_path(file.location())?,
            None if area.role == Role::SharedAnonymous => b"/dev/zero (deleted)".to_vec(),
            None => return Ok(()),
        };
        self.places.try_reserve(1).or_errno()?;
        self.names.try_reserve(name.len() + 1).or_errno()?;
        self.places.push([area.range.start().as_u64(), area.range.end().as_u64(), area.offset / PAGE_SIZE]);
        self.names.extend_from_slice(&name);
        self.names.push(0);
        Ok(())
    }

    /// Adds the note of the files, unless it would be too long.
    pub fn add_files(&self, notes: &mut Notes) -> Result<(), Errno> {
        let head = [self.places.len() as u64, PAGE_SIZE];
        let places = self.places.as_bytes();
        if self.names.len() + places.len() > LONGEST_FILE_NOTE {
            return Ok(());
        }
        notes.add(Owner::Core, NT_FILE, &[head.as_bytes(), places, &self.names]).or_errno()
    }
}

/// Where a page of an area comes from, for one segment after the other.
pub struct Pages<'a> {
    space: &'a AddressSpace,
    /// The area that the segment's start lies in now.
    area: Option<AreaDescription>,
    range: UserRange,
}

impl<'a> Pages<'a> {
    /// The pages that are stored of a segment; `None` where none are.
    pub fn of(space: &'a AddressSpace, segment: &Segment) -> Option<Pages<'a>> {
        let range = UserRange::new(segment.range.start(), segment.stored).filter(|_| segment.stored > 0)?;
        // Linux cannot read the kernel's data for the vDSO either: a hole.
        let area = space.describe_area(range.start()).filter(|area| area.role != Role::Vvar)?;
        Some(Pages { space, area: Some(area), range })
    }

    /// The next page from `from` on that exists, without making any: as it is mapped, or else as the object has it.
    pub fn next(&self, from: UserAddr) -> Option<(UserAddr, SharedFrame)> {
        let mut from = from;
        while from < self.range.end() {
            let rest = UserRange::from_bounds(from, self.range.end())?;
            let mapped = self.space.page_table().find_mapped(rest, |page, mapped| Some((page, mapped.frame)));
            let stored = self.next_of_object(from);
            let (page, frame) = match (mapped, stored) {
                (Some(mapped), Some(stored)) if stored.0 < mapped.0 => stored,
                (Some(mapped), _) => mapped,
                (None, stored) => stored?,
            };
            if !frame.is_zero() {
                return Some((page, frame));
            }
            from = page.checked_add(PAGE_SIZE)?;
        }
        None
    }

    fn next_of_object(&self, from: UserAddr) -> Option<(UserAddr, SharedFrame)> {
        let area = self.area.as_ref()?;
        let object = area.object.as_ref()?;
        let first = page_index(area, from);
        let index = object.next_data(first.checked_mul(PAGE_SIZE)?)? / PAGE_SIZE;
        let page = from.checked_add((index - first).checked_mul(PAGE_SIZE)?)?;
        let frame = object.page(index)?;
        (page < self.range.end()).then_some((page, frame))
    }
}
