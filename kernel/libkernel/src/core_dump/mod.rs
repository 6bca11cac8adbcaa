//! The layout of a core dump: headers, notes, and where the pages of each segment lie.
//!
//! File header, a program header for the notes and one for each segment, the notes, then from the next page on what is
//! stored of the segments, and last a section header if there are more program headers than the file header can count.
//! Source: System V gABI chapters 4 and 5; Linux 6.1, `fs/binfmt_elf.c`, for what the gABI leaves open; core(5).

pub mod name;
#[cfg(test)]
mod tests;

use alloc::collections::TryReserveError;
use alloc::vec::Vec;

use zerocopy::{Immutable, IntoBytes};

use crate::addr::{PAGE_SIZE, UserRange};
use crate::elf::{PROGRAM_HEADER_SIZE, PT_LOAD, RawHeader, RawProgramHeader};
use crate::fault::Access;
use crate::paging::Prot;

const TYPE_CORE: u16 = 4;
const VERSION: u8 = 1;
const PT_NOTE: u32 = 4;
/// `PF_X`, `PF_W`, `PF_R`.
const EXECUTE: u32 = 1;
const WRITE: u32 = 2;
const READ: u32 = 4;
/// There are more program headers than a file header can count; the first section header says how many (`PN_XNUM`).
const TOO_MANY: u64 = 0xffff;
/// Notes and their names end where four divides the offset.
const NOTE_ALIGNMENT: u64 = 4;

/// A range of memory.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Segment {
    /// The addresses.
    pub range: UserRange,
    /// What the program could do there.
    pub prot: Prot,
    /// How many bytes from the start on the dump stores; whole pages.
    pub stored: u64,
}

/// Whose numbers the kind of a note is one of.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Owner {
    /// Those that all Unixes have.
    Core,
    /// Linux's own.
    Linux,
}

impl Owner {
    /// The note's name, with its end.
    pub const fn name(self) -> &'static [u8] {
        match self {
            Owner::Core => b"CORE\0",
            Owner::Linux => b"LINUX\0",
        }
    }
}

/// A note.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Note {
    /// Whose kind it is.
    pub owner: Owner,
    /// Its kind, `NT_*`.
    pub kind: u32,
    /// What it says.
    pub content: Vec<u8>,
}

#[derive(IntoBytes, Immutable)]
#[repr(C)]
struct NoteHeader {
    name_size: u32,
    content_size: u32,
    kind: u32,
}

/// Bytes of the head of a note.
pub const NOTE_HEADER_SIZE: usize = size_of::<NoteHeader>();

impl Note {
    /// The head, which says how long name and content are. The content is shorter than 4 GiB.
    pub fn header(&self) -> [u8; NOTE_HEADER_SIZE] {
        zerocopy::transmute!(NoteHeader {
            name_size: self.owner.name().len() as u32,
            content_size: self.content.len() as u32,
            kind: self.kind,
        })
    }

    /// Bytes of head, name and content, with what aligns them.
    pub fn size(&self) -> u64 {
        NOTE_HEADER_SIZE as u64 + aligned(self.owner.name().len()) + aligned(self.content.len())
    }
}

fn aligned(size: usize) -> u64 {
    (size as u64).next_multiple_of(NOTE_ALIGNMENT)
}

/// How many bytes follow `offset` until a note or its content may begin.
pub const fn note_padding(offset: u64) -> u64 {
    offset.next_multiple_of(NOTE_ALIGNMENT) - offset
}

/// Notes in the order of the file.
#[derive(Default, Debug)]
pub struct Notes(Vec<Note>);

impl Notes {
    /// Adds a note of several parts.
    pub fn add(&mut self, owner: Owner, kind: u32, parts: &[&[u8]]) -> Result<(), TryReserveError> {
        let mut content = Vec::new();
        content.try_reserve_exact(parts.iter().map(|part| part.len()).sum())?;
        parts.iter().for_each(|part| content.extend_from_slice(part));
        self.push(owner, kind, content)
    }

    /// Adds a note.
    pub fn push(&mut self, owner: Owner, kind: u32, content: Vec<u8>) -> Result<(), TryReserveError> {
        self.0.try_reserve(1)?;
        self.0.push(Note { owner, kind, content });
        Ok(())
    }

    /// Adds the notes of others.
    pub fn append(&mut self, mut others: Notes) -> Result<(), TryReserveError> {
        self.0.try_reserve(others.0.len())?;
        self.0.append(&mut others.0);
        Ok(())
    }

