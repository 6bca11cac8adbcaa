//! The executing CPU in `/proc/cpuinfo`, as Linux writes it (`arch/arm64/kernel/cpuinfo.c`).
use super::super::cpu::read_register;
use crate::cpu;
use core::fmt::{Result, Write};

/// The bits of AT_HWCAP, lowest first (Documentation/arm64/elf_hwcaps.rst).
const FIRST: [&str; 32] = [
    "fp", "asimd", "evtstrm", "aes", "pmull", "sha1", "sha2", "crc32", "atomics", "fphp", "asimdhp", "cpuid",
    "asimdrdm", "jscvt", "fcma", "lrcpc", "dcpop", "sha3", "sm3", "sm4", "asimddp", "sha512", "sve",
    "asimdfhm", "dit", "uscat", "ilrcpc", "flagm", "ssbs", "sb", "paca", "pacg",
];

/// The bits of AT_HWCAP2.
const SECOND: [&str; 33] = [
    "dcpodp",
    "sve2",
    "sveaes",
    "svepmull",
    "svebitperm",
    "svesha3",
    "svesm4",
    "flagm2",
    "frint",
    "svei8mm",
    "svef32mm",
    "svef64mm",
    "svebf16",
    "i8mm",
    "bf16",
    "dgh",
    "rng",
    "bti",
    "mte",
    "ecv",
    "afp",
    "rpres",
    "mte3",
    "sme",
    "smei16i64",
    "smef64f64",
    "smei8i32",
    "smef16f32",
    "smeb16f32",
    "smef32f32",
    "smefa64",
    "wfxt",
    "ebf16",
];

/// Writes the lines.
pub fn write(out: &mut dyn Write) -> Result {
    // Linux derives its delay loop, of two instructions, from the timer.
    let loops = read_register!("cntfrq_el0") * 2;
    writeln!(out, "BogoMIPS\t: {}.{:02}", loops / 1_000_000, loops / 10_000 % 100)?;
    write!(out, "Features\t:")?;
    let capabilities = cpu::hardware_capabilities();
    write_names(out, capabilities.hwcap, &FIRST)?;
    write_names(out, capabilities.hwcap2, &SECOND)?;
    // MIDR_EL1 (D17.2.101).
    let identity = read_register!("midr_el1");
    writeln!(out, "\nCPU implementer\t: {:#04x}", identity >> 24 & 0xff)?;
    writeln!(out, "CPU architecture: 8")?;
    writeln!(out, "CPU variant\t: {:#x}", identity >> 20 & 0xf)?;
    writeln!(out, "CPU part\t: {:#05x}", identity >> 4 & 0xfff)?;
    writeln!(out, "CPU revision\t: {}", identity & 0xf)
}

fn write_names(out: &mut dyn Write, bits: u64, names: &[&str]) -> Result {
    for (bit, name) in names.iter().enumerate() {
        if bits >> bit & 1 != 0 {
            write!(out, " {name}")?;
        }
    }
    Ok(())
}
