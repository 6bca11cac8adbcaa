//! Off, restart and the emulator's exit, and the traits that only forward.
use super::cpu;
use super::platform::{capabilities, description, psci, semihosting};
use super::{Arch, clock, console, irq, timer};
use crate::IrqLine;
use crate::contract::Platform;
use crate::cpu::HardwareCapabilities;
use crate::time::Refinement;
use core::arch::asm;

impl Platform for Arch {
    #[inline(always)]
    fn counter() -> u64 {
        clock::count()
    }

    fn counter_in_order() -> u64 {
        clock::count_in_order()
    }

    fn refine_frequency() -> Refinement {
        // CNTFRQ_EL0 tells it.
        Refinement::Needless
    }

    fn hardware_capabilities() -> HardwareCapabilities {
        capabilities::read()
    }

    fn describe_cpu(out: &mut dyn core::fmt::Write) -> core::fmt::Result {
        description::write(out)
    }

    fn set_deadline(deadline_ns: Option<u64>) {
        timer::set_deadline(deadline_ns);
    }

    fn wall_clock_at_boot_ns() -> u64 {
        clock::wall_clock_at_boot_ns()
    }

    fn console_write(bytes: &[u8]) {
        console::write(bytes);
    }

    fn console_write_last(bytes: &[u8]) {
        console::write(bytes);
    }

    fn console_enable_input() {
        console::enable_input();
    }

    fn console_pause_input() {
        console::pause_input();
    }

    fn console_resume_input() {
        console::resume_input();
    }

    fn random_u64() -> Option<u64> {
        random_u64()
    }

    #[inline(always)]
    fn power_off() -> ! {
        psci::power_off()
    }

    fn restart() -> ! {
        psci::restart()
    }

    fn exit(status: u8) -> ! {
        semihosting::exit(status);
        psci::power_off()
    }

    fn enable_irq(line: IrqLine) {
        irq::enable(line);
    }

    fn disable_irq(line: IrqLine) {
        irq::disable(line);
    }
}

/// RNDR (FEAT_RNG, C5.2.12); the flag Z says that it had nothing to give.
fn random_u64() -> Option<u64> {
    if !cpu::has_random() {
        return None;
    }
    let attempt = || {
        let (value, good): (u64, u64);
        // SAFETY: the CPU has the register; the only effects are the two values and the flags.
        unsafe {
            asm!("mrs {}, s3_3_c2_c4_0", "cset {}, ne", out(reg) value, out(reg) good, options(nomem, nostack))
        };
        (good != 0).then_some(value)
    };
    (0..10).find_map(|_| attempt())
}
