//! Holes: finding, making and filling them (`lseek` with `SEEK_DATA`, `fallocate`).

use abi::Errno;
use libkernel::addr::PAGE_SIZE;

use super::{MAX_SIZE, Object};

impl Object {
    /// The first offset at or after `offset`, below the size, that lies in a page; `None` if only holes follow.
    pub fn next_data(&self, offset: u64) -> Option<u64> {
        let index = self.pages.lock().first_from(offset / PAGE_SIZE)?;
        let start = index.checked_mul(PAGE_SIZE)?.max(offset);
        (start < self.size()).then_some(start)
    }

    /// The first offset at or after `offset` that lies in a hole; the size, where every object ends in one.
    pub fn next_hole(&self, offset: u64) -> u64 {
        let mut index = offset / PAGE_SIZE;
        while self.page(index).is_some() {
            index += 1;
        }
        index.saturating_mul(PAGE_SIZE).max(offset).min(self.size())
    }

    /// Gives every page of a range of bytes a frame, and grows the object to the range's end if asked to.
    pub fn allocate(&self, offset: u64, length: u64, size: Growth) -> Result<(), Errno> {
        let _writers = self.resize.lock();
        let end = offset.checked_add(length).filter(|end| *end <= MAX_SIZE).ok_or(Errno::EFBIG)?;
        let made = (offset / PAGE_SIZE..end.div_ceil(PAGE_SIZE))
            .try_for_each(|index| self.page_or_create(index).map(drop));
        if let Err(errno) = made {
            // What was made behind the end holds nothing.
            self.remove_pages(self.size().div_ceil(PAGE_SIZE)..u64::MAX);
            return Err(errno);
        }
        if size == Growth::Grow && end > self.size() {
            self.size.store(end, core::sync::atomic::Ordering::Release);
        }
        Ok(())
    }

    /// Makes a hole of a range of bytes: whole pages go, parts of pages are zeroed. The size stays.
    pub fn punch(&self, offset: u64, length: u64) -> Result<(), Errno> {
        let _writers = self.resize.lock();
        let end = offset.saturating_add(length).min(self.size().next_multiple_of(PAGE_SIZE));
        let whole = offset.div_ceil(PAGE_SIZE)..end / PAGE_SIZE;
        if whole.start < whole.end {
            self.unmap_pages(whole.clone());
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
