//! Copying an address space: `fork`.
//!
//! Private pages are shared copy-on-write. What an object can provide again is not copied: the child faults it
//! in, which most children never do before `execve`.

use alloc::sync::Arc;

use abi::Errno;
use hal::paging::{Edit, Writes};
use libkernel::addr::UserRange;
use outcome::OrErrno;

use super::AddressSpace;
use super::area::{Area, AreaFlags};
use super::bounds::LOCK_FLAGS;
use super::space::{State, flags};

impl AddressSpace {
    /// A copy of this space for a child process. `ENOMEM` where frames or memory run out.
    pub fn fork(&self) -> Result<Arc<Self>, Errno> {
        let child = Self::charged_to(self.payer)?;
        // Exclusively: a fault of another thread would bring pages in, or make them writable again, behind the walk.
        let parent_state = self.state.write();
        let mut child_state = child.state.write();
        // Dropped first, at the end: other threads of the parent may write by translations of before until it has
        // flushed them, and what they write then is the child's, too. No fault gets a page of its own for the parent
        // meanwhile.
        let mut edit = self.page_table.edit();
        for (range, area) in parent_state.areas.iter() {
            if !area.flags.contains(AreaFlags::DONT_FORK) {
                self.fork_area(&child, &mut child_state, range, area, &mut edit)?;
            }
        }
        child_state.layout = parent_state.layout.clone();
        child_state.executable = parent_state.executable.clone();
        drop(child_state);
        child.register_barrier(self.registered_barriers());
        child.set_dumpable(self.dumpable());
        child.set_flags(self.flags() & flags::NO_HUGE_PAGES, true);
        Ok(child)
    }

    fn fork_area(
        &self,
        child: &Self,
        child_state: &mut State,
        range: UserRange,
        area: &Area,
        edit: &mut Edit<'_>,
    ) -> Result<(), Errno> {
        // From here on the object knows of the child's mapping. Pages are shared after that: a truncation that comes in
        // between, or while they are, finds them.
        let mut copy = area.copy_to(&child.this, 0, range.start())?;
        // Locks are not inherited (mlock(2)).
        copy.flags.remove(LOCK_FLAGS);
        child_state.insert(range, copy)?;
        if area.is_shared() || area.flags.contains(AreaFlags::WIPE_ON_FORK) {
            return Ok(());
        }
        edit.fork_range(&child.page_table, range, Writes::CopyOnWrite, self.payer.account()).or_errno()
    }
}
