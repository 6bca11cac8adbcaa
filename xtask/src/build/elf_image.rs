//! A linked kernel, taken apart into segments and written again as a small ELF file or as a flat image.
//!
//! Only what a loader looks at survives: the segments and the notes. Sections, symbols and debug information stay in
//! the linker's own output.

use anyhow::{Context, Result, bail};
use object::Endianness::Little;
use object::elf::{ELFCLASS64, ELFDATA2LSB, ELFMAG, EV_CURRENT, FileHeader64, PT_LOAD, PT_NOTE};
use object::read::elf::{FileHeader, ProgramHeader};

const FILE_HEADER_SIZE: u64 = 64;
const PROGRAM_HEADER_SIZE: u64 = 56;
const PAGE_SIZE: u64 = 4096;

/// Arm's boot protocol keeps the size of the image, with its zeroed memory, at this offset
/// (Linux, Documentation/arm64/booting.rst).
const FLAT_IMAGE_SIZE_OFFSET: usize = 16;

/// The parts of an ELF executable that count at load time.
pub struct ElfImage {
    kind: u16,
    machine: u16,
    entry: u64,
    segments: Vec<Segment>,
    notes: Vec<Note>,
}

/// One `PT_LOAD`.
#[derive(Clone)]
struct Segment {
    flags: u32,
    virtual_address: u64,
    physical_address: u64,
    memory_size: u64,
    data: Vec<u8>,
}

/// One `PT_NOTE`, which lies inside a segment.
struct Note {
    virtual_address: u64,
    physical_address: u64,
    size: u64,
    alignment: u64,
}

impl ElfImage {
    /// Takes a little-endian 64-bit ELF file apart.
    pub fn parse(file: &[u8]) -> Result<Self> {
        let header = FileHeader64::<object::Endianness>::parse(file).context("not an ELF file")?;
        let mut image = Self {
            kind: header.e_type(Little).0,
            machine: header.e_machine(Little).0,
            entry: header.e_entry(Little),
            segments: Vec::new(),
            notes: Vec::new(),
        };
        for program_header in header.program_headers(Little, file)? {
            match program_header.p_type(Little) {
                PT_LOAD => image.segments.push(Segment {
                    flags: program_header.p_flags(Little).0,
                    virtual_address: program_header.p_vaddr(Little),
                    physical_address: program_header.p_paddr(Little),
                    memory_size: program_header.p_memsz(Little),
                    data: program_header.data(Little, file).ok().context("segment beyond the file")?.to_vec(),
                }),
                PT_NOTE => image.notes.push(Note {
                    virtual_address: program_header.p_vaddr(Little),
                    physical_address: program_header.p_paddr(Little),
                    size: program_header.p_filesz(Little),
                    alignment: program_header.p_align(Little),
                }),
                _ => {}
            }
        }
        if image.segments.is_empty() {
            bail!("no loadable segment");
        }
        Ok(image)
    }

    /// Replaces the content of the segment that starts at `address` by `data`, which must end before the next one.
    pub fn fill_segment(&mut self, address: u64, data: Vec<u8>) -> Result<()> {
        let starts = self.segments.iter().map(|segment| segment.virtual_address);
        let room = starts.filter(|start| *start > address).min().map(|next| next - address);
        if room.is_some_and(|room| room < data.len() as u64) {
            bail!("{} bytes do not fit into the segment at {address:#x}", data.len());
        }
        let segment = self.segments.iter_mut().find(|segment| segment.virtual_address == address);
        let segment = segment.with_context(|| format!("no segment starts at {address:#x}"))?;
        segment.memory_size = data.len() as u64;
        segment.data = data;
        Ok(())
    }

    /// An ELF file that holds the segments and nothing else.
    pub fn to_elf(&self) -> Result<Vec<u8>> {
        let header_count = self.segments.len() + self.notes.len();
        let mut end = FILE_HEADER_SIZE + header_count as u64 * PROGRAM_HEADER_SIZE;
        let mut offsets = Vec::new();
        for segment in &self.segments {
            let offset = end.next_multiple_of(PAGE_SIZE) + segment.virtual_address % PAGE_SIZE;
            offsets.push(offset);
            end = offset + segment.data.len() as u64;
        }
        let mut file = self.file_header(u16::try_from(header_count)?);
        for (segment, offset) in self.segments.iter().zip(&offsets) {
            file.extend(segment.program_header(*offset));
        }
        for note in &self.notes {
            file.extend(note.program_header(self.note_offset(note, &offsets)?));
        }
        for (segment, offset) in self.segments.iter().zip(&offsets) {
            file.resize(usize::try_from(*offset)?, 0);
            file.extend_from_slice(&segment.data);
        }
        Ok(file)
    }

