//! Tasks on CPUs that hal makes of the host's threads: for the tests of this floor and of those above.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::thread::JoinHandle;

use hal::boot::BootInfo;
use hal::console::Received;
use hal::user::UserFault;
use hal::{IrqLine, Unresolved, Upcalls};

use super::{barrier, idle_once, spawn};

/// As much of a kernel as tasks need.
struct Kernel;

impl Upcalls for Kernel {
    fn start(&self, _boot: &'static BootInfo) -> ! {
        unreachable!("the host's threads are CPUs from their first step on")
    }

    fn start_cpu(&self) -> ! {
        super::idle()
    }

    fn end_task(&self) -> ! {
        super::exit()
    }

    fn reschedule(&self) {
        barrier::answer();
        super::timer::look_again();
        super::reschedule_interrupt();
    }

    fn user_fault(&self, _fault: UserFault) -> Result<(), Unresolved> {
        Err(Unresolved)
    }

    fn timer(&self) {
        super::timer::interrupt();
    }

    fn interrupt(&self, _line: IrqLine) {}

    fn preempt(&self) {
        super::reschedule();
    }

    fn console_input(&self, _received: Received) -> bool {
        false
    }
}

/// Runs tasks on this thread's CPU, and on others if asked for, until all have ended.
pub struct Run {
    finished: Arc<AtomicUsize>,
    started: usize,
    /// The CPUs beside this one, and whether they may stop.
    others: Vec<(usize, JoinHandle<()>)>,
    over: Arc<AtomicBool>,
}

impl Run {
    /// On the CPU of this thread alone.
    #[allow(clippy::new_without_default, reason = "it registers a kernel")]
    pub fn new() -> Run {
        hal::register(&Kernel);
        super::timer::forget();
        hal::task::with_current(|task| task.sched.allowed.store(1 << hal::cpu::id(), SeqCst));
        let finished = Arc::new(AtomicUsize::new(0));
        Run { finished, started: 0, others: Vec::new(), over: Arc::new(AtomicBool::new(false)) }
    }

    /// With so many CPUs. Tasks stay on them: other tests have CPUs of the same machine.
    #[cfg(test)]
    pub(super) fn on_cpus(count: usize) -> Run {
        let mut run = Run::new();
        for _ in 1..count {
            let (sender, receiver) = std::sync::mpsc::channel();
            let over = run.over.clone();
            let thread = std::thread::spawn(move || {
                super::timer::forget();
                sender.send(hal::cpu::id()).expect("the test waits");
                while !over.load(SeqCst) {
                    idle_once();
                }
            });
            run.others.push((receiver.recv().expect("the thread is a CPU"), thread));
        }
        hal::task::with_current(|task| task.sched.allowed.store(run.cpus(), SeqCst));
        run
    }

    /// The CPUs that run, a bit for each.
    #[cfg(test)]
    pub(super) fn cpus(&self) -> u64 {
        self.others.iter().fold(1 << hal::cpu::id(), |cpus, (cpu, _)| cpus | 1 << cpu)
    }

    /// Starts a task.
    pub fn task(&mut self, body: impl FnOnce() + Send + 'static) {
        let (finished, home) = (self.finished.clone(), hal::cpu::id());
        self.started += 1;
        spawn(Box::new(move || {
            body();
            finished.fetch_add(1, SeqCst);
            // The first CPU may sleep.
            hal::cpu::send_reschedule(home);
        }))
        .expect("memory");
    }

    /// Runs them all.
    pub fn run_until_the_end(self) {
        while self.finished.load(SeqCst) < self.started {
            idle_once();
        }
        self.over.store(true, SeqCst);
        for (cpu, thread) in self.others {
            hal::cpu::send_reschedule(cpu);
            thread.join().expect("the CPU has not failed");
        }
    }
}
