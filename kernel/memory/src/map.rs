//! Making mappings: `mmap` without its flags, which `syscall::memory` decodes.

use alloc::sync::Arc;
use core::ops::Range;
use core::sync::atomic::{AtomicU32, Ordering};

use abi::Errno;
use hal::frame;
use libkernel::addr::{USER_END, UserAddr, UserRange};
use libkernel::fault::Access;
use libkernel::paging::Prot;
use sched::work::must_end;

use super::AddressSpace;
use super::FaultError;
use super::area::{Area, AreaFlags, Backing, ObjectView};
use super::bounds::Bounds;
use super::file::MappedFile;
use super::layout::LOWEST_HINT;
use super::object::{Object, Stores};
use super::space::{Discarded, State, Usage};

/// Where Linux puts `MAP_32BIT` mappings.
const LOW_WINDOW: Range<u64> = 0x4000_0000..0x8000_0000;

/// A mapping to be made.
pub struct MapRequest {
    /// Where.
    pub placement: Placement,
    /// How long, in bytes; not zero, whole pages.
    pub length: u64,
    /// What the program may do.
    pub prot: Prot,
    /// What `mprotect` may grant later.
    pub max_prot: Prot,
    /// What else it is.
    pub flags: AreaFlags,
    /// What it shows.
    pub content: Content,
}

/// Where a mapping goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Placement {
    /// At this page if it is free, else anywhere. Zero for no wish.
    Hint(UserAddr),
    /// As [`Placement::Hint`], but below 2 GiB (`MAP_32BIT`).
    Low(UserAddr),
    /// At this address, in place of whatever is there (`MAP_FIXED`).
    Fixed(UserAddr),
    /// At this address, or not at all (`MAP_FIXED_NOREPLACE`).
    FixedIfFree(UserAddr),
}

/// What a mapping shows.
#[derive(Clone)]
pub enum Content {
    /// Zeroes.
    Anonymous,
    /// An object from a page on, perhaps that of a file.
    Object {
        /// The object.
        object: Arc<Object>,
        /// The file it came from.
        file: Option<Arc<dyn MappedFile>>,
        /// The object's page at the start of the mapping.
        first_page: u64,
    },
}

impl AddressSpace {
    /// Makes a mapping and returns its addresses.
    pub fn map(&self, request: MapRequest, bounds: &dyn Bounds) -> Result<UserRange, Errno> {
        // Declared before the guard, so dropped after it: what was mapped there may hold the last reference to a file,
        // whose end takes locks of its own and may sleep.
        let mut discarded = Discarded::new();
        let (range, wants_pages) = {
            let mut state = self.state.write();
            state.may_add_area()?;
            let range = state.place(request.placement, request.length)?;
            bounds.may_lie_at(range.start())?;
            state.refuse_occupied(request.placement, range)?;
            self.map_locked(&mut state, range, request, bounds, &mut discarded)?
        };
        // Without the lock: each page is found under it anew, and what brings it in may wait.
        if wants_pages {
            self.populate(range);
        }
        Ok(range)
    }

    fn map_locked(
        &self,
        state: &mut State,
        range: UserRange,
        request: MapRequest,
        bounds: &dyn Bounds,
        discarded: &mut Discarded,
    ) -> Result<(UserRange, bool), Errno> {
        let mut area = self.area_of(request, range)?;
        area.flags.insert(state.lock_future);
        let wants_pages = area.wants_pages();
        let more = Usage::of(&area, range);
        if more.locked != 0 && !state.may_lock(more.locked, bounds) {
            return Err(Errno::EAGAIN);
        }
        state.may_map(&area, range, more, bounds)?;
        // All that says no has been asked by now. What is there is not given up for a mapping that is refused.
        if state.areas.overlaps(range) {
            self.unmap_locked(state, range, discarded)?;
        }
        state.insert(range, area)?;
        Ok((range, wants_pages))
    }

    fn area_of(&self, request: MapRequest, range: UserRange) -> Result<Area, Errno> {
        let backing = match request.content {
            Content::Anonymous => Backing::Anonymous,
            Content::Object { object, file, first_page } => {
                let may_store = file.is_some() && request.max_prot.is_writable();
                let is_storing = may_store && request.flags.contains(AreaFlags::SHARED);
                let stores = if is_storing { Stores::Reach } else { Stores::StayOut };
                let (start, this) = (range.start(), self.this.clone());
                Backing::Object(ObjectView::new(object, file, first_page, start, this, stores)?)
            }
        };
        Ok(Area { prot: request.prot, max_prot: request.max_prot, flags: request.flags, backing })
    }

