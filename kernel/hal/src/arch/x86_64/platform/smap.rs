//! The door to user memory: `stac` and `clac`, where the CPU has SMAP.
//!
//! CPUs without SMAP do not know the instructions, so the image holds three-byte no-operations and a table of their
//! places; the boot CPU writes the instructions in before the text becomes read-only.
use crate::arch::x86_64::cpu;

/// One place in the text and the instruction that belongs there.
#[repr(C)]
struct Site {
    address: u64,
    instruction: u64,
}

unsafe extern "C" {
    static __smap_sites_start: [Site; 0];
    static __smap_sites_end: [Site; 0];
}

/// Assembly for a place where `clac` belongs. Use inside `naked_asm!`/`asm!` as an operand-free line.
macro_rules! clac {
    () => {
        "771: .byte 0x0f, 0x1f, 0x00\n.pushsection .smap_sites, \"a\"\n.quad 771b, 0xca010f\n.popsection"
    };
}

/// Assembly for a place where `stac` belongs.
macro_rules! stac {
    () => {
        "772: .byte 0x0f, 0x1f, 0x00\n.pushsection .smap_sites, \"a\"\n.quad 772b, 0xcb010f\n.popsection"
    };
}
pub(in crate::arch::x86_64) use {clac, stac};

/// Writes `stac` and `clac` into the text where the CPU has them.
///
/// # Safety
/// The text is writable (early page tables), and this CPU is alone with interrupts off.
pub unsafe fn patch() {
    if !cpu::has(cpu::feature::SMAP) {
        return;
    }
    let (mut site, end) =
        (&raw const __smap_sites_start as *const Site, &raw const __smap_sites_end as *const Site);
    while site < end {
        // SAFETY: the linker script brackets the table, and each entry names three bytes of text.
        unsafe {
            let bytes = (*site).instruction.to_le_bytes();
            ((*site).address as *mut [u8; 3]).write_volatile([bytes[0], bytes[1], bytes[2]]);
            site = site.add(1);
        }
    }
}
