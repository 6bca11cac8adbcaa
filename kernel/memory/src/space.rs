//! The address space: areas, page table and the lock over them.
//!
//! Page faults take the lock for reading and may run in parallel; everything that changes areas takes it for
//! writing. Page-table entries change under either, atomically.
//!
//! Lock order: the address space's lock sleeps and comes after the turns and locks of files and objects. So nothing
//! that may take one of these happens under it: areas that are removed land in a [`Discarded`] list, which is dropped,
//! closing their files, after the lock.

use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use core::ops::Deref;
use core::sync::atomic::{AtomicU32, Ordering};

use abi::Errno;
use hal::paging::PageTable;
use libkernel::addr::{UserAddr, UserRange};
use libkernel::paging::Prot;
use libkernel::vma::IntervalMap;
use outcome::OrErrno;
use sched::RwLock;
use subject::charges::Payer;

use super::area::{Area, AreaFlags};
use super::layout::Layout;
use super::places::Executable;

/// The memory that a process sees.
pub struct AddressSpace {
    pub(super) page_table: Arc<PageTable>,
    pub(super) state: RwLock<State>,
    pub(super) this: Weak<AddressSpace>,
    /// Whom its pages are charged to.
    pub(super) payer: Payer,
    /// Commands of `membarrier` by which it is registered.
    barriers: AtomicU32,
    /// What `prctl` says about it: [`flags`].
    flags: AtomicU32,
}

/// What a program says about its memory; a child inherits it.
pub mod flags {
    /// Others of the same user may look into it, and it is dumped (`PR_SET_DUMPABLE`).
    pub(super) const DUMPABLE: u32 = 1;
    /// It is dumped as root, and only root may look into it.
    pub(super) const DUMPABLE_BY_ROOT: u32 = 4;
    /// No huge pages, of which there are none anyhow (`PR_SET_THP_DISABLE`); survives `execve`.
    pub const NO_HUGE_PAGES: u32 = 2;
}

/// Who may see an address space: in a core dump, or by looking into it. The numbers are those of `PR_GET_DUMPABLE`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Dumpable {
    /// Root, by looking into it.
    No = 0,
    /// Its user.
    ByUser = 1,
    /// Root.
    ByRoot = 2,
}

/// One thread's reference to its memory. Counted by itself, so that a thread on one CPU does not write to the count of
/// the threads on others with each fault; aligned, so that the counts of two threads do not lie in one line.
#[repr(align(64))]
pub struct OwnReference(Arc<AddressSpace>);

impl OwnReference {
    /// A reference of another thread's own.
    pub fn new(space: Arc<AddressSpace>) -> Arc<OwnReference> {
        Arc::new(OwnReference(space))
    }

    /// Whether nobody has the memory but this thread and its process.
    pub fn is_only(&self) -> bool {
        Arc::strong_count(&self.0) <= 2
    }
}

impl Deref for OwnReference {
    type Target = AddressSpace;
    #[inline]
    fn deref(&self) -> &AddressSpace {
        &self.0
    }
}

/// What the lock guards.
pub(super) struct State {
    pub(super) areas: IntervalMap<Area>,
    pub(super) usage: Usage,
    /// The most pages that it held before something was removed.
    pub(super) peak: u64,
    pub(super) layout: Layout,
    /// `mlockall(MCL_FUTURE)`: how areas to come are locked, if they are.
    pub(super) lock_future: AreaFlags,
    /// The program's file.
    pub(super) executable: Option<Arc<Executable>>,
}

/// How much of what an address space holds, in pages.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct Usage {
    /// Everything (`VmSize`).
    pub total: u64,
    /// Private writable memory (`VmData`).
    pub data: u64,
    /// Locked memory (`VmLck`).
    pub locked: u64,
}

/// Areas that were removed, to be dropped after the address space's lock.
pub(super) type Discarded = Vec<Area>;

impl AddressSpace {
    /// An address space without areas.
    pub fn new() -> Result<Arc<Self>, Errno> {
        Self::charged_to(Payer::EVERYBODY)
    }

    /// The same, whose pages somebody pays for.
    pub fn charged_to(payer: Payer) -> Result<Arc<Self>, Errno> {
        let page_table = PageTable::new().or_errno()?;
        let state = State {
            areas: IntervalMap::new(),
            usage: Usage::default(),
            peak: 0,
            layout: Layout::empty(),
            lock_future: AreaFlags::empty(),
            executable: None,
        };
        Ok(Arc::new_cyclic(|this| Self {
            page_table,
            state: RwLock::new(state),
            this: this.clone(),
            payer,
            barriers: AtomicU32::new(0),
            flags: AtomicU32::new(flags::DUMPABLE),
        }))
    }

    /// The page table a task of this space runs on.
    pub fn page_table(&self) -> &Arc<PageTable> {
        &self.page_table
    }

