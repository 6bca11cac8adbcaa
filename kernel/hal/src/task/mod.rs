// LEAD IS WRITING THIS FILE (frame/, heap, paging/, task/, user_copy, random, sync/per_cpu users) IN BRANCH lead SINCE 14:08: do not write it; finish arch/x86_64 (boot, console, power, entry to start) first, then `git checkout` these files, rebase.
//! Kernel tasks: a stack, a saved context, and the permission to run it.
//!
//! hal knows how to switch; the scheduler decides to whom. A [`Runnable`] is THE permission to run a task once; there
//! is at most one for each task, so no scheduler, however wrong, can run one stack on two CPUs.
//!
//! States: RUNNING (on a CPU) → RUNNABLE (a token exists) by [`yield_current`]; RUNNING → BLOCKED by
//! [`prepare_to_block`]; BLOCKED → RUNNABLE by [`Task::wake`]; RUNNABLE → RUNNING by [`switch_to`]; → DEAD by
//! [`exit_to`]. A task may be woken before it has left its CPU: `switch_to` waits for that.
mod user_state;

use crate::frame::OutOfMemory;
use crate::paging::PageTable;
use crate::sync::PreemptGuard;
use alloc::boxed::Box;
use alloc::sync::Arc;
use core::any::Any;
use core::marker::PhantomData;
use core::ops::Deref;
use core::sync::atomic::{AtomicU32, AtomicU64};

pub use user_state::{
    BadImage, UserState, floating_point_size, load_floating_point, reset_floating_point, store_floating_point,
};

/// A kernel task.
pub struct Task {
    /// Bits that make `UserContext::run` return; see `user::work`.
    pub work: AtomicU32,
    /// Room for the scheduler; hal does not read it.
    pub sched: SchedData,
}

/// The scheduler's own words in each task.
#[derive(Default)]
pub struct SchedData {
    /// When the running slice ends, in `time::now_ns` time.
    pub slice_end_ns: AtomicU64,
    /// Processor time used, in nanoseconds.
    pub runtime_ns: AtomicU64,
    /// When it was last switched to.
    pub started_ns: AtomicU64,
}

/// A counted reference to a task.
pub type TaskRef = Arc<Task>;

/// The permission to run a task once.
pub struct Runnable(TaskRef);

impl Runnable {
    /// The task that it would run.
    pub fn task(&self) -> &TaskRef {
        &self.0
    }
}

/// What a task runs first. It must not return; it ends with [`exit_to`].
pub type Entry = Box<dyn FnOnce() + Send>;

#[allow(unused_variables)]
impl Task {
    /// A task without a user side.
    pub fn new_kernel(entry: Entry) -> Result<Runnable, OutOfMemory> {
        todo!()
    }

    /// A task that will enter user mode on `page_table` with the registers of `user`. `owner` is what
    /// [`Task::owner`] gives back.
    pub fn new_user(
        entry: Entry,
        user: UserState,
        page_table: Arc<PageTable>,
        owner: Option<Arc<dyn Any + Send + Sync>>,
    ) -> Result<Runnable, OutOfMemory> {
        todo!()
    }

    /// Binds the kernel's own object to the task, once; false if there is one already.
    pub fn set_owner(&self, owner: Arc<dyn Any + Send + Sync>) -> bool {
        todo!()
    }

    /// The kernel's own object, if it is a `T`.
    pub fn owner<T: Any + Send + Sync>(&self) -> Option<&T> {
        todo!()
    }

    /// Makes a blocked task runnable; `None` if it is not blocked. The caller enqueues the token.
    pub fn wake(self: &Arc<Self>) -> Option<Runnable> {
        todo!()
    }

    /// Sets bits in `work` and, if the task runs on another CPU, interrupts that CPU.
    pub fn set_work(&self, bits: u32) {
        todo!()
    }
}

/// The running task. Not `Send`: it is only true here.
pub struct Current {
    not_send: PhantomData<*mut ()>,
}

/// The running task.
#[inline]
pub fn current() -> Current {
    Current { not_send: PhantomData }
}

impl Current {
    /// A counted reference.
    pub fn to_ref(&self) -> TaskRef {
        todo!()
    }
}

impl Deref for Current {
    type Target = Task;
    #[inline]
    fn deref(&self) -> &Task {
        todo!()
    }
}

/// Marks the running task as blocked. From here on a wake is not lost; check the condition, then either
/// [`cancel_block`] or switch away. An interrupt does not preempt in between.
pub fn prepare_to_block() {
    todo!()
}

/// Takes [`prepare_to_block`] back. False: it was woken already and its token is in a queue; it must switch.
pub fn cancel_block() -> bool {
    todo!()
}

/// Makes the running task runnable and returns its token; enqueue it, then [`switch_to`] some task.
pub fn yield_current() -> Runnable {
    todo!()
}

/// Runs `next` in place of the running task, which must have been blocked or have yielded; returns when it is
/// run again. `next` may be the running task's own token. The guard must be the only one.
pub fn switch_to(next: Runnable, guard: PreemptGuard) {
    let _ = (next, guard);
    todo!()
}

/// Ends the running task and runs `next`. The stack is freed once it is left.
pub fn exit_to(next: Runnable, guard: PreemptGuard) -> ! {
    let _ = (next, guard);
    todo!()
}

/// Moves the running task to another address space (`execve`, exit); `None`: to no user memory.
pub fn set_page_table(table: Option<Arc<PageTable>>) {
    let _ = table;
    todo!()
}

/// A copy of the running task's FPU registers and thread pointers, as they are now (`fork`, `clone`).
pub fn duplicate_user_state() -> Result<UserState, OutOfMemory> {
    todo!()
}

/// Loads other FPU registers and thread pointers into the running task (`execve`).
pub fn replace_user_state(state: UserState) {
    let _ = state;
    todo!()
}

/// The running task's thread pointer (FS_BASE, TPIDR_EL0), as it is now.
pub fn tls() -> u64 {
    todo!()
}

/// Sets it; false if `value` is not a user address.
pub fn set_tls(value: u64) -> bool {
    let _ = value;
    todo!()
}
pub fn init_boot_task() {
    todo!()
}
pub fn wants_preemption() -> bool {
    todo!()
}
