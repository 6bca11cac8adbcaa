//! Handing out frames: a stock behind one lock, and a small cache of single frames for each CPU.
//!
//! Caches trade with the stock in batches. A batch that a CPU gives back is kept as it is, a chain of frames, for the
//! next CPU that wants one: neither has to take apart or join blocks of the buddy allocator, whose lines all CPUs write
//! to.
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
use core::ops::Range;
use core::sync::atomic::{AtomicUsize, Ordering};
use libkernel::addr::{PAGE_SIZE, PhysAddr, PhysRange};
#[cfg(any(not(target_os = "linux"), test))]
use libkernel::buddy::MAX_ORDER;
use libkernel::buddy::{Buddy, CHUNK_FRAMES, MAX_FRAMES};

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

/// Makes room for the frame table inside the regions, and gives the rest to the allocator, which counts frames from
/// `lowest` on. Once.
pub(crate) fn init(lowest: PhysAddr) {
    let mut regions = REGIONS.lock();
    regions.initialised = true;
    let plan = plan(&mut regions.list, lowest.frame_number() / CHUNK_FRAMES * CHUNK_FRAMES);
    let Some(Plan { table, frames, is_cut }) = plan else { panic!("no room for the frame table") };
    table::place(table, frames.clone());
    let list = regions.list;
    drop(regions);
    STOCK.lock().buddy.set_base(frames.start);
    if is_cut {
        crate::boot::lacks("records for all of its memory: what lies far above the first is not used");
    }
    list.into_iter().flatten().for_each(give);
    let share = TOTAL.load(Ordering::Relaxed) / WATERMARK_SHARE;
    WATERMARK.store(share.clamp(WATERMARK_MIN, WATERMARK_MAX), Ordering::Relaxed);
}

/// Where the frame table goes, which frames have records there, and whether some have none.
struct Plan {
    table: PhysAddr,
    frames: Range<u64>,
    is_cut: bool,
}

/// Takes the table's place out of the regions, and those frames that the allocator cannot count from `first` on. Where
/// memory lies so far apart that the records in between leave no room, the highest regions are left out. `None`: there
/// is no room at all.
fn plan(list: &mut [Option<PhysRange>; MAX_REGIONS], first: u64) -> Option<Plan> {
    let limit = PhysAddr::of_frame(first + MAX_FRAMES - CHUNK_FRAMES);
    let mut is_cut = false;
    for place in list.iter_mut() {
        let Some(region) = *place else { continue };
        let end = region.end.min(limit);
        is_cut |= end < region.end;
        *place = (region.start < end).then_some(PhysRange { start: region.start, end });
    }
    loop {
        let end = list.iter().flatten().map(|region| region.whole_frames().end).max()?;
        let bytes = table::bytes_for(end - first);
        let has_room = |place: &&mut Option<PhysRange>| {
            place.is_some_and(|region| region.length() >= bytes.saturating_add(PAGE_SIZE))
        };
        // Low memory is precious to devices: the table goes high.
        if let Some(home) = list.iter_mut().filter(has_room).flatten().max_by_key(|region| region.start) {
            let table = PhysAddr::of_frame(home.whole_frames().start);
            home.start = table.wrapping_add(bytes);
            return Some(Plan { table, frames: first..end, is_cut });
        }
        is_cut = true;
        *list.iter_mut().max_by_key(|place| place.map(|region| region.start))? = None;
    }
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

/// Whether `frames` leave half of the reserve.
#[cfg(any(not(target_os = "linux"), test))]
pub(crate) fn is_free(frames: usize) -> bool {
    FREE.load(Ordering::Relaxed) > frames + WATERMARK.load(Ordering::Relaxed) / 2
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

/// Takes so many neighbouring chunks that nobody has had yet, and leaves the reserve alone: see
/// [`Buddy::allocate_chunks`].
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    const MIB: u64 = 1 << 20;
    const GIB: u64 = 1 << 30;

    fn planned(regions: &[(u64, u64)]) -> Option<(Plan, Vec<(u64, u64)>)> {
        let mut list = [None; MAX_REGIONS];
        for (place, (start, bytes)) in list.iter_mut().zip(regions) {
            *place = Some(PhysRange::new(PhysAddr::new(*start), *bytes));
        }
        let first = regions[0].0 / PAGE_SIZE / CHUNK_FRAMES * CHUNK_FRAMES;
        let plan = plan(&mut list, first)?;
        Some((plan, list.iter().flatten().map(|rest| (rest.start.as_u64(), rest.end.as_u64())).collect()))
    }

    #[test]
    fn the_table_is_as_long_as_memory_and_lies_high() {
        let (plan, rest) = planned(&[(GIB, GIB), (4 * GIB, GIB)]).unwrap();
        assert_eq!((plan.table.as_u64(), plan.frames, plan.is_cut), (4 * GIB, 0x4_0000..0x14_0000, false));
        assert_eq!(rest, [(GIB, 2 * GIB), (4 * GIB + 24 * MIB, 5 * GIB)]);
    }

    /// As on machines whose memory begins at a TiB.
    #[test]
    fn memory_may_begin_anywhere() {
        let (plan, rest) = planned(&[(1 << 40, 512 * MIB)]).unwrap();
        assert_eq!((plan.frames, plan.is_cut), (0x1000_0000..0x1002_0000, false));
        assert_eq!(rest, [((1 << 40) + 3 * MIB, (1 << 40) + 512 * MIB)]);
    }

    #[test]
    fn what_cannot_be_counted_is_left_out() {
        let far = planned(&[(2 * GIB, 2 * GIB), (512 * GIB, 128 * GIB)]).unwrap();
        assert_eq!((far.0.frames, far.0.is_cut), (0x8_0000..0x10_0000, true));
        let long = planned(&[(0, 300 * GIB)]).unwrap();
        assert_eq!((long.0.frames, long.0.is_cut), (0..MAX_FRAMES - CHUNK_FRAMES, true));
    }

    #[test]
    fn records_of_a_gap_may_cost_too_much() {
        let (plan, rest) = planned(&[(GIB, 512 * MIB), (200 * GIB, 512 * MIB)]).unwrap();
        assert_eq!((plan.frames, plan.is_cut, rest.len()), (0x4_0000..0x6_0000, true, 1));
        assert!(planned(&[(GIB, PAGE_SIZE)]).is_none());
    }
}
