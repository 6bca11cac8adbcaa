//! Page faults: what to do when a page is touched that is not there, or not so.
//!
//! The life of a fault: find the area; refuse what it does not allow; else find or make the frame and map it. A frame
//! that cannot be had at once is waited for with the address space unlocked, in a wait that can be killed; then the
//! fault begins anew, and trusts nothing of what it had looked up. Several threads may fault on one page at once: who
//! finds the entry already made has nothing left to do, and if it was made with too few rights the access faults again.

use abi::Errno;
use abi::signal::{BUS_ADRERR, SEGV_ACCERR, SEGV_MAPERR, SIGBUS, SIGSEGV};
use hal::frame::{OutOfMemory, SharedFrame};
use hal::paging::{CopyOnWrite, Kind, MapError, Writes};
use hal::user::UserFault;
use libkernel::addr::{PAGE_SIZE, UserAddr, UserRange};
use libkernel::fault::Access;
use libkernel::paging::Prot;
use sched::turns::Killed;
use subject::Resource;

use super::AddressSpace;
use super::area::{Area, AreaFlags, Backing, ObjectView};
use super::bounds::Bounds;
use super::layout::{LOWEST_HINT, STACK_GUARD_GAP};
use super::space::{State, Usage};

/// A read fault on an object maps up to so many pages that the object already has, around the one touched.
const FAULT_AROUND: u64 = 16;

/// What is known of a page's entry when its fault is handled; it may have changed since.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Entry {
    /// There was none.
    Absent,
    /// It allowed too little.
    Present,
}

/// Why a page could not be provided.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FaultError {
    /// Nothing is mapped there: SIGSEGV, `SEGV_MAPERR`.
    NotMapped,
    /// The mapping forbids the access: SIGSEGV, `SEGV_ACCERR`.
    Denied,
    /// The mapped object ends before the page: SIGBUS, `BUS_ADRERR`.
    BeyondObject,
    /// No frame could be had: the process cannot go on.
    OutOfMemory,
    /// The thread is to end, and does not wait for the page.
    Killed,
    /// Never told to others: the page is not to be had yet.
    Later,
}

impl From<FaultError> for Errno {
    fn from(error: FaultError) -> Self {
        match error {
            FaultError::OutOfMemory => Errno::ENOMEM,
            FaultError::Killed | FaultError::Later => Errno::EINTR,
            FaultError::NotMapped | FaultError::Denied | FaultError::BeyondObject => Errno::EFAULT,
        }
    }
}

impl From<OutOfMemory> for FaultError {
    fn from(_: OutOfMemory) -> Self {
        FaultError::OutOfMemory
    }
}

impl FaultError {
    /// Signal number and `si_code`; `None` where the process is to be killed for want of memory, or the thread is to
    /// end.
    pub fn signal(self) -> Option<(u32, i32)> {
        match self {
            FaultError::NotMapped => Some((SIGSEGV, SEGV_MAPERR)),
            FaultError::Denied => Some((SIGSEGV, SEGV_ACCERR)),
            FaultError::BeyondObject => Some((SIGBUS, BUS_ADRERR)),
            FaultError::OutOfMemory | FaultError::Killed | FaultError::Later => None,
        }
    }
}

impl AddressSpace {
    /// Makes the page of a fault accessible, or says why it cannot be. May sleep.
    pub fn handle_fault(&self, fault: &UserFault, bounds: &dyn Bounds) -> Result<(), FaultError> {
        let address = UserAddr::new(fault.address).untagged();
        let entry = if fault.present { Entry::Present } else { Entry::Absent };
        match self.fault_at(address, fault.access, entry) {
            // The area is looked for once more, under the lock: of two threads that grow one stack the second finds it
            // grown.
            Err(FaultError::NotMapped) => {
                self.grow_stack(address, bounds)?;
                self.fault_at(address, fault.access, entry)
            }
            outcome => outcome,
        }
    }

