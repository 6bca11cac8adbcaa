//! The search for free addresses.

use super::IntervalMap;
use crate::addr::UserAddr;

impl<V> IntervalMap<V> {
    /// The highest address from which `length` free bytes end at or below `high`, not below `low`. Takes `&mut self`
    /// because a leaf that was searched in vain remembers its true largest gap.
    pub fn find_gap_top_down(&mut self, length: u64, low: UserAddr, high: UserAddr) -> Option<UserAddr> {
        let (low, mut upper) = (low.as_u64(), high.as_u64());
        if length == 0 || upper.checked_sub(low)? < length {
            return None;
        }
        let count = self.leaves.partition_point(|leaf| leaf.start() < upper);
        for index in (0..count).rev() {
            let leaf = &mut self.leaves[index];
            let is_topmost = index + 1 == count;
            if leaf.gap_bound >= length || is_topmost {
                let mut largest = 0;
                for entry in leaf.entries.iter().rev().filter(|entry| entry.range.start() < high) {
                    let bottom = entry.range.end().as_u64().max(low);
                    let gap = upper.saturating_sub(bottom);
                    if gap >= length {
                        return Some(UserAddr::new(upper - length));
                    }
                    largest = largest.max(gap);
                    upper = entry.range.start().as_u64();
                    if upper.saturating_sub(low) < length {
                        return None;
                    }
                }
                if !is_topmost {
                    leaf.gap_bound = largest;
                }
            }
            upper = leaf.start();
        }
        (upper.checked_sub(low)? >= length).then(|| UserAddr::new(upper - length))
    }

    /// The lowest address, not below `low`, from which `length` free bytes end at or below `high`.
    pub fn find_gap_bottom_up(&self, length: u64, low: UserAddr, high: UserAddr) -> Option<UserAddr> {
        let (mut lower, high) = (low.as_u64(), high.as_u64());
        if length == 0 {
            return None;
        }
        let fits = |from: u64, to: u64| to.checked_sub(from).is_some_and(|gap| gap >= length);
        let first = self.leaves.partition_point(|leaf| leaf.end() <= lower);
        for (index, leaf) in self.leaves.iter().enumerate().skip(first) {
            if fits(lower, leaf.start().min(high)) {
                return Some(UserAddr::new(lower));
            }
            if leaf.gap_bound >= length || index == first {
                for entry in leaf.entries.iter().filter(|entry| entry.range.end() > low) {
                    if fits(lower, entry.range.start().as_u64().min(high)) {
                        return Some(UserAddr::new(lower));
                    }
                    lower = entry.range.end().as_u64();
                }
            }
            lower = lower.max(leaf.end());
            if !fits(lower, high) {
                return None;
            }
        }
        fits(lower, high).then_some(UserAddr::new(lower))
    }
}
