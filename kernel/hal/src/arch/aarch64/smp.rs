//! The other CPUs.
use super::Arch;
use crate::boot::secondary::Start;
use crate::contract::Smp;
use crate::frame::OutOfMemory;
use core::arch::asm;

impl Smp for Arch {
    type CpuData = ();

    fn prepare_cpu(_cpu: usize) -> Result<(), OutOfMemory> {
        Ok(())
    }

    /// None is started yet.
    fn for_each_other_cpu(_visit: &mut dyn FnMut(u64) -> bool) {}

    fn start_cpu(_start: &'static Start) -> bool {
        false
    }

    fn initialise_cpu() {}

    fn stop_others() {}

    fn halt() -> ! {
        loop {
            // SAFETY: with interrupts masked nothing more happens here.
            unsafe { asm!("msr daifset, #3", "wfi", options(nomem, nostack)) };
        }
    }
}
