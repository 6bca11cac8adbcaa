//! Reads and checks the headers of an ELF program, without trusting a byte of them.
//!
//! First [`Header::parse`] on the start of the file, then [`Image::parse`] on the program headers, which the caller
//! reads from [`Header::table`]. An [`Image`] promises: its segments ascend, do not overlap, do not wrap, end in the
//! user half and lie within the file. Every [`ElfError`] becomes ENOEXEC.
//!
//! Source: System V gABI chapter 4 and 5; Linux 6.1 decides what is tolerated.

#[cfg(test)]
mod tests;

use crate::addr::{PAGE_MASK, USER_END};
use crate::paging::Prot;
use core::ops::Range;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Bytes that [`Header::parse`] needs of a file.
pub const HEADER_SIZE: usize = size_of::<RawHeader>();
/// Linux reads at most this much of program headers.
pub const TABLE_LIMIT: u64 = 65536;
/// Longest path of an interpreter, with its terminating zero byte (`PATH_MAX`).
pub const INTERPRETER_LIMIT: u64 = 4096;

/// `PF_X`, `PF_W`, `PF_R`.
const EXECUTE: u32 = 1;
const WRITE: u32 = 2;
const READ: u32 = 4;

const TYPE_EXECUTABLE: u16 = 2;
const TYPE_SHARED: u16 = 3;
pub(crate) const CLASS_64: u8 = 2;
pub(crate) const LITTLE_ENDIAN: u8 = 1;

pub(crate) const PT_LOAD: u32 = 1;
const PT_INTERP: u32 = 3;
const PT_PHDR: u32 = 6;
const PT_GNU_STACK: u32 = 0x6474_e551;

/// Why a file is not a program for this kernel.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ElfError {
    /// It does not begin as ELF does.
    NotElf,
    /// It is for another CPU, word size or byte order.
    WrongMachine,
    /// It is no executable: an object file, a core dump.
    NotExecutable,
    /// The program headers are absent, of the wrong size, or too many.
    BadTable,
    /// The file ends before what its headers promise.
    Truncated,
    /// A segment is smaller in memory than in the file, or its place in the page differs between the two.
    BadSegment,
    /// Segments overlap or are out of order.
    Overlapping,
    /// An address wraps or lies outside the user half.
    AddressOutOfRange,
    /// There is nothing to load.
    NothingToLoad,
    /// The interpreter's path is empty or too long.
    BadInterpreter,
}

#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub(crate) struct RawHeader {
    pub(crate) magic: [u8; 4],
    pub(crate) class: u8,
    pub(crate) data: u8,
    pub(crate) version: u8,
    pub(crate) abi: u8,
    pub(crate) padding: [u8; 8],
    pub(crate) kind: u16,
    pub(crate) machine: u16,
    pub(crate) object_version: u32,
    pub(crate) entry: u64,
    pub(crate) program_headers: u64,
    pub(crate) section_headers: u64,
    pub(crate) flags: u32,
    pub(crate) header_size: u16,
    pub(crate) program_header_size: u16,
    pub(crate) program_header_count: u16,
    pub(crate) section_header_size: u16,
    pub(crate) section_header_count: u16,
    pub(crate) section_names: u16,
}

#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub(crate) struct RawProgramHeader {
    pub(crate) kind: u32,
    pub(crate) flags: u32,
    pub(crate) offset: u64,
    pub(crate) address: u64,
    pub(crate) physical_address: u64,
    pub(crate) file_size: u64,
    pub(crate) memory_size: u64,
    pub(crate) alignment: u64,
}

pub(crate) const PROGRAM_HEADER_SIZE: u64 = size_of::<RawProgramHeader>() as u64;

/// Where a program may stand in memory.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Placement {
    /// At the addresses in the file (`ET_EXEC`).
    Fixed,
    /// Anywhere: all addresses in the file are relative to a base (`ET_DYN`).
    Relocatable,
}

/// The checked ELF header.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Header {
    /// Where execution starts, relative to the base of a relocatable program.
    pub entry: u64,
    /// Where the program may stand.
    pub placement: Placement,
    table_offset: u64,
    table_count: u16,
}