    /// The lowest physical address.
    pub fn start(&self) -> Option<u64> {
        self.segments.iter().map(|segment| segment.physical_address).min()
    }

    /// How far above their physical addresses the segments are linked.
    pub fn link_offset(&self) -> u64 {
        self.segments
            .first()
            .map_or(0, |segment| segment.virtual_address.wrapping_sub(segment.physical_address))
    }

    /// The segments as they lie in memory, without what is zero at the end, and the bytes of memory with that.
    pub fn to_memory(&self) -> Result<(Vec<u8>, u64)> {
        let base = self.start().context("no segment")?;
        let mut image = Vec::new();
        let mut memory_end = 0;
        for segment in self.segments.iter().filter(|segment| segment.memory_size > 0) {
            let offset = usize::try_from(segment.physical_address - base)?;
            memory_end = memory_end.max(offset as u64 + segment.memory_size);
            if segment.data.is_empty() {
                continue;
            }
            let end = offset + segment.data.len();
            image.resize(end.max(image.len()), 0);
            image[offset..end].copy_from_slice(&segment.data);
        }
        Ok((image, memory_end))
    }

    /// What Arm's boot protocol calls `Image`: the memory, with its size in the header, and what the file holds of it
    /// in the headers for UEFI firmware, whose second section begins in the file where it begins in memory and ends
    /// with it.
    pub fn to_flat(&self) -> Result<Vec<u8>> {
        const PE_OFFSET: usize = 60;
        const SECOND_SECTION: usize = 24 + 160 + 40;
        const ALIGNMENT: usize = 512;
        let (mut image, memory_end) = self.to_memory()?;
        image.resize(image.len().next_multiple_of(ALIGNMENT), 0);
        put(&mut image, FLAT_IMAGE_SIZE_OFFSET, &memory_end.to_le_bytes())?;
        let pe = usize::try_from(word(&image, PE_OFFSET)?)?;
        let start = word(&image, pe + SECOND_SECTION + 12)?;
        let bytes =
            u32::try_from(image.len())?.checked_sub(start).context("the section lies behind the file")?;
        put(&mut image, pe + SECOND_SECTION + 16, &bytes.to_le_bytes())?;
        Ok(image)
    }

    /// The bytes of the segment that starts at a virtual address.
    pub fn segment(&self, start: u64) -> Result<&[u8]> {
        let segment = self.segments.iter().find(|segment| segment.virtual_address == start);
        Ok(&segment.with_context(|| format!("no segment starts at {start:#x}"))?.data)
    }

    /// The bytes between two virtual addresses, which lie in one segment.
    pub fn bytes(&self, start: u64, end: u64) -> Result<&[u8]> {
        let inside = self.segments.iter().find_map(|segment| {
            let place = |address: u64| usize::try_from(address.checked_sub(segment.virtual_address)?).ok();
            segment.data.get(place(start)?..place(end)?)
        });
        inside.with_context(|| format!("{start:#x} to {end:#x} lies in no segment"))
    }

    fn file_header(&self, header_count: u16) -> Vec<u8> {
        let mut header = Vec::new();
        header.extend_from_slice(&ELFMAG);
        header.extend_from_slice(&[ELFCLASS64.0, ELFDATA2LSB.0, EV_CURRENT.0, 0]);
        header.resize(16, 0);
        header.extend(self.kind.to_le_bytes());
        header.extend(self.machine.to_le_bytes());
        header.extend(u32::from(EV_CURRENT.0).to_le_bytes());
        header.extend(self.entry.to_le_bytes());
        header.extend(FILE_HEADER_SIZE.to_le_bytes());
        header.extend(0_u64.to_le_bytes()); // no section headers
        header.extend(0_u32.to_le_bytes()); // no flags
        for half in [FILE_HEADER_SIZE as u16, PROGRAM_HEADER_SIZE as u16, header_count, 64, 0, 0] {
            header.extend(half.to_le_bytes());
        }
        header
    }

