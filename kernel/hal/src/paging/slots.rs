//! Pools of slots: windows of kernel addresses, cut into slots of equal size whose pages are mapped to single frames.
//!
//! [`STACKS`] has the kernel stacks: slots of 32 KiB, aligned to that size, with the stack in the lower half, so that
//! an overflow runs into the unmapped upper half of the slot below, and one bit of the stack pointer tells the two
//! apart. [`OBJECTS`] has the heap's objects of more than a frame where no frames lie side by side.
//!
//! A slot that is given back stays mapped for the next owner. What is kept beyond a pool's limit is taken apart by
//! threads that end and by idle CPUs, a batch with one flush on all CPUs, and all of it by whoever finds no memory. A
//! slot's frames are freed after that flush, and only then is the slot mapped anew. So what is kept is bounded once a
//! CPU idles; on a machine that has no idle moment, threads that end see to it.
//!
//! Lock order: a pool's state is a leaf.
use super::kernel;
use crate::arch::Arch;
use crate::contract::{Cpu as _, Paging as _};
use crate::frame::{self, KernelFrame, OutOfMemory, record};
use crate::sync::{IrqLock, preempt};
use arrayvec::ArrayVec;
use core::sync::atomic::{AtomicU32, Ordering::Relaxed};
use libkernel::addr::{PAGE_SIZE, PhysAddr};

/// Bytes of a kernel stack.
pub const STACK_BYTES: u64 = 16 << 10;
/// Bytes of its slot.
pub const STACK_SLOT_BYTES: u64 = 32 << 10;
/// Slots in the window of stacks: 512 GiB of addresses.
pub const STACK_SLOTS: u32 = 1 << 24;
/// Frames of memory for each stack that is kept: 1/256 of memory at most.
const FRAMES_PER_STACK: usize = 256 * (STACK_BYTES / PAGE_SIZE) as usize;

/// Orders of objects that have a pool: from two pages to what one leaf table maps.
const ORDERS: usize = 9;
/// Addresses of each order's pool.
const OBJECT_WINDOW: u64 = 32 << 30;

/// Ends lists of slots and of frames.
const NONE: u32 = u32::MAX;
/// Slots that are taken apart with one flush: so many at most, of so many pages altogether if they are not larger.
const BATCH: usize = 64;
const BATCH_PAGES: usize = 256;

/// The kernel stacks.
pub static STACKS: Pool =
    Pool::new(0, Arch::KERNEL_STACKS, STACK_SLOT_BYTES, (STACK_BYTES / PAGE_SIZE) as usize, STACK_SLOTS);

/// The objects of `1 << order` pages, by `order - 1`.
static OBJECTS: [Pool; ORDERS] = {
    let mut pools = [const { Pool::new(0, 0, PAGE_SIZE, 1, 0) }; ORDERS];
    let mut order = 1;
    while order <= ORDERS {
        let bytes = PAGE_SIZE << order;
        let start = Arch::KERNEL_OBJECTS.wrapping_add(order as u64 * OBJECT_WINDOW);
        pools[order - 1] = Pool::new(order as u32, start, bytes, 1 << order, (OBJECT_WINDOW / bytes) as u32);
        order += 1;
    }
    pools
};

/// The pools that keep a batch more than their limit, by a bit each.
static SURPLUS: AtomicU32 = AtomicU32::new(0);

/// The pool of objects of `1 << order` pages, if there is one.
#[cfg(any(not(target_os = "linux"), test))]
pub fn objects(order: u32) -> Option<&'static Pool> {
    OBJECTS.get((order as usize).wrapping_sub(1))
}

/// Whether an address lies in the windows of objects.
#[cfg(any(not(target_os = "linux"), test))]
#[inline]
pub fn is_object(address: u64) -> bool {
    address.wrapping_sub(Arch::KERNEL_OBJECTS) < (ORDERS as u64 + 1) * OBJECT_WINDOW
}