impl Header {
    /// Checks the start of a file of `file_size` bytes for a CPU with `e_machine` `machine`.
    pub fn parse(start: &[u8], file_size: u64, machine: u16) -> Result<Self, ElfError> {
        let (raw, _) = RawHeader::read_from_prefix(start).map_err(|_| ElfError::NotElf)?;
        if raw.magic != *b"\x7fELF" {
            return Err(ElfError::NotElf);
        }
        if raw.class != CLASS_64 || raw.data != LITTLE_ENDIAN || raw.machine != machine {
            return Err(ElfError::WrongMachine);
        }
        let placement = match raw.kind {
            TYPE_EXECUTABLE => Placement::Fixed,
            TYPE_SHARED => Placement::Relocatable,
            _ => return Err(ElfError::NotExecutable),
        };
        let table_length = u64::from(raw.program_header_count) * PROGRAM_HEADER_SIZE;
        if u64::from(raw.program_header_size) != PROGRAM_HEADER_SIZE
            || table_length == 0
            || table_length > TABLE_LIMIT
        {
            return Err(ElfError::BadTable);
        }
        let table_end = raw.program_headers.checked_add(table_length).ok_or(ElfError::BadTable)?;
        if table_end > file_size {
            return Err(ElfError::Truncated);
        }
        if raw.entry >= USER_END {
            return Err(ElfError::AddressOutOfRange);
        }
        Ok(Self {
            entry: raw.entry,
            placement,
            table_offset: raw.program_headers,
            table_count: raw.program_header_count,
        })
    }

    /// Where in the file the program headers lie: at most [`TABLE_LIMIT`] bytes, all within the file.
    pub const fn table(&self) -> Range<u64> {
        self.table_offset..self.table_offset + self.table_count as u64 * PROGRAM_HEADER_SIZE
    }

    /// Number of program headers (`AT_PHNUM`).
    pub const fn table_count(&self) -> u16 {
        self.table_count
    }

    /// Size of a program header (`AT_PHENT`).
    pub const fn table_entry_size(&self) -> u64 {
        PROGRAM_HEADER_SIZE
    }
}

/// A part of the file that is mapped into memory.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Segment {
    /// First byte in memory, relative to the base of a relocatable program.
    pub address: u64,
    /// Bytes in memory, not 0; those beyond `file_size` are zero.
    pub memory_size: u64,
    /// First byte in the file. Its place in the page is that of `address` unless `file_size` is 0.
    pub file_offset: u64,
    /// Bytes in the file, at most `memory_size`.
    pub file_size: u64,
    /// What the program may do there.
    pub prot: Prot,
}

impl Segment {
    /// First byte in memory behind the segment.
    pub const fn end(&self) -> u64 {
        self.address + self.memory_size
    }
}

/// A program whose headers have been checked.
#[derive(Clone, Copy, Debug)]
pub struct Image<'a> {
    header: Header,
    table: &'a [u8],
    span: (u64, u64),
    alignment: u64,
}

impl<'a> Image<'a> {
    /// Checks the program headers, read from [`Header::table`] of a file of `file_size` bytes.
    pub fn parse(header: Header, table: &'a [u8], file_size: u64) -> Result<Self, ElfError> {
        if !(table.len() as u64).is_multiple_of(PROGRAM_HEADER_SIZE) {
            return Err(ElfError::BadTable);
        }
        let mut image = Self { header, table, span: (u64::MAX, 0), alignment: PAGE_MASK + 1 };
        for raw in raw_headers(table) {
            match raw.kind {
                PT_LOAD if raw.memory_size != 0 => image.add_segment(&raw, file_size)?,
                PT_LOAD if raw.file_size != 0 => return Err(ElfError::BadSegment),
                PT_INTERP => check_interpreter(&raw, file_size)?,
                _ => {}
            }
        }
        if image.span.1 == 0 { Err(ElfError::NothingToLoad) } else { Ok(image) }
    }

