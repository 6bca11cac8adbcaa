//! Handing out frames: a buddy allocator behind one lock, and a small cache of single frames for each CPU.
//!
//! Frees may come from interrupt handlers, so both are used with interrupts masked. Below the low watermark only the
//! kernel's own small needs are served: see [`may_allocate`](super::may_allocate).
//!
//! Lock order: the buddy lock is a leaf.
use super::table::{self, TableLinks};
use super::{FrameStatistics, OutOfMemory};
use crate::arch::Arch;
use crate::contract::Cpu as _;
use crate::cpu::MAX_CPUS;
use crate::sync::{IrqLock, PerCpu};
use core::cell::Cell;
use core::sync::atomic::{AtomicUsize, Ordering};
use libkernel::addr::{PAGE_SIZE, PhysAddr, PhysRange};
use libkernel::buddy::Buddy;

/// Most regions that firmware may report.
const MAX_REGIONS: usize = 64;
/// Frames that a CPU keeps at most, and how many it fetches or returns at once.
const CACHE_FRAMES: usize = 64;
const CACHE_BATCH: usize = 32;
/// The reserve: a share of memory, within bounds, in frames.
const WATERMARK_SHARE: usize = 32;
const WATERMARK_MIN: usize = 128;
const WATERMARK_MAX: usize = 1024;

static BUDDY: IrqLock<Buddy<TableLinks>> = IrqLock::new(Buddy::new(TableLinks, 0));
static REGIONS: IrqLock<Regions> = IrqLock::new(Regions { list: [None; MAX_REGIONS], initialised: false });

/// All frames, free frames outside the CPUs' caches, and where the reserve begins.
static TOTAL: AtomicUsize = AtomicUsize::new(0);
static FREE: AtomicUsize = AtomicUsize::new(0);
static WATERMARK: AtomicUsize = AtomicUsize::new(0);

struct Regions {
    list: [Option<PhysRange>; MAX_REGIONS],
    initialised: bool,
}

/// Names usable memory. Before [`init`]: remembered. Afterwards: given to the allocator, if the frame table covers it.
pub(crate) fn add_region(region: PhysRange) {
    let mut regions = REGIONS.lock();
    if regions.initialised {
        drop(regions);
        give(region);
    } else if let Some(place) = regions.list.iter_mut().find(|place| place.is_none()) {
        *place = Some(region);
    }
}

/// Makes room for the frame table inside the regions, and gives the rest to the allocator. Once.
pub(crate) fn init() {
    let mut regions = REGIONS.lock();
    regions.initialised = true;
    let end = regions.list.iter().flatten().map(|region| region.whole_frames().end).max().unwrap_or(0);
    let bytes = table::bytes_for(end);
    let home =
        regions.list.iter_mut().flatten().filter(|region| region.length() >= bytes + PAGE_SIZE).max_by_key(
            // Low memory is precious to devices: the table goes high.
            |region| region.start.as_u64(),
        );
    let Some(home) = home else { panic!("no {bytes} bytes in one piece for the frame table") };
    let start = PhysAddr::of_frame(home.whole_frames().start);
    home.start = start.wrapping_add(bytes);
    table::place(start, end);
    let list = regions.list;
    drop(regions);
    list.into_iter().flatten().for_each(give);
    let share = TOTAL.load(Ordering::Relaxed) / WATERMARK_SHARE;
    WATERMARK.store(share.clamp(WATERMARK_MIN, WATERMARK_MAX), Ordering::Relaxed);
}

fn give(region: PhysRange) {
    let mut buddy = BUDDY.lock();
    let before = buddy.free_frames();
    buddy.add_range(region.whole_frames());
    TOTAL.fetch_add((buddy.free_frames() - before) as usize, Ordering::Relaxed);
    publish(&buddy);
}

fn publish(buddy: &Buddy<TableLinks>) {
    FREE.store(buddy.free_frames() as usize, Ordering::Relaxed);
}

/// False in the reserve.
#[inline(always)]
pub(super) fn above_watermark() -> bool {
    FREE.load(Ordering::Relaxed) > WATERMARK.load(Ordering::Relaxed)
}