    /// Where in the file a note lies, given the offsets of the segments.
    fn note_offset(&self, note: &Note, offsets: &[u64]) -> Result<u64> {
        for (segment, offset) in self.segments.iter().zip(offsets) {
            let distance = note.virtual_address.wrapping_sub(segment.virtual_address);
            if distance < segment.data.len() as u64 {
                return Ok(offset + distance);
            }
        }
        bail!("the note at {:#x} lies in no segment", note.virtual_address)
    }
}

/// The number of 32 bits at `offset`.
fn word(image: &[u8], offset: usize) -> Result<u32> {
    let bytes = image.get(offset..offset + 4).context("the image is shorter than its header")?;
    Ok(u32::from_le_bytes(bytes.try_into()?))
}

fn put(image: &mut [u8], offset: usize, bytes: &[u8]) -> Result<()> {
    let place = image.get_mut(offset..offset + bytes.len());
    place.context("the image is shorter than its header")?.copy_from_slice(bytes);
    Ok(())
}

impl Segment {
    fn program_header(&self, offset: u64) -> Vec<u8> {
        let file_size = self.data.len() as u64;
        let words =
            [offset, self.virtual_address, self.physical_address, file_size, self.memory_size, PAGE_SIZE];
        program_header(PT_LOAD.0, self.flags, words)
    }
}

impl Note {
    fn program_header(&self, offset: u64) -> Vec<u8> {
        let words =
            [offset, self.virtual_address, self.physical_address, self.size, self.size, self.alignment];
        program_header(PT_NOTE.0, object::elf::PF_R.0, words)
    }
}

/// `words`: offset, virtual address, physical address, size in the file, size in memory, alignment.
fn program_header(kind: u32, flags: u32, words: [u64; 6]) -> Vec<u8> {
    let mut header = Vec::new();
    header.extend(kind.to_le_bytes());
    header.extend(flags.to_le_bytes());
    header.extend(words.into_iter().flat_map(u64::to_le_bytes));
    header
}

#[cfg(test)]
mod tests {
    use super::*;

    fn segment(address: u64, data: &[u8], memory_size: u64) -> Segment {
        Segment {
            flags: object::elf::PF_R.0,
            virtual_address: 0xffff_ffff_8000_0000 + address,
            physical_address: address,
            memory_size,
            data: data.to_vec(),
        }
    }

    fn image() -> ElfImage {
        ElfImage {
            kind: object::elf::ET_EXEC.0,
            machine: object::elf::EM_X86_64.0,
            entry: 0x10_0000,
            segments: vec![segment(0x10_0000, &[7; 64], 64), segment(0x10_2000, b"bss", 0x5000)],
            notes: vec![Note {
                virtual_address: 0xffff_ffff_8010_0010,
                physical_address: 0x10_0010,
                size: 20,
                alignment: 4,
            }],
        }
    }

    #[test]
    fn a_written_elf_file_reads_back_the_same() {
        let file = image().to_elf().unwrap();
        let again = ElfImage::parse(&file).unwrap();
        assert_eq!(again.entry, 0x10_0000);
        assert_eq!(again.segments.len(), 2);
        assert_eq!(again.segments[1].data, b"bss");
        assert_eq!(again.segments[1].memory_size, 0x5000);
        assert_eq!(again.notes[0].size, 20);
        assert_eq!(again.to_elf().unwrap(), file);
    }

    #[test]
    fn a_flat_image_keeps_distances_and_tells_its_sizes() {
        let mut image = image();
        image.segments[0].data.resize(0x200, 0);
        image.segments[0].data[60..64].copy_from_slice(&0x40_u32.to_le_bytes());
        image.segments[0].data[0x40 + 224 + 12..][..4].copy_from_slice(&0x1000_u32.to_le_bytes());
        let flat = image.to_flat().unwrap();
        assert_eq!(flat.len(), 0x2200, "firmware wants whole sectors");
        assert_eq!(&flat[0x2000..0x2004], b"bss\0");
        assert_eq!(flat[16..24], 0x7000_u64.to_le_bytes());
        assert_eq!(flat[0x40 + 224 + 16..][..4], 0x1200_u32.to_le_bytes());
    }

    #[test]
    fn only_the_segment_at_the_symbol_is_replaced() {
        let mut image = image();
        assert!(image.fill_segment(0xffff_ffff_8010_1000, vec![1]).is_err());
        assert!(image.fill_segment(0xffff_ffff_8010_0000, vec![1; 0x2001]).is_err());
        image.fill_segment(0xffff_ffff_8010_2000, vec![1; 9]).unwrap();
        assert_eq!(image.segments[1].memory_size, 9);
    }
}
