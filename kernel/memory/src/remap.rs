//! Moving and resizing mappings: `mremap`.

use abi::Errno;
use libkernel::addr::{PAGE_SHIFT, UserAddr, UserRange};

use super::AddressSpace;
use super::area::AreaFlags;
use super::bounds::{Bounds, max_areas};
use super::map::may_commit;
use super::space::{Discarded, State, Usage};

/// What `mremap` is to do; lengths are of whole pages, addresses are page-aligned.
#[derive(Clone, Copy, Debug)]
pub struct RemapRequest {
    /// Start of the old range.
    pub old: UserAddr,
    /// Its length; zero duplicates a shared mapping.
    pub old_length: u64,
    /// The length wanted, not zero.
    pub new_length: u64,
    /// Whether and where it may move.
    pub movement: Movement,
    /// Whether the old range stays mapped, and empty (`MREMAP_DONTUNMAP`).
    pub keep_old: KeepOld,
}

/// Whether a mapping may move.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Movement {
    /// It stays.
    Forbidden,
    /// It may (`MREMAP_MAYMOVE`).
    Allowed,
    /// It does, to this address if that is free (`MREMAP_DONTUNMAP`).
    Near(UserAddr),
    /// It goes to this address (`MREMAP_FIXED`).
    To(UserAddr),
}

/// What becomes of the old range of a mapping that moved.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum KeepOld {
    /// Unmapped.
    No,
    /// Mapped and empty.
    Yes,
}

impl AddressSpace {
    /// `mremap`; the address of the mapping afterwards.
    pub fn remap(&self, request: RemapRequest, bounds: &dyn Bounds) -> Result<UserAddr, Errno> {
        let mut discarded = Discarded::new();
        let (range, wants_pages) = {
            let mut state = self.state.write();
            self.remap_locked(&mut state, request, bounds, &mut discarded)?
        };
        if wants_pages {
            self.populate(range);
        }
        Ok(range.start())
    }

    /// The new range, and whether it has pages to lock. The order of checks is Linux's (`mremap`, `mremap_to`,
    /// `move_vma`).
    fn remap_locked(
        &self,
        state: &mut State,
        request: RemapRequest,
        bounds: &dyn Bounds,
        discarded: &mut Discarded,
    ) -> Result<(UserRange, bool), Errno> {
        self.clear_target(state, request, discarded)?;
        let RemapRequest { old, new_length, movement, keep_old, .. } = request;
        let old_length = self.cut_tail(state, request, discarded)?;
        let stays = !matches!(movement, Movement::To(_)) && keep_old == KeepOld::No;
        let whole = |start| UserRange::new(start, new_length).ok_or(Errno::EINVAL);
        if stays && old_length == new_length {
            return Ok((whole(old)?, false));
        }
        let grown = state.check_growth(old, old_length, new_length, bounds)?;
        let at_end = grown.range.end().as_u64() - old.as_u64() == old_length;
        if stays && old_length != 0 && at_end && state.extend_in_place(grown.range, old, new_length) {
            return Ok((whole(old)?, grown.wants_pages));
        }
        if keep_old == KeepOld::Yes {
            state.may_grow(grown.kept, bounds)?;
        }
        let target = match movement {
            Movement::Forbidden => return Err(Errno::ENOMEM),
            Movement::Allowed => state.find_free(new_length)?,
            Movement::Near(hint) => match state.free_at_hint(hint, new_length) {
                Some(range) => range,
                None => state.find_free(new_length)?,
            },
            Movement::To(target) => whole(target)?,
        };
        bounds.may_lie_at(target.start())?;
        if state.areas.len() + SPARE_AREAS >= max_areas() {
            return Err(Errno::ENOMEM);
        }
        let old = UserRange::new(old, old_length).ok_or(Errno::EINVAL)?;
        self.move_area(state, old, target, keep_old, discarded)?;
        Ok((target, grown.wants_pages))
    }

    /// Checks that the old range is mapped, and an address to move to; frees a fixed one.
    fn clear_target(
        &self,
        state: &mut State,
        request: RemapRequest,
        discarded: &mut Discarded,
    ) -> Result<(), Errno> {
        state.areas.get(request.old).ok_or(Errno::EFAULT)?;
        let (Movement::To(target) | Movement::Near(target)) = request.movement else { return Ok(()) };
        let range = target_range(target, request)?;
        if state.areas.len() + SPARE_AREAS + 2 >= max_areas() {
            return Err(Errno::ENOMEM);
        }
        if matches!(request.movement, Movement::Near(_)) {
            return Ok(());
        }
        self.unmap_locked(state, range, discarded)
    }