    /// Makes the page at an address of an existing area accessible for `access`. May sleep.
    pub fn fault_in(&self, address: UserAddr, access: Access) -> Result<(), FaultError> {
        let mapped = self.page_table.lookup(address.page_down()).is_some();
        self.fault_at(address, access, if mapped { Entry::Present } else { Entry::Absent })
    }

    #[inline]
    fn fault_at(&self, address: UserAddr, access: Access, entry: Entry) -> Result<(), FaultError> {
        match self.try_fault(address, access, entry) {
            Err(FaultError::Later) => self.fault_later(address, access, entry),
            outcome => outcome,
        }
    }

    #[cold]
    fn fault_later(&self, address: UserAddr, access: Access, entry: Entry) -> Result<(), FaultError> {
        loop {
            self.await_page(address)?;
            // Everything may have changed while the lock was free, the area itself too: begin anew.
            match self.try_fault(address, access, entry) {
                Err(FaultError::Later) => {}
                outcome => return outcome,
            }
        }
    }

    fn try_fault(&self, address: UserAddr, access: Access, entry: Entry) -> Result<(), FaultError> {
        let state = self.state.read();
        let (range, area) = state.areas.get(address).ok_or(FaultError::NotMapped)?;
        self.fault_area(address.page_down(), range, area, access, entry)
    }

    /// Waits until the page that is to be mapped at an address can be had, if it still is to be.
    fn await_page(&self, address: UserAddr) -> Result<(), FaultError> {
        let (object, index) = {
            let state = self.state.read();
            let Some(view) = state.areas.get(address).and_then(|(_, area)| area.view()) else {
                return Ok(());
            };
            (view.object().clone(), view.page_index(address))
        };
        // The lock of the space is free again: whoever detaches the page may have to unmap it here.
        object.await_detached(index).map_err(|Killed| FaultError::Killed)
    }

    /// Handles a fault in an area that was looked up under the lock.
    fn fault_area(
        &self,
        page: UserAddr,
        range: UserRange,
        area: &Area,
        access: Access,
        entry: Entry,
    ) -> Result<(), FaultError> {
        if !area.allows(access) {
            return Err(FaultError::Denied);
        }
        let write = access == Access::Write;
        if write && entry == Entry::Present && !area.is_shared() && self.copy_on_write(page, area.prot)? {
            return Ok(());
        }
        match &area.backing {
            Backing::Object(view) => self.fault_object(page, range, area, view, access),
            Backing::Anonymous if write => {
                let frame = SharedFrame::alloc_zeroed(self.payer.account())?;
                self.map_page(page, frame, area.prot, Kind::Anonymous)
            }
            Backing::Anonymous => {
                self.map_page(page, SharedFrame::zero(), area.prot.write_protected(), Kind::Uncounted)
            }
        }
    }

    fn fault_object(
        &self,
        page: UserAddr,
        range: UserRange,
        area: &Area,
        view: &ObjectView,
        access: Access,
    ) -> Result<(), FaultError> {
        let index = view.page_index(page);
        if index >= view.object().end_page() {
            return Err(FaultError::BeyondObject);
        }
        if view.object().is_detaching(index) {
            return Err(FaultError::Later);
        }
        let frame = view.object().page_or_create(index).map_err(object_error)?;
        if area.is_shared() {
            self.map_shared(page, frame, area.prot)?;
            if access == Access::Write {
                view.note_store();
            }
            return Ok(());
        }
        if access == Access::Write {
            let copy = frame.duplicate(self.payer.account())?;
            return self.map_page(page, copy, area.prot, Kind::Anonymous);
        }
        let prot = area.prot.write_protected();
        self.map_page(page, frame, prot, Kind::Object)?;
        self.map_around(page, range, view, prot);
        Ok(())
    }

    /// Gives a private page that is mapped read-only a frame of its own to write to: the same one if nobody
    /// else holds it, else a copy. False if nothing is mapped there.
    fn copy_on_write(&self, page: UserAddr, prot: Prot) -> Result<bool, FaultError> {
        let account = self.payer.account();
        Ok(self.page_table.edit().copy_on_write(page, prot, account)? == CopyOnWrite::Done)
    }

