//! Kernel stacks: 16 KiB each, with an unmapped guard below.
//!
//! The window is cut into slots of 32 KiB, aligned to that size, with the stack in the lower half: an overflow runs
//! into the unmapped upper half of the slot below, and one bit of the stack pointer tells the two apart.
//!
//! A stack whose task is gone stays mapped for the next one: each CPU keeps the one that it was given back last, the
//! others are in a list, up to [`limit`] of them. What is beyond is taken apart by threads that end and by idle CPUs,
//! [`BATCH`] stacks with one flush on all CPUs, and all of it by whoever finds no memory. A slot's frames are freed
//! after that flush, and only then is the slot mapped anew. So what is kept is bounded once a CPU idles; on a machine
//! that has no idle moment, threads that end see to it.
//!
//! Lock order: [`STACKS`] is a leaf.
use crate::arch::Arch;
use crate::contract::{Cpu as _, Paging as _};
use crate::cpu::MAX_CPUS;
use crate::frame::{self, KernelFrame, OutOfMemory};
use crate::paging::kernel;
use crate::sync::{IrqLock, PerCpu, preempt};
use arrayvec::ArrayVec;
use core::cell::Cell;
use core::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use libkernel::addr::PAGE_SIZE;

const SLOT_BYTES: u64 = 32 << 10;
/// Bytes of a stack.
pub const STACK_BYTES: u64 = 16 << 10;
const PAGES: usize = (STACK_BYTES / PAGE_SIZE) as usize;
/// Slots in the window: 512 GiB of addresses.
const SLOTS: u32 = 1 << 24;
/// Ends the lists of slots.
const NONE: u32 = u32::MAX;
/// Stacks that are taken apart with one flush.
const BATCH: usize = 64;
/// Frames of memory for each stack that is kept: 1/256 of memory at most.
const FRAMES_PER_KEPT: usize = 256 * PAGES;

/// A kernel stack of one task; dropped, it waits for the next one.
pub struct KernelStack(u32);

struct Slots {
    /// First of the stacks that are kept; the lowest word of such a stack names the next.
    first_kept: u32,
    kept: u32,
    /// First of the slots whose frames were given back; the entry of its lowest page names the next.
    first_bare: u32,
    /// Slots from here on were never mapped.
    unused: u32,
}

/// Each CPU's free stack, or [`NONE`].
static SPARE: PerCpu<Cell<u32>> = PerCpu::new([const { Cell::new(NONE) }; MAX_CPUS]);

static STACKS: IrqLock<Slots> =
    IrqLock::new(Slots { first_kept: NONE, kept: 0, first_bare: NONE, unused: 1 });

/// [`Slots::kept`], to look at without the lock.
static KEPT: AtomicU32 = AtomicU32::new(0);
/// A batch more than the limit is kept.
static SURPLUS: AtomicBool = AtomicBool::new(false);

fn bottom(slot: u32) -> u64 {
    Arch::KERNEL_STACKS + u64::from(slot) * SLOT_BYTES
}

fn pages(slot: u32) -> impl Iterator<Item = u64> {
    (0..PAGES as u64).map(move |page| bottom(slot) + page * PAGE_SIZE)
}

impl Slots {
    fn keep(&mut self, slot: u32) {
        // SAFETY: the stack is mapped, and with its task gone nobody uses it.
        unsafe { (bottom(slot) as *mut u32).write(self.first_kept) };
        self.first_kept = slot;
        self.kept += 1;
        self.publish();
    }

    fn take_kept(&mut self) -> Option<u32> {
        let slot = self.first_kept;
        if slot == NONE {
            return None;
        }
        // SAFETY: a stack that is kept is mapped and nobody's; `keep` wrote this word.
        self.first_kept = unsafe { (bottom(slot) as *const u32).read() };
        self.kept -= 1;
        self.publish();
        Some(slot)
    }

    fn publish(&self) {
        KEPT.store(self.kept, Ordering::Relaxed);
        SURPLUS.store(self.kept >= limit() + BATCH as u32, Ordering::Relaxed);
    }

    /// A slot without frames.
    fn take_bare(&mut self) -> Option<u32> {
        let slot = self.first_bare;
        if slot != NONE {
            self.first_bare = kernel::take_note(bottom(slot)).unwrap_or(NONE);
            return Some(slot);
        }
        let slot = self.unused;
        self.unused += u32::from(slot < SLOTS);
        (slot < SLOTS).then_some(slot)
    }

    /// Takes back the slot of [`Self::take_bare`] that could not be mapped: one never mapped before, for which there is
    /// no table. If others were taken since, it is lost, which costs no memory.
    fn put_back(&mut self, slot: u32) {
        if self.unused == slot + 1 {
            self.unused = slot;
        }
    }
}

