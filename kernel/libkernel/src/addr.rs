//! Addresses that cannot be mistaken for one another, and ranges of them.
//!
//! `PhysAddr` is the kernel's own number. `UserAddr` is a number that a program chose: it promises
//! nothing until a [`UserRange`] has been made from it, which lies wholly below [`USER_END`].

use core::fmt;

/// First address that no program can map: `arch::native`'s limit.
pub use crate::arch::native::USER_END;

/// Bytes in a page (4 KiB granule on both architectures).
pub const PAGE_SIZE: u64 = 1 << PAGE_SHIFT;
/// `log2` of [`PAGE_SIZE`].
pub const PAGE_SHIFT: u32 = 12;
/// The bits of an address that select a byte in its page.
pub const PAGE_MASK: u64 = PAGE_SIZE - 1;

/// `bytes` rounded up to whole pages, or `None` when that exceeds 64 bits.
pub const fn page_up(bytes: u64) -> Option<u64> {
    match bytes.checked_add(PAGE_MASK) {
        Some(sum) => Some(sum & !PAGE_MASK),
        None => None,
    }
}

/// `bytes` rounded down to whole pages.
pub const fn page_down(bytes: u64) -> u64 {
    bytes & !PAGE_MASK
}

macro_rules! address {
    // address!(PhysAddr, "text") makes the newtype with its arithmetic and its `{:?}` in hexadecimal.
    ($name:ident, $text:literal) => {
        #[doc = $text]
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
        #[repr(transparent)]
        pub struct $name(u64);

        impl $name {
            /// The address `value`.
            pub const fn new(value: u64) -> Self {
                Self(value)
            }

            /// The address as a number.
            pub const fn as_u64(self) -> u64 {
                self.0
            }

            /// True for address zero.
            pub const fn is_null(self) -> bool {
                self.0 == 0
            }

            /// The address `bytes` further, or `None` where it would wrap.
            pub const fn checked_add(self, bytes: u64) -> Option<Self> {
                match self.0.checked_add(bytes) {
                    Some(sum) => Some(Self(sum)),
                    None => None,
                }
            }

            /// The address `bytes` further, wrapping at 64 bits: for addresses that are checked afterwards.
            pub const fn wrapping_add(self, bytes: u64) -> Self {
                Self(self.0.wrapping_add(bytes))
            }

            /// The start of the page that holds this address.
            pub const fn page_down(self) -> Self {
                Self(page_down(self.0))
            }

            /// The first page start at or above this address, or `None` where there is none.
            pub const fn page_up(self) -> Option<Self> {
                match page_up(self.0) {
                    Some(value) => Some(Self(value)),
                    None => None,
                }
            }

            /// Offset of this address in its page.
            pub const fn page_offset(self) -> usize {
                (self.0 & PAGE_MASK) as usize
            }

            /// True at the first byte of a page.
            pub const fn is_page_aligned(self) -> bool {
                self.0 & PAGE_MASK == 0
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(formatter, concat!(stringify!($name), "({:#x})"), self.0)
            }
        }

        impl fmt::LowerHex for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::LowerHex::fmt(&self.0, formatter)
            }
        }

        impl From<$name> for u64 {
            fn from(address: $name) -> u64 {
                address.0
            }
        }
    };
}

address!(PhysAddr, "An address on the memory bus.");
address!(UserAddr, "An address that a program named: any 64 bits, not yet known to lie in the user half.");

impl PhysAddr {
    /// The address of frame `number`.
    pub const fn of_frame(number: u64) -> Self {
        Self(number << PAGE_SHIFT)
    }

    /// The number of the frame that holds this address.
    pub const fn frame_number(self) -> u64 {
        self.0 >> PAGE_SHIFT
    }
}

impl UserAddr {
    /// True when the address lies in the user half.
    pub const fn is_user(self) -> bool {
        self.0 < USER_END
    }

    /// The address without the bits that the CPU ignores in a program's loads and stores, where it does.
    #[inline]
    pub const fn untagged(self) -> Self {
        Self(crate::arch::native::untagged(self.0))
    }

    /// The page number of this address.
    pub const fn page_number(self) -> u64 {
        self.0 >> PAGE_SHIFT
    }

    /// The first address of page `number`, wrapping: to be checked by [`UserRange::new`].
    pub const fn of_page(number: u64) -> Self {
        Self(number << PAGE_SHIFT)
    }
}

/// A half-open range of bytes that lies in the user half: `start <= end <= USER_END`.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct UserRange {
    start: UserAddr,
    end: UserAddr,
}

impl UserRange {
    /// No address.
    pub const EMPTY: Self = Self { start: UserAddr::new(0), end: UserAddr::new(0) };

    /// The whole user half, page zero included.
    pub const ALL: Self = Self { start: UserAddr::new(0), end: UserAddr::new(USER_END) };

    /// `length` bytes from `start`, or `None` when a byte lies outside the user half.
    #[inline]
    pub const fn new(start: UserAddr, length: u64) -> Option<Self> {
        if length <= USER_END && start.0 <= USER_END - length {
            Some(Self { start, end: UserAddr(start.0 + length) })
        } else {
            None
        }
    }

    /// The bytes from `start` up to `end`, or `None` when the two are out of order or outside the user half.
    #[inline]
    pub const fn from_bounds(start: UserAddr, end: UserAddr) -> Option<Self> {
        if start.0 <= end.0 && end.0 <= USER_END { Some(Self { start, end }) } else { None }
    }