/// All frames.
#[inline(always)]
pub(super) fn total() -> usize {
    TOTAL.load(Ordering::Relaxed)
}

/// True when half of the reserve is gone.
#[inline(always)]
pub(super) fn is_critical() -> bool {
    FREE.load(Ordering::Relaxed) < WATERMARK.load(Ordering::Relaxed) / 2
}

/// Counts, with the frames in the CPUs' caches.
pub(super) fn statistics() -> FrameStatistics {
    let cached: usize = CACHES.iter().map(|cache| cache.0.count.load(Ordering::Relaxed)).sum();
    FrameStatistics { total: total(), free: FREE.load(Ordering::Relaxed) + cached }
}

/// Free frames of one CPU.
struct Cache {
    frames: [Cell<u32>; CACHE_FRAMES],
    /// Read by others for statistics, written by its CPU alone.
    count: AtomicUsize,
}

/// A cache that other CPUs look at only through its atomic.
struct CacheLine(Cache);

// SAFETY: `frames` is used by the owning CPU alone, with interrupts masked (`with_cache`).
unsafe impl Sync for CacheLine {}

static CACHES: PerCpu<CacheLine> = PerCpu::new(
    [const { CacheLine(Cache { frames: [const { Cell::new(0) }; CACHE_FRAMES], count: AtomicUsize::new(0) }) };
        MAX_CPUS],
);

/// Calls `action` with this CPU's cache, interrupts masked.
#[inline(always)]
fn with_cache<R>(action: impl FnOnce(&Cache) -> R) -> R {
    let were_enabled = Arch::interrupts_disable();
    let result = CACHES.with(|cache| action(&cache.0));
    if were_enabled {
        Arch::interrupts_enable();
    }
    result
}

/// Takes one frame, with any content and any record. Goes into the reserve; callers that serve programs ask
/// [`above_watermark`] first.
#[inline]
pub(super) fn allocate() -> Result<PhysAddr, OutOfMemory> {
    with_cache(|cache| {
        let mut count = cache.count.load(Ordering::Relaxed);
        if count == 0 {
            count = refill(cache);
            if count == 0 {
                return Err(OutOfMemory);
            }
        }
        cache.count.store(count - 1, Ordering::Relaxed);
        Ok(PhysAddr::of_frame(cache.frames[count - 1].get().into()))
    })
}

/// Gives one frame back.
#[inline]
pub(super) fn free(frame: PhysAddr) {
    with_cache(|cache| {
        let mut count = cache.count.load(Ordering::Relaxed);
        if count == CACHE_FRAMES {
            count = drain(cache);
        }
        cache.frames[count].set(frame.frame_number() as u32);
        cache.count.store(count + 1, Ordering::Relaxed);
    });
}

#[cold]
fn refill(cache: &Cache) -> usize {
    let mut buddy = BUDDY.lock();
    let mut count = 0;
    while count < CACHE_BATCH {
        let Some(frame) = buddy.allocate(0) else { break };
        cache.frames[count].set(frame as u32);
        count += 1;
    }
    publish(&buddy);
    count
}

#[cold]
fn drain(cache: &Cache) -> usize {
    let mut buddy = BUDDY.lock();
    for frame in &cache.frames[CACHE_FRAMES - CACHE_BATCH..] {
        buddy.free(frame.get().into(), 0);
    }
    publish(&buddy);
    CACHE_FRAMES - CACHE_BATCH
}

/// Takes `1 << order` frames in one piece, aligned to their size.
#[cfg(any(not(target_os = "linux"), test))]
pub(crate) fn allocate_block(order: u32) -> Result<PhysAddr, OutOfMemory> {
    if order == 0 {
        return allocate();
    }
    let mut buddy = BUDDY.lock();
    let frame = buddy.allocate(order).ok_or(OutOfMemory)?;
    publish(&buddy);
    Ok(PhysAddr::of_frame(frame))
}

/// Gives back what [`allocate_block`] gave with the same order.
#[cfg(any(not(target_os = "linux"), test))]
pub(crate) fn free_block(frame: PhysAddr, order: u32) {
    if order == 0 {
        return free(frame);
    }
    let mut buddy = BUDDY.lock();
    buddy.free(frame.frame_number(), order);
    publish(&buddy);
}
