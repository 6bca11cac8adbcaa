//! Holes: finding, making and filling them (`lseek` with `SEEK_DATA`, `fallocate`).

use alloc::vec::Vec;
use core::ops::Range;

use abi::Errno;
use hal::frame::SharedFrame;
use libkernel::addr::PAGE_SIZE;
use outcome::OrErrno;
use sched::work::must_end;

use super::untouched::Use;
use super::{Copies, MAX_SIZE, Object, PageContent};

impl Object {
    /// The first offset at or after `offset`, below the size, that lies in a page; `None` if only holes follow.
    pub fn next_data(&self, offset: u64) -> Option<u64> {
        let mut index = self.pages.lock().first_from(offset / PAGE_SIZE)?;
        let mut start = index.checked_mul(PAGE_SIZE)?.max(offset);
        while start < self.size() {
            if self.has_used_page(index) {
                return Some(start);
            }
            index = self.pages.lock().first_from(index + 1)?;
            start = index.checked_mul(PAGE_SIZE)?;
        }
        None
    }

    /// The first offset at or after `offset` that lies in a hole; the size, where every object ends in one.
    pub fn next_hole(&self, offset: u64) -> u64 {
        let mut index = offset / PAGE_SIZE;
        while self.has_used_page(index) {
            index += 1;
        }
        index.saturating_mul(PAGE_SIZE).max(offset).min(self.size())
    }

    /// Gives every page of a range of bytes a frame, and grows the object to the range's end if asked to. What
    /// `may_grow` says where the range ends beyond the object, which may grow that far then.
    pub fn allocate(
        &self,
        offset: u64,
        length: u64,
        size: Growth,
        may_grow: impl FnOnce() -> Result<(), Errno>,
    ) -> Result<(), Errno> {
        let _writer = self.writers.take().or_errno()?;
        if offset.saturating_add(length) > self.size() {
            may_grow()?;
        }
        let end = offset.checked_add(length).filter(|end| *end <= MAX_SIZE).ok_or(Errno::EFBIG)?;
        self.seals.check_size(self.size(), self.size().max(end))?;
        let mut holes = Vec::new();
        if let Err(errno) = self.fill_holes(offset / PAGE_SIZE..end.div_ceil(PAGE_SIZE), &mut holes) {
            holes.into_iter().for_each(|hole| self.remove_untouched(hole));
            return Err(errno);
        }
        if size == Growth::Grow && end > self.size() {
            self.size.store(end, core::sync::atomic::Ordering::Release);
        }
        Ok(())
    }

    /// Gives every page of a range that has none a frame; `holes` says where, in runs. `EINTR` for a thread that is to
    /// end.
    fn fill_holes(&self, pages: Range<u64>, holes: &mut Vec<Range<u64>>) -> Result<(), Errno> {
        for index in pages {
            if must_end() {
                return Err(Errno::EINTR);
            }
            if let PageContent::Frame(_) = self.content(index) {
                // Allocated twice, it counts as used: a failure now must not undo what was promised before.
                self.untouched.remove(index);
                continue;
            }
            match holes.last_mut() {
                Some(hole) if hole.end == index => hole.end += 1,
                _ => {
                    holes.try_reserve(1).or_errno()?;
                    holes.push(index..index + 1);
                }
            }
            self.create_page(index, Use::Later)?;
        }
        Ok(())
    }

    /// Removes the pages of a range that nobody has used: what a program has written or mapped meanwhile stays.
    pub(super) fn remove_untouched(&self, pages: Range<u64>) {
        for index in pages {
            let removed = {
                let mut present = self.pages.lock();
                // Whoever takes a page takes it under this lock, and says that it is used before letting go of it.
                let is_ours =
                    self.untouched.contains(index) && present.get(index).is_some_and(SharedFrame::is_unique);
                if is_ours { present.remove_first(index..index + 1) } else { None }
            };
            self.untouched.remove(index);
            self.release_charges(u64::from(removed.is_some()));
        }
    }

    /// Makes a hole of a range of bytes: whole pages go, but for private copies, parts of pages are zeroed. The size
    /// stays.
    pub fn punch(&self, offset: u64, length: u64) -> Result<(), Errno> {
        let _writer = self.writers.take().or_errno()?;
        self.seals.check_content()?;
        let end = offset.saturating_add(length).min(self.size().next_multiple_of(PAGE_SIZE));
        let whole = offset.div_ceil(PAGE_SIZE)..end / PAGE_SIZE;
        if whole.start < whole.end {
            self.take_apart(&whole)?;
            let _detachment = self.detaching.begin(whole.clone());
            self.unmap_pages(whole.clone(), Copies::Stay);
            self.remove_pages(whole.clone());
        }
        let head_end = end.min(whole.start * PAGE_SIZE);
        self.zero_within_page(offset, head_end);
        self.zero_within_page((whole.end * PAGE_SIZE).max(head_end), end);
        Ok(())
    }

    /// Zeroes bytes that lie in one page, if the object has it.
    fn zero_within_page(&self, start: u64, end: u64) {
        if start < end
            && let Some(frame) = self.page(start / PAGE_SIZE)
        {
            let within = (start % PAGE_SIZE) as usize;
            frame.fill_zero(within..within + (end - start) as usize);
        }
    }
}

/// Whether allocation changes the size.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Growth {
    /// The object reaches at least to the end of what was allocated.
    Grow,
    /// The size stays (`FALLOC_FL_KEEP_SIZE`).
    Keep,
}
