//! Handing out frames: a stock behind one lock, and a small cache of single frames for each CPU.
//!
//! Caches trade with the stock in batches. A batch that a CPU gives back is kept as it is, a chain of frames, for the next
//! CPU that wants one: neither has to take apart or join blocks of the buddy allocator, whose lines all CPUs write to.
//!
//! Frees may come from interrupt handlers, so both are used with interrupts masked. Below the low watermark only the
//! kernel's own small needs are served: see [`may_allocate`](super::may_allocate).
//!
//! Lock order: the stock's lock is a leaf.
use super::table::{self, TableLinks, record};
use super::{FrameStatistics, OutOfMemory};
use crate::cpu::MAX_CPUS;
use crate::sync::{IrqLock, PerCpu};
use core::cell::Cell;
use core::sync::atomic::{AtomicUsize, Ordering};
use libkernel::addr::{PAGE_SIZE, PhysAddr, PhysRange};
use libkernel::buddy::Buddy;
#[cfg(any(not(target_os = "linux"), test))]
use libkernel::buddy::{CHUNK_FRAMES, MAX_ORDER};

/// Most regions that firmware may report.
const MAX_REGIONS: usize = 64;
/// Frames that a CPU keeps at most, and how many it fetches or returns at once.
const CACHE_FRAMES: usize = 64;
const CACHE_BATCH: usize = 32;
/// The reserve: a share of memory, within bounds, in frames.
const WATERMARK_SHARE: usize = 32;
const WATERMARK_MIN: usize = 128;
const WATERMARK_MAX: usize = 1024;

static STOCK: IrqLock<Stock> =
    IrqLock::new(Stock { buddy: Buddy::new(TableLinks, 0), chains: [0; CHAINS], count: 0 });
static REGIONS: IrqLock<Regions> = IrqLock::new(Regions { list: [None; MAX_REGIONS], initialised: false });

/// All frames, free frames outside the CPUs' caches, and where the reserve begins.
static TOTAL: AtomicUsize = AtomicUsize::new(0);
static FREE: AtomicUsize = AtomicUsize::new(0);
static WATERMARK: AtomicUsize = AtomicUsize::new(0);

/// Most batches that are kept as chains: 4 MiB.
const CHAINS: usize = 32;
/// The order of a block of [`CACHE_BATCH`] frames.
const BATCH_ORDER: u32 = CACHE_BATCH.ilog2();

/// What no CPU's cache has.
struct Stock {
    buddy: Buddy<TableLinks>,
    /// First frames of chains of [`CACHE_BATCH`] frames, linked through their records.
    chains: [u32; CHAINS],
    count: usize,
}

impl Stock {
    /// Fills `batch` with frames, from its start; how many there were.
    fn take(&mut self, batch: &[Cell<u32>]) -> usize {
        if self.count == 0 {
            return self.take_apart(batch);
        }
        self.count -= 1;
        let mut next = self.chains[self.count];
        for place in batch {
            place.set(next);
            next = record(PhysAddr::of_frame(next.into())).next.load(Ordering::Relaxed);
        }
        batch.len()
    }

    /// As [`Self::take`], from blocks: whole ones as long as there are any.
    fn take_apart(&mut self, batch: &[Cell<u32>]) -> usize {
        let mut count = 0;
        let mut order = BATCH_ORDER;
        while count < batch.len() {
            match self.buddy.allocate(order) {
                Some(first) => {
                    self.buddy.split(first, order);
                    let places = &batch[count..count + (1 << order)];
                    (first as u32..).zip(places).for_each(|(frame, place)| place.set(frame));
                    count += places.len();
                }
                None if order == 0 => break,
                None => order -= 1,
            }
        }
        count
    }

    /// Takes a batch back.
    fn give(&mut self, batch: &[Cell<u32>]) {
        if self.count < CHAINS {
            for pair in batch.windows(2) {
                let frame = PhysAddr::of_frame(pair[0].get().into());
                record(frame).next.store(pair[1].get(), Ordering::Relaxed);
            }
            self.chains[self.count] = batch[0].get();
            self.count += 1;
        } else {
            batch.iter().for_each(|frame| self.buddy.free(frame.get().into(), 0));
        }
    }

