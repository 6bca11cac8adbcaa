//! x86_64's page-table entry (SDM volume 3, 4.5).

use crate::addr::PhysAddr;
use crate::paging::{Attributes, Kind, MemoryType, Owner, Prot, level_size};

/// One entry of a table at any level.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(transparent)]
pub struct Entry(u64);

const PRESENT: u64 = 1 << 0;
const WRITABLE: u64 = 1 << 1;
const USER: u64 = 1 << 2;
const WRITE_THROUGH: u64 = 1 << 3;
const CACHE_DISABLE: u64 = 1 << 4;
const ACCESSED: u64 = 1 << 5;
const DIRTY: u64 = 1 << 6;
/// In entries above level 0: a large page and not a table. Level 0 has PAT there, which is never set.
const LARGE: u64 = 1 << 7;
const GLOBAL: u64 = 1 << 8;
/// Free for software: a page with `Prot::NONE` that still holds its frame.
const HELD: u64 = 1 << 9;
/// Free for software: what the page is counted as.
const ANONYMOUS: u64 = 1 << 10;
const OBJECT: u64 = 1 << 52;
/// Free for software: the page may be executed once it is accessible again. The CPU reads `NO_EXECUTE`.
const NO_EXECUTE: u64 = 1 << 63;
/// The part of an entry's address that this kernel uses: 8 TiB, of which it maps 512 GiB.
const ADDRESS: u64 = 0x0000_07ff_ffff_f000;
/// The rest. Set in an entry that is not present and holds a frame: CPUs with the first-level terminal fault go by the
/// address of such an entry while they guess, and no first-level cache holds anything as high (Intel, "L1 Terminal
/// Fault"; CPUs from Nehalem on look at 44 bits at least).
const NOWHERE: u64 = 0x000f_f800_0000_0000;

impl Entry {
    /// No translation and no frame.
    pub const EMPTY: Self = Self(0);

    /// An entry as read from memory.
    #[inline]
    pub const fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    /// The entry as written to memory.
    #[inline]
    pub const fn bits(self) -> u64 {
        self.0
    }

    /// An entry that leads to the table at `address`. Permissions are decided at the leaf alone.
    #[inline]
    pub const fn table(address: PhysAddr, owner: Owner) -> Self {
        let user = if matches!(owner, Owner::User) { USER } else { 0 };
        Self((address.as_u64() & ADDRESS) | PRESENT | WRITABLE | ACCESSED | user)
    }

    /// A page of `level_size(level)` bytes at `address`; level 0 to 2.
    #[inline]
    pub const fn leaf(address: PhysAddr, level: u32, attributes: Attributes) -> Self {
        let mut bits = address.as_u64() & ADDRESS;
        if level > 0 {
            bits |= LARGE;
        }
        if attributes.prot.is_none() {
            return Self(bits | HELD | NOWHERE);
        }
        bits |= PRESENT | ACCESSED;
        if attributes.prot.is_writable() {
            bits |= WRITABLE | DIRTY;
        }
        if !attributes.prot.is_executable() {
            bits |= NO_EXECUTE;
        }
        bits |= match attributes.owner {
            Owner::User => USER,
            Owner::Kernel => GLOBAL,
        };
        // With the PAT as `hal` leaves it (reset value): entry 0 write-back, entry 2 uncached-minus, entry 3 uncached.
        bits |= match attributes.memory {
            MemoryType::Normal => 0,
            MemoryType::WriteCombining => CACHE_DISABLE,
            MemoryType::Device => CACHE_DISABLE | WRITE_THROUGH,
        };
        Self(bits)
    }

    /// True when there is neither a translation nor a frame.
    #[inline]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// True when the CPU translates by this entry.
    #[inline]
    pub const fn is_present(self) -> bool {
        self.0 & PRESENT != 0
    }

    /// True when this entry, found at `level`, leads to another table.
    #[inline]
    pub const fn is_table(self, level: u32) -> bool {
        level > 0 && self.leads_on()
    }

    /// True when this entry, found above level 0, leads to another table.
    #[inline(always)]
    pub const fn leads_on(self) -> bool {
        self.0 & (PRESENT | LARGE) == PRESENT
    }

    /// True for a leaf that owns a frame: accessible or held for `Prot::NONE`. Not for entries that are tables.
    #[inline]
    pub const fn holds_frame(self) -> bool {
        self.0 & (PRESENT | HELD) != 0
    }

    /// True when this entry, found above level 0, is a leaf that owns a block of frames.
    #[inline]
    pub const fn is_block(self) -> bool {
        self.0 & LARGE != 0
    }

    /// The leaf, one level below this one at `level`, that shows the part `index` of its block with the same rights.
    #[inline]
    pub const fn part(self, level: u32, index: usize) -> Self {
        let large = if level > 1 { LARGE } else { 0 };
        Self((self.0 & !LARGE | large) + index as u64 * level_size(level - 1))
    }