    fn add_segment(&mut self, raw: &RawProgramHeader, file_size: u64) -> Result<(), ElfError> {
        let end = raw.address.checked_add(raw.memory_size).filter(|end| *end <= USER_END);
        let end = end.ok_or(ElfError::AddressOutOfRange)?;
        let misplaced = raw.file_size != 0 && (raw.address ^ raw.offset) & PAGE_MASK != 0;
        if raw.file_size > raw.memory_size || misplaced {
            return Err(ElfError::BadSegment);
        }
        // Where nothing is read the offset may be anything: linkers leave it behind the end of the file.
        let truncated = raw.offset.checked_add(raw.file_size).is_none_or(|end| end > file_size);
        if raw.file_size != 0 && truncated {
            return Err(ElfError::Truncated);
        }
        if raw.address < self.span.1 {
            return Err(ElfError::Overlapping);
        }
        self.span = (self.span.0.min(raw.address), end);
        if raw.alignment.is_power_of_two() && raw.alignment < USER_END {
            self.alignment = self.alignment.max(raw.alignment);
        }
        Ok(())
    }

    /// The ELF header.
    pub const fn header(&self) -> &Header {
        &self.header
    }

    /// What to map, lowest address first. Two segments may share a page: the later one then covers it.
    pub fn segments(&self) -> impl Iterator<Item = Segment> + Clone + 'a {
        raw_headers(self.table).filter(|raw| raw.kind == PT_LOAD && raw.memory_size != 0).map(|raw| Segment {
            address: raw.address,
            memory_size: raw.memory_size,
            file_offset: raw.offset,
            file_size: raw.file_size,
            prot: prot_of(raw.flags),
        })
    }

    /// From the first byte of the lowest segment to behind the last one of the highest.
    pub const fn span(&self) -> Range<u64> {
        self.span.0..self.span.1
    }

    /// What the base of a relocatable program must be a multiple of: a power of two, at least a page.
    pub const fn alignment(&self) -> u64 {
        self.alignment
    }

    /// Where in the file the interpreter's path lies (`PT_INTERP`): 2 to [`INTERPRETER_LIMIT`] bytes, the last of which
    /// the caller finds to be zero, or else the file is [`ElfError::BadInterpreter`].
    pub fn interpreter(&self) -> Option<Range<u64>> {
        let raw = raw_headers(self.table).find(|raw| raw.kind == PT_INTERP)?;
        Some(raw.offset..raw.offset + raw.file_size)
    }

    /// The address of the program headers in memory (`AT_PHDR`), relative to the base, where some segment holds them.
    pub fn table_address(&self) -> Option<u64> {
        if let Some(raw) = raw_headers(self.table).find(|raw| raw.kind == PT_PHDR) {
            return Some(raw.address);
        }
        let table = self.header.table();
        self.segments()
            .find(|segment| {
                segment.file_offset <= table.start && table.end <= segment.file_offset + segment.file_size
            })
            .map(|segment| segment.address + (table.start - segment.file_offset))
    }

    /// True when the stack is to be executable, by `PT_GNU_STACK`. Without one it is not, as for all 64-bit programs.
    pub fn wants_executable_stack(&self) -> bool {
        raw_headers(self.table).any(|raw| raw.kind == PT_GNU_STACK && raw.flags & EXECUTE != 0)
    }
}

fn raw_headers(table: &[u8]) -> impl Iterator<Item = RawProgramHeader> + Clone + '_ {
    table
        .chunks_exact(size_of::<RawProgramHeader>())
        .filter_map(|raw| RawProgramHeader::read_from_bytes(raw).ok())
}

fn check_interpreter(raw: &RawProgramHeader, file_size: u64) -> Result<(), ElfError> {
    if raw.file_size < 2 || raw.file_size > INTERPRETER_LIMIT {
        return Err(ElfError::BadInterpreter);
    }
    let end = raw.offset.checked_add(raw.file_size);
    if end.is_none_or(|end| end > file_size) { Err(ElfError::Truncated) } else { Ok(()) }
}

fn prot_of(flags: u32) -> Prot {
    [(READ, Prot::READ), (WRITE, Prot::WRITE), (EXECUTE, Prot::EXECUTE)]
        .into_iter()
        .filter(|(flag, _)| flags & flag != 0)
        .fold(Prot::NONE, |all, (_, prot)| all.union(prot))
}