    /// Free addresses for a mapping that the caller is about to make: of use only in a space that nobody else runs.
    pub fn find_free(&self, length: u64) -> Result<UserRange, Errno> {
        self.state.write().find_free(length)
    }

    /// Pages the range in, as far as that goes: what fails will fail again when it is touched. The range may be
    /// vast, so a thread that is to end stops.
    pub fn populate(&self, range: UserRange) {
        let _ = self.page_in(range);
    }

    /// Pages the range in, up to the first page that cannot be had.
    pub(super) fn page_in(&self, range: UserRange) -> Result<(), FaultError> {
        for page in range.pages().take_while(|_| !must_end()) {
            let access = match self.state.read().areas.get(page) {
                Some((_, area)) if area.prot.is_writable() && !area.is_shared() => Access::Write,
                Some(_) => Access::Read,
                None => return Err(FaultError::NotMapped),
            };
            self.fault_in(page, access)?;
        }
        Ok(())
    }
}

impl State {
    /// Chooses the addresses of a mapping, with the checks of Linux's `get_unmapped_area`.
    fn place(&mut self, placement: Placement, length: u64) -> Result<UserRange, Errno> {
        if length > USER_END {
            return Err(Errno::ENOMEM);
        }
        match placement {
            Placement::Fixed(address) | Placement::FixedIfFree(address) => fixed_range(address, length),
            Placement::Low(hint) => self.place_low(hint, length),
            Placement::Hint(hint) => match self.free_at_hint(hint, length) {
                Some(range) => Ok(range),
                None => self.find_free(length),
            },
        }
    }

    fn refuse_occupied(&self, placement: Placement, range: UserRange) -> Result<(), Errno> {
        let occupied = matches!(placement, Placement::FixedIfFree(_)) && self.areas.overlaps(range);
        if occupied { Err(Errno::EEXIST) } else { Ok(()) }
    }

    pub(super) fn free_at_hint(&self, hint: UserAddr, length: u64) -> Option<UserRange> {
        // One below the first page is none.
        if hint.page_down().is_null() {
            return None;
        }
        let start = hint.page_down().max(UserAddr::new(LOWEST_HINT));
        UserRange::new(start, length).filter(|range| self.is_free(*range))
    }

    fn place_low(&self, hint: UserAddr, length: u64) -> Result<UserRange, Errno> {
        let low_end = UserAddr::new(LOW_WINDOW.end);
        if let Some(range) = self.free_at_hint(hint, length).filter(|range| range.end() <= low_end) {
            return Ok(range);
        }
        let found = self.areas.find_gap_bottom_up(length, UserAddr::new(LOW_WINDOW.start), low_end);
        found.and_then(|start| UserRange::new(start, length)).ok_or(Errno::ENOMEM)
    }

    /// Free addresses: the highest below the mapping base, else the lowest above it.
    pub(super) fn find_free(&mut self, length: u64) -> Result<UserRange, Errno> {
        let lowest = UserAddr::new(LOWEST_HINT);
        let base = self.layout.mmap_base;
        let mut found = self.areas.find_gap_top_down(length, lowest, base);
        if found.is_none() {
            found = self.areas.find_gap_bottom_up(length, base, UserAddr::new(USER_END));
        }
        found.and_then(|start| UserRange::new(start, length)).ok_or(Errno::ENOMEM)
    }

    /// The limits on a new mapping, which may replace others.
    fn may_map(&self, area: &Area, range: UserRange, more: Usage, bounds: &dyn Bounds) -> Result<(), Errno> {
        if self.may_grow(more, bounds).is_err() {
            self.may_replace(more, self.covered_pages(range), bounds)?;
        }
        if area.is_data() && !area.flags.contains(AreaFlags::NO_RESERVE) {
            may_commit(more.total)
        } else {
            Ok(())
        }
    }
}

/// `overcommit_memory`: 1 if any size is promised, 0 if what memory could never hold is refused (Linux's heuristic).
pub static OVERCOMMIT: AtomicU32 = AtomicU32::new(0);

/// Refuses what memory could never hold.
pub(super) fn may_commit(pages: u64) -> Result<(), Errno> {
    let is_too_much = pages > frame::total() as u64 && OVERCOMMIT.load(Ordering::Relaxed) == 0;
    if is_too_much { Err(Errno::ENOMEM) } else { Ok(()) }
}

fn fixed_range(address: UserAddr, length: u64) -> Result<UserRange, Errno> {
    let range = UserRange::new(address, length).ok_or(Errno::ENOMEM)?;
    if address.is_page_aligned() { Ok(range) } else { Err(Errno::EINVAL) }
}
