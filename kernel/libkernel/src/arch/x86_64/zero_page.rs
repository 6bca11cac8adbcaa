//! What a loader for Linux hands over: `struct boot_params`, the "zero page", with the setup header in it.
//!
//! Source: Linux, `Documentation/arch/x86/{boot,zero-page}.rst`, `arch/x86/include/uapi/asm/bootparam.h`.
use crate::addr::{PhysAddr, PhysRange};
use crate::physical::{Memory, matches, number};

/// Offsets in the page.
const ACPI_ROOT: u64 = 0x070;
const INITRAMFS_HIGH: u64 = 0x0c0;
const INITRAMFS_SIZE_HIGH: u64 = 0x0c4;
const COMMAND_LINE_HIGH: u64 = 0x0c8;
const EFI_SIGNATURE: u64 = 0x1c0;
const EFI_SYSTEM_TABLE: u64 = 0x1c4;
const EFI_SYSTEM_TABLE_HIGH: u64 = 0x1d8;
const MEMORY_ENTRIES: u64 = 0x1e8;
const MAGIC: u64 = 0x202;
const INITRAMFS: u64 = 0x218;
const INITRAMFS_SIZE: u64 = 0x21c;
const COMMAND_LINE: u64 = 0x228;
const SETUP_DATA: u64 = 0x250;
const MEMORY_TABLE: u64 = 0x2d0;

/// Entries of the table in the page at most.
const MEMORY_ENTRIES_MAX: u64 = 128;
/// Address, size and kind.
const MEMORY_ENTRY_BYTES: u64 = 20;
const KIND_USABLE: u64 = 1;

/// Kinds of `struct setup_data`: next one, kind, length, content.
const MORE_MEMORY: u64 = 1;
const RANDOM_SEED: u64 = 9;
const SETUP_DATA_HEADER: u64 = 16;
/// A list that is longer goes round.
const SETUP_DATA_MAX: usize = 64;
/// So many bytes of one seed are used.
const SEED_MAX: u64 = 4096;

/// A zero page in memory.
pub struct ZeroPage<'a, M> {
    memory: &'a M,
    address: u64,
}

impl<'a, M: Memory> ZeroPage<'a, M> {
    /// The page at `address`, if its setup header says so. The boot flag before it is no sign: GRUB writes over it.
    pub fn find(memory: &'a M, address: u64) -> Option<Self> {
        matches(memory, address.checked_add(MAGIC)?, b"HdrS").then_some(Self { memory, address })
    }

    /// A field of four bytes; zero where it cannot be read.
    fn word(&self, offset: u64) -> u64 {
        number::<4>(self.memory, self.address.saturating_add(offset)).unwrap_or(0)
    }

    fn wide(&self, low: u64, high: u64) -> u64 {
        self.word(high) << 32 | self.word(low)
    }

    /// Where the command line is; it ends with a zero.
    pub fn command_line(&self) -> Option<u64> {
        Some(self.wide(COMMAND_LINE, COMMAND_LINE_HIGH)).filter(|&address| address != 0)
    }

    /// The initramfs.
    pub fn initramfs(&self) -> Option<PhysRange> {
        let start = self.wide(INITRAMFS, INITRAMFS_HIGH);
        let size = self.wide(INITRAMFS_SIZE, INITRAMFS_SIZE_HIGH);
        let is_one = start != 0 && size != 0 && start.checked_add(size).is_some();
        is_one.then(|| PhysRange::new(PhysAddr::new(start), size))
    }

    /// ACPI's root pointer, if the loader names it.
    pub fn acpi_root(&self) -> Option<u64> {
        Some(self.wide(ACPI_ROOT, ACPI_ROOT + 4)).filter(|&address| address != 0)
    }

    /// EFI's system table, if 64-bit firmware started the loader.
    pub fn efi_system_table(&self) -> Option<u64> {
        let is_efi = matches(self.memory, self.address + EFI_SIGNATURE, b"EL64");
        Some(self.wide(EFI_SYSTEM_TABLE, EFI_SYSTEM_TABLE_HIGH)).filter(|&address| is_efi && address != 0)
    }

