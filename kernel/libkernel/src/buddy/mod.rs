//! A binary buddy allocator's bookkeeping: which frames are free, in blocks of 2^0 to 2^10 frames.
//!
//! Owns the free lists; the links of the lists lie in memory that the caller gives as a [`Links`] store, one [`Link`]
//! for each frame, with any content at first. A block of the largest order is a *chunk* of 4 MiB; chunks never merge.
//!
//! Nothing is initialised for a chunk that is free as a whole until it is first needed, and then only its head, so that
//! boot costs the same with 512 MiB and 8 GiB. That is sound because the link of a block's buddy is only ever read
//! after their common parent was split, which wrote it.
//!
//! The caller holds its own lock around every call. Hot cost: about 30 instructions for a frame from a free list.

mod bitmap;
#[cfg(test)]
mod tests;

use bitmap::Bitmap;
use core::ops::Range;

/// The largest order: 4 MiB with 4 KiB frames.
pub const MAX_ORDER: u32 = 10;
/// Frames in a chunk, a block of [`MAX_ORDER`].
pub const CHUNK_FRAMES: u64 = 1 << MAX_ORDER;
/// Frames that can be managed, counted from the base: 256 GiB. What lies above is left unused.
pub const MAX_FRAMES: u64 = 1 << INDEX_BITS;

const INDEX_BITS: u32 = 26;
const INDEX_MASK: u32 = (1 << INDEX_BITS) - 1;
/// "No frame" in a link: an index that no frame has, since the last chunk is never used.
const NONE: u32 = INDEX_MASK;
const ORDERS: usize = MAX_ORDER as usize + 1;

/// The bookkeeping of one frame: neighbours in a free list and, in the top bits of `previous`, order + 1 if it is the
/// head of a free block, else 0.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(C)]
pub struct Link {
    next: u32,
    previous: u32,
}

impl Link {
    const NOT_FREE: Self = Self { next: NONE, previous: NONE };

    const fn free(next: u32, previous: u32, order: u32) -> Self {
        Self { next, previous: previous | (order + 1) << INDEX_BITS }
    }

    const fn is_free_block_of(self, order: u32) -> bool {
        self.previous >> INDEX_BITS == order + 1
    }
}

/// Where the links are kept. `index` counts frames from the allocator's base and is below `len()`.
pub trait Links {
    /// Number of frames that have a link.
    fn len(&self) -> usize;
    /// True when there are none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
    /// Reads a link.
    fn get(&self, index: usize) -> Link;
    /// Writes a link.
    fn set(&mut self, index: usize, link: Link);
}

impl Links for &mut [Link] {
    fn len(&self) -> usize {
        <[Link]>::len(self)
    }
    #[inline]
    fn get(&self, index: usize) -> Link {
        self[index]
    }
    #[inline]
    fn set(&mut self, index: usize, link: Link) {
        self[index] = link;
    }
}

/// The allocator.
pub struct Buddy<L> {
    links: L,
    base: u64,
    /// First block of each order's free list.
    heads: [u32; ORDERS],
    /// Bit `o` is set while `heads[o]` is not [`NONE`].
    non_empty: u32,
    free: u64,
    /// Chunks whose links hold sense, or which are `untouched`.
    begun: Bitmap,
    /// Chunks that are free as a whole and in no list yet.
    untouched: Bitmap,
}

impl<L: Links> Buddy<L> {
    /// An allocator without frames. Frame numbers start at `base`, which is a multiple of [`CHUNK_FRAMES`] (else it is
    /// rounded down); links count from there.
    pub const fn new(links: L, base: u64) -> Self {
        Self {
            links,
            base: base & !(CHUNK_FRAMES - 1),
            heads: [NONE; ORDERS],
            non_empty: 0,
            free: 0,
            begun: Bitmap::new(),
            untouched: Bitmap::new(),
        }
    }

    /// Lets frame numbers start elsewhere, before there are any frames.
    pub fn set_base(&mut self, base: u64) {
        debug_assert_eq!(self.free, 0, "frames are there already");
        self.base = base & !(CHUNK_FRAMES - 1);
    }

    /// Number of free frames.
    pub const fn free_frames(&self) -> u64 {
        self.free
    }

    /// Gives frames to the allocator that it never had: usable memory at boot, or a released initramfs. Frames without
    /// a link are left out.
    pub fn add_range(&mut self, frames: Range<u64>) {
        let limit = (self.links.len() as u64).min(MAX_FRAMES - CHUNK_FRAMES);
        let mut index = frames.start.saturating_sub(self.base);
        let end = frames.end.saturating_sub(self.base).min(limit);
        while index < end {
            let chunk = index / CHUNK_FRAMES;
            let stop = ((chunk + 1) * CHUNK_FRAMES).min(end);
            if stop - index == CHUNK_FRAMES {
                self.begun.insert(chunk as usize);
                self.untouched.insert(chunk as usize);
                self.free += CHUNK_FRAMES;
            } else {
                self.begin_chunk(chunk);
                self.free_blocks(index, stop);
            }
            index = stop;
        }
    }

