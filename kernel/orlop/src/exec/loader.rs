//! Maps ELF programs into a fresh address space.
//!
//! `libkernel::elf` has checked the headers; here each segment becomes a private mapping of the file with its own
//! rights, and what it has in memory beyond the file becomes zeroes. A program with an interpreter (`PT_INTERP`)
//! gets that loaded too and starts in it.

use alloc::sync::Arc;
use alloc::vec::Vec;

use abi::Errno;
use libkernel::addr::{PAGE_SIZE, UserAddr, UserRange};
use libkernel::elf::{Header, Image, Placement as ElfPlacement, Segment};
use libkernel::paging::Prot;
use memory::area::AreaFlags;
use memory::layout::Offsets;
use memory::user::IoSink;
use memory::{AddressSpace, Bounds, Content, MapRequest, Object, Placement};
use outcome::OrErrno;
use vfs::File;
use vfs::notify::Event;

/// A file whose ELF headers have been read and checked.
pub struct Program {
    file: Arc<File>,
    object: Arc<Object>,
    header: Header,
    table: Vec<u8>,
}

/// What was loaded, for the auxiliary vector and the layout.
pub struct Loaded {
    /// Where execution starts: in the interpreter, if there is one.
    pub start: u64,
    /// The program's own entry point.
    pub program_entry: u64,
    /// Address of the program's headers, zero if they are in no segment.
    pub program_headers: u64,
    /// Size of one of them.
    pub program_header_size: u64,
    /// Their number.
    pub program_header_count: u64,
    /// Where the interpreter was loaded, zero if there is none.
    pub interpreter_base: u64,
    /// End of the program's last segment.
    pub end: UserAddr,
    /// From the first byte of its executable segments to the last that comes from the file.
    pub code: UserRange,
    /// From the first byte of its highest segment to the last that comes from the file.
    pub data: UserRange,
    /// Whether the program was placed where mappings go: a static PIE.
    pub among_mappings: bool,
}

/// Reads the first bytes of a program's file, as much as there is. That is an access; what is read and mapped of it
/// afterwards is the same one.
pub fn read_head(file: &File, bytes: &mut [u8]) -> Result<usize, Errno> {
    let length = read_program(file, 0, bytes)?;
    file.note_read();
    Ok(length)
}

/// Reads of a program's file as much as there is, which is told to who watches its directory.
fn read_program(file: &File, offset: u64, bytes: &mut [u8]) -> Result<usize, Errno> {
    let object = file.object().ok_or(Errno::EACCES)?;
    let mut sink = IoSink::kernel(bytes);
    object.read(offset, &mut sink)?;
    if sink.moved() > 0 {
        file.location().dentry.tell(Event::Accessed);
    }
    Ok(sink.moved())
}

/// Fills a buffer from a file; `ENOEXEC` where the file is shorter.
fn read_exactly(file: &File, offset: u64, bytes: &mut [u8]) -> Result<(), Errno> {
    if read_program(file, offset, bytes)? == bytes.len() { Ok(()) } else { Err(Errno::ENOEXEC) }
}

fn zeroed(length: u64) -> Result<Vec<u8>, Errno> {
    let length = usize::try_from(length).map_err(|_| Errno::ENOEXEC)?;
    let mut bytes = Vec::new();
    bytes.try_reserve_exact(length).or_errno()?;
    bytes.resize(length, 0);
    Ok(bytes)
}

impl Program {
    /// Reads the headers of a file whose first bytes are `head`. `ENOEXEC` where it is no program for this machine.
    pub fn read(file: Arc<File>, head: &[u8]) -> Result<Self, Errno> {
        let object = file.object().cloned().ok_or(Errno::EACCES)?;
        let header = Header::parse(head, object.size(), libkernel::arch::native::ELF_MACHINE)
            .map_err(|_| Errno::ENOEXEC)?;
        let range = header.table();
        let mut table = zeroed(range.end.saturating_sub(range.start))?;
        read_exactly(&file, range.start, &mut table)?;
        let program = Self { file, object, header, table };
        program.image()?;
        Ok(program)
    }

