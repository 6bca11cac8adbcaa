//! The one object through which hal calls up into the kernel.
use crate::boot::BootInfo;
use crate::console::Received;
use crate::sync::Once;
use crate::user::UserFault;

/// A device interrupt's number, as the platform's interrupt controller counts (GSI or SPI).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IrqLine(pub u32);

/// A user fault that has no answer: nothing is mapped there, or memory ran out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unresolved;

/// What hal asks of the kernel. Interrupt-context calls must only note and wake; they must not sleep.
pub trait Upcalls: Sync {
    /// Runs the kernel, on the boot CPU, as the boot task, interrupts on. The boot task becomes the idle task.
    fn start(&self, boot: &'static BootInfo) -> !;
    /// Runs the kernel on another CPU, as that CPU's first task, interrupts on. The task becomes its idle task.
    fn start_cpu(&self) -> !;
    /// The running task's entry has returned: ends the task, with `task::exit_to`.
    fn end_task(&self) -> !;
    /// Another CPU has something for this one to do. Interrupt context.
    fn reschedule(&self);
    /// The kernel touched user memory in a copy and nothing was mapped: page it in (may sleep), or refuse.
    fn user_fault(&self, fault: UserFault) -> Result<(), Unresolved>;
    /// This CPU's one-shot deadline was reached. Interrupt context.
    fn timer(&self);
    /// A device interrupt that was enabled with `irq::enable`. Interrupt context.
    fn interrupt(&self, line: IrqLine);
    /// The running task is to give way where the kernel is preemptible: on the way out of an interrupt when
    /// `work::RESCHEDULE` is set, interrupts masked, or where the last guard of a wanted CPU is dropped
    /// (`sync::preempt`). On the task's own stack: the scheduler may switch, and nothing else.
    fn preempt(&self);
    /// Something arrived on the console. Interrupt context. False if there is no place for more: the kernel has then
    /// called `console::pause_input`, and what the line brings stays there.
    fn console_input(&self, received: Received) -> bool;
}

static UPCALLS: Once<&'static dyn Upcalls> = Once::new();

/// Names the kernel object. The boot code does this before interrupts are on; tests on the host may do it too.
pub fn register(upcalls: &'static dyn Upcalls) {
    let _ = UPCALLS.set(upcalls);
}

/// The kernel object, or a panic when called before [`register`].
pub(crate) fn upcalls() -> &'static dyn Upcalls {
    *UPCALLS.get().expect("no upcalls registered")
}