    /// First byte.
    pub const fn start(self) -> UserAddr {
        self.start
    }

    /// First byte behind the range.
    pub const fn end(self) -> UserAddr {
        self.end
    }

    /// Number of bytes.
    pub const fn length(self) -> u64 {
        self.end.0 - self.start.0
    }

    /// True when the range holds no byte.
    pub const fn is_empty(self) -> bool {
        self.start.0 == self.end.0
    }

    /// True when `address` lies in the range.
    pub const fn contains(self, address: UserAddr) -> bool {
        self.start.0 <= address.0 && address.0 < self.end.0
    }

    /// True when the two ranges share a byte.
    pub const fn overlaps(self, other: Self) -> bool {
        self.start.0 < other.end.0 && other.start.0 < self.end.0
    }

    /// The bytes that both ranges hold, or `None` when they share none.
    pub fn intersection(self, other: Self) -> Option<Self> {
        let (start, end) = (self.start.max(other.start), self.end.min(other.end));
        (start < end).then_some(Self { start, end })
    }

    /// True when both bounds are page starts.
    pub const fn is_page_aligned(self) -> bool {
        self.start.is_page_aligned() && self.end.is_page_aligned()
    }

    /// The smallest range of whole pages that holds this one. `USER_END` is a page start, so it always exists.
    pub const fn page_aligned_outward(self) -> Self {
        Self { start: self.start.page_down(), end: UserAddr((self.end.0 + PAGE_MASK) & !PAGE_MASK) }
    }

    /// Number of pages that the range touches.
    pub const fn page_count(self) -> u64 {
        self.page_aligned_outward().length() >> PAGE_SHIFT
    }

    /// The start of every page that the range touches, lowest first.
    pub fn pages(self) -> impl DoubleEndedIterator<Item = UserAddr> + Clone {
        let aligned = self.page_aligned_outward();
        (aligned.start.page_number()..aligned.end.page_number()).map(UserAddr::of_page)
    }
}

impl fmt::Debug for UserRange {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "UserRange({:#x}..{:#x})", self.start.0, self.end.0)
    }
}

/// A half-open range of physical memory: `start <= end`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PhysRange {
    /// First byte.
    pub start: PhysAddr,
    /// First byte behind the range.
    pub end: PhysAddr,
}

impl PhysRange {
    /// `length` bytes from `start`; a range that would wrap is cut off at the end of the address space.
    pub const fn new(start: PhysAddr, length: u64) -> Self {
        Self { start, end: PhysAddr(start.0.saturating_add(length)) }
    }

    /// Number of bytes.
    pub const fn length(self) -> u64 {
        self.end.0 - self.start.0
    }

    /// True if any byte lies in both.
    pub fn overlaps(self, other: Self) -> bool {
        self.start < other.end && other.start < self.end
    }

    /// The whole frames inside the range, as frame numbers.
    pub fn whole_frames(self) -> core::ops::Range<u64> {
        let first = self.start.0.div_ceil(PAGE_SIZE);
        first..self.end.frame_number().max(first)
    }

    /// The frames that the range touches, as frame numbers.
    pub fn touched_frames(self) -> core::ops::Range<u64> {
        self.start.frame_number()..self.end.0.div_ceil(PAGE_SIZE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn rounding_never_wraps() {
        assert_eq!(page_up(u64::MAX), None);
        assert_eq!(page_up(1), Some(PAGE_SIZE));
        assert_eq!(UserAddr::new(0x1fff).page_down(), UserAddr::new(0x1000));
    }

    #[test]
    fn partial_frames_are_not_whole() {
        let range = PhysRange::new(PhysAddr::new(0x800), 0x1000);
        assert!(range.whole_frames().is_empty());
        assert_eq!(range.touched_frames(), 0..2);
    }

    #[test]
    fn a_tag_is_no_part_of_an_address() {
        use crate::arch::{aarch64, x86_64};
        assert_eq!(aarch64::untagged(0xa57f_ffff_ffff_f000), 0x007f_ffff_ffff_f000);
        assert_eq!(aarch64::untagged(0xa580_0000_0000_1000), 0xa580_0000_0000_1000);
        assert_eq!(x86_64::untagged(0xa500_0000_0000_1000), 0xa500_0000_0000_1000);
    }

    proptest! {
        #[test]
        fn a_user_range_lies_in_the_user_half(start: u64, length: u64) {
            let honest = (start as u128 + length as u128) <= USER_END as u128;
            let range = UserRange::new(UserAddr::new(start), length);
            prop_assert_eq!(range.is_some(), honest);
            if let Some(range) = range {
                let outward = range.page_aligned_outward();
                prop_assert!(outward.start() <= range.start() && range.end() <= outward.end());
                prop_assert!(range.page_aligned_outward().end().as_u64() <= USER_END);
            }
        }

        #[test]
        fn intersection_is_what_both_contain(a in 0..64u64, b in 0..64u64, c in 0..64u64, d in 0..64u64, x in 0..200u64) {
            let first = UserRange::new(UserAddr::new(a), b).unwrap();
            let second = UserRange::new(UserAddr::new(c), d).unwrap();
            let both = first.intersection(second);
            let address = UserAddr::new(x);
            prop_assert_eq!(both.is_some_and(|range| range.contains(address)),
                first.contains(address) && second.contains(address));
        }
    }
}
