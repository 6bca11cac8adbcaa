//! Memory objects: the page cache of a file, or anonymous memory that processes share.
//!
//! An [`Object`] is a sparse array of page frames and a size in bytes. A tmpfs file *is* an object:
//! `read` and `write` move bytes in its frames and shared mappings map the same frames, so the two agree.
//! Holes read as zero. The object knows which address spaces map it ([`mappings`]), so that truncation can
//! take the pages away from them; what they touch afterwards is SIGBUS.
//!
//! Whoever changes the content or the size by a call does so in turn (`writers`), and copies user memory in meanwhile:
//! one write is whole, and a truncation comes before or after it. The page-fault path takes no turn.
//!
//! Lock order: `writers`, then an address space's lock (sleeps), then `pages` or `mappings` (spin, never both at once),
//! then the leaf of `untouched`. Invariant: no frame lies at or beyond `size` once a truncation has returned, and the
//! bytes of the last frame beyond `size` are zero except where a shared mapping wrote them.

mod access;
#[cfg(test)]
mod block_tests;
mod budget;
mod detaching;
#[cfg(test)]
mod gone_tests;
mod mappings;
mod seals;
mod sparse;
mod untouched;

use alloc::sync::Arc;
use core::ops::Range;
use core::sync::atomic::{AtomicU64, Ordering};

use crate::user::{IoSink, IoSource};
use abi::Errno;
use hal::frame::SharedFrame;
use hal::sync::SpinLock;
use libkernel::addr::PAGE_SIZE;
use libkernel::radix::RadixTree;
use outcome::OrErrno;
use sched::turns::Turns;
use subject::charges::Payer;

use access::AccessCount;
pub use access::{ExecuteAccess, WriteAccess};
use budget::Charge;
pub use budget::{PageBudget, pages_in_use};
use detaching::Detaching;
pub(super) use mappings::Mapping;
use mappings::MappingList;
pub use mappings::Stores;
use seals::Seals;
pub use sparse::Growth;
use untouched::{Untouched, Use};

/// The largest size of an object: what a signed file offset can say (`MAX_LFS_FILESIZE`).
pub const MAX_SIZE: u64 = i64::MAX as u64;

/// A sparse, growable array of page frames, of which some may be blocks: each page is had by itself, and whoever takes
/// pages away takes apart what the range cuts.
pub struct Object {
    pages: SpinLock<RadixTree<SharedFrame>>,
    size: AtomicU64,
    /// Serialises writers and truncation; guards every change of `size`.
    writers: Turns<()>,
    mappings: SpinLock<MappingList>,
    access: AccessCount,
    /// How many files are open for reading alone.
    readers: AtomicU64,
    budget: Option<Arc<PageBudget>>,
    untouched: Untouched,
    seals: Seals,
    detaching: Detaching,
    /// Whom its pages are charged to, besides the budget.
    payer: Payer,
}

impl Object {
    /// An object of `size` bytes, all of them a hole.
    pub fn new(size: u64) -> Arc<Self> {
        Self::charged_to(Payer::EVERYBODY, size)
    }

    /// The same, whose pages somebody pays for.
    pub fn charged_to(payer: Payer, size: u64) -> Arc<Self> {
        Self::with_budget(payer, size, None)
    }

    /// The same, with every page charged to a budget: `ENOSPC` once that is used up.
    pub fn limited(size: u64, budget: Arc<PageBudget>) -> Arc<Self> {
        Self::with_budget(Payer::EVERYBODY, size, Some(budget))
    }

    fn with_budget(payer: Payer, size: u64, budget: Option<Arc<PageBudget>>) -> Arc<Self> {
        Arc::new(Self {
            pages: SpinLock::new(RadixTree::new()),
            size: AtomicU64::new(size),
            writers: Turns::new(()),
            mappings: SpinLock::new(MappingList::new()),
            access: AccessCount::new(),
            readers: AtomicU64::new(0),
            budget,
            untouched: Untouched::new(),
            seals: Seals::new(),
            detaching: Detaching::new(),
            payer,
        })
    }

    /// The size in bytes.
    pub fn size(&self) -> u64 {
        self.size.load(Ordering::Acquire)
    }

    /// The index of the first page that lies wholly beyond the size.
    #[inline]
    pub(crate) fn end_page(&self) -> u64 {
        self.size().div_ceil(PAGE_SIZE)
    }

    /// How many page frames the object holds: what `st_blocks` counts.
    pub fn resident_pages(&self) -> u64 {
        self.pages.lock().len() as u64
    }

    /// The frame at a page index, if the object has it in memory; for what becomes of frames, not of what they hold
    /// ([`Self::content`]).
    pub fn page(&self, index: u64) -> Option<SharedFrame> {
        get_page(&self.pages.lock(), index)
    }

    /// What there is at a page index: the one look that takes what is absent for a hole. With a pager there is a third
    /// answer, "later", and every place that asks is to say what it does then.
    #[inline(always)]
    pub fn content(&self, index: u64) -> PageContent {
        match self.page(index) {
            Some(frame) => PageContent::Frame(frame),
            None => PageContent::Hole,
        }
    }