    /// Unmaps what the new length has no room for; the old length that is left.
    fn cut_tail(
        &self,
        state: &mut State,
        request: RemapRequest,
        discarded: &mut Discarded,
    ) -> Result<u64, Errno> {
        let RemapRequest { old, old_length, new_length, .. } = request;
        let Some(surplus) = old_length.checked_sub(new_length) else { return Ok(old_length) };
        let start = old.checked_add(new_length).ok_or(Errno::EINVAL)?;
        let tail = UserRange::new(start, surplus).ok_or(Errno::EINVAL)?;
        self.unmap_locked(state, tail, discarded)?;
        Ok(new_length)
    }

    /// Moves the pages of a range that lies in one area, and what the area says, to free addresses.
    fn move_area(
        &self,
        state: &mut State,
        old: UserRange,
        target: UserRange,
        keep_old: KeepOld,
        discarded: &mut Discarded,
    ) -> Result<(), Errno> {
        let (_, area) = state.areas.get(old.start()).ok_or(Errno::EFAULT)?;
        let pages = target.start().page_number().wrapping_sub(old.start().page_number());
        let copy = area.copy_to(&self.this, pages, target.start())?;
        state.insert(target, copy)?;
        if old.is_empty() {
            return Ok(());
        }
        if self.page_table.edit().move_range(old, target.start()).is_err() {
            // What has moved goes back; that needs no memory.
            let pages = UserRange::new(target.start(), old.length()).ok_or(Errno::EINVAL)?;
            self.page_table.edit().move_range(pages, old.start()).map_err(|_| Errno::ENOMEM)?;
            self.unmap_locked(state, target, discarded)?;
            return Err(Errno::ENOMEM);
        }
        match keep_old {
            KeepOld::No => self.unmap_locked(state, old, discarded),
            // The lock has moved with the pages.
            KeepOld::Yes => state.mark_locked(old, AreaFlags::empty()),
        }
    }
}

/// Moving an area may cut two, and Linux leaves so many to spare.
const SPARE_AREAS: usize = 3;

/// What a growing area is, as far as the caller goes on to need it.
struct Grown {
    range: UserRange,
    wants_pages: bool,
    /// What the old range adds if it stays.
    kept: Usage,
}

impl State {
    /// The checks of Linux's `vma_to_resize`.
    fn check_growth(
        &self,
        old: UserAddr,
        old_length: u64,
        new_length: u64,
        bounds: &dyn Bounds,
    ) -> Result<Grown, Errno> {
        let (range, area) = self.areas.get(old).ok_or(Errno::EFAULT)?;
        if old_length == 0 && !area.is_shared() {
            return Err(Errno::EINVAL);
        }
        if old_length > range.end().as_u64() - old.as_u64() {
            return Err(Errno::EFAULT);
        }
        if let Some(view) = area.view() {
            view.page_index(old).checked_add(new_length >> PAGE_SHIFT).ok_or(Errno::EINVAL)?;
        }
        let of_pages = |pages| Usage::of_pages(area, pages, area.prot);
        let more = of_pages((new_length - old_length) >> PAGE_SHIFT);
        if more.locked != 0 && !self.may_lock(more.locked, bounds) {
            return Err(Errno::EAGAIN);
        }
        self.may_grow(more, bounds)?;
        if more.data != 0 && !area.flags.contains(AreaFlags::NO_RESERVE) {
            may_commit(more.data)?;
        }
        let wants_pages = area.wants_pages() && more.total != 0;
        Ok(Grown { range, wants_pages, kept: of_pages(old_length >> PAGE_SHIFT) })
    }

    /// Extends the area upwards where the old range ends it and the addresses behind are free.
    fn extend_in_place(&mut self, area: UserRange, old: UserAddr, new_length: u64) -> bool {
        let old_end = area.end();
        let Some(new_end) = old.checked_add(new_length) else { return false };
        let Some(added) = UserRange::from_bounds(old_end, new_end) else { return false };
        if self.areas.overlaps(added) {
            return false;
        }
        let Some((_, description)) = self.areas.get(area.start()) else { return false };
        let usage = Usage::of(description, added);
        let Some(whole) = UserRange::from_bounds(area.start(), new_end) else { return false };
        if !self.areas.resize(area.start(), whole) {
            return false;
        }
        self.usage.add(usage);
        true
    }
}

/// The checks of Linux's `mremap_to`.
fn target_range(target: UserAddr, request: RemapRequest) -> Result<UserRange, Errno> {
    if !target.is_page_aligned() {
        return Err(Errno::EINVAL);
    }
    let range = UserRange::new(target, request.new_length).ok_or(Errno::EINVAL)?;
    let old_range = UserRange::new(request.old, request.old_length).ok_or(Errno::EINVAL)?;
    if range.overlaps(old_range) { Err(Errno::EINVAL) } else { Ok(range) }
}
