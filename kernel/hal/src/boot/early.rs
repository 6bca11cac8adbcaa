//! Memory before there is an allocator: the map of it, and frames for the first page tables.
use crate::arch::Arch;
use crate::contract::Paging as _;
use libkernel::addr::{PAGE_SIZE, PhysAddr, PhysRange};

const MAX_RANGES: usize = 64;

/// Ranges of usable memory as the loader or device tree lists them, in its order. A machine with more ranges than
/// fit loses the last ones; what lies where the direct map has no room is not in it.
#[derive(Clone)]
pub struct MemoryMap {
    ranges: [PhysRange; MAX_RANGES],
    count: usize,
    is_cut: bool,
}

impl MemoryMap {
    /// No memory.
    pub const fn empty() -> Self {
        let nothing = PhysRange::new(PhysAddr::new(0), 0);
        Self { ranges: [nothing; MAX_RANGES], count: 0, is_cut: false }
    }

    /// Adds a range, to the last one where that ends at its start: firmware may list one memory in many pieces.
    pub fn push(&mut self, range: PhysRange) {
        let end = range.end.min(Arch::DIRECT_MAP_END);
        self.is_cut |= end < range.end;
        let range = PhysRange { start: range.start, end };
        if range.start >= end {
            return;
        }
        if let Some(last) = self.ranges[..self.count].last_mut()
            && last.end == range.start
        {
            last.end = range.end;
            return;
        }
        if let Some(slot) = self.ranges.get_mut(self.count) {
            *slot = range;
            self.count += 1;
        }
    }

    /// The ranges.
    pub fn ranges(&self) -> &[PhysRange] {
        &self.ranges[..self.count]
    }

    /// Whether something was left out for want of room.
    pub fn is_cut(&self) -> bool {
        self.is_cut
    }

    /// Sorts the ranges and makes one of those that touch or overlap, so that no frame is listed twice.
    pub fn merge(&mut self) {
        self.ranges[..self.count].sort_unstable_by_key(|range| range.start);
        let mut merged = Self { is_cut: self.is_cut, ..Self::empty() };
        for range in self.ranges() {
            match merged.ranges[..merged.count].last_mut() {
                Some(last) if range.start <= last.end => last.end = last.end.max(range.end),
                _ => merged.push(*range),
            }
        }
        *self = merged;
    }

    /// The map in whole frames, without those that `hole` touches.
    pub fn without(&self, hole: PhysRange) -> Self {
        let mut rest = Self { is_cut: self.is_cut, ..Self::empty() };
        self.for_each_free(&[hole], &mut |part| rest.push(part));
        rest
    }

    /// Whether one range of the map holds all of `wanted`.
    pub fn contains(&self, wanted: PhysRange) -> bool {
        self.ranges().iter().any(|range| range.start <= wanted.start && wanted.end <= range.end)
    }

    /// The first `bytes` of the map, from the lowest address up: what `mem=` leaves.
    pub fn limited(&self, bytes: u64) -> Self {
        let mut sorted = self.clone();
        sorted.merge();
        let (mut limited, mut left) = (Self { is_cut: self.is_cut, ..Self::empty() }, bytes);
        for range in sorted.ranges().iter().filter(|range| range.length() > 0) {
            let taken = range.length().min(left);
            if taken > 0 {
                limited.push(PhysRange::new(range.start, taken));
            }
            left -= taken;
        }
        limited
    }

    /// Calls `take` with every part of `wanted` that the map holds.
    pub fn for_each_part(&self, wanted: PhysRange, take: &mut impl FnMut(PhysRange)) {
        let parts = self
            .ranges()
            .iter()
            .map(|range| PhysRange { start: range.start.max(wanted.start), end: range.end.min(wanted.end) });
        parts.filter(|part| part.start < part.end).for_each(take);
    }

    /// Calls `take` with every part of `wanted`, in whole frames, of which the map has nothing.
    pub fn for_each_missing(&self, wanted: PhysRange, take: &mut impl FnMut(PhysRange)) {
        let frames = wanted.touched_frames();
        without(
            PhysRange { start: PhysAddr::of_frame(frames.start), end: PhysAddr::of_frame(frames.end) },
            self.ranges(),
            take,
        );
    }

    /// All usable bytes.
    pub fn total_bytes(&self) -> u64 {
        self.ranges().iter().map(|range| range.length()).sum()
    }

    /// Calls `take` with every part of the map that no range of `reserved` touches, in whole frames.
    pub fn for_each_free(&self, reserved: &[PhysRange], take: &mut impl FnMut(PhysRange)) {
        for range in self.ranges() {
            let frames = range.whole_frames();
            let whole =
                PhysRange { start: PhysAddr::of_frame(frames.start), end: PhysAddr::of_frame(frames.end) };
            without(whole, reserved, take);
        }
    }
}

/// Cuts the first range of `reserved` out of `range`, then the others out of what is left.
fn without(range: PhysRange, reserved: &[PhysRange], take: &mut impl FnMut(PhysRange)) {
    if range.length() == 0 {
        return;
    }
    let Some((first, others)) = reserved.split_first() else { return take(range) };
    let frames = first.touched_frames();
    let (start, end) = (PhysAddr::of_frame(frames.start), PhysAddr::of_frame(frames.end));
    if first.length() == 0 || end <= range.start || range.end <= start {
        return without(range, others, take);
    }
    without(PhysRange { start: range.start, end: start.max(range.start) }, others, take);
    without(PhysRange { start: end.min(range.end), end: range.end }, others, take);
}

