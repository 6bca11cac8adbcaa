//! Memory of a space that is not the running one: for `/proc`, `execve` and debuggers.

use hal::frame::SharedFrame;
use libkernel::addr::{PAGE_SIZE, UserAddr, UserRange};
use libkernel::fault::Access;

use super::{AddressSpace, FaultError};

impl AddressSpace {
    /// Copies bytes out of the space; how many, until the first that cannot be read.
    pub fn read_remote(&self, address: UserAddr, bytes: &mut [u8]) -> usize {
        let length = bytes.len();
        self.for_each_page(address, length, Access::Read, |frame, within, done, step| {
            let piece = bytes.get_mut(done..done + step).unwrap_or_default();
            frame.read(within, piece);
        })
    }

    /// As [`AddressSpace::read_remote`], of anonymous memory alone: what `/proc` shows to others is of the program's
    /// own making (Linux's `FOLL_ANON`).
    pub fn read_remote_anonymous(&self, address: UserAddr, bytes: &mut [u8]) -> usize {
        let Some(range) = UserRange::new(address, bytes.len() as u64) else { return 0 };
        let mut end = address;
        {
            let state = self.state.read();
            while let Some((found, area)) = state.areas.get(end)
                && area.view().is_none()
                && end < range.end()
            {
                end = found.end();
            }
        }
        let length = (end.as_u64() - address.as_u64()).min(range.length());
        self.read_remote(address, bytes.get_mut(..length as usize).unwrap_or_default())
    }

    /// Copies bytes into the space; how many, until the first that cannot be written.
    pub fn write_remote(&self, address: UserAddr, bytes: &[u8]) -> usize {
        self.for_each_page(address, bytes.len(), Access::Write, |frame, within, done, step| {
            frame.write(within, bytes.get(done..done + step).unwrap_or_default());
        })
    }

    /// Writes zeroes into the space; how many, until the first that cannot be written.
    pub fn clear_remote(&self, address: UserAddr, length: usize) -> usize {
        self.for_each_page(address, length, Access::Write, |frame, within, _, step| {
            frame.fill_zero(within..within + step);
        })
    }

    /// Calls `visit(frame, offset in it, bytes done before, bytes here)` for each page of a range.
    fn for_each_page(
        &self,
        address: UserAddr,
        length: usize,
        access: Access,
        mut visit: impl FnMut(&SharedFrame, usize, usize, usize),
    ) -> usize {
        let mut done = 0;
        while done < length {
            let Some(here) = address.checked_add(done as u64) else { break };
            let within = here.page_offset();
            let step = (PAGE_SIZE as usize - within).min(length - done);
            let Ok(frame) = self.frame_for(here, access) else { break };
            visit(&frame, within, done, step);
            done += step;
        }
        done
    }

    /// The frame at an address, paged in with the rights asked for.
    pub fn frame_for(&self, address: UserAddr, access: Access) -> Result<SharedFrame, FaultError> {
        const ATTEMPTS: usize = 8;
        for _ in 0..ATTEMPTS {
            if let Some(mapped) = self.page_table.lookup(address.page_down())
                && mapped.prot.allows(access)
            {
                return Ok(mapped.frame);
            }
            self.fault_in(address, access)?;
        }
        Err(FaultError::OutOfMemory)
    }
}