/// Frees a batch of what a pool keeps beyond its limit, once there is one; whether there was. Called where a CPU may
/// wait for the others and nobody waits for it: by idle CPUs, and by threads that end. One load, as a rule.
#[inline]
pub fn give_back_surplus() -> bool {
    SURPLUS.load(Relaxed) != 0 && give_back_some()
}

#[cold]
fn give_back_some() -> bool {
    let is_over = |pool: &&Pool| SURPLUS.load(Relaxed) & 1 << pool.number != 0;
    pools().find(is_over).is_some_and(|pool| pool.give_back(pool.limit()))
}

/// Frees all that pools keep, where the caller may wait for the other CPUs.
pub(crate) fn give_back_all() {
    if preempt::may_block() && Arch::interrupts_enabled() {
        pools().for_each(|pool| while pool.kept.load(Relaxed) != 0 && pool.give_back(0) {});
    }
}

fn pools() -> impl Iterator<Item = &'static Pool> {
    core::iter::once(&STACKS).chain(&OBJECTS)
}

/// A window of slots.
pub struct Pool {
    /// Its bit in [`SURPLUS`].
    number: u32,
    start: u64,
    /// A power of two.
    slot_bytes: u64,
    /// How many of a slot's pages are mapped, from the lowest on; they share a leaf table.
    pages: usize,
    slots: u32,
    state: IrqLock<State>,
    /// How many are kept, to look at without the lock.
    kept: AtomicU32,
}

struct State {
    /// First of the slots that are kept; the lowest word of such a slot names the next.
    first_kept: u32,
    /// First of the slots whose frames were given back; the entry of its lowest page names the next.
    first_bare: u32,
    /// Slots from here on were never mapped.
    unused: u32,
}

impl Pool {
    const fn new(number: u32, start: u64, slot_bytes: u64, pages: usize, slots: u32) -> Self {
        let state = State { first_kept: NONE, first_bare: NONE, unused: 1 };
        Self { number, start, slot_bytes, pages, slots, state: IrqLock::new(state), kept: AtomicU32::new(0) }
    }

    /// The address of a slot's lowest byte.
    #[inline]
    pub fn bottom(&self, slot: u32) -> u64 {
        self.start.wrapping_add(u64::from(slot) * self.slot_bytes)
    }

    /// The slot in which an address of the window lies.
    #[cfg(any(not(target_os = "linux"), test))]
    pub fn slot_of(&self, address: u64) -> u32 {
        ((address - self.start) / self.slot_bytes) as u32
    }

    fn pages(&self, slot: u32) -> impl Iterator<Item = u64> {
        let bottom = self.bottom(slot);
        (0..self.pages as u64).map(move |page| bottom + page * PAGE_SIZE)
    }

    /// A slot whose pages are mapped, with any content. In any context.
    pub fn take(&self) -> Result<u32, OutOfMemory> {
        let mut state = self.state.lock();
        let slot = state.first_kept;
        if slot == NONE {
            drop(state);
            return self.map_fresh();
        }
        self.take_kept(&mut state);
        Ok(slot)
    }

    fn take_kept(&self, state: &mut State) {
        // SAFETY: a slot that is kept is mapped and nobody's; `keep` wrote this word.
        state.first_kept = unsafe { (self.bottom(state.first_kept) as *const u32).read() };
        self.count(self.kept.load(Relaxed) - 1);
    }

    /// Takes back a slot of [`Self::take`]. In any context.
    ///
    /// # Safety
    /// Nobody uses its memory any more.
    pub unsafe fn keep(&self, slot: u32) {
        let mut state = self.state.lock();
        // SAFETY: the slot is mapped, and by the caller's promise nobody uses it.
        unsafe { (self.bottom(slot) as *mut u32).write(state.first_kept) };
        state.first_kept = slot;
        self.count(self.kept.load(Relaxed) + 1);
    }

    /// Notes how many are kept. With the lock held.
    fn count(&self, kept: u32) {
        self.kept.store(kept, Relaxed);
        let is_over = kept >= self.limit() + self.batch() as u32;
        let bit = 1 << self.number;
        if (SURPLUS.load(Relaxed) & bit != 0) != is_over {
            SURPLUS.fetch_xor(bit, Relaxed);
        }
    }

