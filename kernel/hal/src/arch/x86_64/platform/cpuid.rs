//! What CPUID says, read once, on the boot CPU, for all: a hypervisor is left and entered again for each CPUID (SDM
//! volume 3, 25.1.2).
//!
//! No other file executes the instruction, but for what boots before this one can run: the build looks for it. All CPUs
//! are taken to be of one kind, as everywhere in this kernel.
use crate::sync::Once;
use core::arch::x86_64::__cpuid_count;

/// What the kernel asks for: leaves, each with a subleaf, those that tell how many leaves there are before their kin.
const LEAVES: [(u32, u32); 29] = [
    (BASIC, 0),
    (0x1, 0),
    (0x4, 0),
    (0x7, 0),
    (0x7, 2),
    (0xb, 0),
    (0xb, 1),
    (0xb, 2),
    (0xd, 0),
    (0xd, 1),
    (0x15, 0),
    (0x16, 0),
    (HYPERVISOR, 0),
    (HYPERVISOR + 0x1, 0),
    (HYPERVISOR + 0x10, 0),
    (SECOND_HYPERVISOR, 0),
    (SECOND_HYPERVISOR + 0x1, 0),
    (SECOND_HYPERVISOR + 0x10, 0),
    (EXTENDED, 0),
    (EXTENDED + 0x1, 0),
    (EXTENDED + 0x2, 0),
    (EXTENDED + 0x3, 0),
    (EXTENDED + 0x4, 0),
    (EXTENDED + 0x5, 0),
    (EXTENDED + 0x6, 0),
    (EXTENDED + 0x7, 0),
    (EXTENDED + 0x8, 0),
    (EXTENDED + 0xa, 0),
    (EXTENDED + 0x21, 0),
];

const BASIC: u32 = 0;
/// A hypervisor's leaves (Linux, Documentation/virt/kvm/x86/cpuid.rst), and where they are if it acts as another one
/// too.
const HYPERVISOR: u32 = 0x4000_0000;
const SECOND_HYPERVISOR: u32 = 0x4000_0100;
const EXTENDED: u32 = 0x8000_0000;

type Table = [[u32; 4]; LEAVES.len()];

static TABLE: Once<Table> = Once::new();

/// Reads all of them. First on the boot CPU; needs nothing.
pub fn initialise() {
    const IS_GUEST: u32 = 1 << 31;
    let mut table: Table = [[0; 4]; LEAVES.len()];
    let mut last = 0;
    for (index, (leaf, subleaf)) in LEAVES.into_iter().enumerate() {
        let is_first = [BASIC, HYPERVISOR, SECOND_HYPERVISOR, EXTENDED].contains(&leaf);
        // CPUs without a hypervisor answer its leaves by those of their own last one; KVM's early ones counted none of
        // theirs.
        let is_hypervisors = leaf & 0xf000_0000 == HYPERVISOR;
        let exists = if is_hypervisors { table[1][2] & IS_GUEST != 0 } else { is_first || leaf <= last };
        if exists {
            table[index] = execute(leaf, subleaf);
        }
        if is_first {
            last = table[index][0];
        }
    }
    let _ = TABLE.set(table);
}

/// EAX, EBX, ECX and EDX of a leaf and subleaf; zeros if the CPU does not have it.
pub fn read(leaf: u32, subleaf: u32) -> [u32; 4] {
    let known = LEAVES.iter().position(|known| *known == (leaf, subleaf));
    debug_assert!(
        known.is_some() || leaf == 0xb,
        "leaf {leaf:#x}, subleaf {subleaf} is not among those that are read"
    );
    known.zip(TABLE.get()).map_or([0; 4], |(index, table)| table[index])
}

/// Leaf 0xd as it is now, by its subleaf: the size of XSAVE's area for what XCR0 enables, and each component's place.
/// Boot only.
pub fn components(subleaf: u32) -> [u32; 4] {
    execute(0xd, subleaf)
}

/// Makes any hypervisor notice what the CPU was told before. Boot only.
pub fn leave_guest() {
    core::hint::black_box(execute(0, 0));
}

#[inline(never)]
fn execute(leaf: u32, subleaf: u32) -> [u32; 4] {
    let found = __cpuid_count(leaf, subleaf);
    [found.eax, found.ebx, found.ecx, found.edx]
}