    /// All of them.
    pub fn iter(&self) -> core::slice::Iter<'_, Note> {
        self.0.iter()
    }

    /// Bytes of all.
    pub fn size(&self) -> u64 {
        self.iter().map(Note::size).sum()
    }
}

/// Where the parts of a dump lie.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Layout {
    program_headers: u64,
    notes_size: u64,
    stored: u64,
}

#[derive(IntoBytes, Immutable)]
#[repr(C)]
struct SectionHeader {
    name: u32,
    kind: u32,
    flags: u64,
    address: u64,
    offset: u64,
    size: u64,
    link: u32,
    info: u32,
    alignment: u64,
    entry_size: u64,
}

const FILE_HEADER_SIZE: u64 = size_of::<RawHeader>() as u64;
const SECTION_HEADER_SIZE: u64 = size_of::<SectionHeader>() as u64;

impl Layout {
    /// The layout with these segments, and notes of `notes_size` bytes.
    pub fn new(segments: &[Segment], notes_size: u64) -> Layout {
        Layout {
            program_headers: segments.len() as u64 + 1,
            notes_size,
            stored: segments.iter().map(|segment| segment.stored).fold(0, u64::saturating_add),
        }
    }

    fn notes_offset(&self) -> u64 {
        FILE_HEADER_SIZE + self.program_headers * PROGRAM_HEADER_SIZE
    }

    /// Where the content of segments begins.
    pub fn data_offset(&self) -> u64 {
        (self.notes_offset() + self.notes_size).next_multiple_of(PAGE_SIZE)
    }

    fn counts_in_section(&self) -> bool {
        self.program_headers >= TOO_MANY
    }

    /// The file header, for a CPU with this `e_machine`.
    pub fn file_header(&self, machine: u16) -> [u8; FILE_HEADER_SIZE as usize] {
        let extended = self.counts_in_section();
        zerocopy::transmute!(RawHeader {
            magic: *b"\x7fELF",
            class: crate::elf::CLASS_64,
            data: crate::elf::LITTLE_ENDIAN,
            version: VERSION,
            abi: 0,
            padding: [0; 8],
            kind: TYPE_CORE,
            machine,
            object_version: u32::from(VERSION),
            entry: 0,
            program_headers: FILE_HEADER_SIZE,
            section_headers: if extended { self.data_offset().saturating_add(self.stored) } else { 0 },
            flags: 0,
            header_size: FILE_HEADER_SIZE as u16,
            program_header_size: PROGRAM_HEADER_SIZE as u16,
            program_header_count: self.program_headers.min(TOO_MANY) as u16,
            section_header_size: if extended { SECTION_HEADER_SIZE as u16 } else { 0 },
            section_header_count: u16::from(extended),
            section_names: 0,
        })
    }

    /// The program header of the notes.
    pub fn notes_header(&self) -> [u8; PROGRAM_HEADER_SIZE as usize] {
        zerocopy::transmute!(RawProgramHeader {
            kind: PT_NOTE,
            flags: 0,
            offset: self.notes_offset(),
            address: 0,
            physical_address: 0,
            file_size: self.notes_size,
            memory_size: 0,
            alignment: 0,
        })
    }

    /// The program headers of the segments, in their order.
    pub fn segment_headers(
        &self,
        segments: &[Segment],
    ) -> impl Iterator<Item = [u8; PROGRAM_HEADER_SIZE as usize]> {
        segments.iter().scan(self.data_offset(), |offset, segment| {
            let header = RawProgramHeader {
                kind: PT_LOAD,
                flags: flags(segment.prot),
                offset: *offset,
                address: segment.range.start().as_u64(),
                physical_address: 0,
                file_size: segment.stored,
                memory_size: segment.range.length(),
                alignment: PAGE_SIZE,
            };
            *offset = offset.saturating_add(segment.stored);
            Some(zerocopy::transmute!(header))
        })
    }

    /// What follows the last segment: the section header that says how many program headers there are.
    pub fn section_header(&self) -> Option<[u8; SECTION_HEADER_SIZE as usize]> {
        self.counts_in_section().then(|| {
            zerocopy::transmute!(SectionHeader {
                name: 0,
                kind: 0,
                flags: 0,
                address: 0,
                offset: 0,
                size: 1,
                link: 0,
                info: self.program_headers as u32,
                alignment: 0,
                entry_size: 0,
            })
        })
    }
}

fn flags(prot: Prot) -> u32 {
    let bit = |is_set: bool, bit: u32| if is_set { bit } else { 0 };
    bit(prot.allows(Access::Read), READ) | bit(prot.is_writable(), WRITE) | bit(prot.is_executable(), EXECUTE)
}
