//! The other CPUs: a test's threads become CPUs by themselves, so nobody starts them.
use super::Arch;
use crate::boot::secondary::Start;
use crate::contract::Smp;
use crate::frame::OutOfMemory;
use libkernel::topology::CpuPosition;

impl Smp for Arch {
    type CpuData = ();

    fn prepare_cpu(_cpu: usize) -> Result<(), OutOfMemory> {
        Ok(())
    }

    fn for_each_other_cpu(_visit: &mut dyn FnMut(u64) -> bool) {}

    fn start_cpu(_start: &'static Start) -> bool {
        false
    }

    fn place(cpu: usize) -> CpuPosition {
        CpuPosition { core: cpu as u32, ..CpuPosition::default() }
    }

    fn initialise_cpu() {}

    fn send_inquiry(_cpu: usize) {}

    fn stop_others() {}

    fn halt() -> ! {
        std::process::abort()
    }
}
