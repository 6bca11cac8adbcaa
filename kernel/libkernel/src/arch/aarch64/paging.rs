//! AArch64's translation table descriptor: stage 1, EL1&0, 4 KiB granule (D8.3).

use crate::addr::PhysAddr;
use crate::paging::{Attributes, Kind, MemoryType, Owner, Prot, level_size};

/// One entry of a table at any level.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(transparent)]
pub struct Entry(u64);

const VALID: u64 = 1 << 0;
/// A table at levels above 0, a page at level 0; clear for a block. The CPU does not read it where `VALID` is clear.
const TABLE_OR_PAGE: u64 = 1 << 1;
const ATTRIBUTE_INDEX: u32 = 2;
/// AP[1]: programs may access.
const USER: u64 = 1 << 6;
/// AP[2]: nobody may write.
const READ_ONLY: u64 = 1 << 7;
const INNER_SHAREABLE: u64 = 3 << 8;
const ACCESSED: u64 = 1 << 10;
const NOT_GLOBAL: u64 = 1 << 11;
const PRIVILEGED_EXECUTE_NEVER: u64 = 1 << 53;
const USER_EXECUTE_NEVER: u64 = 1 << 54;
/// Free for software: a page with `Prot::NONE` that still holds its frame.
const HELD: u64 = 1 << 55;
/// Free for software: what the page is counted as.
const ANONYMOUS: u64 = 1 << 56;
const OBJECT: u64 = 1 << 57;
/// In table descriptors: nothing below is executable by the kernel (D8.4.3).
const TABLE_PRIVILEGED_EXECUTE_NEVER: u64 = 1 << 59;
const ADDRESS: u64 = 0x0000_ffff_ffff_f000;

