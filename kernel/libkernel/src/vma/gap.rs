//! The search for free addresses: below the entries that bound it, by the bounds of leaves and of groups of leaves.

use super::{Entry, GROUP, Interval, IntervalMap, Leaf};
use crate::addr::UserAddr;

impl<V: Interval> Leaf<V> {
    /// Looks at the gaps above the entries of one leaf, from `upper` downwards. The room that an entry wants below
    /// itself is looked at only where a gap seems to be long enough: so `largest` may be too large, and is a bound all
    /// the same.
    #[inline]
    fn search(&self, length: u64, low: u64, mut upper: u64, high: u64) -> Found {
        let mut entries = self.entries.as_slice();
        while let [rest @ .., last] = entries
            && last.range.start().as_u64() >= high
        {
            upper = upper.min(last.free_end());
            entries = rest;
        }
        let (mut largest, mut above) = (0, None::<&Entry<V>>);
        for entry in entries.iter().rev() {
            let bottom = entry.range.end().as_u64().max(low);
            let mut gap = upper.saturating_sub(bottom);
            if gap >= length {
                let end = above.map_or(upper, Entry::free_end);
                gap = end.saturating_sub(bottom);
                if gap >= length {
                    return Found::At(end);
                }
            }
            largest = largest.max(gap);
            upper = entry.range.start().as_u64();
            above = Some(entry);
        }
        let upper = above.map_or(upper, Entry::free_end);
        if upper.saturating_sub(low) < length { Found::Nowhere } else { Found::Below { upper, largest } }
    }

    /// Where the free addresses below the leaf end at most.
    fn free_end(&self) -> u64 {
        self.entries.first().map_or(u64::MAX, |entry| entry.free_end())
    }
}

/// What a leaf had to say.
enum Found {
    /// Free addresses end here.
    At(u64),
    /// None, and none further down.
    Nowhere,
    /// None: the largest is so long. Further free addresses may end at `upper`.
    Below { upper: u64, largest: u64 },
}

impl<V: Interval> IntervalMap<V> {
    /// The highest address from which `length` free bytes end at or below `high`, not below `low`. Takes `&mut self`
    /// because a leaf that was searched in vain remembers its true largest gap.
    pub fn find_gap_top_down(&mut self, length: u64, low: UserAddr, high: UserAddr) -> Option<UserAddr> {
        let (low, high) = (low.as_u64(), high.as_u64());
        if length == 0 || high.checked_sub(low)? < length {
            return None;
        }
        let count = self.leaves.partition_point(|leaf| leaf.start() < high);
        let mut upper = self.leaves.get(count).map_or(high, |next| next.free_end().min(high));
        let mut index = count;
        while let Some(next) = index.checked_sub(1) {
            if let Some(first) = self.first_of_full_group(next, count, length) {
                index = first;
                upper = self.leaves[index].free_end();
                continue;
            }
            index = next;
            let is_topmost = index + 1 == count;
            if self.leaves[index].gap_bound >= length || is_topmost {
                match self.leaves[index].search(length, low, upper, high) {
                    Found::At(end) => return Some(UserAddr::new(end - length)),
                    Found::Nowhere => return None,
                    Found::Below { upper: end, largest } => {
                        upper = end;
                        if !is_topmost {
                            self.leaves[index].gap_bound = largest;
                        }
                    }
                }
            } else {
                upper = self.leaves[index].free_end();
            }
            self.settle_group(index, count);
        }
        (upper.checked_sub(low)? >= length).then(|| UserAddr::new(upper - length))
    }

    /// The first leaf of the group that ends with leaf `last`, if no gap of the group is long enough. Not of the
    /// topmost leaf's.
    fn first_of_full_group(&self, last: usize, count: usize, length: u64) -> Option<usize> {
        let is_last = (last + 1).is_multiple_of(GROUP) && last + 1 < count;
        let bound = self.groups.get(last / GROUP)?;
        (is_last && *bound < length).then(|| last + 1 - GROUP)
    }

    /// Lowers the bound of the group that begins with leaf `first` to what its leaves say.
    fn settle_group(&mut self, first: usize, count: usize) {
        if first.is_multiple_of(GROUP)
            && first + GROUP < count
            && let Some(bound) = self.groups.get_mut(first / GROUP)
        {
            let leaves = &self.leaves[first..first + GROUP];
            *bound = leaves.iter().map(|leaf| leaf.gap_bound).max().unwrap_or(0);
        }
    }

    /// The lowest address, not below `low`, from which `length` free bytes end at or below `high`.
    pub fn find_gap_bottom_up(&self, length: u64, low: UserAddr, high: UserAddr) -> Option<UserAddr> {
        let (mut lower, high) = (low.as_u64(), high.as_u64());
        if length == 0 {
            return None;
        }
        let fits = |from: u64, to: u64| to.checked_sub(from).is_some_and(|gap| gap >= length);
        let first = self.leaves.partition_point(|leaf| leaf.end() <= lower);
        let mut index = first;
        while let Some(leaf) = self.leaves.get(index) {
            if fits(lower, leaf.free_end().min(high)) {
                return Some(UserAddr::new(lower));
            }
            let last = self.last_of_full_group(index, first, length).unwrap_or(index);
            if last == index && (leaf.gap_bound >= length || index == first) {
                for entry in leaf.entries.iter().filter(|entry| entry.range.end() > low) {
                    if fits(lower, entry.free_end().min(high)) {
                        return Some(UserAddr::new(lower));
                    }
                    lower = entry.range.end().as_u64();
                }
            }
            lower = lower.max(self.leaves[last].end());
            if !fits(lower, high) {
                return None;
            }
            index = last + 1;
        }
        fits(lower, high).then_some(UserAddr::new(lower))
    }

    /// The last leaf of the group that begins with leaf `index`, if no gap of the group is long enough and all of it
    /// lies above the leaf `first`.
    fn last_of_full_group(&self, index: usize, first: usize, length: u64) -> Option<usize> {
        let begins = index.is_multiple_of(GROUP) && index > first;
        let bound = self.groups.get(index / GROUP)?;
        (begins && *bound < length).then(|| (index + GROUP).min(self.leaves.len()) - 1)
    }
}
