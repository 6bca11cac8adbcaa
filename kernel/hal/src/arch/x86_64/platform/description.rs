//! The executing CPU in `/proc/cpuinfo`: what CPUID says of it, in the words and order of Linux's
//! `arch/x86/kernel/cpu/proc.c`. Of the flags those of leaf 1 are shown.
use super::cpuid;
use core::fmt::{Result, Write};

/// Leaf 1, EDX, lowest bit first (SDM volume 2, CPUID); empty where Linux names none.
const BASIC: [&str; 32] = [
    "fpu", "vme", "de", "pse", "tsc", "msr", "pae", "mce", "cx8", "apic", "", "sep", "mtrr", "pge", "mca",
    "cmov", "pat", "pse36", "pn", "clflush", "", "dts", "acpi", "mmx", "fxsr", "sse", "sse2", "ss", "ht",
    "tm", "ia64", "pbe",
];

/// Leaf 1, ECX.
const MORE: [&str; 32] = [
    "pni",
    "pclmulqdq",
    "dtes64",
    "monitor",
    "ds_cpl",
    "vmx",
    "smx",
    "est",
    "tm2",
    "ssse3",
    "cid",
    "sdbg",
    "fma",
    "cx16",
    "xtpr",
    "pdcm",
    "",
    "pcid",
    "dca",
    "sse4_1",
    "sse4_2",
    "x2apic",
    "movbe",
    "popcnt",
    "tsc_deadline_timer",
    "aes",
    "xsave",
    "",
    "avx",
    "f16c",
    "rdrand",
    "hypervisor",
];

/// Writes the lines.
pub fn write(out: &mut dyn Write) -> Result {
    let ([last, first, third, second], [version, parts, more, basic]) =
        (cpuid::read(0, 0), cpuid::read(1, 0));
    let vendor = [first, second, third].map(u32::to_le_bytes);
    writeln!(out, "vendor_id\t: {}", text(vendor.as_flattened()))?;
    let (family, model) = (version >> 8 & 0xf, version >> 4 & 0xf);
    let shown_family = if family == 15 { family + (version >> 20 & 0xff) } else { family };
    let shown_model = if matches!(family, 6 | 15) { model | (version >> 16 & 0xf) << 4 } else { model };
    writeln!(out, "cpu family\t: {shown_family}\nmodel\t\t: {shown_model}")?;
    write_name(out)?;
    writeln!(out, "stepping\t: {}", version & 0xf)?;
    writeln!(out, "fpu\t\t: yes\nfpu_exception\t: yes\ncpuid level\t: {}\nwp\t\t: yes", last)?;
    write!(out, "flags\t\t:")?;
    write_names(out, basic, &BASIC)?;
    write_names(out, more, &MORE)?;
    writeln!(out, "\nclflush size\t: {}", (parts >> 8 & 0xff) * 8)?;
    writeln!(out, "cache_alignment\t: {}", (parts >> 8 & 0xff) * 8)?;
    let [sizes, ..] = cpuid::read(0x8000_0008, 0);
    let sizes = if sizes == 0 { 36 | 48 << 8 } else { sizes };
    writeln!(out, "address sizes\t: {} bits physical, {} bits virtual", sizes & 0xff, sizes >> 8 & 0xff)
}

/// The name in leaves 0x80000002 to 0x80000004.
fn write_name(out: &mut dyn Write) -> Result {
    const LAST: u32 = 0x8000_0004;
    if cpuid::read(0x8000_0000, 0)[0] < LAST {
        return writeln!(out, "model name\t: unknown");
    }
    let mut name = [[0; 4]; 12];
    for (leaf, words) in (LAST - 2..=LAST).zip(name.chunks_exact_mut(4)) {
        words.copy_from_slice(&cpuid::read(leaf, 0).map(u32::to_le_bytes));
    }
    writeln!(out, "model name\t: {}", text(name.as_flattened()))
}

/// As far as it is text, without the zeros and blanks around it.
fn text(bytes: &[u8]) -> &str {
    let bytes = bytes.split(|byte| *byte == 0).next().unwrap_or_default();
    core::str::from_utf8(bytes).unwrap_or_default().trim()
}

fn write_names(out: &mut dyn Write, bits: u32, names: &[&str]) -> Result {
    for (bit, name) in names.iter().enumerate() {
        if bits >> bit & 1 != 0 && !name.is_empty() {
            write!(out, " {name}")?;
        }
    }
    Ok(())
}
