//! The object that hal calls up into.

use hal::boot::BootInfo;
use hal::console::Received;
use hal::task;
use hal::user::UserFault;
use hal::{IrqLine, Unresolved, Upcalls};
use sched::work;
use sched::{accounts, barrier};

use crate::process::Thread;
use crate::{boot, tty};

/// The kernel, as hal sees it.
pub struct Kernel;

impl Upcalls for Kernel {
    fn start(&self, boot: &'static BootInfo) -> ! {
        boot::start(boot)
    }

    fn start_cpu(&self) -> ! {
        sched::idle()
    }

    fn end_task(&self) -> ! {
        sched::exit()
    }

    fn reschedule(&self) {
        accounts::count_interrupt();
        barrier::answer();
        sched::timer::look_again();
        sched::reschedule_interrupt();
    }

    fn user_fault(&self, fault: UserFault) -> Result<(), Unresolved> {
        task::with_current(|task| {
            let thread = task.owner::<Thread>().ok_or(Unresolved)?;
            if task::own_work() & work::KILL != 0 && !thread.is_ending() {
                // Whatever wanted to be copied is not wanted any more.
                return Err(Unresolved);
            }
            let memory = thread.memory().ok_or(Unresolved)?;
            memory.handle_fault(&fault, thread.bounds()).map_err(|_| Unresolved)
        })
    }

    fn timer(&self) {
        accounts::count_interrupt();
        sched::timer::interrupt();
    }

    fn interrupt(&self, line: IrqLine) {
        accounts::count_interrupt();
        // No driver has asked for a line yet; one that fires all the same is stopped.
        hal::irq::disable(line);
    }

    fn preempt(&self) {
        sched::reschedule();
    }

    fn console_input(&self, received: Received) -> bool {
        accounts::count_interrupt();
        tty::console::receive(received)
    }
}