    /// The frame or table the entry names.
    #[inline]
    pub const fn address(self) -> PhysAddr {
        PhysAddr::new(self.0 & ADDRESS)
    }

    /// What a leaf allows.
    #[inline]
    pub const fn prot(self) -> Prot {
        if self.0 & PRESENT == 0 {
            return Prot::NONE;
        }
        let mut prot = Prot::READ;
        if self.0 & WRITABLE != 0 {
            prot = prot.union(Prot::WRITE);
        }
        if self.0 & NO_EXECUTE == 0 {
            prot = prot.union(Prot::EXECUTE);
        }
        prot
    }

    /// A user leaf with the same frame and kind, at the same level, and other rights.
    #[inline]
    pub const fn with_user_prot(self, prot: Prot) -> Self {
        Self(Self::leaf(self.address(), 0, Attributes::user(prot)).0 | self.0 & (ANONYMOUS | OBJECT | LARGE))
    }

    /// The same leaf, counted as `kind`.
    #[inline]
    pub const fn with_kind(self, kind: Kind) -> Self {
        let bits = match kind {
            Kind::Uncounted => 0,
            Kind::Anonymous => ANONYMOUS,
            Kind::Object => OBJECT,
        };
        Self(self.0 & !(ANONYMOUS | OBJECT) | bits)
    }

    /// What a leaf is counted as.
    #[inline]
    pub const fn kind(self) -> Kind {
        if self.0 & ANONYMOUS != 0 {
            Kind::Anonymous
        } else if self.0 & OBJECT != 0 {
            Kind::Object
        } else {
            Kind::Uncounted
        }
    }

    /// What the leaf adds to a sum that [`Self::counted`] takes apart: cheaper than asking each for its kind.
    #[inline]
    pub const fn tally(self) -> u64 {
        self.0 & (ANONYMOUS | OBJECT)
    }

    /// How many leaves of a sum of at most 512 are anonymous, and how many an object's.
    #[inline]
    pub const fn counted(tally: u64) -> (u32, u32) {
        ((tally >> 10 & 0x3ff) as u32, (tally >> 52) as u32)
    }

    /// The same leaf without the right to write; the frame and every other right stay.
    #[inline]
    pub const fn without_write(self) -> Self {
        Self(self.0 & !(WRITABLE | DIRTY))
    }

    /// True when the page may have been written through this entry. Writable entries are made dirty from the start,
    /// which spares the CPU a locked update.
    #[inline]
    pub const fn is_dirty(self) -> bool {
        self.0 & DIRTY != 0
    }

    /// True when the change from `self` to `new` leaves no stale translation that could do harm: nothing was cached
    /// for a non-present entry, and a leaf that only gains rights at worst faults once more (SDM volume 3, 4.10.4.3).
    #[inline]
    pub const fn needs_flush(self, new: Self) -> bool {
        self.is_present()
            && (new.0 & PRESENT == 0
                || self.0 & ADDRESS != new.0 & ADDRESS
                || self.0 & WRITABLE & !new.0 != 0
                || new.0 & NO_EXECUTE & !self.0 != 0)
    }
}

#[cfg(test)]
#[path = "../entry_tests.rs"]
#[allow(clippy::duplicate_mod, reason = "one text for both architectures' entries")]
mod entry_tests;

#[cfg(test)]
mod tests {
    use super::entry_tests::ALL;
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_page_without_rights_has_no_memory_for_a_guess() {
        let entry = Entry::leaf(PhysAddr::new(0x5000), 0, Attributes::user(Prot::NONE));
        assert_eq!(entry.bits() >> 43 & 0x1ff, 0x1ff);
    }

    #[test]
    fn only_losing_rights_needs_a_flush() {
        let writable = Entry::leaf(PhysAddr::new(0x5000), 0, Attributes::user(Prot::READ_WRITE));
        let read_only = writable.without_write();
        assert!(writable.needs_flush(read_only) && !read_only.needs_flush(writable));
        assert!(!Entry::EMPTY.needs_flush(writable) && writable.needs_flush(Entry::EMPTY));
    }

    proptest! {
        #[test]
        fn a_leaf_says_what_it_was_made_of(frame in 0u64..1 << 31, which in 0usize..5, level in 0u32..3) {
            let address = PhysAddr::of_frame(frame);
            let entry = Entry::leaf(address, level, Attributes::user(ALL[which]));
            prop_assert_eq!(entry.address(), address);
            prop_assert_eq!(entry.prot(), ALL[which]);
            prop_assert!(!entry.is_table(level) && entry.holds_frame());
        }

        #[test]
        fn kernel_pages_are_never_the_programs(frame in 0u64..1 << 31, which in 1usize..5) {
            let entry = Entry::leaf(PhysAddr::of_frame(frame), 0, Attributes::kernel(ALL[which]));
            prop_assert_eq!(entry.bits() & USER, 0);
        }
    }
}