    /// So many slots are kept: of stacks some, besides one for each CPU; of objects, which are few, none.
    fn limit(&self) -> u32 {
        if self.number == STACKS.number { (frame::total() / FRAMES_PER_STACK).max(16) as u32 } else { 0 }
    }

    fn batch(&self) -> usize {
        (BATCH_PAGES / self.pages).clamp(1, BATCH)
    }

    /// Maps fresh frames in a free slot.
    #[cold]
    fn map_fresh(&self) -> Result<u32, OutOfMemory> {
        let frames = Chain::gather(self.pages)?;
        let slot = self.take_bare().ok_or(OutOfMemory)?;
        for (page, frame) in self.pages(slot).zip(frames) {
            // The pages share a table: if this fails, it does so for the first.
            if let Err(error) = Arch::map_kernel(page, frame.phys()) {
                self.put_back(slot);
                return Err(error);
            }
            frame.into_phys();
        }
        Ok(slot)
    }

    /// A slot without frames.
    fn take_bare(&self) -> Option<u32> {
        let mut state = self.state.lock();
        let slot = state.first_bare;
        if slot != NONE {
            state.first_bare = kernel::take_note(self.bottom(slot)).unwrap_or(NONE);
            return Some(slot);
        }
        let slot = state.unused;
        state.unused += u32::from(slot < self.slots);
        (slot < self.slots).then_some(slot)
    }

    /// Takes back the slot of [`Self::take_bare`] that could not be mapped: one never mapped before, for which there is
    /// no table. If others were taken since, it is lost, which costs no memory.
    fn put_back(&self, slot: u32) {
        let mut state = self.state.lock();
        if state.unused == slot + 1 {
            state.unused = slot;
        }
    }

    /// Takes a batch of slots apart, or fewer if `limit` are left; whether there were any.
    #[cold]
    fn give_back(&self, limit: u32) -> bool {
        let mut batch = ArrayVec::<u32, BATCH>::new_const();
        let mut state = self.state.lock();
        while state.first_kept != NONE && self.kept.load(Relaxed) > limit && batch.len() < self.batch() {
            batch.push(state.first_kept);
            self.take_kept(&mut state);
        }
        drop(state);
        self.take_apart(&batch);
        !batch.is_empty()
    }

    /// Frees the frames of slots that are nobody's.
    fn take_apart(&self, batch: &[u32]) {
        if batch.is_empty() {
            return;
        }
        batch.iter().flat_map(|&slot| self.pages(slot)).for_each(kernel::hide);
        let guard = preempt::disable();
        Arch::flush_kernel();
        drop(guard);
        for page in batch.iter().flat_map(|&slot| self.pages(slot)) {
            // SAFETY: flushed above, after the page was hidden.
            drop(unsafe { kernel::take_frame(page) });
        }
        let mut state = self.state.lock();
        for &slot in batch {
            kernel::set_note(self.bottom(slot), state.first_bare);
            state.first_bare = slot;
        }
    }
}

/// Frames on their way into a slot, each with the number of the next in its record.
struct Chain(u32);

impl Chain {
    fn gather(count: usize) -> Result<Self, OutOfMemory> {
        let mut chain = Self(NONE);
        for _ in 0..count {
            let frame = KernelFrame::alloc_zeroed()?.into_phys();
            record(frame).next.store(chain.0, Relaxed);
            chain.0 = frame.frame_number() as u32;
        }
        Ok(chain)
    }
}

impl Iterator for Chain {
    type Item = KernelFrame;

    fn next(&mut self) -> Option<KernelFrame> {
        if self.0 == NONE {
            return None;
        }
        let frame = PhysAddr::of_frame(self.0.into());
        self.0 = record(frame).next.load(Relaxed);
        // SAFETY: `gather` gave the frame up, and the chain alone has it.
        Some(unsafe { KernelFrame::from_phys(frame) })
    }
}

impl Drop for Chain {
    fn drop(&mut self) {
        self.for_each(drop);
    }
}
