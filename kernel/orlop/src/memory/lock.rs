//! Keeping memory resident: `mlock`, `munlock`, `mlockall`, `munlockall`.
//!
//! Nothing is ever swapped out, so a locked page is a page that is there: locking pages it in, counts it
//! against `RLIMIT_MEMLOCK` and protects it from `MADV_DONTNEED`.

use abi::Errno;
use libkernel::addr::{PAGE_SHIFT, UserRange};

use super::AddressSpace;
use super::area::AreaFlags;
use super::space::State;
use crate::errno::OrErrno;

/// When locked pages come in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LockTime {
    /// Now.
    Now,
    /// When they are touched (`MLOCK_ONFAULT`).
    OnFault,
}

impl AddressSpace {
    /// Locks a range of whole pages; at most `limit` bytes may be locked then. `ENOMEM` where that is too
    /// much or part of the range is not mapped.
    pub fn lock(&self, range: UserRange, time: LockTime, limit: u64) -> Result<(), Errno> {
        {
            let mut state = self.state.write();
            let already = state.locked_pages(range);
            let wanted = state.usage.locked.saturating_add(range.page_count()).saturating_sub(already);
            if wanted > limit >> PAGE_SHIFT {
                return Err(Errno::ENOMEM);
            }
            state.mark_locked(range, AreaFlags::LOCKED)?;
        }
        if time == LockTime::Now {
            self.populate(range);
        }
        Ok(())
    }

    /// Unlocks a range of whole pages. `ENOMEM` where part of it is not mapped.
    pub fn unlock(&self, range: UserRange) -> Result<(), Errno> {
        self.state.write().mark_locked(range, AreaFlags::empty())
    }

    /// Locks everything that is mapped. `ENOMEM` where that is more than `limit` bytes.
    pub fn lock_all(&self, time: LockTime, limit: u64) -> Result<(), Errno> {
        {
            let mut state = self.state.write();
            if state.usage.total > limit >> PAGE_SHIFT {
                return Err(Errno::ENOMEM);
            }
            state.mark_everything(AreaFlags::LOCKED)?;
        }
        let next = |from| self.state.read().areas.first_from(from).map(|(range, _)| range);
        let mut cursor = UserRange::ALL.start();
        while let Some(range) = next(cursor).filter(|_| time == LockTime::Now) {
            self.populate(range);
            cursor = range.end();
        }
        Ok(())
    }

    /// Unlocks everything, and what will be mapped.
    pub fn unlock_all(&self) -> Result<(), Errno> {
        let mut state = self.state.write();
        state.lock_future = false;
        state.mark_everything(AreaFlags::empty())
    }

    /// Whether mappings to come are locked (`MCL_FUTURE`).
    pub fn set_lock_future(&self, lock_future: bool) {
        self.state.write().lock_future = lock_future;
    }
}

impl State {
    fn locked_pages(&self, range: UserRange) -> u64 {
        let locked = self.areas.range(range).filter(|(_, area)| area.flags.contains(AreaFlags::LOCKED));
        locked.filter_map(|(found, _)| found.intersection(range)).map(UserRange::page_count).sum()
    }

    fn mark_everything(&mut self, locked: AreaFlags) -> Result<(), Errno> {
        let mut cursor = UserRange::ALL.start();
        while let Some((range, _)) = self.areas.first_from(cursor) {
            self.mark_locked(range, locked)?;
            cursor = range.end();
        }
        Ok(())
    }

    /// Sets or clears the lock on a range, stopping with `ENOMEM` at the first gap.
    fn mark_locked(&mut self, range: UserRange, locked: AreaFlags) -> Result<(), Errno> {
        let mut cursor = range.start();
        while cursor < range.end() {
            let (found, area) = self.areas.get(cursor).ok_or(Errno::ENOMEM)?;
            let piece = UserRange::from_bounds(cursor, found.end().min(range.end())).ok_or(Errno::ENOMEM)?;
            let was_locked = area.flags.contains(AreaFlags::LOCKED);
            let pages = piece.page_count();
            self.areas
                .update(piece, |_, area| {
                    area.flags.remove(AreaFlags::LOCKED);
                    area.flags.insert(locked);
                })
                .or_errno()?;
            if was_locked {
                self.usage.locked = self.usage.locked.saturating_sub(pages);
            }
            if !locked.is_empty() {
                self.usage.locked += pages;
            }
            cursor = piece.end();
        }
        Ok(())
    }
}