    /// Calls `visit` with every range of the memory map, in the loader's order, and whether it can be used.
    pub fn for_each_range(&self, visit: &mut impl FnMut(PhysRange, bool)) {
        let count = number::<1>(self.memory, self.address + MEMORY_ENTRIES).unwrap_or(0);
        self.for_each_entry(self.address + MEMORY_TABLE, count.min(MEMORY_ENTRIES_MAX), visit);
        self.for_each_setup_data(&mut |kind, start, length| {
            if kind == MORE_MEMORY {
                self.for_each_entry(start, length / MEMORY_ENTRY_BYTES, visit);
            }
        });
    }

    fn for_each_entry(&self, table: u64, count: u64, visit: &mut impl FnMut(PhysRange, bool)) {
        for entry in (0..count).map_while(|index| table.checked_add(index * MEMORY_ENTRY_BYTES)) {
            let field = |offset| number::<8>(self.memory, entry.checked_add(offset)?);
            let kind = entry.checked_add(16).and_then(|at| number::<4>(self.memory, at));
            let (Some(start), Some(size), Some(kind)) = (field(0), field(8), kind) else { return };
            if start.checked_add(size).is_some() {
                visit(PhysRange::new(PhysAddr::new(start), size), kind == KIND_USABLE);
            }
        }
    }

    /// Calls `visit` with kind, start and length of what each part of the list holds.
    fn for_each_setup_data(&self, visit: &mut impl FnMut(u64, u64, u64)) {
        let mut at = self.wide(SETUP_DATA, SETUP_DATA + 4);
        for _ in 0..SETUP_DATA_MAX {
            let field = |offset| at.checked_add(offset).and_then(|place| number::<4>(self.memory, place));
            let (Some(kind), Some(length)) = (field(8), field(12)) else { return };
            if at == 0 {
                return;
            }
            visit(kind, at.saturating_add(SETUP_DATA_HEADER), length);
            at = number::<8>(self.memory, at).unwrap_or(0);
        }
    }

    /// Random bytes of the loader, all of them folded into 32; zeros where there are none.
    pub fn seed(&self) -> [u8; 32] {
        let mut seed = [0_u8; 32];
        self.for_each_seed_byte(&mut |index, _, byte| {
            let slot = &mut seed[index as usize % 32];
            // No rotation and no exclusive or alone: what a list that goes round hands out again would undo itself.
            *slot = slot.wrapping_mul(0x9d).wrapping_add(byte);
        });
        seed
    }

