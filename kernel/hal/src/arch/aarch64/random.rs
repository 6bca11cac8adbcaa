//! RNDRRS and RNDR of the CPU, and firmware's generator. Sources: Arm ARM, C5.2.12 and C5.2.13; DEN 0098 (True Random
//! Number Generator Firmware Interface).
use super::cpu;
use super::platform::psci;
use core::arch::asm;
use libkernel::arch::aarch64::trng::{TRNG_RND64, TRNG_VERSION, answers_other_calls, has_trng, trng_word};

/// Calls `visit` with those that CPU and firmware have.
pub fn for_each_source(visit: &mut dyn FnMut(&'static str, fn() -> Option<u64>)) {
    if cpu::has_random() {
        visit("RNDRRS", seed);
        visit("RNDR", number);
    }
    // SAFETY: versions and features.
    let ask = |function, arguments| unsafe { psci::ask(function, arguments) };
    if answers_other_calls(ask) && has_trng(ask(TRNG_VERSION, [0; 3])) {
        visit("firmware's TRNG", firmware);
    }
}

/// Reads one of the registers; the flag Z says that it had nothing to give. Where the CPU does not have it, the
/// exception goes on behind with the flag set.
macro_rules! draw {
    // draw!("s3_3_c2_c4_0") expands to a read of that register, its row in the exception table, and an Option<u64>.
    ($register:literal) => {{
        let (value, good): (u64, u64);
        // SAFETY: the only effects are the two values and the flags.
        unsafe {
            asm!(
                "cmp xzr, xzr",
                concat!("2: mrs {value}, ", $register),
                "3: cset {good}, ne",
                ".pushsection .exception_table, \"a\"",
                ".balign 8",
                ".quad 2b, 3b, 3b",
                ".popsection",
                value = out(reg) value, good = out(reg) good, options(nomem, nostack))
        };
        (good != 0).then_some(value)
    }};
}

fn seed() -> Option<u64> {
    draw!("s3_3_c2_c4_1")
}

fn number() -> Option<u64> {
    draw!("s3_3_c2_c4_0")
}

fn firmware() -> Option<u64> {
    // SAFETY: gives random numbers and does nothing else.
    trng_word(unsafe { psci::ask(TRNG_RND64, [u64::BITS.into(), 0, 0]) })
}
