//! What programs say about how they will use memory: `madvise`.
//!
//! Advice about speed is taken and without effect; advice that changes what memory holds is carried out.

use abi::Errno;
use libkernel::addr::{PAGE_SIZE, UserAddr, UserRange};
use libkernel::fault::Access;
use libkernel::paging::Prot;

use super::AddressSpace;
use super::area::{Area, AreaFlags};
use sched::work::must_end;

/// Advice that Orlop knows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Advice {
    /// Nothing that matters here.
    None,
    /// The pages will not be needed soon: nothing to do here, but locked ones refuse.
    Reclaim,
    /// The pages may go; private ones come back as they began.
    DontNeed,
    /// As [`Advice::DontNeed`], also where locked.
    DontNeedLocked,
    /// Private anonymous pages may go. Orlop lets them go at once, which programs must expect.
    Free,
    /// The pages of the object are removed, too.
    Remove,
    /// Flags to set and to clear.
    Flags(AreaFlags, AreaFlags),
    /// Page in for reading, or for writing.
    Populate(Access),
}

/// What `msync` says of copies that the kernel may have of a file's pages.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum OtherCopies {
    /// Nothing.
    Valid,
    /// They are to be read anew (`MS_INVALIDATE`); here as on tmpfs there are none.
    Invalid,
}

impl AddressSpace {
    /// `madvise` on a range of whole pages. `ENOMEM` where part of it is not mapped; the rest was advised.
    pub fn advise(&self, range: UserRange, advice: Advice) -> Result<(), Errno> {
        match advice {
            Advice::Populate(access) => self.populate_for(range, access),
            Advice::Flags(set, clear) => self.change_flags(range, set, clear),
            Advice::None => self.check_mapped(range),
            Advice::Reclaim => self.reclaim(range),
            Advice::Remove => self.remove_backing(range),
            Advice::DontNeed | Advice::DontNeedLocked | Advice::Free => self.discard(range, advice),
        }
    }

    /// `msync`: `EBUSY` where locked pages are to be forgotten (`MS_INVALIDATE`), else `ENOMEM` unless the whole range
    /// is mapped.
    pub fn synchronise(&self, range: UserRange, copies: OtherCopies) -> Result<(), Errno> {
        let state = self.state.read();
        let locked = |(_, area): (UserRange, &Area)| area.flags.contains(AreaFlags::LOCKED);
        if copies == OtherCopies::Invalid && state.areas.range(range).any(locked) {
            return Err(Errno::EBUSY);
        }
        if state.areas.covers(range) { Ok(()) } else { Err(Errno::ENOMEM) }
    }

    /// `ENOMEM` unless the whole range is mapped.
    pub fn check_mapped(&self, range: UserRange) -> Result<(), Errno> {
        if self.state.read().areas.covers(range) { Ok(()) } else { Err(Errno::ENOMEM) }
    }

    fn reclaim(&self, range: UserRange) -> Result<(), Errno> {
        let state = self.state.read();
        let locked = |(_, area): (UserRange, &Area)| area.flags.contains(AreaFlags::LOCKED);
        if state.areas.range(range).any(locked) {
            return Err(Errno::EINVAL);
        }
        if state.areas.covers(range) { Ok(()) } else { Err(Errno::ENOMEM) }
    }

    fn discard(&self, range: UserRange, advice: Advice) -> Result<(), Errno> {
        let state = self.state.write();
        let mut edit = self.page_table.edit();
        for (found, area) in state.areas.range(range) {
            may_discard(area, advice)?;
            if let Some(piece) = found.intersection(range) {
                edit.unmap(piece);
            }
        }
        if state.areas.covers(range) { Ok(()) } else { Err(Errno::ENOMEM) }
    }

    fn remove_backing(&self, range: UserRange) -> Result<(), Errno> {
        let mut address = range.start();
        while address < range.end() {
            let (piece, object, first) = {
                let state = self.state.read();
                let (found, area) = state.areas.get(address).ok_or(Errno::ENOMEM)?;
                let piece = found.intersection(range).ok_or(Errno::ENOMEM)?;
                let shared_and_writable = area.is_shared() && area.max_prot.is_writable();
                let view =
                    area.view().filter(|_| !area.flags.contains(AreaFlags::LOCKED)).ok_or(Errno::EINVAL)?;
                if !shared_and_writable {
                    return Err(Errno::EACCES);
                }
                (piece, view.object().clone(), view.page_index(piece.start()))
            };
            object.punch(first * PAGE_SIZE, piece.length())?;
            address = piece.end();
        }
        Ok(())
    }

    fn change_flags(&self, range: UserRange, set: AreaFlags, clear: AreaFlags) -> Result<(), Errno> {
        let mut state = self.state.write();
        let mut address = range.start();
        let mut outcome = Ok(());
        // What was changed may have joined an area that reaches beyond the range.
        while let Some(rest) = UserRange::from_bounds(address, range.end())
            && let Some((found, area)) = state.areas.first_from(address)
            && let Some(piece) = found.intersection(rest)
        {
            if piece.start() > address {
                outcome = Err(Errno::ENOMEM);
            }
            if set.contains(AreaFlags::WIPE_ON_FORK) && (area.view().is_some() || area.is_shared()) {
                return Err(Errno::EINVAL);
            }
            // A shortage is EAGAIN here, so that ENOMEM says one thing.
            let changed = state.change_area(piece, |area| {
                area.flags.insert(set);
                area.flags.remove(clear);
            });
            changed.map_err(|_| Errno::EAGAIN)?;
            address = piece.end();
        }
        if address < range.end() { Err(Errno::ENOMEM) } else { outcome }
    }

    fn populate_for(&self, range: UserRange, access: Access) -> Result<(), Errno> {
        let mut checked = range.start();
        for page in range.pages() {
            if must_end() {
                return Err(Errno::EINTR);
            }
            if page >= checked {
                checked = self.may_populate(page, access)?;
            }
            self.fault_in(page, access).map_err(|error| match error {
                super::FaultError::NotMapped | super::FaultError::OutOfMemory => Errno::ENOMEM,
                super::FaultError::Killed | super::FaultError::Later => Errno::EINTR,
                super::FaultError::Denied => Errno::EINVAL,
                super::FaultError::BeyondObject => Errno::EFAULT,
            })?;
        }
        Ok(())
    }

    /// The end of the area at `page`, if its protection names this very access: unlike a load, populating for reading
    /// takes no right to write in its place (Linux's `check_vma_flags`). `ENOMEM` where nothing is mapped, else
    /// `EINVAL`.
    fn may_populate(&self, page: UserAddr, access: Access) -> Result<UserAddr, Errno> {
        let state = self.state.read();
        let (range, area) = state.areas.get(page).ok_or(Errno::ENOMEM)?;
        let named = match access {
            Access::Read => Prot::READ,
            Access::Write => Prot::WRITE,
            Access::Execute => Prot::EXECUTE,
        };
        if area.prot.contains(named) { Ok(range.end()) } else { Err(Errno::EINVAL) }
    }
}

fn may_discard(area: &Area, advice: Advice) -> Result<(), Errno> {
    let locked = area.flags.contains(AreaFlags::LOCKED) && advice != Advice::DontNeedLocked;
    let not_free = advice == Advice::Free && (area.view().is_some() || area.is_shared());
    if locked || not_free { Err(Errno::EINVAL) } else { Ok(()) }
}
