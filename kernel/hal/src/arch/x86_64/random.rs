//! RDSEED and RDRAND. Source: SDM volume 1, 7.3.17.
use super::cpu::{feature, has};
use super::user_copy::on_fault;
use core::arch::asm;

/// Calls `visit` with those that the CPU has.
pub fn for_each_source(visit: &mut dyn FnMut(&'static str, fn() -> Option<u64>)) {
    if has(feature::RDSEED) {
        visit("RDSEED", seed);
    }
    if has(feature::RDRAND) {
        visit("RDRAND", number);
    }
}

/// Executes one of the instructions. Where CPUID promises what is not there, the exception leaves the carry clear:
/// nothing to give.
macro_rules! draw {
    // draw!("rdseed") expands to that instruction, its row in the exception table, and an Option<u64>.
    ($instruction:literal) => {{
        let (value, good): (u64, u32);
        // SAFETY: the only effects are the two values and the flags.
        unsafe {
            asm!("xor {good:e}, {good:e}", concat!("2: ", $instruction, " {value}"), "setc {good:l}", "3:", on_fault!("2b", "3b"),
                value = out(reg) value, good = out(reg_abcd) good, options(nomem, nostack));
        }
        (good != 0).then_some(value)
    }};
}

fn seed() -> Option<u64> {
    draw!("rdseed")
}

fn number() -> Option<u64> {
    draw!("rdrand")
}
