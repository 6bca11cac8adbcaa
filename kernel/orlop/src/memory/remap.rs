//! Moving and resizing mappings: `mremap`.

use abi::Errno;
use hal::paging::FlushBatch;
use libkernel::addr::{PAGE_SHIFT, USER_END, UserAddr, UserRange};

use super::AddressSpace;
use super::area::AreaFlags;
use super::map::may_commit;
use super::space::{Discarded, State, Usage};
use crate::process::Limits;

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
    pub fn remap(&self, request: RemapRequest, limits: &Limits) -> Result<UserAddr, Errno> {
        let mut discarded = Discarded::new();
        let (range, locked) = {
            let mut state = self.state.write();
            self.remap_locked(&mut state, request, limits, &mut discarded)?
        };
        if locked {
            self.populate(range);
        }
        Ok(range.start())
    }

    fn remap_locked(
        &self,
        state: &mut State,
        request: RemapRequest,
        limits: &Limits,
        discarded: &mut Discarded,
    ) -> Result<(UserRange, bool), Errno> {
        let RemapRequest { old, old_length, new_length, movement, keep_old } = request;
        if let Movement::To(target) = movement {
            let target = fixed_target(target, old, old_length, new_length)?;
            state.areas.get(old).ok_or(Errno::EFAULT)?;
            self.unmap_locked(state, target, discarded)?;
        } else if state.areas.get(old).is_none() {
            return Err(Errno::EFAULT);
        }
        let stays = !matches!(movement, Movement::To(_)) && keep_old == KeepOld::No;
        if old_length >= new_length && old_length != 0 && (stays || old_length > new_length) {
            let kept = UserRange::new(old, new_length).ok_or(Errno::EINVAL)?;
            let tail = UserRange::new(kept.end(), old_length - new_length).ok_or(Errno::EINVAL)?;
            self.unmap_locked(state, tail, discarded)?;
            if stays {
                return Ok((kept, false));
            }
        }
        let old_length = old_length.min(new_length);
        let grown = state.check_growth(old, old_length, new_length, limits)?;
        if stays && old_length != 0 && state.extend_in_place(grown.range, old, new_length)? {
            let range = UserRange::new(old, new_length).ok_or(Errno::EINVAL)?;
            return Ok((range, grown.locked));
        }
        let target = match movement {
            Movement::Forbidden => return Err(Errno::ENOMEM),
            Movement::Allowed => state.find_free(new_length)?,
            Movement::To(target) => UserRange::new(target, new_length).ok_or(Errno::EINVAL)?,
        };
        self.move_area(
            state,
            UserRange::new(old, old_length).ok_or(Errno::EINVAL)?,
            target,
            keep_old,
            discarded,
        )?;
        Ok((target, grown.locked))
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
        let copy = area.copy_to(&self.this, pages)?;
        state.insert(target, copy)?;
        if old.is_empty() {
            return Ok(());
        }
        let moved = {
            let mut batch = FlushBatch::new(&self.page_table);
            self.page_table.move_range(old, target.start(), &mut batch)
        };
        if moved.is_err() {
            self.unmap_locked(state, target, discarded)?;
            return Err(Errno::ENOMEM);
        }
        if keep_old == KeepOld::No {
            self.unmap_locked(state, old, discarded)?;
        }
        Ok(())
    }
}

/// What a growing area is, as far as the caller goes on to need it.
struct Grown {
    range: UserRange,
    locked: bool,
}

impl State {
    /// The checks of Linux's `vma_to_resize`.
    fn check_growth(
        &self,
        old: UserAddr,
        old_length: u64,
        new_length: u64,
        limits: &Limits,
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
        let added = new_length - old_length;
        let more = added >> PAGE_SHIFT;
        let data = if area.is_data() { more } else { 0 };
        self.may_grow(Usage { total: more, data, locked: 0 }, limits)?;
        if data != 0 && !area.flags.contains(AreaFlags::NO_RESERVE) {
            may_commit(more)?;
        }
        Ok(Grown { range, locked: area.flags.contains(AreaFlags::LOCKED) && more != 0 })
    }

    /// Extends the area upwards where the old range ends it and the addresses behind are free.
    fn extend_in_place(&mut self, area: UserRange, old: UserAddr, new_length: u64) -> Result<bool, Errno> {
        let old_end = area.end();
        let Some(new_end) = old.checked_add(new_length) else { return Ok(false) };
        let Some(added) = UserRange::from_bounds(old_end, new_end) else { return Ok(false) };
        if self.areas.overlaps(added) {
            return Ok(false);
        }
        let Some((_, description)) = self.areas.get(area.start()) else { return Ok(false) };
        let usage = Usage::of(description, added);
        let Some(whole) = UserRange::from_bounds(area.start(), new_end) else { return Ok(false) };
        if !self.areas.resize(area.start(), whole) {
            return Ok(false);
        }
        self.usage.add(usage);
        Ok(true)
    }
}

/// The checks of Linux's `mremap_to`.
fn fixed_target(
    target: UserAddr,
    old: UserAddr,
    old_length: u64,
    new_length: u64,
) -> Result<UserRange, Errno> {
    if !target.is_page_aligned() || new_length > USER_END {
        return Err(Errno::EINVAL);
    }
    let range = UserRange::new(target, new_length).ok_or(Errno::EINVAL)?;
    let old_range = UserRange::new(old, old_length).ok_or(Errno::EINVAL)?;
    if range.overlaps(old_range) { Err(Errno::EINVAL) } else { Ok(range) }
}