/// MAIR_EL1 as these entries use it: 0 normal write-back, 1 device nGnRE, 2 normal non-cacheable (D17.2.97).
pub const MAIR: u64 = 0x44_04_ff;

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

    /// An entry that leads to the table at `address`. Permissions are decided at the leaf, except that the kernel never
    /// executes below a user table.
    #[inline]
    pub const fn table(address: PhysAddr, owner: Owner) -> Self {
        let limits = if matches!(owner, Owner::User) { TABLE_PRIVILEGED_EXECUTE_NEVER } else { 0 };
        Self((address.as_u64() & ADDRESS) | VALID | TABLE_OR_PAGE | limits)
    }

    /// A page of `level_size(level)` bytes at `address`; level 0 to 2.
    #[inline]
    pub const fn leaf(address: PhysAddr, level: u32, attributes: Attributes) -> Self {
        let mut bits = address.as_u64() & ADDRESS;
        if level == 0 {
            bits |= TABLE_OR_PAGE;
        }
        if attributes.prot.is_none() {
            return Self(bits | HELD);
        }
        bits |= VALID | ACCESSED;
        if !attributes.prot.is_writable() {
            bits |= READ_ONLY;
        }
        bits |= match (attributes.owner, attributes.prot.is_executable()) {
            (Owner::User, true) => USER | NOT_GLOBAL | PRIVILEGED_EXECUTE_NEVER,
            (Owner::User, false) => USER | NOT_GLOBAL | PRIVILEGED_EXECUTE_NEVER | USER_EXECUTE_NEVER,
            (Owner::Kernel, true) => USER_EXECUTE_NEVER,
            (Owner::Kernel, false) => USER_EXECUTE_NEVER | PRIVILEGED_EXECUTE_NEVER,
        };
        bits |= match attributes.memory {
            MemoryType::Normal => INNER_SHAREABLE,
            MemoryType::Device => 1 << ATTRIBUTE_INDEX,
            MemoryType::WriteCombining => 2 << ATTRIBUTE_INDEX | INNER_SHAREABLE,
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
        self.0 & VALID != 0
    }

    /// True when this entry, found at `level`, leads to another table.
    #[inline]
    pub const fn is_table(self, level: u32) -> bool {
        level > 0 && self.leads_on()
    }

    /// True when this entry, found above level 0, leads to another table.
    #[inline(always)]
    pub const fn leads_on(self) -> bool {
        self.0 & (VALID | TABLE_OR_PAGE) == VALID | TABLE_OR_PAGE
    }

    /// True for a leaf that owns a frame: accessible or held for `Prot::NONE`. Not for entries that are tables.
    #[inline]
    pub const fn holds_frame(self) -> bool {
        self.0 & (VALID | HELD) != 0
    }

    /// True when this entry, found above level 0, is a leaf that owns a block of frames.
    #[inline]
    pub const fn is_block(self) -> bool {
        self.holds_frame() && self.0 & TABLE_OR_PAGE == 0
    }

    /// The leaf, one level below this one at `level`, that shows the part `index` of its block with the same rights.
    #[inline]
    pub const fn part(self, level: u32, index: usize) -> Self {
        let page = if level > 1 { 0 } else { TABLE_OR_PAGE };
        Self((self.0 | page) + index as u64 * level_size(level - 1))
    }

    /// The frame or table the entry names.
    #[inline]
    pub const fn address(self) -> PhysAddr {
        PhysAddr::new(self.0 & ADDRESS)
    }

    /// What a leaf allows to its owner.
    #[inline]
    pub const fn prot(self) -> Prot {
        if self.0 & VALID == 0 {
            return Prot::NONE;
        }
        let execute_never = if self.0 & USER != 0 { USER_EXECUTE_NEVER } else { PRIVILEGED_EXECUTE_NEVER };
        let mut prot = Prot::READ;
        if self.0 & READ_ONLY == 0 {
            prot = prot.union(Prot::WRITE);
        }
        if self.0 & execute_never == 0 {
            prot = prot.union(Prot::EXECUTE);
        }
        prot
    }

    /// A user leaf with the same frame and kind, at the same level, and other rights.
    #[inline]
    pub const fn with_user_prot(self, prot: Prot) -> Self {
        Self(
            Self::leaf(self.address(), 1, Attributes::user(prot)).0
                | self.0 & (ANONYMOUS | OBJECT | TABLE_OR_PAGE),
        )
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
        (self.0 >> 56) + (self.0 >> 57 << 32)
    }

    /// How many leaves of a sum of at most 512 are anonymous, and how many an object's.
    #[inline]
    pub const fn counted(tally: u64) -> (u32, u32) {
        let objects = (tally >> 32) as u32;
        (tally as u32 - 2 * objects, objects)
    }

    /// The same leaf without the right to write; the frame and every other right stay.
    #[inline]
    pub const fn without_write(self) -> Self {
        Self(if self.0 & VALID != 0 { self.0 | READ_ONLY } else { self.0 })
    }

    /// True when the page may have been written through this entry: whenever it is writable, since Orlop does not use
    /// hardware management of the dirty state.
    #[inline]
    pub const fn is_dirty(self) -> bool {
        self.0 & (VALID | READ_ONLY) == VALID
    }

    /// True when the change from `self` to `new` may leave a stale translation that could do harm. Also when rights are
    /// only added: unlike x86_64's, this CPU may keep an entry that has just faulted, and fault by it for ever
    /// (D8.16.2: only entries that are invalid are never cached). A change of the frame also demands break-before-make
    /// (D8.16.1), which is the caller's part.
    #[inline]
    pub const fn needs_flush(self, new: Self) -> bool {
        self.is_present() && self.0 != new.0
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
    fn every_change_of_a_valid_entry_needs_a_flush() {
        let writable = Entry::leaf(PhysAddr::new(0x5000), 0, Attributes::user(Prot::READ_WRITE));
        let read_only = writable.without_write();
        assert!(writable.needs_flush(read_only) && read_only.needs_flush(writable));
        assert!(!Entry::EMPTY.needs_flush(writable) && writable.needs_flush(Entry::EMPTY));
    }

    proptest! {
        #[test]
        fn a_leaf_says_what_it_was_made_of(frame in 0u64..1 << 36, which in 0usize..5, level in 0u32..3) {
            let address = PhysAddr::of_frame(frame);
            let entry = Entry::leaf(address, level, Attributes::user(ALL[which]));
            prop_assert_eq!(entry.address(), address);
            prop_assert_eq!(entry.prot(), ALL[which]);
            prop_assert!(!entry.is_table(level) && entry.holds_frame());
        }

        #[test]
        fn neither_level_executes_the_others_pages(frame in 0u64..1 << 36, which in 1usize..5) {
            let address = PhysAddr::of_frame(frame);
            let user = Entry::leaf(address, 0, Attributes::user(ALL[which])).bits();
            let kernel = Entry::leaf(address, 0, Attributes::kernel(ALL[which])).bits();
            prop_assert_ne!(user & PRIVILEGED_EXECUTE_NEVER, 0);
            prop_assert_ne!(kernel & USER_EXECUTE_NEVER, 0);
            prop_assert_eq!(kernel & USER, 0);
        }
    }
}