    fn image(&self) -> Result<Image<'_>, Errno> {
        Image::parse(self.header, &self.table, self.object.size()).map_err(|_| Errno::ENOEXEC)
    }

    /// The file.
    pub fn file(&self) -> &Arc<File> {
        &self.file
    }

    /// The path of the interpreter, without its NUL, if the program names one.
    pub fn interpreter(&self) -> Result<Option<Vec<u8>>, Errno> {
        let Some(range) = self.image()?.interpreter() else { return Ok(None) };
        let mut path = zeroed(range.end.saturating_sub(range.start))?;
        read_exactly(&self.file, range.start, &mut path)?;
        if path.pop() != Some(0) {
            return Err(Errno::ENOEXEC);
        }
        // The path ends at the first NUL, as a string does.
        let length = path.iter().position(|byte| *byte == 0).unwrap_or(path.len());
        path.truncate(length);
        Ok(Some(path))
    }

    /// Whether the program wants an executable stack.
    pub fn wants_executable_stack(&self) -> Result<bool, Errno> {
        Ok(self.image()?.wants_executable_stack())
    }

    /// Maps the program and its interpreter.
    pub fn load(
        &self,
        interpreter: Option<&Self>,
        space: &AddressSpace,
        offsets: &Offsets,
        bounds: &dyn Bounds,
    ) -> Result<Loaded, Errno> {
        let image = self.image()?;
        let relocatable = self.header.placement == ElfPlacement::Relocatable;
        let among_mappings = relocatable && interpreter.is_none();
        let base = match (relocatable, interpreter) {
            (false, _) => 0,
            (true, Some(_)) => aligned(offsets.program_base().as_u64(), &image),
            (true, None) => free_base(space, &image)?,
        };
        self.map_segments(&image, space, base, bounds)?;
        let program_entry = base.wrapping_add(self.header.entry);
        let (start, interpreter_base) = match interpreter {
            Some(interpreter) => interpreter.load_as_interpreter(space, bounds)?,
            None => (program_entry, 0),
        };
        Ok(Loaded {
            start,
            program_entry,
            program_headers: image.table_address().map_or(0, |address| base.wrapping_add(address)),
            program_header_size: self.header.table_entry_size(),
            program_header_count: u64::from(self.header.table_count()),
            interpreter_base,
            end: UserAddr::new(base.wrapping_add(image.span().end)),
            code: extent(image.segments().filter(|segment| segment.prot.is_executable()), base, u64::min),
            data: extent(image.segments(), base, u64::max),
            among_mappings,
        })
    }

    /// Maps the program as another one's interpreter; its entry point and base.
    fn load_as_interpreter(&self, space: &AddressSpace, bounds: &dyn Bounds) -> Result<(u64, u64), Errno> {
        let image = self.image()?;
        let base = match self.header.placement {
            ElfPlacement::Fixed => 0,
            ElfPlacement::Relocatable => free_base(space, &image)?,
        };
        self.map_segments(&image, space, base, bounds)?;
        Ok((base.wrapping_add(self.header.entry), base))
    }

    fn map_segments(
        &self,
        image: &Image<'_>,
        space: &AddressSpace,
        base: u64,
        bounds: &dyn Bounds,
    ) -> Result<(), Errno> {
        for segment in image.segments() {
            let address = base.checked_add(segment.address).ok_or(Errno::ENOEXEC)?;
            let segment = Segment { address, ..segment };
            self.map_file_part(&segment, space, bounds)?;
            map_zero_part(&segment, space, bounds)?;
        }
        Ok(())
    }

    fn map_file_part(
        &self,
        segment: &Segment,
        space: &AddressSpace,
        bounds: &dyn Bounds,
    ) -> Result<(), Errno> {
        if segment.file_size == 0 {
            return Ok(());
        }
        let range =
            UserRange::new(UserAddr::new(segment.address), segment.file_size).ok_or(Errno::ENOEXEC)?;
        let content = Content::Object {
            object: self.object.clone(),
            file: Some(self.file.clone()),
            first_page: segment.file_offset / PAGE_SIZE,
        };
        map_at(space, range.page_aligned_outward(), segment.prot, content, bounds)
    }
}

