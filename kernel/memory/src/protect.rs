//! Changing what a program may do with its memory: `mprotect`.

use abi::Errno;
use hal::paging::Writes;
use libkernel::addr::{UserAddr, UserRange};
use libkernel::paging::Prot;

use super::AddressSpace;
use super::area::{Area, AreaFlags};
use super::bounds::Bounds;
use super::map::may_commit;
use super::space::{State, Usage};

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
    pub fn protect(
        &self,
        range: UserRange,
        prot: Prot,
        reach: Reach,
        bounds: &dyn Bounds,
    ) -> Result<(), Errno> {
        let mut state = self.state.write();
        let range = match reach {
            Reach::Exact => range,
            Reach::GrowsDown => state.to_start_of_stack(range)?,
        };
        let mut edit = self.page_table.edit();
        let mut cursor = range.start();
        while cursor < range.end() {
            let (found, area) = state.areas.get(cursor).ok_or(Errno::ENOMEM)?;
            let piece = UserRange::from_bounds(cursor, found.end().min(range.end())).ok_or(Errno::ENOMEM)?;
            if !area.max_prot.contains(prot) {
                return Err(Errno::EACCES);
            }
            if area.prot != prot {
                let writes = if area.is_shared() { Writes::Shared } else { Writes::CopyOnWrite };
                let change = Change::new(area, piece, prot);
                state.apply(&change, bounds)?;
                edit.protect(piece, prot, writes);
            }
            cursor = piece.end();
        }
        Ok(())
    }
}

/// New rights for a range that lies in one area.
struct Change {
    piece: UserRange,
    prot: Prot,
    before: Usage,
    after: Usage,
    reserves: bool,
}

impl Change {
    fn new(area: &Area, piece: UserRange, prot: Prot) -> Self {
        let before = Usage::of(area, piece);
        let after = Usage::of_pages(area, before.total, prot);
        Self { piece, prot, before, after, reserves: !area.flags.contains(AreaFlags::NO_RESERVE) }
    }
}

impl State {
    /// Changes the rights, with the limits on private writable memory.
    fn apply(&mut self, change: &Change, bounds: &dyn Bounds) -> Result<(), Errno> {
        if change.after.data > change.before.data {
            self.may_grow(Usage { data: change.after.data, ..Usage::default() }, bounds)?;
            if change.reserves {
                may_commit(change.after.data)?;
            }
        }
        self.change_area(change.piece, |area| area.prot = change.prot)?;
        self.usage.subtract(change.before);
        self.usage.add(change.after);
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
