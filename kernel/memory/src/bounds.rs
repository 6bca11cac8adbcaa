//! What bounds a process's memory: its resource limits, the privileges that lift them, and the rules that go by them.
//!
//! Each rule is one function here or of [`State`], and every door through which memory comes or changes passes it:
//! `mmap`, `mremap`, `brk`, a growing stack, `mprotect`, the `mlock` family, `execve`. docs/rules-memory.md is the
//! table.

use core::sync::atomic::{AtomicUsize, Ordering};

use abi::Errno;
use libkernel::addr::{PAGE_SHIFT, UserAddr, UserRange};
use outcome::OrErrno;
use subject::{Limits, Resource, capability};

use super::area::{Area, AreaFlags};
use super::layout::LOWEST_ADDRESS;
use super::space::{State, Usage};

/// Whoever the memory is for.
pub trait Bounds {
    /// Its resource limits.
    fn limits(&self) -> &Limits;

    /// Whether it has a capability (`capability::…`).
    fn is_capable(&self, capability: u32) -> bool;
}

/// A process without privileges.
impl Bounds for Limits {
    fn limits(&self) -> &Limits {
        self
    }

    fn is_capable(&self, _capability: u32) -> bool {
        false
    }
}

impl dyn Bounds + '_ {
    /// `EPERM` for memory below `vm.mmap_min_addr` without CAP_SYS_RAWIO (Linux's `cap_mmap_addr`).
    pub(super) fn may_lie_at(&self, start: UserAddr) -> Result<(), Errno> {
        let allowed = start.as_u64() >= LOWEST_ADDRESS || self.is_capable(capability::SYS_RAWIO);
        if allowed { Ok(()) } else { Err(Errno::EPERM) }
    }

    /// How many bytes may be locked.
    pub(super) fn lock_limit(&self) -> u64 {
        let limit = self.limits().soft(Resource::LockedMemory);
        if limit != u64::MAX && self.is_capable(capability::IPC_LOCK) { u64::MAX } else { limit }
    }

    /// Whether so many bytes could be locked, if none were.
    pub fn may_lock_bytes(&self, bytes: u64) -> bool {
        bytes <= self.lock_limit()
    }

    /// `EPERM` where nothing at all may be locked (Linux's `can_do_mlock`).
    pub fn may_lock_something(&self) -> Result<(), Errno> {
        if self.lock_limit() == 0 { Err(Errno::EPERM) } else { Ok(()) }
    }
}

/// The most areas that an address space may have (`vm.max_map_count`); as on Linux a new mapping may pass it by one.
pub static MAX_AREAS: AtomicUsize = AtomicUsize::new(65_530);

pub(super) fn max_areas() -> usize {
    MAX_AREAS.load(Ordering::Relaxed)
}

impl State {
    /// `ENOMEM` where so many more pages would pass a limit (`RLIMIT_AS`, `RLIMIT_DATA`; Linux's `may_expand_vm`).
    pub(super) fn may_grow(&self, more: Usage, bounds: &dyn Bounds) -> Result<(), Errno> {
        let [total, data] = growth_limits(bounds);
        let allowed = (more.total == 0 || fits(self.usage.total, more.total, total))
            && (more.data == 0 || fits(self.usage.data, more.data, data));
        if allowed { Ok(()) } else { Err(Errno::ENOMEM) }
    }

    /// As [`Self::may_grow`], for what takes the place of `replaced` pages. As on Linux, who is beyond a limit already
    /// may not even replace.
    pub(super) fn may_replace(&self, more: Usage, replaced: u64, bounds: &dyn Bounds) -> Result<(), Errno> {
        let [total, data] = growth_limits(bounds);
        let allowed = fits(self.usage.total, more.total.saturating_sub(replaced), total)
            && (more.data == 0 || fits(self.usage.data, more.data.saturating_sub(replaced), data));
        if allowed { Ok(()) } else { Err(Errno::ENOMEM) }
    }

    /// Whether so many more pages may be locked (`RLIMIT_MEMLOCK`; Linux's `mlock_future_check`). The errors differ by
    /// call.
    pub(super) fn may_lock(&self, pages: u64, bounds: &dyn Bounds) -> bool {
        self.usage.locked.saturating_add(pages) <= bounds.lock_limit() >> PAGE_SHIFT
    }

