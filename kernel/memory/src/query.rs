//! Looking at an address space: `mincore` and what `/proc` shows.

use alloc::sync::Arc;
use alloc::vec::Vec;

use abi::Errno;
use hal::paging::Resident;
use libkernel::addr::{PAGE_SIZE, UserAddr, UserRange};
use libkernel::fault::Access;
use outcome::OrErrno;

use super::AddressSpace;
use super::area::{Area, AreaDescription, Role};
use super::file::MappedFile;
use super::space::State;

impl AddressSpace {
    /// Says of pages from an address on which are in memory (1), as far as one area and `found` reach: of how many. Of
    /// the pages of a file that the caller may not know about all are said to be, as on Linux since 5.2. `ENOMEM` where
    /// nothing is mapped.
    pub fn residency(
        &self,
        start: UserAddr,
        found: &mut [u8],
        may_know: impl FnOnce(&dyn MappedFile) -> bool,
    ) -> Result<usize, Errno> {
        let state = self.state.read();
        let (range, area) = state.areas.get(start).ok_or(Errno::ENOMEM)?;
        let is_hidden = area.view().and_then(|view| view.file()).is_some_and(|file| !may_know(&**file));
        let pages = UserRange::from_bounds(start, range.end()).map_or(0, |rest| rest.page_count());
        let count = found.len().min(usize::try_from(pages).unwrap_or(usize::MAX));
        for (byte, number) in found.iter_mut().zip(start.page_number()..).take(count) {
            let page = UserAddr::of_page(number);
            let is_cached =
                || area.view().is_some_and(|view| view.object().has_used_page(view.page_index(page)));
            *byte = u8::from(is_hidden || self.page_table.lookup(page).is_some() || is_cached());
        }
        Ok(count)
    }

    /// What a futex at `address` is known by if processes may share it: the identity of the object and the offset
    /// in it. `None` for private memory. `EFAULT` where nothing is mapped or can be read, and for the process's own
    /// memory that cannot be written: nobody would ever change it (Linux's `get_futex_key`).
    pub fn shared_location(&self, address: UserAddr) -> Result<Option<(usize, u64)>, Errno> {
        let state = self.state.read();
        let (_, area) = state.areas.get(address).ok_or(Errno::EFAULT)?;
        if !area.allows(Access::Read) {
            return Err(Errno::EFAULT);
        }
        if !area.is_shared() && area.prot.is_writable() {
            return Ok(None);
        }
        let view = area.view().ok_or(Errno::EFAULT)?;
        let page = view.page_index(address);
        if page >= view.object().size().div_ceil(PAGE_SIZE) {
            return Err(Errno::EFAULT);
        }
        let offset = page.wrapping_mul(PAGE_SIZE) + address.page_offset() as u64;
        Ok(Some((Arc::as_ptr(view.object()).addr(), offset)))
    }

    /// Pages that are mapped now.
    pub fn resident(&self) -> Resident {
        self.page_table.resident()
    }

    /// Pages of areas that are executable and not writable, of which the program has a part (`VmExe`) and libraries the
    /// rest (`VmLib`), and of those that grow down (`VmStk`). Goes through the areas: who looks pays, not each change
    /// of one.
    pub fn code_and_stack_pages(&self) -> (u64, u64) {
        let state = self.state.read();
        state.areas.iter().fold((0, 0), |(code, stack), (range, area)| {
            let pages_if = |condition: bool| if condition { range.page_count() } else { 0 };
            (code + pages_if(area.is_code()), stack + pages_if(area.is_stack()))
        })
    }

    /// The most pages that were mapped at a time, as far as that was looked at (`VmHWM`).
    pub fn peak_resident_pages(&self) -> u64 {
        self.page_table.peak_pages()
    }

    /// Whether some area ends above `address`, which need not be in it.
    pub fn ends_above(&self, address: UserAddr) -> bool {
        self.state.read().areas.first_from(address).is_some()
    }

    /// Describes the areas from the first that ends above `from` on, at most `limit` of them: the lines of
    /// `/proc/PID/maps`, in pieces so that the lock is never held for long.
    pub fn describe_areas(&self, from: UserAddr, limit: usize) -> Result<Vec<AreaDescription>, Errno> {
        let state = self.state.read();
        let mut descriptions = Vec::new();
        let mut cursor = from;
        while descriptions.len() < limit {
            let Some((range, area)) = state.areas.first_from(cursor) else { break };
            descriptions.try_reserve(1).or_errno()?;
            descriptions.push(state.describe(range, area));
            cursor = range.end();
        }
        Ok(descriptions)
    }

    /// Describes the area at an address: for the line about a program's death.
    pub fn describe_area(&self, address: UserAddr) -> Option<AreaDescription> {
        let state = self.state.read();
        state.areas.get(address).map(|(range, area)| state.describe(range, area))
    }
}

impl State {
    fn describe(&self, range: UserRange, area: &Area) -> AreaDescription {
        let view = area.view();
        let offset = view.map_or(0, |view| view.page_index(range.start()).wrapping_mul(PAGE_SIZE));
        let file = view.and_then(|view| view.file().cloned());
        let role = self.role(range, area);
        AreaDescription {
            range,
            prot: area.prot,
            shared: area.is_shared(),
            max_prot: area.max_prot,
            flags: area.flags,
            offset,
            file,
            object: view.map(|view| view.object().clone()),
            role,
        }
    }

    fn role(&self, range: UserRange, area: &Area) -> Role {
        let layout = &self.layout;
        let vdso = !layout.vdso.is_null();
        match area.view() {
            Some(_) if vdso && range.start() == layout.vdso => Role::Vdso,
            Some(_) if vdso && range.end() == layout.vdso => Role::Vvar,
            Some(_) if area.is_shared() => Role::SharedAnonymous,
            Some(_) => Role::None,
            None if range.contains(layout.stack_start) => Role::Stack,
            None if self.holds_heap(range) => Role::Heap,
            None => Role::None,
        }
    }

    fn holds_heap(&self, range: UserRange) -> bool {
        let layout = &self.layout;
        !layout.brk_start.is_null() && range.start() <= layout.brk && range.end() > layout.brk_start
    }
}
