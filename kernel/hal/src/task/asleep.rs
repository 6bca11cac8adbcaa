//! What others may see of a task that sleeps: where it does, and the registers that its program goes on with.
//!
//! Nobody keeps it from waking. What was found counts only if the task has slept all the while, which the count of its
//! sleeps tells: it goes up before the task leaves its CPU, so a task that ran in between is on a CPU still or has
//! another count.
use super::{BLOCKED, Task, is_current, stack_word};
use crate::user::UserRegs;
use core::ptr;
use core::sync::atomic::Ordering::{Acquire, Relaxed};
use core::sync::atomic::fence;

impl Task {
    /// What `look` finds while the task sleeps; `None` if it does not, or has not all the while. `look` bears that it
    /// runs.
    pub(crate) fn while_asleep<R>(&self, look: impl FnOnce() -> R) -> Option<R> {
        // The count first here and last below: a sleep that begins in between has another one.
        let before = self.sched.sleeps.load(Acquire);
        if !self.is_asleep() {
            return None;
        }
        let found = look();
        // Whoever has seen what the task did after it had been switched to sees that it is on a CPU, too.
        fence(Acquire);
        (self.is_asleep() && self.sched.sleeps.load(Relaxed) == before).then_some(found)
    }

    fn is_asleep(&self) -> bool {
        !self.is_on_cpu() && self.state.load(Acquire) == BLOCKED
    }

    /// The registers with which the program was left: of the running task, or of one that sleeps. `None` for any other,
    /// and for one without a program.
    pub fn user_registers(&self) -> Option<UserRegs> {
        if is_current(self) {
            return self.kept_registers();
        }
        self.while_asleep(|| self.kept_registers())?
    }

    /// `regs` is where the running task keeps the registers of its program from now on.
    pub(crate) fn keeps_registers_at(&self, regs: &UserRegs) {
        self.user_registers.store(ptr::from_ref(regs).addr() as u64, Relaxed);
    }

    fn kept_registers(&self) -> Option<UserRegs> {
        let mut regs = UserRegs::new(0, 0);
        let words = ptr::from_mut(&mut regs).cast::<u64>();
        for index in 0..size_of::<UserRegs>() / size_of::<u64>() {
            let word = stack_word(self.user_registers.load(Relaxed).checked_add(index as u64 * 8)?)?;
            // SAFETY: `UserRegs` is `repr(C)` and of `u64`s alone, and the index is inside.
            unsafe { words.add(index).write(word) };
        }
        Some(regs)
    }
}