    /// Registers for barriers by a command of `membarrier`, or several.
    pub fn register_barrier(&self, commands: u32) {
        self.barriers.fetch_or(commands, Ordering::Relaxed);
    }

    /// The [`flags`] that are set.
    pub fn flags(&self) -> u32 {
        self.flags.load(Ordering::Relaxed)
    }

    /// Sets or clears [`flags`].
    pub fn set_flags(&self, bits: u32, set: bool) {
        if set {
            self.flags.fetch_or(bits, Ordering::Relaxed);
        } else {
            self.flags.fetch_and(!bits, Ordering::Relaxed);
        }
    }

    /// Who may see it.
    pub fn dumpable(&self) -> Dumpable {
        match self.flags() & (flags::DUMPABLE | flags::DUMPABLE_BY_ROOT) {
            0 => Dumpable::No,
            flags::DUMPABLE => Dumpable::ByUser,
            _ => Dumpable::ByRoot,
        }
    }

    /// Says who may.
    pub fn set_dumpable(&self, dumpable: Dumpable) {
        let bits = match dumpable {
            Dumpable::No => 0,
            Dumpable::ByUser => flags::DUMPABLE,
            Dumpable::ByRoot => flags::DUMPABLE_BY_ROOT,
        };
        let change = |old: u32| Some(old & !(flags::DUMPABLE | flags::DUMPABLE_BY_ROOT) | bits);
        let _ = self.flags.fetch_update(Ordering::Relaxed, Ordering::Relaxed, change);
    }

    /// The commands by which it is registered for barriers.
    pub fn registered_barriers(&self) -> u32 {
        self.barriers.load(Ordering::Relaxed)
    }

    /// Threads on several CPUs will have faults in it at the same time.
    pub fn share(&self) {
        self.state.count_per_cpu();
    }

    /// How much it holds, and the most pages that it ever held (`VmPeak`).
    pub fn usage(&self) -> (Usage, u64) {
        let state = self.state.read();
        (state.usage, state.peak.max(state.usage.total))
    }

    /// Where things lie.
    pub fn layout(&self) -> Layout {
        self.state.read().layout.clone()
    }

    /// Where the vDSO's image lies; null without one.
    pub fn vdso(&self) -> UserAddr {
        self.state.read().layout.vdso
    }
}

/// The page table could find its pages itself, but the areas say where they are.
impl Drop for AddressSpace {
    fn drop(&mut self) {
        let state = self.state.read();
        let mut edit = self.page_table.edit();
        for (range, _) in state.areas.iter() {
            edit.clear(range);
        }
    }
}

impl Usage {
    /// The share of an area in the counts.
    pub(super) fn of(area: &Area, range: UserRange) -> Self {
        Self::of_pages(area, range.page_count(), area.prot)
    }

    /// The share of so many pages of an area that had these rights.
    pub(super) fn of_pages(area: &Area, pages: u64, prot: Prot) -> Self {
        let pages_if = |condition: bool| if condition { pages } else { 0 };
        Self {
            total: pages,
            data: pages_if(area.is_data_with(prot)),
            locked: pages_if(area.flags.contains(AreaFlags::LOCKED)),
        }
    }

    pub(super) fn add(&mut self, other: Self) {
        self.total += other.total;
        self.data += other.data;
        self.locked += other.locked;
    }

    pub(super) fn subtract(&mut self, other: Self) {
        self.total = self.total.saturating_sub(other.total);
        self.data = self.data.saturating_sub(other.data);
        self.locked = self.locked.saturating_sub(other.locked);
    }
}

impl State {
    /// Adds an area over free addresses; joins it with equal neighbours.
    pub(super) fn insert(&mut self, range: UserRange, area: Area) -> Result<(), Errno> {
        let usage = Usage::of(&area, range);
        self.areas.insert(range, area).map_err(|_| Errno::ENOMEM)?;
        self.usage.add(usage);
        Ok(())
    }

    /// Removes what lies in the range, cutting areas at its ends. Nothing has changed when it fails.
    pub(super) fn remove(&mut self, range: UserRange, discarded: &mut Discarded) -> Result<(), Errno> {
        self.may_take_out(range)?;
        self.peak = self.peak.max(self.usage.total);
        let usage = &mut self.usage;
        self.areas
            .remove(range, |range, area| {
                usage.subtract(Usage::of(&area, range));
                if area.view().is_some() {
                    discarded.push(area);
                }
            })
            .or_errno()
    }

    /// The pages of the range that areas cover.
    pub(super) fn covered_pages(&self, range: UserRange) -> u64 {
        let covered = |(area_range, _): (UserRange, &Area)| area_range.intersection(range);
        self.areas.range(range).filter_map(covered).map(UserRange::page_count).sum()
    }
}
