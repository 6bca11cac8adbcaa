//! How a thread is scheduled and where it may run: what its task has, or had.

use core::sync::atomic::Ordering;

use abi::Errno;
use libkernel::sched::Parameters;
use sched::settings;

use super::Thread;

impl Thread {
    /// How the thread is scheduled, or was when it ended.
    pub fn scheduling(&self) -> Parameters {
        let last = || Parameters::unpack(self.parameters.load(Ordering::Relaxed));
        self.task().map_or_else(last, |task| settings::parameters(&task))
    }

    /// The nice value, without asking the task.
    #[inline]
    pub fn nice(&self) -> i8 {
        Parameters::unpack(self.parameters.load(Ordering::Relaxed)).nice
    }

    /// Changes how the thread is scheduled, into what `change` makes of how it is. `change` also says whether that may
    /// be, in the same step: nobody else changes it meanwhile.
    pub fn change_scheduling(
        &self,
        change: impl FnOnce(Parameters) -> Result<Parameters, Errno>,
    ) -> Result<(), Errno> {
        // Of two that change it at once, the one that comes last does so here and in the task.
        let _only = self.changes_scheduling.lock();
        let parameters = change(self.scheduling())?;
        self.parameters.store(Parameters { boost: 0, ..parameters }.pack(), Ordering::Relaxed);
        if let Some(task) = self.task() {
            settings::set_parameters(&task, parameters);
        }
        Ok(())
    }

    /// The CPUs that the thread may run on, a bit for each, also such as do not exist.
    pub fn affinity(&self) -> u64 {
        self.affinity.load(Ordering::Relaxed)
    }

    /// Confines the thread to CPUs, as [`settings::set_affinity`] does.
    pub fn set_affinity(&self, allowed: u64) {
        self.affinity.store(allowed, Ordering::Relaxed);
        if let Some(task) = self.task() {
            settings::set_affinity(&task, allowed);
        }
    }
}
