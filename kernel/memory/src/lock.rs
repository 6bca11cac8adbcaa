//! Keeping memory resident: `mlock`, `munlock`, `mlockall`, `munlockall`.
//!
//! Nothing is ever swapped out, so a locked page is a page that is there: locking pages it in, counts it
//! against `RLIMIT_MEMLOCK` and protects it from `MADV_DONTNEED`.

use abi::Errno;
use libkernel::addr::{PAGE_SHIFT, UserRange};

use super::area::AreaFlags;
use super::bounds::{Bounds, LOCK_FLAGS};
use super::space::State;
use super::{AddressSpace, FaultError};

/// When locked pages come in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LockTime {
    /// Now.
    Now,
    /// When they are touched (`MLOCK_ONFAULT`).
    OnFault,
}

impl LockTime {
    fn flags(self) -> AreaFlags {
        match self {
            LockTime::Now => AreaFlags::LOCKED,
            LockTime::OnFault => LOCK_FLAGS,
        }
    }
}

impl AddressSpace {
    /// Locks a range of whole pages. `ENOMEM` where that is more than may be locked, part of the range is not mapped,
    /// or a page of it cannot be had; `EAGAIN` where memory is short.
    pub fn lock(&self, range: UserRange, time: LockTime, bounds: &dyn Bounds) -> Result<(), Errno> {
        {
            let mut state = self.state.write();
            let pages = range.page_count();
            if !state.may_lock(pages, bounds) && !state.may_lock(pages - state.locked_pages(range), bounds) {
                return Err(Errno::ENOMEM);
            }
            state.mark_locked(range, time.flags())?;
        }
        if time == LockTime::OnFault {
            return Ok(());
        }
        self.page_in(range).map_err(|error| match error {
            FaultError::OutOfMemory => Errno::EAGAIN,
            FaultError::Killed | FaultError::Later => Errno::EINTR,
            FaultError::NotMapped | FaultError::Denied | FaultError::BeyondObject => Errno::ENOMEM,
        })
    }

    /// Unlocks a range of whole pages. `ENOMEM` where part of it is not mapped.
    pub fn unlock(&self, range: UserRange) -> Result<(), Errno> {
        self.state.write().mark_locked(range, AreaFlags::empty())
    }

    /// Locks everything that is mapped. `ENOMEM` where that is more than may be locked.
    pub fn lock_all(&self, time: LockTime, bounds: &dyn Bounds) -> Result<(), Errno> {
        {
            let mut state = self.state.write();
            if state.usage.total > bounds.lock_limit() >> PAGE_SHIFT {
                return Err(Errno::ENOMEM);
            }
            state.mark_everything(time.flags())?;
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
        state.lock_future = AreaFlags::empty();
        state.mark_everything(AreaFlags::empty())
    }

    /// Whether and how mappings to come are locked (`MCL_FUTURE`).
    pub fn set_lock_future(&self, time: Option<LockTime>) {
        self.state.write().lock_future = time.map_or(AreaFlags::empty(), LockTime::flags);
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
    pub(super) fn mark_locked(&mut self, range: UserRange, locked: AreaFlags) -> Result<(), Errno> {
        let mut cursor = range.start();
        while cursor < range.end() {
            let (found, area) = self.areas.get(cursor).ok_or(Errno::ENOMEM)?;
            let piece = UserRange::from_bounds(cursor, found.end().min(range.end())).ok_or(Errno::ENOMEM)?;
            let was_locked = area.flags.contains(AreaFlags::LOCKED);
            let pages = piece.page_count();
            self.change_area(piece, |area| {
                area.flags.remove(LOCK_FLAGS);
                area.flags.insert(locked);
            })?;
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