    /// `ENOMEM` where there are as many areas as `mmap` may make.
    pub(super) fn may_add_area(&self) -> Result<(), Errno> {
        if self.areas.len() > max_areas() { Err(Errno::ENOMEM) } else { Ok(()) }
    }

    /// Changes the area at `piece`, which lies in one, cutting it where it must. `ENOMEM` where a cut would pass the
    /// limit on areas.
    pub(super) fn change_area(&mut self, piece: UserRange, change: impl Fn(&mut Area)) -> Result<(), Errno> {
        if self.areas.len() + 2 > max_areas() {
            self.may_cut(piece, &change)?;
        }
        self.areas.update(piece, |_, area| change(area)).or_errno()
    }

    /// Each cut adds an area, unless what is cut off joins a neighbour (Linux's `vma_merge` before `split_vma`).
    #[cold]
    fn may_cut(&self, piece: UserRange, change: &impl Fn(&mut Area)) -> Result<(), Errno> {
        let (found, area) = self.areas.get(piece.start()).ok_or(Errno::ENOMEM)?;
        let cuts = usize::from(found.start() < piece.start()) + usize::from(piece.end() < found.end());
        if cuts == 0 || self.areas.len() + cuts <= max_areas() {
            return Ok(());
        }
        let mut changed = libkernel::vma::Interval::try_clone(area, piece.start()).ok_or(Errno::ENOMEM)?;
        change(&mut changed);
        let joins = cuts == 1 && self.joins_neighbour(piece, found, &changed);
        if joins { Ok(()) } else { Err(Errno::ENOMEM) }
    }

    fn joins_neighbour(&self, piece: UserRange, found: UserRange, changed: &Area) -> bool {
        use libkernel::vma::Interval;
        if piece.start() == found.start() {
            let below = self.areas.last_before(piece.start());
            below.is_some_and(|(range, area)| range.end() == piece.start() && area.merges_with(changed))
        } else {
            let above = self.areas.get(piece.end());
            above.is_some_and(|(range, area)| range.start() == piece.end() && changed.merges_with(area))
        }
    }

    /// `ENOMEM` where taking `range` out would leave two areas of one and pass the limit.
    pub(super) fn may_take_out(&self, range: UserRange) -> Result<(), Errno> {
        if self.areas.len() < max_areas() {
            return Ok(());
        }
        let inside =
            |(found, _): (UserRange, &Area)| found.start() < range.start() && range.end() < found.end();
        if self.areas.get(range.start()).is_some_and(inside) { Err(Errno::ENOMEM) } else { Ok(()) }
    }

    /// Whether nothing is in `range`, nor near enough above it to want the room below itself (a stack's gap).
    pub(super) fn is_free(&self, range: UserRange) -> bool {
        let Some((next, area)) = self.areas.first_from(range.start()) else { return true };
        let wanted = libkernel::vma::Interval::room_below(area);
        next.start().as_u64().saturating_sub(wanted) >= range.end().as_u64()
    }
}

/// What an address space, and the data in it, may grow to, in bytes.
fn growth_limits(bounds: &dyn Bounds) -> [u64; 2] {
    let [total, data] = bounds.limits().two(Resource::AddressSpace, Resource::Data);
    // Valgrind sets the soft limit of data to nothing and means the hard one.
    [total.soft, if data.soft == 0 { data.hard } else { data.soft }]
}

/// Whether so many more pages than are used fit into a limit in bytes.
fn fits(used: u64, more: u64, limit: u64) -> bool {
    used.saturating_add(more) <= limit >> PAGE_SHIFT
}

/// The flags of a lock, of which [`AreaFlags::LOCK_ON_FAULT`] alone means nothing.
pub(super) const LOCK_FLAGS: AreaFlags = AreaFlags::LOCKED.union(AreaFlags::LOCK_ON_FAULT);

impl Area {
    /// Whether it is locked, and its pages are to be there at once.
    pub(super) fn wants_pages(&self) -> bool {
        self.flags.intersection(LOCK_FLAGS) == AreaFlags::LOCKED
    }
}
