//! Writing a core dump: in order, with holes, up to a limit.
//!
//! A piece is written whole or not at all, and the first that is not ends the dump, as on Linux. Holes cost nothing: the limit
//! counts bytes that are written.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::Ordering;

use abi::Errno;
use hal::task;
use libkernel::addr::PAGE_SIZE;
use libkernel::arch::native::ELF_MACHINE;
use libkernel::core_dump::{Layout, Notes, Segment, note_padding};

use super::image::Pages;
use crate::errno::OrErrno;
use crate::fs::File;
use crate::memory::AddressSpace;
use crate::process::work;
use crate::user::IoSource;

/// The dump reaches no further: the limit, a full file system, SIGKILL.
pub struct Cut;

/// A file that is written from its start to its end.
pub struct Writer {
    file: Arc<File>,
    /// Bytes that may still be written.
    left: u64,
    /// Where the next piece goes; a hole may lie before it.
    position: u64,
    /// Whether a hole does.
    ends_in_hole: bool,
    page: Vec<u8>,
}

impl Writer {
    /// Writes to `file` at most `limit` bytes.
    pub fn new(file: Arc<File>, limit: u64) -> Result<Writer, Errno> {
        let mut page = Vec::new();
        page.try_reserve_exact(PAGE_SIZE as usize).or_errno()?;
        page.resize(PAGE_SIZE as usize, 0);
        Ok(Writer { file, left: limit, position: 0, ends_in_hole: false, page })
    }

    fn put(&mut self, bytes: &[u8]) -> Result<(), Cut> {
        self.ends_in_hole = false;
        let must_end = task::current().work.load(Ordering::Relaxed) & work::KILL != 0;
        let left = self.left.checked_sub(bytes.len() as u64).filter(|_| !must_end).ok_or(Cut)?;
        let written = self.file.write_at(self.position, &mut IoSource::kernel(bytes));
        self.position += written.as_ref().map_or(0, |count| *count as u64);
        if !written.is_ok_and(|count| count == bytes.len()) {
            return Err(Cut);
        }
        self.left = left;
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
