//! The load averages of the machine: sampled by the ticks of busy CPUs and by whoever reads them.

use hal::sync::IrqLock;
use libkernel::sched::load_average::LoadAverage;

/// A leaf.
static LOAD: IrqLock<LoadAverage> = IrqLock::new(LoadAverage::new());

/// Takes a sample if it is time for one.
pub(super) fn sample(now_ns: u64) {
    if LOAD.lock().is_due(now_ns) {
        let active = super::runnable_count() as u64;
        LOAD.lock().sample(now_ns, active);
    }
}

/// Runnable tasks on average over one, five and fifteen minutes, with [`libkernel::sched::load_average::POINT`] bits
/// behind the point.
pub fn averages() -> [u64; 3] {
    sample(hal::time::now_ns());
    LOAD.lock().averages()
}
