//! Taking mappings away: `munmap`, truncation and the end of a space.

use core::ops::Range;

use abi::Errno;
use hal::paging::{Edit, Mapped};
use libkernel::addr::{PAGE_SIZE, UserAddr, UserRange};

use super::AddressSpace;
use super::area::ObjectView;
use super::object::{Copies, Object};
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

    /// Takes away the pages of the area at an address that show pages of an object in the given range, if it shows that
    /// object.
    pub(super) fn unmap_object_pages(
        &self,
        at: UserAddr,
        object: &Object,
        pages: &Range<u64>,
        copies: Copies,
    ) {
        let state = self.state.write();
        let Some((range, area)) = state.areas.get(at) else { return };
        let Some(view) = area.view().filter(|view| core::ptr::eq(&raw const **view.object(), object)) else {
            return;
        };
        let Some(gone) = view.addresses_of(pages, range) else { return };
        let mut edit = self.page_table.edit();
        if copies == Copies::Go || area.is_shared() {
            edit.unmap(gone);
        } else {
            self.unmap_originals(&mut edit, view, gone);
        }
    }

    /// Takes away those pages of a private mapping that are the object's own.
    fn unmap_originals(&self, edit: &mut Edit<'_>, view: &ObjectView, range: UserRange) {
        let is_original = |address: UserAddr, mapped: &Mapped| {
            let original = view.object().page(view.page_index(address));
            original.is_some_and(|original| original.phys() == mapped.frame.phys())
        };
        let find = |address: UserAddr, mapped: Mapped| is_original(address, &mapped).then_some(address);
        let mut rest = Some(range);
        while let Some(here) = rest
            && let Some(page) = self.page_table.find_mapped(here, find)
            && let Some(one) = UserRange::new(page, PAGE_SIZE)
        {
            edit.unmap(one);
            rest = UserRange::from_bounds(one.end(), here.end());
        }
    }
}