impl KernelStack {
    /// A stack with any content.
    pub fn allocate() -> Result<Self, OutOfMemory> {
        if cfg!(target_os = "linux") {
            // The host machine runs tasks on threads of its own.
            return Ok(Self(NONE));
        }
        let spare = SPARE.with_masked(|spare| spare.replace(NONE));
        if spare != NONE {
            return Ok(Self(spare));
        }
        let kept = STACKS.lock().take_kept();
        kept.map_or_else(map_fresh, Ok).map(Self)
    }

    /// The address behind its highest byte.
    pub fn top(&self) -> *mut u8 {
        bottom(self.0).wrapping_add(STACK_BYTES) as *mut u8
    }
}

impl Drop for KernelStack {
    fn drop(&mut self) {
        if cfg!(target_os = "linux") {
            return;
        }
        let slot = SPARE.with_masked(|spare| spare.replace(self.0));
        if slot != NONE {
            STACKS.lock().keep(slot);
        }
    }
}

/// Maps fresh frames in a free slot.
#[cold]
fn map_fresh() -> Result<u32, OutOfMemory> {
    let mut frames = ArrayVec::<KernelFrame, PAGES>::new_const();
    while !frames.is_full() {
        frames.push(KernelFrame::alloc_zeroed()?);
    }
    let slot = STACKS.lock().take_bare().ok_or(OutOfMemory)?;
    for (page, frame) in pages(slot).zip(frames) {
        // A stack's pages share a table: if this fails, it does so for the first.
        if let Err(error) = Arch::map_kernel(page, frame.phys()) {
            STACKS.lock().put_back(slot);
            return Err(error);
        }
        frame.into_phys();
    }
    Ok(slot)
}

/// So many stacks are kept, besides one for each CPU.
fn limit() -> u32 {
    (frame::total() / FRAMES_PER_KEPT).max(16) as u32
}

/// Frees a batch of what is kept beyond the limit, once there is one; whether there was. Called where a CPU may wait
/// for the others and nobody waits for it: by idle CPUs, and by threads that end. One load, as a rule.
#[inline]
pub fn give_back_surplus() -> bool {
    SURPLUS.load(Ordering::Relaxed) && give_back(limit())
}

/// Frees all that is kept but each CPU's own, where the caller may wait for the other CPUs.
pub(crate) fn give_back_all() {
    if preempt::may_block() && Arch::interrupts_enabled() {
        while KEPT.load(Ordering::Relaxed) != 0 && give_back(0) {}
    }
}

/// Takes a batch of stacks apart, or fewer if `limit` are left; whether there were any.
#[cold]
fn give_back(limit: u32) -> bool {
    let mut batch = ArrayVec::<u32, BATCH>::new_const();
    let mut stacks = STACKS.lock();
    while stacks.kept > limit
        && !batch.is_full()
        && let Some(slot) = stacks.take_kept()
    {
        batch.push(slot);
    }
    drop(stacks);
    take_apart(&batch);
    !batch.is_empty()
}

/// Frees the frames of stacks that are nobody's.
fn take_apart(batch: &[u32]) {
    if batch.is_empty() {
        return;
    }
    batch.iter().copied().flat_map(pages).for_each(kernel::hide);
    let guard = preempt::disable();
    Arch::flush_kernel();
    drop(guard);
    for page in batch.iter().copied().flat_map(pages) {
        // SAFETY: flushed above, after the page was hidden.
        drop(unsafe { kernel::take_frame(page) });
    }
    let mut stacks = STACKS.lock();
    for &slot in batch {
        kernel::set_note(bottom(slot), stacks.first_bare);
        stacks.first_bare = slot;
    }
}

/// An aligned word of a kernel stack, whoever's it is; `None` for any other address. In any context. The stack may be
/// in use, or be given back meanwhile: then the word is nonsense.
pub(crate) fn word(address: u64) -> Option<u64> {
    let offset = address.checked_sub(Arch::KERNEL_STACKS)?;
    let is_inside = (1..u64::from(SLOTS)).contains(&(offset / SLOT_BYTES))
        && offset % SLOT_BYTES <= STACK_BYTES - 8
        && address.is_multiple_of(8);
    let frame = if is_inside { kernel::translate(address)? } else { return None };
    let place = Arch::direct_map(frame).wrapping_add((address % PAGE_SIZE) as usize).cast::<u64>();
    // SAFETY: an aligned word of memory, by way of the direct map, which stays whatever becomes of the stack.
    Some(unsafe { place.read_volatile() })
}

/// Where the window begins.
#[cfg(test)]
pub(crate) fn stack_window() -> u64 {
    Arch::KERNEL_STACKS
}
