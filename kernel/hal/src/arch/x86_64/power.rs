//! Off, restart and the emulator's exit, and the traits that only forward.
use super::platform::{acpi, description, hypervisor, ioapic, kvm, port};
use super::{Arch, clock, console, cpu, random, timer};
use crate::IrqLine;
use crate::contract::{Cpu as _, Platform, Smp as _};
use crate::cpu::HardwareCapabilities;
use crate::time::Refinement;
use core::arch::asm;

/// QEMU's isa-debug-exit: writing `v` ends it with `v << 1 | 1`.
const DEBUG_EXIT: u16 = 0xf4;
const KEYBOARD_COMMAND: u16 = 0x64;
const KEYBOARD_RESET: u8 = 0xfe;

impl Platform for Arch {
    fn counter() -> u64 {
        clock::counter()
    }

    #[inline(always)]
    fn own_counter() -> u64 {
        clock::cycles()
    }

    fn counter_in_order() -> u64 {
        clock::counter_in_order()
    }

    fn refine_frequency() -> Refinement {
        clock::refine()
    }

    fn for_each_counter(visit: &mut dyn FnMut(&'static str, bool)) {
        clock::for_each(visit);
    }

    fn choose_counter(name: &[u8]) {
        clock::choose(name);
    }

    fn leave_counter() -> bool {
        clock::leave()
    }

    fn own_counter_in_order() -> u64 {
        clock::cycles_in_order()
    }

    fn distrust_own_counter() {
        clock::distrust_cycles();
    }

    fn counter_is_own() -> bool {
        clock::is_own()
    }

    fn take_pause() -> bool {
        kvm::take_pause()
    }

    fn host_clock_ns() -> Option<u64> {
        kvm::wall_clock_ns()
    }

    fn polls_when_idle() -> bool {
        hypervisor::polls()
    }

    fn stolen_ns(cpu: usize) -> u64 {
        kvm::stolen_ns(cpu)
    }

    fn hardware_capabilities() -> HardwareCapabilities {
        cpu::hardware_capabilities()
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
        console::write_last(bytes);
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

    fn power_off() -> ! {
        // The write may take a while to do its work.
        if acpi::power_off().is_some() {
            wait(PATIENCE_NS);
        }
        reset()
    }

    fn restart() -> ! {
        if acpi::restart().is_some() {
            wait(PATIENCE_NS);
        }
        reset()
    }

    fn exit(status: u8) -> ! {
        // SAFETY: ends the emulator, or does nothing.
        unsafe { port::write_u32(DEBUG_EXIT, u32::from(status)) };
        crate::power::tell(status);
        Self::power_off()
    }

    fn enable_irq(line: IrqLine) {
        ioapic::enable(line.0);
    }

    fn disable_irq(line: IrqLine) {
        ioapic::disable(line.0);
    }
}

/// How long hardware may take to do what it was told.
const PATIENCE_NS: u64 = 50_000_000;

fn wait(nanoseconds: u64) {
    let end = crate::time::now_ns() + nanoseconds;
    while crate::time::now_ns() < end {
        Arch::relax();
    }
}

/// Whether there is a keyboard controller: an empty bus reads all ones.
pub fn has_keyboard_controller() -> bool {
    // SAFETY: reading the status changes nothing.
    unsafe { port::read_u8(KEYBOARD_COMMAND) != 0xff }
}

/// Resets the machine where ACPI has nothing to say: by the keyboard controller, with which monitors such as
/// Firecracker end a guest with success, else by a triple fault.
fn reset() -> ! {
    // SAFETY: the reset line; nothing is lost that would be kept.
    unsafe { port::write_u8(KEYBOARD_COMMAND, KEYBOARD_RESET) };
    wait(PATIENCE_NS);
    triple_fault()
}

/// Resets the CPU by an exception without handlers: the last resort on machines without ACPI. An emulator that runs
/// with `-no-reboot` ends by it.
fn triple_fault() -> ! {
    let no_handlers = [0u8; 10];
    // SAFETY: nothing follows.
    unsafe { asm!("cli", "lidt [{}]", "ud2", in(reg) &no_handlers, options(nostack)) };
    Arch::halt()
}