    /// Calls `visit` with index, address and value of every random byte, so that nobody else finds them.
    pub fn for_each_seed_byte(&self, visit: &mut impl FnMut(u64, u64, u8)) {
        self.for_each_setup_data(&mut |kind, start, length| {
            if kind != RANDOM_SEED {
                return;
            }
            for index in 0..length.min(SEED_MAX) {
                let Some(address) = start.checked_add(index) else { return };
                let Some(byte) = self.memory.byte(address) else { return };
                visit(index, address, byte);
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::vec::Vec;

    /// Memory with a zero page at 0x1000.
    fn memory(fields: &[(u64, &[u8])]) -> Vec<u8> {
        let mut memory = std::vec![0; 0x4000];
        let magic: [(u64, &[u8]); 1] = [(MAGIC, b"HdrS")];
        for (offset, bytes) in magic.iter().chain(fields) {
            let start = 0x1000 + *offset as usize;
            memory[start..start + bytes.len()].copy_from_slice(bytes);
        }
        memory
    }

    fn with<R>(memory: &[u8], look: impl FnOnce(ZeroPage<'_, &dyn Fn(u64) -> Option<u8>>) -> R) -> R {
        let read = |address: u64| memory.get(usize::try_from(address).ok()?).copied();
        let read: &dyn Fn(u64) -> Option<u8> = &read;
        look(ZeroPage::find(&read, 0x1000).unwrap())
    }

    fn entry(start: u64, size: u64, kind: u32) -> Vec<u8> {
        [&start.to_le_bytes()[..], &size.to_le_bytes(), &kind.to_le_bytes()].concat()
    }

    fn ranges(memory: &[u8]) -> Vec<(u64, u64, bool)> {
        let mut found = Vec::new();
        with(memory, |page| {
            page.for_each_range(&mut |range, usable| {
                found.push((range.start.as_u64(), range.end.as_u64(), usable));
            });
        });
        found
    }

    #[test]
    fn only_a_page_with_a_setup_header_is_one() {
        let nothing = |_: u64| Some(0u8);
        assert!(ZeroPage::find(&nothing, 0x1000).is_none());
        assert!(ZeroPage::find(&nothing, u64::MAX).is_none());
    }

    #[test]
    fn addresses_have_two_halves() {
        let memory = memory(&[
            (COMMAND_LINE, &[0, 0, 2]),
            (INITRAMFS, &[0, 0, 0, 4]),
            (INITRAMFS_SIZE, &[9]),
            (INITRAMFS_HIGH, &[1]),
            (ACPI_ROOT, &[0xe0, 0xff, 0xe]),
            (EFI_SYSTEM_TABLE, &[8]),
            (EFI_SYSTEM_TABLE_HIGH, &[2]),
        ]);
        with(&memory, |page| {
            assert_eq!(page.command_line(), Some(0x2_0000));
            assert_eq!(page.initramfs(), Some(PhysRange::new(PhysAddr::new(0x1_0400_0000), 9)));
            assert_eq!(page.acpi_root(), Some(0xe_ffe0));
            assert_eq!(page.efi_system_table(), None);
        });
    }

    #[test]
    fn efi_counts_with_its_signature() {
        let fields: [(u64, &[u8]); 2] = [(EFI_SIGNATURE, b"EL64"), (EFI_SYSTEM_TABLE, &[8])];
        with(&memory(&fields), |page| assert_eq!(page.efi_system_table(), Some(8)));
    }

    #[test]
    fn what_is_zero_is_absent() {
        with(&memory(&[]), |page| {
            assert_eq!((page.command_line(), page.initramfs(), page.acpi_root()), (None, None, None));
            assert_eq!(page.seed(), [0; 32]);
        });
        with(
            &memory(&[(INITRAMFS, &[1]), (INITRAMFS_SIZE, &[0xff; 4]), (INITRAMFS_HIGH, &[0xff; 8])]),
            |page| {
                assert_eq!(page.initramfs(), None);
            },
        );
    }

    #[test]
    fn the_memory_map_goes_on_in_the_list() {
        let first = [entry(0, 0x9_fc00, 1), entry(0xf_0000, 0x1_0000, 2)].concat();
        let more = [&[0; 8][..], &[1, 0, 0, 0, 20, 0, 0, 0], &entry(0x10_0000, 0x1000, 1)].concat();
        let mut memory = memory(&[(MEMORY_ENTRIES, &[2]), (MEMORY_TABLE, &first), (SETUP_DATA, &[0, 0x30])]);
        memory[0x3000..0x3000 + more.len()].copy_from_slice(&more);
        let expected = [(0, 0x9_fc00, true), (0xf_0000, 0x10_0000, false), (0x10_0000, 0x10_1000, true)];
        assert_eq!(ranges(&memory), expected);
        // A range that wraps is none.
        memory[0x1000 + 0x2d0 + 8..0x1000 + 0x2d0 + 16].fill(0xff);
        memory[0x1000 + 0x2d0] = 2;
        assert_eq!(ranges(&memory), expected[1..]);
    }

    #[test]
    fn a_seed_is_folded_and_can_be_wiped() {
        let node = [
            &[0, 0x30, 0, 0, 0, 0, 0, 0][..],
            &[9, 0, 0, 0, 40, 0, 0, 0],
            b"0123456789abcdefghijklmnopqrstuvwxyzABCD",
        ]
        .concat();
        let mut memory = memory(&[(SETUP_DATA, &[0, 0x30])]);
        memory[0x3000..0x3000 + node.len()].copy_from_slice(&node);
        // The list goes round, and still ends.
        let seed = with(&memory, |page| page.seed());
        assert!(seed.iter().any(|&byte| byte != 0));
        let mut places = Vec::new();
        with(&memory, |page| page.for_each_seed_byte(&mut |_, address, _| places.push(address)));
        assert_eq!(places[..2], [0x3010, 0x3011]);
    }

    proptest! {
        #[test]
        fn any_page_is_read_to_an_end(bytes in prop::collection::vec(any::<u8>(), 0x1000)) {
            let mut memory = memory(&[]);
            memory[0x1000..0x2000].copy_from_slice(&bytes);
            memory[0x1202..0x1206].copy_from_slice(b"HdrS");
            ranges(&memory);
            with(&memory, |page| (page.seed(), page.initramfs()));
        }
    }
}
