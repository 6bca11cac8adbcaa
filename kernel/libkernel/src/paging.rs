//! Page tables as both architectures have them: four levels of 512 entries over 48 bits, 4 KiB pages.
//!
//! The types here say what a mapping is; `arch::{x86_64,aarch64}::paging::Entry` says how the CPU spells it. A mapping
//! that forbids everything (`PROT_NONE`) still holds its frame: such an entry is invisible to the CPU and
//! `holds_frame()` is true.

use crate::addr::PAGE_SHIFT;

/// Entries in one table.
pub const ENTRIES: usize = 512;
/// Levels of tables; level 0 holds pages, level 3 is the root.
pub const LEVELS: u32 = 4;
/// The root's level.
pub const ROOT_LEVEL: u32 = LEVELS - 1;

const INDEX_BITS: u32 = 9;

/// `log2` of the pages that an entry at level 1 spans: the order of the blocks that it can own.
pub const BLOCK_ORDER: u32 = INDEX_BITS;

/// Which entry of a table at `level` translates `address`.
#[inline]
pub const fn index(address: u64, level: u32) -> usize {
    ((address >> level_shift(level)) & (ENTRIES as u64 - 1)) as usize
}

/// `log2` of the bytes that one entry at `level` spans.
#[inline]
pub const fn level_shift(level: u32) -> u32 {
    PAGE_SHIFT + INDEX_BITS * level
}

/// Bytes that one entry at `level` spans: 4 KiB, 2 MiB, 1 GiB, 512 GiB.
#[inline]
pub const fn level_size(level: u32) -> u64 {
    1 << level_shift(level)
}

/// What a page of a program is counted as: `get_mm_counter` in Linux.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// Nothing: the frame of zeros, the kernel's own data.
    Uncounted,
    /// The process's own, or shared with those that it was forked with.
    Anonymous,
    /// An object's, as everybody sees it.
    Object,
}

/// What a program (or the kernel) may do with a page.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Prot(u8);

impl Prot {
    /// Nothing at all; the page keeps its content.
    pub const NONE: Self = Self(0);
    /// Loads.
    pub const READ: Self = Self(1);
    /// Stores. The hardware has no write-only pages: it implies loads.
    pub const WRITE: Self = Self(2);
    /// Instruction fetches. Implies loads, as on Linux without protection keys.
    pub const EXECUTE: Self = Self(4);
    /// Loads and stores.
    pub const READ_WRITE: Self = Self(3);
    /// Loads and instruction fetches.
    pub const READ_EXECUTE: Self = Self(5);

    /// The three low bits of `mmap`'s `prot`, which have the same values; other bits are dropped.
    pub const fn from_bits_truncate(bits: u32) -> Self {
        Self((bits & 7) as u8)
    }

    /// The bits as `mmap` takes them.
    pub const fn bits(self) -> u32 {
        self.0 as u32
    }

    /// Everything that `self` or `other` allows.
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// What `self` allows and `other` does not.
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// What is left while stores are to fault: loads stay, which permission to store implies.
    pub const fn write_protected(self) -> Self {
        if self.is_writable() { self.without(Self::WRITE).union(Self::READ) } else { self }
    }

    /// True when everything that `other` allows is allowed.
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// True when nothing is allowed.
    pub const fn is_none(self) -> bool {
        self.0 == 0
    }

    /// True when stores are allowed.
    pub const fn is_writable(self) -> bool {
        self.contains(Self::WRITE)
    }

    /// True when instruction fetches are allowed.
    pub const fn is_executable(self) -> bool {
        self.contains(Self::EXECUTE)
    }

    /// True when `access` is allowed to a program. Loads are allowed wherever anything is.
    pub const fn allows(self, access: crate::fault::Access) -> bool {
        match access {
            crate::fault::Access::Read => !self.is_none(),
            crate::fault::Access::Write => self.is_writable(),
            crate::fault::Access::Execute => self.is_executable(),
        }
    }
}

impl core::fmt::Debug for Prot {
    fn fmt(&self, formatter: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let letter = |bit, name| if self.contains(bit) { name } else { '-' };
        write!(
            formatter,
            "{}{}{}",
            letter(Self::READ, 'r'),
            letter(Self::WRITE, 'w'),
            letter(Self::EXECUTE, 'x')
        )
    }
}

/// Which half of the machine may use a page.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Owner {
    /// Programs, and the kernel through its user copies.
    User,
    /// The kernel alone; the translation is the same in every address space (global).
    Kernel,
}

/// How the CPU may cache a page.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum MemoryType {
    /// Ordinary memory, write-back.
    Normal,
    /// Device registers: uncached, in order.
    Device,
    /// Frame buffers: uncached, writes may be combined.
    WriteCombining,
}

/// All that a leaf entry says besides the frame.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Attributes {
    /// Who may use it.
    pub owner: Owner,
    /// For what.
    pub prot: Prot,
    /// Through which caches.
    pub memory: MemoryType,
}

impl Attributes {
    /// A program's page of ordinary memory.
    pub const fn user(prot: Prot) -> Self {
        Self { owner: Owner::User, prot, memory: MemoryType::Normal }
    }

    /// The kernel's own ordinary memory.
    pub const fn kernel(prot: Prot) -> Self {
        Self { owner: Owner::Kernel, prot, memory: MemoryType::Normal }
    }

    /// Device registers, for the kernel.
    pub const fn device() -> Self {
        Self { owner: Owner::Kernel, prot: Prot::READ_WRITE, memory: MemoryType::Device }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn indices_cut_an_address_into_nines() {
        let address = (1 << 39) | (2 << 30) | (3 << 21) | (4 << 12) | 5;
        assert_eq!([3, 2, 1, 0].map(|level| index(address, level)), [1, 2, 3, 4]);
        assert_eq!(level_size(1), 2 << 20);
    }

    #[test]
    fn any_right_implies_loads() {
        assert!(Prot::WRITE.allows(crate::fault::Access::Read));
        assert!(!Prot::NONE.allows(crate::fault::Access::Read));
    }
}
