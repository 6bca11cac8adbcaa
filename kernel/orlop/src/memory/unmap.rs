//! Taking mappings away: `munmap`, truncation and the end of a space.

use core::ops::Range;

use abi::Errno;
use libkernel::addr::UserRange;

use super::AddressSpace;
use super::object::Object;
use super::space::{Discarded, State};

impl AddressSpace {
    /// `munmap`: removes whatever lies in the range, which is of whole pages.
    pub fn unmap(&self, range: UserRange) -> Result<(), Errno> {
        let mut discarded = Discarded::new();
        let mut state = self.state.write();
        self.unmap_locked(&mut state, range, &mut discarded)
    }

    /// Removes areas and pages of a range under the lock.
    pub(super) fn unmap_locked(
        &self,
        state: &mut State,
        range: UserRange,
        discarded: &mut Discarded,
    ) -> Result<(), Errno> {
        if range.is_empty() {
            return Ok(());
        }
        state.remove(range, discarded)?;
        self.page_table.edit().unmap(range);
        Ok(())
    }

    /// Takes away every page that shows a page of an object in the given range, private copies included.
    pub(super) fn unmap_object_pages(&self, object: &Object, pages: &Range<u64>) {
        let state = self.state.write();
        let mut edit = self.page_table.edit();
        for (range, area) in state.areas.iter() {
            let Some(view) = area.view() else { continue };
            if !core::ptr::eq(&raw const **view.object(), object) {
                continue;
            }
            if let Some(gone) = view.addresses_of(pages, range) {
                edit.unmap(gone);
            }
        }
    }
}