    /// Takes a block of `1 << order` frames, aligned to its size; `None` when no block is large enough.
    #[inline]
    pub fn allocate(&mut self, order: u32) -> Option<u64> {
        if order > MAX_ORDER {
            return None;
        }
        let fitting = self.non_empty >> order;
        let (block, found) = if fitting != 0 {
            let found = order + fitting.trailing_zeros();
            let block = self.heads[found as usize];
            self.unlink(block, found);
            (block, found)
        } else {
            (self.touch_chunk()?, MAX_ORDER)
        };
        self.split_down(block, found, order);
        self.free -= 1 << order;
        Some(self.base + u64::from(block))
    }

    /// Takes `count` neighbouring chunks that nobody has had yet: for the few things that are larger than a block, as a
    /// rule while the kernel starts. They are given back one by one. Looks at every chunk below them.
    pub fn allocate_chunks(&mut self, count: usize) -> Option<u64> {
        let chunks = self.links.len() / CHUNK_FRAMES as usize;
        let mut length = 0;
        for chunk in 0..chunks {
            length = if self.untouched.contains(chunk) { length + 1 } else { 0 };
            if length == count {
                let first = chunk + 1 - count;
                for chunk in first..=chunk {
                    self.untouched.remove(chunk);
                    self.links.set(chunk * CHUNK_FRAMES as usize, Link::NOT_FREE);
                }
                self.free -= count as u64 * CHUNK_FRAMES;
                return Some(self.base + first as u64 * CHUNK_FRAMES);
            }
        }
        None
    }

    /// Gives back a block that [`Self::allocate`] gave with the same order.
    #[inline]
    pub fn free(&mut self, frame: u64, order: u32) {
        let index = frame.wrapping_sub(self.base);
        debug_assert!(order <= MAX_ORDER && index < self.links.len() as u64, "a frame that is not ours");
        debug_assert_eq!(index & ((1 << order) - 1), 0, "a block that was never given");
        self.release(index as u32, order);
        self.free += 1 << order;
    }

    /// Turns one allocated block into `1 << order` blocks of single frames, to be freed one by one.
    pub fn split(&mut self, frame: u64, order: u32) {
        let first = (frame - self.base) as usize;
        for index in first..first + (1 << order) {
            self.links.set(index, Link::NOT_FREE);
        }
    }

    /// Merges the block with its free buddies and puts it into its list.
    #[inline]
    fn release(&mut self, mut index: u32, mut order: u32) {
        while order < MAX_ORDER {
            let buddy = index ^ (1 << order);
            if buddy as usize >= self.links.len() || !self.links.get(buddy as usize).is_free_block_of(order) {
                break;
            }
            self.unlink(buddy, order);
            // The upper half's link must not claim a block any more; `unlink` saw to the buddy, this to the other one.
            self.links.set(index as usize, Link::NOT_FREE);
            index &= !(1 << order);
            order += 1;
        }
        self.push(index, order);
    }

    /// Halves `block` until it has the wanted order; the upper halves become free blocks.
    #[inline]
    fn split_down(&mut self, block: u32, found: u32, wanted: u32) {
        let mut order = found;
        while order > wanted {
            order -= 1;
            self.push(block + (1 << order), order);
        }
    }

    #[inline]
    fn push(&mut self, index: u32, order: u32) {
        let next = self.heads[order as usize];
        self.links.set(index as usize, Link::free(next, NONE, order));
        if next != NONE {
            let link = self.links.get(next as usize);
            self.links.set(next as usize, Link::free(link.next, index, order));
        }
        self.heads[order as usize] = index;
        self.non_empty |= 1 << order;
    }

    /// Takes a free block out of its list and marks its head as not free.
    #[inline]
    fn unlink(&mut self, index: u32, order: u32) {
        let link = self.links.get(index as usize);
        let previous = link.previous & INDEX_MASK;
        if link.next != NONE {
            let after = self.links.get(link.next as usize);
            self.links.set(link.next as usize, Link::free(after.next, previous, order));
        }
        if previous != NONE {
            let before = self.links.get(previous as usize).previous & INDEX_MASK;
            self.links.set(previous as usize, Link::free(link.next, before, order));
        } else {
            self.heads[order as usize] = link.next;
            if link.next == NONE {
                self.non_empty &= !(1 << order);
            }
        }
        self.links.set(index as usize, Link::NOT_FREE);
    }

    /// Starts to use a chunk that is still free as a whole.
    #[cold]
    fn touch_chunk(&mut self) -> Option<u32> {
        let chunk = self.untouched.take_first()?;
        let index = chunk as u32 * CHUNK_FRAMES as u32;
        self.links.set(index as usize, Link::NOT_FREE);
        Some(index)
    }

    /// Marks every frame of a chunk as not free, once, before parts of it are added.
    fn begin_chunk(&mut self, chunk: u64) {
        if self.begun.contains(chunk as usize) {
            return;
        }
        self.begun.insert(chunk as usize);
        let first = (chunk * CHUNK_FRAMES) as usize;
        for index in first..(first + CHUNK_FRAMES as usize).min(self.links.len()) {
            self.links.set(index, Link::NOT_FREE);
        }
    }

    /// Frees the frames from `index` up to `end`, all of one chunk, in the largest aligned blocks.
    fn free_blocks(&mut self, mut index: u64, end: u64) {
        while index < end {
            let order = index.trailing_zeros().min((end - index).ilog2()).min(MAX_ORDER);
            self.release(index as u32, order);
            self.free += 1 << order;
            index += 1 << order;
        }
    }
}