    /// The frame at a page index, if there is one that somebody has used.
    #[inline(always)]
    fn used_page(&self, index: u64) -> Option<SharedFrame> {
        match self.content(index) {
            PageContent::Frame(frame) if !self.untouched.contains(index) => Some(frame),
            PageContent::Frame(_) | PageContent::Hole => None,
        }
    }

    /// Whether there is such a frame.
    pub fn has_used_page(&self, index: u64) -> bool {
        self.used_page(index).is_some()
    }

    /// Fills `frames` with the frames from page index `first` on that may be mapped as a fault may map one: the object
    /// already has them, somebody has used them, they lie below the size and are not being taken away. The address
    /// space's lock is held.
    pub fn pages(&self, first: u64, frames: &mut [Option<SharedFrame>]) {
        let end = self.end_page().min(first.saturating_add(frames.len() as u64));
        let mappable = |index| !self.untouched.contains(index) && !self.is_detaching(index);
        self.pages.lock().visit(first..end, |index, frame, distance| {
            if let Some(slot) = frames.get_mut((index - first) as usize)
                && mappable(index)
            {
                *slot = Some(page_of(frame, distance));
            }
        });
    }

    /// The frame at a page index, to be used, made of zeroes if there is none. `ENOMEM` when no frame can be had.
    /// Does not look at the size: the caller has.
    pub fn page_or_create(&self, index: u64) -> Result<SharedFrame, Errno> {
        let frame = match self.content(index) {
            PageContent::Frame(frame) => frame,
            PageContent::Hole => self.create_page(index, Use::Now)?,
        };
        // After the look: whoever enters a page as unused does so in one step.
        self.untouched.remove(index);
        Ok(frame)
    }

    /// The frame at a page index for what the source has: where nothing can be had from it, a hole stays one.
    #[inline(always)]
    fn page_for(&self, index: u64, source: &IoSource<'_>) -> Result<SharedFrame, Errno> {
        match self.used_page(index) {
            Some(frame) => Ok(frame),
            None => self.make_page_for(index, source),
        }
    }

    #[cold]
    fn make_page_for(&self, index: u64, source: &IoSource<'_>) -> Result<SharedFrame, Errno> {
        source.bring_in_next()?;
        self.page_or_create(index)
    }

    fn create_page(&self, index: u64, usage: Use) -> Result<SharedFrame, Errno> {
        // Before the frame: who asks beyond the limit costs nothing, and hears of that rather than of a lack of memory.
        let charge = Charge::take(self.budget.as_deref())?;
        let fresh = SharedFrame::alloc_zeroed(self.payer.account()).or_errno()?;
        let mut pages = self.pages.lock();
        if let Some(frame) = get_page(&pages, index) {
            return Ok(frame);
        }
        if usage == Use::Later {
            self.untouched.insert(index)?;
        }
        pages.insert(index, fresh.clone()).or_errno()?;
        charge.keep();
        Ok(fresh)
    }

    fn release_charges(&self, pages: u64) {
        budget::release(self.budget.as_deref(), pages);
    }

    /// Reads from `offset` until the sink is full or the object ends. An error after some bytes leaves
    /// them counted in the sink.
    pub fn read(&self, mut offset: u64, sink: &mut IoSink<'_>) -> Result<(), Errno> {
        while sink.remaining() > 0 {
            let left = self.size().saturating_sub(offset);
            if left == 0 {
                break;
            }
            let within = (offset % PAGE_SIZE) as usize;
            let wanted =
                within_page(within, sink.remaining()).min(usize::try_from(left).unwrap_or(usize::MAX));
            let done = match self.content(offset / PAGE_SIZE) {
                PageContent::Frame(frame) => sink.put_frame(&frame, within, wanted)?,
                PageContent::Hole => sink.put_zeroes(wanted)?,
            };
            offset += done as u64;
            if done < wanted {
                break;
            }
        }
        Ok(())
    }

    /// Writes all of the source at `offset`, growing the object as needed. `EFBIG` where that would pass
    /// [`MAX_SIZE`], `EPERM` by a seal. An error after some bytes leaves them counted in the source.
    pub fn write(&self, offset: u64, source: &mut IoSource<'_>) -> Result<(), Errno> {
        let _writer = self.writers.take().or_errno()?;
        self.write_locked(offset, source)
    }

