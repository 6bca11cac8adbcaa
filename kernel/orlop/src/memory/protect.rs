//! Changing what a program may do with its memory: `mprotect`.

use abi::Errno;
use hal::paging::{FlushBatch, Writes};
use libkernel::addr::{UserAddr, UserRange};
use libkernel::paging::Prot;

use super::AddressSpace;
use super::area::AreaFlags;
use super::map::may_commit;
use super::space::{State, Usage};
use crate::errno::OrErrno;
use crate::process::Limits;

/// How far `mprotect` reaches beyond what it was given.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Reach {
    /// Not at all.
    Exact,
    /// To the start of an area that grows down (`PROT_GROWSDOWN`).
    GrowsDown,
}

impl AddressSpace {
    /// `mprotect` on a range of whole pages. `ENOMEM` where part of it is not mapped and `EACCES` where the
    /// mapping forbids the rights; what lies before that has changed then, as on Linux.
    pub fn protect(&self, range: UserRange, prot: Prot, reach: Reach, limits: &Limits) -> Result<(), Errno> {
        let mut state = self.state.write();
        let range = match reach {
            Reach::Exact => range,
            Reach::GrowsDown => state.to_start_of_stack(range)?,
        };
        let mut batch = FlushBatch::new(&self.page_table);
        let mut cursor = range.start();
        while cursor < range.end() {
            let (found, area) = state.areas.get(cursor).ok_or(Errno::ENOMEM)?;
            let piece = UserRange::from_bounds(cursor, found.end().min(range.end())).ok_or(Errno::ENOMEM)?;
            if !area.max_prot.contains(prot) {
                return Err(Errno::EACCES);
            }
            let writes = if area.is_shared() { Writes::Shared } else { Writes::CopyOnWrite };
            if area.prot != prot {
                state.protect_piece(piece, prot, limits)?;
                self.page_table.protect(piece, prot, writes, &mut batch);
            }
            cursor = piece.end();
        }
        Ok(())
    }
}

impl State {
    /// Changes the rights of a range that lies in one area, with the limits on private writable memory.
    fn protect_piece(&mut self, piece: UserRange, prot: Prot, limits: &Limits) -> Result<(), Errno> {
        let (_, area) = self.areas.get(piece.start()).ok_or(Errno::ENOMEM)?;
        let before = Usage::of(area, piece);
        let becomes_data =
            prot.is_writable() && !area.is_shared() && !area.flags.contains(AreaFlags::GROWS_DOWN);
        if becomes_data && before.data == 0 {
            self.may_grow(Usage { data: before.total, ..Usage::default() }, limits)?;
            if !area.flags.contains(AreaFlags::NO_RESERVE) {
                may_commit(before.total)?;
            }
        }
        self.areas.update(piece, |_, area| area.prot = prot).or_errno()?;
        let data = if becomes_data { before.total } else { 0 };
        self.usage.subtract(before);
        self.usage.add(Usage { data, ..before });
        Ok(())
    }

    /// The range, extended down to the start of the area it starts in; `EINVAL` if that does not grow down.
    fn to_start_of_stack(&self, range: UserRange) -> Result<UserRange, Errno> {
        let (found, area) = self.areas.first_from(range.start()).ok_or(Errno::ENOMEM)?;
        if found.start() >= range.end() {
            return Err(Errno::ENOMEM);
        }
        if !area.flags.contains(AreaFlags::GROWS_DOWN) {
            return Err(Errno::EINVAL);
        }
        let start: UserAddr = found.start();
        UserRange::from_bounds(start, range.end()).ok_or(Errno::ENOMEM)
    }
}