    /// Takes a block; dissolves the chains if there is none.
    fn take_block(&mut self, order: u32) -> Option<u64> {
        self.buddy.allocate(order).or_else(|| {
            self.dissolve();
            self.buddy.allocate(order)
        })
    }

    #[cold]
    fn dissolve(&mut self) {
        for &first in &self.chains[..self.count] {
            let mut frame = first;
            for _ in 0..CACHE_BATCH {
                let next = record(PhysAddr::of_frame(frame.into())).next.load(Ordering::Relaxed);
                self.buddy.free(frame.into(), 0);
                frame = next;
            }
        }
        self.count = 0;
    }

    fn publish(&self) {
        let free = self.buddy.free_frames() as usize + self.count * CACHE_BATCH;
        FREE.store(free, Ordering::Relaxed);
    }
}

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
    let mut stock = STOCK.lock();
    let before = stock.buddy.free_frames();
    stock.buddy.add_range(region.whole_frames());
    TOTAL.fetch_add((stock.buddy.free_frames() - before) as usize, Ordering::Relaxed);
    stock.publish();
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
    CACHES.with_masked(|cache| action(&cache.0))
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
    let mut stock = STOCK.lock();
    let count = stock.take(&cache.frames[..CACHE_BATCH]);
    stock.publish();
    count
}

#[cold]
fn drain(cache: &Cache) -> usize {
    let mut stock = STOCK.lock();
    stock.give(&cache.frames[CACHE_FRAMES - CACHE_BATCH..]);
    stock.publish();
    CACHE_FRAMES - CACHE_BATCH
}

/// Takes `1 << order` frames in one piece, aligned to their size.
#[cfg(any(not(target_os = "linux"), test))]
pub(crate) fn allocate_block(order: u32) -> Result<PhysAddr, OutOfMemory> {
    if order == 0 {
        return allocate();
    }
    let mut stock = STOCK.lock();
    let frame = stock.take_block(order).ok_or(OutOfMemory)?;
    stock.publish();
    Ok(PhysAddr::of_frame(frame))
}

/// The same for an order above 0, where the reserve is left alone.
pub(super) fn allocate_block_above_watermark(order: u32) -> Result<PhysAddr, OutOfMemory> {
    let mut stock = STOCK.lock();
    if FREE.load(Ordering::Relaxed) <= WATERMARK.load(Ordering::Relaxed) + (1 << order) {
        return Err(OutOfMemory);
    }
    let frame = stock.take_block(order).ok_or(OutOfMemory)?;
    stock.publish();
    Ok(PhysAddr::of_frame(frame))
}

/// Gives back what [`allocate_block`] gave with the same order.
pub(crate) fn free_block(frame: PhysAddr, order: u32) {
    if order == 0 {
        return free(frame);
    }
    let mut stock = STOCK.lock();
    stock.buddy.free(frame.frame_number(), order);
    stock.publish();
}

/// Takes so many neighbouring chunks that nobody has had yet, and leaves the reserve alone: see [`Buddy::allocate_chunks`].
#[cfg(any(not(target_os = "linux"), test))]
#[cold]
pub(crate) fn allocate_chunks(count: usize) -> Result<PhysAddr, OutOfMemory> {
    let wanted = count * CHUNK_FRAMES as usize;
    if FREE.load(Ordering::Relaxed) < wanted + WATERMARK.load(Ordering::Relaxed) {
        return Err(OutOfMemory);
    }
    let mut stock = STOCK.lock();
    let frame = stock.buddy.allocate_chunks(count).ok_or(OutOfMemory)?;
    stock.publish();
    Ok(PhysAddr::of_frame(frame))
}

/// Gives them back.
#[cfg(any(not(target_os = "linux"), test))]
#[cold]
pub(crate) fn free_chunks(first: PhysAddr, count: usize) {
    for chunk in 0..count as u64 {
        free_block(first.wrapping_add(chunk * CHUNK_FRAMES * PAGE_SIZE), MAX_ORDER);
    }
}
