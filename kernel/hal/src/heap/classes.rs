//! The size classes of the heap.
use core::alloc::Layout;
use libkernel::addr::PAGE_SIZE;
use libkernel::buddy::CHUNK_FRAMES;

/// Bytes of an object of each class. Multiples of 16, so that every object is aligned to 16.
const SIZES: [u16; CLASSES] = [16, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024, 2048];
/// Number of classes.
pub const CLASSES: usize = 13;

/// Largest object that a slab holds; larger ones are blocks of whole frames.
const LARGEST: usize = 2048;

/// The largest object of all: the window of a compressed initramfs, or a table that a program may ask for.
const LARGEST_CHUNKS: usize = 256 << 20;

const STEP: usize = 16;
/// The class of `n * 16` bytes, as an index by `n`.
static BY_STEP: [u8; LARGEST / STEP + 1] = {
    let mut table = [0; LARGEST / STEP + 1];
    let (mut step, mut class) = (0, 0);
    while step < table.len() {
        if step * STEP > SIZES[class] as usize {
            class += 1;
        }
        table[step] = class as u8;
        step += 1;
    }
    table
};

/// Where an allocation is made.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Placement {
    /// In a slab of this class.
    Slab(usize),
    /// In a block of `1 << order` frames of its own.
    Block(u32),
    /// In so many neighbouring chunks, the largest blocks.
    Chunks(usize),
}

/// The place of an allocation; `None` if it is larger than any block.
#[inline(always)]
pub fn place(layout: Layout) -> Option<Placement> {
    let mut size = layout.size();
    if layout.align() > STEP {
        // Objects are aligned to the largest power of two that divides their class's size.
        size = size.max(layout.align()).checked_next_power_of_two()?;
    }
    if size <= LARGEST {
        return Some(Placement::Slab(BY_STEP[size.div_ceil(STEP)].into()));
    }
    let frames = size.div_ceil(PAGE_SIZE as usize);
    if frames > CHUNK_FRAMES as usize {
        return (size <= LARGEST_CHUNKS && layout.align() <= PAGE_SIZE as usize)
            .then_some(Placement::Chunks(frames.div_ceil(CHUNK_FRAMES as usize)));
    }
    Some(Placement::Block(frames.next_power_of_two().trailing_zeros()))
}

/// Bytes of an object.
#[inline(always)]
pub const fn size(class: usize) -> usize {
    SIZES[class] as usize
}

/// Objects in a slab.
pub const fn objects(class: usize) -> usize {
    PAGE_SIZE as usize / size(class)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_size_gets_the_smallest_class_that_holds_it() {
        for bytes in 1..=LARGEST {
            let Some(Placement::Slab(class)) = place(Layout::from_size_align(bytes, 1).unwrap()) else {
                panic!()
            };
            assert!(size(class) >= bytes);
            assert!(class == 0 || size(class - 1) < bytes);
        }
    }

    #[test]
    fn alignment_is_met_by_the_class_or_the_block() {
        for shift in 0..=14 {
            for bytes in [1, 17, 100, 1000, 2000, 5000] {
                match place(Layout::from_size_align(bytes, 1 << shift).unwrap()) {
                    Some(Placement::Slab(class)) => assert!(size(class).is_multiple_of(1 << shift)),
                    Some(Placement::Block(order)) => assert!(PAGE_SIZE << order >= 1 << shift),
                    _ => panic!(),
                }
            }
        }
    }

    #[test]
    fn absurd_sizes_have_no_place() {
        assert_eq!(place(Layout::from_size_align(isize::MAX as usize - 4096, 1).unwrap()), None);
        assert_eq!(place(Layout::from_size_align(300 << 20, 1).unwrap()), None);
        assert_eq!(place(Layout::from_size_align(9 << 20, 1).unwrap()), Some(Placement::Chunks(3)));
        assert_eq!(place(Layout::from_size_align(4 << 20, 1).unwrap()), Some(Placement::Block(10)));
    }
}
