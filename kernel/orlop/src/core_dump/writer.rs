//! Writing a core dump: in order, with holes, up to a limit.
//!
//! A piece is written whole or not at all, and the first that is not ends the dump, as on Linux. Holes cost nothing in
//! a file: the limit counts bytes that are written. In a pipe they are zeros.

use alloc::vec::Vec;

use abi::Errno;
use hal::task;
use libkernel::addr::PAGE_SIZE;
use libkernel::arch::native::ELF_MACHINE;
use libkernel::core_dump::{Layout, Notes, Segment, note_padding};
use memory::AddressSpace;
use memory::user::IoSource;
use outcome::{Failure, OrErrno};
use sched::work;
use vfs::File;
use vfs::notify::Event;

use super::image::Pages;

/// The dump reaches no further: the limit, a full file system, SIGKILL.
pub struct Cut;

/// A file that is written from its start to its end.
pub struct Writer<'a> {
    file: &'a File,
    /// How far a pipe has been written; `None` for a file.
    piped: Option<u64>,
    /// Bytes that may still be written.
    left: u64,
    /// Where the next piece goes; a hole may lie before it.
    position: u64,
    /// Whether a hole does.
    ends_in_hole: bool,
    page: Vec<u8>,
}

impl Writer<'_> {
    /// Writes to `file` at most `limit` bytes.
    pub fn new(file: &File, limit: u64) -> Result<Writer<'_>, Errno> {
        let mut page = Vec::new();
        page.try_reserve_exact(PAGE_SIZE as usize).or_errno()?;
        page.resize(PAGE_SIZE as usize, 0);
        let piped = (!file.is_seekable()).then_some(0);
        Ok(Writer { file, piped, left: limit, position: 0, ends_in_hole: false, page })
    }

    fn put(&mut self, bytes: &[u8]) -> Result<(), Cut> {
        self.ends_in_hole = false;
        let left = self.left.checked_sub(bytes.len() as u64).ok_or(Cut)?;
        self.fill_hole()?;
        self.write(bytes)?;
        self.left = left;
        Ok(())
    }

    /// Writes the zeros of a hole before the position into a pipe.
    fn fill_hole(&mut self) -> Result<(), Cut> {
        const ZEROS: [u8; 512] = [0; 512];
        let Some(end) = self.piped else { return Ok(()) };
        let mut hole = self.position - end;
        self.position = end;
        while hole > 0 {
            let length = hole.min(ZEROS.len() as u64);
            self.write(&ZEROS[..length as usize])?;
            hole -= length;
        }
        Ok(())
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), Cut> {
        let mut rest = bytes;
        while !rest.is_empty() {
            // Only SIGKILL is still heard, but a bit that was set before, or that a thread on its way out passes on,
            // ends a wait.
            let work = task::take_own_work(work::SIGNAL | work::STOP);
            if work & work::KILL != 0 {
                return Err(Cut);
            }
            match self.file.write_at(self.position, &mut IoSource::kernel(rest)) {
                Ok(count) if count > 0 => {
                    self.file.location().dentry.tell(Event::Modified);
                    self.position += count as u64;
                    self.piped = self.piped.map(|_| self.position);
                    rest = rest.get(count..).unwrap_or_default();
                }
                Err(Failure::Restart(_)) => {}
                Ok(_) | Err(Failure::Errno(_)) => return Err(Cut),
            }
        }
        Ok(())
    }

    fn skip_to(&mut self, position: u64) {
        if position > self.position {
            (self.position, self.ends_in_hole) = (position, true);
        }
    }

    /// Writes the whole dump.
    pub fn write_dump(
        &mut self,
        space: &AddressSpace,
        layout: &Layout,
        segments: &[Segment],
        notes: &Notes,
    ) -> Result<(), Cut> {
        self.put(&layout.file_header(ELF_MACHINE))?;
        self.put(&layout.notes_header())?;
        layout.segment_headers(segments).try_for_each(|header| self.put(&header))?;
        self.put_notes(notes)?;
        let mut start = layout.data_offset();
        self.skip_to(start);
        for segment in segments {
            self.put_segment(space, segment, start)?;
            start = start.saturating_add(segment.stored);
            self.skip_to(start);
        }
        layout.section_header().map_or(Ok(()), |header| self.put(&header))
    }

    fn put_notes(&mut self, notes: &Notes) -> Result<(), Cut> {
        for note in notes.iter() {
            self.put(&note.header())?;
            for part in [note.owner.name(), &note.content] {
                self.put(part)?;
                self.skip_to(self.position + note_padding(self.position));
            }
        }
        Ok(())
    }

    /// Writes the pages that exist of a segment, whose content begins at `start` in the file.
    fn put_segment(&mut self, space: &AddressSpace, segment: &Segment, start: u64) -> Result<(), Cut> {
        let Some(pages) = Pages::of(space, segment) else { return Ok(()) };
        let mut from = segment.range.start();
        while let Some((page, frame)) = pages.next(from) {
            self.skip_to(start + (page.as_u64() - segment.range.start().as_u64()));
            let mut buffer = core::mem::take(&mut self.page);
            frame.read(0, &mut buffer);
            let put = self.put(&buffer);
            self.page = buffer;
            put?;
            let Some(next) = page.checked_add(PAGE_SIZE) else { break };
            from = next;
        }
        Ok(())
    }

    /// Gives the file its whole length if it ends in a hole: readers would call it cut.
    pub fn finish(mut self) {
        if self.ends_in_hole && self.position > 0 {
            self.position -= 1;
            let _ = self.put(&[0]);
        }
    }
}
