//! Clock, timer, console and off switch of the host process.
use super::Arch;
use super::cpu::update;
use crate::IrqLine;
use crate::contract::Platform;
use std::io::Write;
use std::sync::OnceLock;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

fn boot_instant() -> Instant {
    static BOOT: OnceLock<Instant> = OnceLock::new();
    *BOOT.get_or_init(Instant::now)
}

/// Nanoseconds since somebody first asked.
pub(super) fn now_ns() -> u64 {
    boot_instant().elapsed().as_nanos() as u64
}

impl Platform for Arch {
    fn counter() -> u64 {
        now_ns()
    }

    fn counter_in_order() -> u64 {
        now_ns()
    }

    fn refine_frequency() -> crate::time::Refinement {
        crate::time::Refinement::Needless
    }

    fn for_each_counter(visit: &mut dyn FnMut(&'static str, bool)) {
        visit("host", true);
    }

    fn hardware_capabilities() -> crate::cpu::HardwareCapabilities {
        crate::cpu::HardwareCapabilities::default()
    }

    fn describe_cpu(_out: &mut dyn core::fmt::Write) -> core::fmt::Result {
        Ok(())
    }

    fn set_deadline(deadline_ns: Option<u64>) {
        update(|running| running.deadline_ns = deadline_ns);
    }

    fn wall_clock_at_boot_ns() -> u64 {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        (since_epoch.as_nanos() as u64).saturating_sub(now_ns())
    }

    fn console_write(bytes: &[u8]) {
        // A closed standard error is no reason to fail a test.
        let _ = std::io::stderr().write_all(bytes);
    }

    fn console_write_last(bytes: &[u8]) {
        Self::console_write(bytes);
    }

    fn console_enable_input() {}

    fn console_pause_input() {}

    fn console_resume_input() {}

    fn for_each_random_source(_visit: &mut dyn FnMut(&'static str, fn() -> Option<u64>)) {}

    fn power_off() -> ! {
        std::process::exit(0)
    }

    fn restart() -> ! {
        std::process::exit(0)
    }

    fn exit(status: u8) -> ! {
        std::process::exit(status.into())
    }

    fn enable_irq(_line: IrqLine) {}

    fn disable_irq(_line: IrqLine) {}
}
