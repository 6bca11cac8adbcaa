//! A thread's registers and the door to user mode.
use crate::arch::Arch;
use crate::contract::UserEntry as _;
use core::marker::PhantomData;
use core::sync::atomic::AtomicU32;

pub use libkernel::arch::native::UserRegs;
pub use libkernel::fault::{Access, Exception, ExceptionKind, PageFault as UserFault};

/// Bits of a task's `work` word that hal itself reads; the kernel uses the others as it likes.
pub mod work {
    /// The scheduler wants this CPU: the running task is to give way soon.
    pub const RESCHEDULE: u32 = 1 << 0;
}

/// The registers of a thread in user mode. Owned by the thread's own loop: a task without a user side could meet the
/// tables of another's program, so it has no context, nor is it given one.
pub struct UserContext {
    /// All general registers, as the entry code saves them.
    pub regs: UserRegs,
    not_send: PhantomData<*mut ()>,
}

/// Why user mode was left.
///
/// What it is stands in a word of its own: where compilers put it into a spare byte, each move of a value copies the
/// bytes beside that one by one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u64)]
pub enum UserExit {
    /// A system call: number and arguments are in the registers.
    Syscall,
    /// An address could not be reached.
    Fault(UserFault),
    /// Another exception of the program.
    Exception(Exception),
    /// Work is waiting, or an interrupt was handled that made some.
    Interrupted,
}

impl UserContext {
    /// A context of the running task that starts with `regs`. Panics if the task has no user side, and in an interrupt
    /// handler: as none is brought there, either, no program runs on a stack that the next interrupt takes.
    pub fn new(regs: UserRegs) -> Self {
        crate::sync::preempt::assert_no_interrupt();
        assert!(crate::task::has_user_side(), "a task without a user side has no program");
        Self { regs, not_send: PhantomData }
    }

    /// Lets `Task::user_registers` find them: called by the thread itself, where they stay for the rest of its life.
    pub fn settle(&self) {
        crate::task::current().keeps_registers_at(&self.regs);
    }

    /// Runs the program until something happens that the kernel must handle.
    ///
    /// Masks interrupts, rereads `work`, and returns `Interrupted` without entering if a bit is set: whoever
    /// makes work sets the bit and then sends the interrupt, so none is lost between the last look and ring 3.
    /// Registers that the CPU would refuse make it return a `Protection` exception instead of entering.
    #[inline(always)]
    pub fn run(&mut self, work: &AtomicU32) -> UserExit {
        Arch::run(&mut self.regs, work)
    }
}