    /// Writes all of the source at the end, atomically against other writers: where that is, and how it ended. Before
    /// it `limit` may shorten the source, for what is written there, or refuse.
    pub fn append<E: From<Errno>>(
        &self,
        source: &mut IoSource<'_>,
        limit: impl FnOnce(u64, &mut IoSource<'_>) -> Result<(), E>,
    ) -> Result<(u64, Result<(), E>), Errno> {
        let _writer = self.writers.take().or_errno()?;
        let offset = self.size();
        let outcome = limit(offset, source).and_then(|()| Ok(self.write_locked(offset, source)?));
        Ok((offset, outcome))
    }

    fn write_locked(&self, mut offset: u64, source: &mut IoSource<'_>) -> Result<(), Errno> {
        if source.remaining() == 0 {
            return Ok(());
        }
        let room = MAX_SIZE.saturating_sub(offset);
        if room == 0 {
            return Err(Errno::EFBIG);
        }
        source.limit(usize::try_from(room).unwrap_or(usize::MAX));
        let is_sealed = self.seals.concern_writes();
        while source.remaining() > 0 {
            let within = (offset % PAGE_SIZE) as usize;
            let wanted = within_page(within, source.remaining());
            if is_sealed {
                self.seals.check_content()?;
                self.seals.check_size(self.size(), self.size().max(offset + wanted as u64))?;
            }
            let frame = self.page_for(offset / PAGE_SIZE, source)?;
            let done = source.take_frame(&frame, within, wanted)?;
            offset += done as u64;
            if offset > self.size() {
                self.size.store(offset, Ordering::Release);
            }
            if done < wanted {
                break;
            }
        }
        Ok(())
    }

    /// Sets the size. Pages beyond it are taken from the object and from every mapping of it, private
    /// copies included; what remains of the last page is zeroed. `EFBIG` beyond [`MAX_SIZE`], `EPERM` by a seal; what
    /// `may_grow` says where that is more than there was.
    pub fn truncate(&self, size: u64, may_grow: impl FnOnce() -> Result<(), Errno>) -> Result<(), Errno> {
        let _writer = self.writers.take().or_errno()?;
        if size > self.size() {
            may_grow()?;
        }
        if size > MAX_SIZE {
            return Err(Errno::EFBIG);
        }
        self.seals.check_size(self.size(), size)?;
        self.take_apart(&(size.div_ceil(PAGE_SIZE)..u64::MAX))?;
        let before = self.size.swap(size, Ordering::AcqRel);
        if size < before {
            self.drop_pages_from(size);
        }
        Ok(())
    }

    /// Order matters: a fault that still saw the old size holds its address space's lock until it has
    /// mapped its page, so unmapping waits for it, and whatever page it made is removed after that.
    fn drop_pages_from(&self, size: u64) {
        let gone = size.div_ceil(PAGE_SIZE)..u64::MAX;
        self.unmap_pages(gone.clone(), Copies::Go);
        self.remove_pages(gone);
        let within = (size % PAGE_SIZE) as usize;
        if within != 0
            && let Some(frame) = self.page(size / PAGE_SIZE)
        {
            frame.fill_zero(within..PAGE_SIZE as usize);
        }
    }

    /// Removes pages of a range that [`Self::take_apart`] was asked about a few at a time, so that the lock is never
    /// held for long and frames are freed outside it.
    fn remove_pages(&self, range: Range<u64>) {
        self.untouched.remove_all(range.clone());
        loop {
            let mut batch: [Option<(u64, SharedFrame)>; 16] = Default::default();
            let mut removed = 0;
            {
                let mut pages = self.pages.lock();
                for slot in &mut batch {
                    let before = pages.len();
                    *slot = pages.remove_first(range.clone());
                    removed += (before - pages.len()) as u64;
                }
            }
            self.release_charges(removed);
            if removed == 0 {
                return;
            }
        }
    }

    /// Makes single pages of blocks that begin before a range or end behind it, so that the range can be removed.
    fn take_apart(&self, range: &Range<u64>) -> Result<(), Errno> {
        let mut pages = self.pages.lock();
        for edge in [range.start, range.end] {
            if pages.block_at(edge).is_some_and(|block| *block.start() != edge) {
                pages.split(edge, SharedFrame::neighbour).or_errno()?;
            }
        }
        Ok(())
    }
}

impl Drop for Object {
    fn drop(&mut self) {
        let pages = self.resident_pages();
        self.release_charges(pages);
    }
}

/// A reference to a page's frame. Of a block the tree has the first.
#[inline(always)]
fn get_page(pages: &RadixTree<SharedFrame>, index: u64) -> Option<SharedFrame> {
    let (frame, distance) = pages.get_within(index)?;
    Some(page_of(frame, distance))
}

/// The frame so far behind the first of a block.
#[inline(always)]
fn page_of(first: &SharedFrame, distance: u64) -> SharedFrame {
    if distance == 0 { first.clone() } else { first.neighbour(distance) }
}

/// What an object has at a page index.
pub enum PageContent {
    /// A page.
    Frame(SharedFrame),
    /// Zeroes that nobody has stored.
    Hole,
}

/// What becomes of private copies of pages that are taken from an object.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Copies {
    /// They go, too: the object ends before them.
    Go,
    /// They are the programs' own.
    Stay,
}

/// How many of `wanted` bytes lie in the page that `within` is an offset into.
fn within_page(within: usize, wanted: usize) -> usize {
    (PAGE_SIZE as usize - within).min(wanted)
}
