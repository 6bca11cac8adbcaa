//! Off, restart and the emulator's exit, and the traits that only forward.
use super::platform::identity::{self, Identity};
use super::platform::{capabilities, description, psci, semihosting};
use super::{Arch, clock, console, irq, random, timer};
use crate::IrqLine;
use crate::contract::Platform;
use crate::cpu::HardwareCapabilities;
use crate::time::Refinement;
use libkernel::arch::aarch64::errata;

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

    fn for_each_counter(visit: &mut dyn FnMut(&'static str, bool)) {
        visit("arch_sys_counter", true);
    }

    fn hardware_capabilities() -> HardwareCapabilities {
        capabilities::of(&Identity::read())
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

    fn for_each_erratum(visit: &mut dyn FnMut(u32, &dyn core::fmt::Display)) {
        let core = super::cpu::read_register!("midr_el1");
        errata::of(core, identity::cache_type()).for_each(|erratum| visit(erratum.number, &erratum.answer));
    }

    fn console_model() -> crate::console::Model {
        console::model()
    }

    fn console_write(bytes: &[u8]) {
        console::write(bytes);
    }

    fn console_write_last(bytes: &[u8]) {
        console::write(bytes);
    }

    fn console_drain() {
        console::drain();
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

    fn for_each_random_source(visit: &mut dyn FnMut(&'static str, fn() -> Option<u64>)) {
        random::for_each_source(visit);
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
        crate::power::tell(status);
        psci::power_off()
    }

    fn enable_irq(line: IrqLine) {
        irq::enable(line);
    }

    fn disable_irq(line: IrqLine) {
        irq::disable(line);
    }
}
