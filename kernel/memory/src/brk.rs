//! The program break: `brk`.

use libkernel::addr::{PAGE_SIZE, UserAddr, UserRange, page_up};
use libkernel::paging::Prot;
use subject::Resource;

use super::AddressSpace;
use super::area::{Area, AreaFlags};
use super::bounds::Bounds;
use super::map::may_commit;
use super::space::{Discarded, State, Usage};

impl AddressSpace {
    /// Moves the program break to `wanted` if that is possible, and returns where it is then.
    pub fn set_brk(&self, wanted: UserAddr, bounds: &dyn Bounds) -> UserAddr {
        let mut discarded = Discarded::new();
        let (brk, grown) = {
            let mut state = self.state.write();
            let grown = self.move_brk(&mut state, wanted, bounds, &mut discarded);
            (state.layout.brk, grown.filter(|_| state.lock_future == AreaFlags::LOCKED))
        };
        if let Some(grown) = grown {
            self.populate(grown);
        }
        brk
    }

    /// Returns the pages that were added, if any.
    fn move_brk(
        &self,
        state: &mut State,
        wanted: UserAddr,
        bounds: &dyn Bounds,
        discarded: &mut Discarded,
    ) -> Option<UserRange> {
        let start = state.layout.brk_start;
        let size = wanted.as_u64().checked_sub(start.as_u64())?;
        let data = size.saturating_add(state.layout.data.length());
        if start.is_null() || data > bounds.limits().soft(Resource::Data) {
            return None;
        }
        let old_end = state.layout.brk.page_up()?;
        let new_end = wanted.page_up()?;
        if new_end < old_end {
            self.unmap_locked(state, UserRange::from_bounds(new_end, old_end)?, discarded).ok()?;
        }
        let added = UserRange::from_bounds(old_end, new_end);
        if let Some(added) = added.filter(|added| !added.is_empty()) {
            state.extend_heap(added, bounds)?;
        }
        if new_end > old_end && added.is_none() {
            return None;
        }
        state.layout.brk = wanted;
        added.filter(|added| !added.is_empty())
    }
}

impl State {
    fn extend_heap(&mut self, added: UserRange, bounds: &dyn Bounds) -> Option<()> {
        // A page stays free above the heap, as Linux keeps it.
        let with_gap = UserRange::new(added.start(), page_up(added.length())?.checked_add(PAGE_SIZE)?)?;
        if !self.is_free(with_gap) {
            return None;
        }
        bounds.may_lie_at(added.start()).and_then(|()| self.may_add_area()).ok()?;
        let mut area = Area::anonymous(Prot::READ_WRITE);
        area.flags.insert(self.lock_future);
        let more = Usage::of(&area, added);
        if !self.may_lock(more.locked, bounds) {
            return None;
        }
        self.may_grow(more, bounds).ok()?;
        may_commit(added.page_count()).ok()?;
        self.insert(added, area).ok()
    }
}