/// From the start of some segments that `choose` prefers to the end of the last part of a file (Linux's
/// `load_elf_binary`).
fn extent(
    segments: impl Iterator<Item = Segment> + Clone,
    base: u64,
    choose: fn(u64, u64) -> u64,
) -> UserRange {
    let start = segments.clone().map(|segment| segment.address).reduce(choose).unwrap_or(0);
    let end = segments.map(|segment| segment.address + segment.file_size).max().unwrap_or(0);
    let address = |address: u64| UserAddr::new(base.wrapping_add(address));
    let start = address(start);
    UserRange::from_bounds(start, address(end).max(start)).unwrap_or(UserRange::EMPTY)
}

/// Zeroes what the segment has beyond the file: the rest of its last page, and whole pages behind that.
fn map_zero_part(segment: &Segment, space: &AddressSpace, bounds: &dyn Bounds) -> Result<(), Errno> {
    let file_end = UserAddr::new(segment.address + segment.file_size);
    let end = UserAddr::new(segment.end()).page_up().ok_or(Errno::ENOEXEC)?;
    let whole_start = match segment.file_size {
        0 => file_end.page_down(),
        _ => clear_last_page(segment, file_end, space)?,
    };
    let whole = UserRange::from_bounds(whole_start, end).ok_or(Errno::ENOEXEC)?;
    if whole.is_empty() {
        return Ok(());
    }
    map_at(space, whole, segment.prot, Content::Anonymous, bounds)
}

/// Zeroes the page that the file part ends in from there to its end, also beyond the segment: the C library's
/// loader takes its first memory from there. Returns the page's end.
fn clear_last_page(segment: &Segment, file_end: UserAddr, space: &AddressSpace) -> Result<UserAddr, Errno> {
    let page_end = file_end.page_up().ok_or(Errno::ENOEXEC)?;
    let rest = (page_end.as_u64() - file_end.as_u64()) as usize;
    if segment.prot.is_writable() && space.clear_remote(file_end, rest) != rest {
        return Err(Errno::ENOMEM);
    }
    Ok(page_end)
}

/// Maps whole pages at their place, over what an earlier segment may have there.
fn map_at(
    space: &AddressSpace,
    range: UserRange,
    prot: Prot,
    content: Content,
    bounds: &dyn Bounds,
) -> Result<(), Errno> {
    let request = MapRequest {
        placement: Placement::Fixed(range.start()),
        length: range.length(),
        prot,
        max_prot: Prot::READ_WRITE.union(Prot::EXECUTE),
        flags: AreaFlags::empty(),
        content,
    };
    space.map(request, bounds).map(|_| ())
}

/// The base at which a relocatable image fits among the mappings.
fn free_base(space: &AddressSpace, image: &Image<'_>) -> Result<u64, Errno> {
    let span = image.span();
    let start = span.start / PAGE_SIZE * PAGE_SIZE;
    let slack = image.alignment() - PAGE_SIZE;
    let length = (span.end - start).next_multiple_of(PAGE_SIZE).checked_add(slack).ok_or(Errno::ENOMEM)?;
    let free = space.find_free(length)?.start().as_u64();
    Ok(aligned(free + slack, image).wrapping_sub(start))
}

/// The highest address at or below `address` that the image can be based on.
fn aligned(address: u64, image: &Image<'_>) -> u64 {
    address & !(image.alignment() - 1)
}