    #[inline]
    fn map_page(&self, page: UserAddr, frame: SharedFrame, prot: Prot, kind: Kind) -> Result<(), FaultError> {
        map_outcome(self.page_table.map(page, frame, prot, kind))
    }

    /// Maps an object's own frame with all rights, also where it is already mapped with fewer.
    fn map_shared(&self, page: UserAddr, frame: SharedFrame, prot: Prot) -> Result<(), FaultError> {
        match self.page_table.map(page, frame.clone(), prot, Kind::Object) {
            Err(MapError::Occupied) => {
                self.page_table.upgrade(page, &frame, prot, Writes::Shared);
                Ok(())
            }
            outcome => map_outcome(outcome),
        }
    }

    /// Maps what the object has around a page, as far as that needs no memory: programs touch neighbours next. The lock
    /// is held, so what is taken from the object from now on is unmapped after this.
    fn map_around(&self, page: UserAddr, range: UserRange, view: &ObjectView, prot: Prot) {
        let window = FAULT_AROUND * PAGE_SIZE;
        let start = page.as_u64() / window * window;
        let around =
            UserRange::new(UserAddr::new(start), window).and_then(|window| window.intersection(range));
        let Some(around) = around else { return };
        let mut frames: [Option<SharedFrame>; FAULT_AROUND as usize] = Default::default();
        view.object().pages(view.page_index(around.start()), &mut frames);
        // The window lies in one table, which the page itself has.
        self.page_table.map_beside(around, &mut frames, prot, Kind::Object);
    }

    /// Extends the area above `address` down to it, if that area grows down, the limit on stacks allows it
    /// and a gap remains to what lies below.
    fn grow_stack(&self, address: UserAddr, bounds: &dyn Bounds) -> Result<(), FaultError> {
        let mut state = self.state.write();
        let start = address.page_down();
        let (range, area) = state.areas.first_from(address).ok_or(FaultError::NotMapped)?;
        if range.contains(address) {
            return Ok(());
        }
        if !area.flags.contains(AreaFlags::GROWS_DOWN) {
            return Err(FaultError::NotMapped);
        }
        let added = UserRange::from_bounds(start, range.start()).ok_or(FaultError::NotMapped)?;
        let whole = UserRange::from_bounds(start, range.end()).ok_or(FaultError::NotMapped)?;
        let more = Usage::of(area, added);
        let allowed = whole.length() <= bounds.limits().soft(Resource::Stack)
            && start.as_u64() >= LOWEST_HINT
            && state.has_guard_gap(start)
            && state.may_lock(more.locked, bounds)
            && state.may_grow(more, bounds).is_ok();
        if !allowed {
            return Err(FaultError::NotMapped);
        }
        if state.areas.resize(range.start(), whole) {
            state.usage.add(more);
        }
        Ok(())
    }
}

impl State {
    /// Whether an area that grows down may start at `start`: what can be accessed below is far enough away.
    fn has_guard_gap(&self, start: UserAddr) -> bool {
        let Some((below, area)) = self.areas.last_before(start) else { return true };
        let exempt = area.flags.contains(AreaFlags::GROWS_DOWN) || area.prot.is_none();
        exempt || start.as_u64() - below.end().as_u64() >= STACK_GUARD_GAP
    }
}

/// A file system that is full cannot provide the page, as if the object ended before it.
fn object_error(errno: Errno) -> FaultError {
    if errno == Errno::ENOSPC { FaultError::BeyondObject } else { FaultError::OutOfMemory }
}

/// A page that another thread mapped meanwhile is as good as ours.
fn map_outcome(outcome: Result<(), MapError>) -> Result<(), FaultError> {
    match outcome {
        Ok(()) | Err(MapError::Occupied) => Ok(()),
        Err(MapError::OutOfMemory) => Err(FaultError::OutOfMemory),
        Err(MapError::BadAddress) => Err(FaultError::NotMapped),
    }
}
