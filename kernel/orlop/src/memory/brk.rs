//! The program break: `brk`.

use libkernel::addr::{PAGE_SIZE, UserAddr, UserRange, page_up};
use libkernel::paging::Prot;

use super::AddressSpace;
use super::area::{Area, AreaFlags};
use super::map::may_commit;
use super::space::{Discarded, State, Usage};
use crate::process::{Limits, Resource};

impl AddressSpace {
    /// Moves the program break to `wanted` if that is possible, and returns where it is then.
    pub fn set_brk(&self, wanted: UserAddr, limits: &Limits) -> UserAddr {
        let mut discarded = Discarded::new();
        let (brk, grown) = {
            let mut state = self.state.write();
            let grown = self.move_brk(&mut state, wanted, limits, &mut discarded);
            (state.layout.brk, grown.filter(|_| state.lock_future))
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
        limits: &Limits,
        discarded: &mut Discarded,
    ) -> Option<UserRange> {
        let start = state.layout.brk_start;
        let size = wanted.as_u64().checked_sub(start.as_u64())?;
        if start.is_null() || size > limits.soft(Resource::Data) {
            return None;
        }
        let old_end = state.layout.brk.page_up()?;
        let new_end = wanted.page_up()?;
        if new_end < old_end {
            self.unmap_locked(state, UserRange::from_bounds(new_end, old_end)?, discarded).ok()?;
        }
        let added = UserRange::from_bounds(old_end, new_end);
        if let Some(added) = added.filter(|added| !added.is_empty()) {
            state.extend_heap(added, limits)?;
        }
        if new_end > old_end && added.is_none() {
            return None;
        }
        state.layout.brk = wanted;
        added.filter(|added| !added.is_empty())
    }
}

impl State {
    fn extend_heap(&mut self, added: UserRange, limits: &Limits) -> Option<()> {
        // A page stays free above the heap, as Linux keeps it.
        let with_gap = UserRange::new(added.start(), page_up(added.length())?.checked_add(PAGE_SIZE)?)?;
        if self.areas.overlaps(with_gap) {
            return None;
        }
        let mut area = Area::anonymous(Prot::READ_WRITE);
        if self.lock_future {
            area.flags.insert(AreaFlags::LOCKED);
        }
        self.may_grow(Usage::of(&area, added), limits).ok()?;
        may_commit(added.page_count()).ok()?;
        self.insert(added, area).ok()
    }
}