/// A bump allocator over the memory behind the kernel's image, for page tables that must exist before all else.
pub struct EarlyFrames<'a> {
    map: &'a MemoryMap,
    reserved: [PhysRange; 4],
    next: PhysAddr,
}

impl<'a> EarlyFrames<'a> {
    /// Frames of `map` from `start` upwards, outside `reserved` (at most four ranges).
    pub fn new(map: &'a MemoryMap, reserved: &[PhysRange], start: PhysAddr) -> Self {
        let mut ranges = [PhysRange::new(PhysAddr::new(0), 0); 4];
        for (slot, range) in ranges.iter_mut().zip(reserved) {
            *slot = *range;
        }
        Self { map, reserved: ranges, next: start }
    }

    /// `count` neighbouring frames, not zeroed; `None` when the range behind the image ends.
    pub fn allocate(&mut self, count: u64) -> Option<PhysAddr> {
        let bytes = count * PAGE_SIZE;
        loop {
            let wanted = PhysRange::new(self.next, bytes);
            if let Some(obstacle) = self.reserved.iter().find(|range| range.overlaps(wanted)) {
                self.next = obstacle.end.page_up()?;
                continue;
            }
            if !self.map.contains(wanted) {
                return None;
            }
            self.next = wanted.end;
            return Some(wanted.start);
        }
    }

    /// First address behind the frames that were given.
    pub fn end(&self) -> PhysAddr {
        self.next
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    fn range(start: u64, end: u64) -> PhysRange {
        PhysRange { start: PhysAddr::new(start), end: PhysAddr::new(end) }
    }

    #[test]
    fn reserved_ranges_are_cut_out_by_frames() {
        let mut map = MemoryMap::empty();
        map.push(range(0x1000, 0x10_000));
        let mut free = Vec::new();
        map.for_each_free(&[range(0x3000, 0x4001), range(0xf800, 0x20_000)], &mut |part| free.push(part));
        assert_eq!(free, [range(0x1000, 0x3000), range(0x5000, 0xf000)]);
    }

    #[test]
    fn ranges_that_overlap_become_one() {
        let mut map = MemoryMap::empty();
        for (start, end) in [(0x8000, 0x9000), (0x1000, 0x3000), (0x2000, 0x2800), (0x3000, 0x4000)] {
            map.push(range(start, end));
        }
        map.merge();
        assert_eq!(map.ranges(), [range(0x1000, 0x4000), range(0x8000, 0x9000)]);
        assert!(map.contains(range(0x1000, 0x4000)) && !map.contains(range(0x3fff, 0x8001)));
        assert_eq!(
            map.without(range(0x2100, 0x2101)).ranges()[..2],
            [range(0x1000, 0x2000), range(0x3000, 0x4000)]
        );
    }

    #[test]
    fn what_the_direct_map_has_no_room_for_is_left_out() {
        let end = Arch::DIRECT_MAP_END.as_u64();
        let mut map = MemoryMap::empty();
        map.push(range(0x1000, end - 0x1000));
        assert!(!map.is_cut());
        map.push(range(end - 0x1000, end + 0x1000));
        map.push(range(end + 0x8000, u64::MAX));
        map.merge();
        assert_eq!(map.ranges(), [range(0x1000, end)]);
        assert!(map.is_cut() && map.without(range(0x1000, 0x2000)).is_cut() && map.limited(0x1000).is_cut());
    }

    #[test]
    fn a_limit_keeps_the_lowest_memory() {
        let mut map = MemoryMap::empty();
        map.push(range(0x8000, 0xa000));
        map.push(range(0x1000, 0x4000));
        assert_eq!(map.limited(u64::MAX).ranges(), [range(0x1000, 0x4000), range(0x8000, 0xa000)]);
        let limited = map.limited(0x4000);
        assert_eq!(limited.ranges(), [range(0x1000, 0x4000), range(0x8000, 0x9000)]);
        assert_eq!(map.limited(0x3000).ranges(), [range(0x1000, 0x4000)]);
        let mut parts = Vec::new();
        limited.for_each_part(range(0x3000, 0xa000), &mut |part| parts.push(part));
        assert_eq!(parts, [range(0x3000, 0x4000), range(0x8000, 0x9000)]);
    }

    #[test]
    fn what_the_map_lacks_is_found_by_frames() {
        let mut map = MemoryMap::empty();
        map.push(range(0x1000, 0x4000));
        map.push(range(0x6800, 0x8000));
        let mut missing = Vec::new();
        map.for_each_missing(range(0x3800, 0x8690), &mut |part| missing.push(part));
        assert_eq!(missing, [range(0x4000, 0x6000), range(0x8000, 0x9000)]);
        map.for_each_missing(range(0x1000, 0x3fff), &mut |part| panic!("{part:?} is there"));
        map.for_each_missing(range(0x9000, 0x9000), &mut |part| panic!("{part:?} is nothing"));
    }

    #[test]
    fn early_frames_step_over_what_is_reserved() {
        let mut map = MemoryMap::empty();
        map.push(range(0, 0x8000));
        let mut frames = EarlyFrames::new(&map, &[range(0x1000, 0x3000)], PhysAddr::new(0));
        assert_eq!(frames.allocate(1), Some(PhysAddr::new(0)));
        assert_eq!(frames.allocate(2), Some(PhysAddr::new(0x3000)));
        assert_eq!(frames.allocate(4), None);
    }
}
