//! Kernel tasks: a stack, a saved context, and the permission to run it.
//!
//! hal knows how to switch; the scheduler decides to whom. A [`Runnable`] is THE permission to run a task once; there
//! is at most one for each task, so no scheduler, however wrong, can run one stack on two CPUs.
//!
//! States: RUNNING (on a CPU) → RUNNABLE (a token exists) by [`yield_current`]; RUNNABLE → RUNNING by [`switch_to`];
//! RUNNING → PREPARING by [`prepare_to_block`]; PREPARING → BLOCKED by [`commit_block`], or back to RUNNING by
//! [`cancel_block`] or a [`Task::wake`]; BLOCKED → RUNNABLE by [`Task::wake`]; → DEAD by [`exit_to`]. A task may be
//! woken before it has left its CPU ([`Task::is_on_cpu`]): the scheduler queues it there then, because `switch_to`
//! waits until it has left, and two CPUs must not wait for each other.
mod asleep;
mod sched_data;
mod stack;
mod switch;
#[cfg(test)]
mod tests;
mod user_state;

use crate::arch::Arch;
use crate::contract::{Context as _, Cpu as _, UserRegisters};
use crate::frame::OutOfMemory;
use crate::paging::PageTable;
use crate::sync::{Once, PreemptGuard, preempt};
use crate::upcalls::upcalls;
use crate::user::work;
use alloc::boxed::Box;
use alloc::sync::{Arc, Weak};
use core::any::Any;
use core::cell::UnsafeCell;
use core::fmt;
use core::marker::PhantomData;
use core::mem::{self, ManuallyDrop};
use core::ops::Deref;
use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering, fence};
use libkernel::addr::USER_END;

pub use crate::paging::slots::give_back_surplus;
#[cfg(test)]
pub(crate) use stack::stack_window;
pub(crate) use stack::{KernelStack, word as stack_word};

pub use sched_data::{Entity, SchedData, TimeoutNode, WaitNode, WaitPlace, Waiting};
pub use switch::{exit_to, other_cpus_on, set_page_table, switch_to};
pub use user_state::{
    BadImage, UserState, copy_floating_point, data_selectors, duplicate_user_state, floating_point_size,
    gs_base, load_floating_point, reset_floating_point, reset_user_state, set_gs_base, set_tls,
    store_floating_point, tls,
};

pub(crate) use switch::init_boot_task;
pub(crate) use user_state::{has_user_side, limit_speculation};

const RUNNING: u32 = 0;
const RUNNABLE: u32 = 1;
const BLOCKED: u32 = 2;
const DEAD: u32 = 3;
/// About to block: no token exists yet, so a wake only calls it off.
const PREPARING: u32 = 4;

/// The kernel's own object behind a task: its thread.
pub trait Owner: Any + Send + Sync {
    /// Writes what reports call the task: `[sh:12]`.
    fn write_name(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result;
}

/// A kernel task.
pub struct Task {
    /// Bits that make `UserContext::run` return; see `user::work`.
    pub work: AtomicU32,
    /// User copies accept addresses with a tag, where the architecture has tags. Set by the task itself.
    pub tagged_addresses: AtomicBool,
    /// Room for the scheduler.
    pub sched: SchedData,
    /// Where the memory ends that its user copies reach: nowhere, if it has none. Another program's may still be active
    /// then, and translations of it that nobody takes back.
    user_end: AtomicU64,
    state: AtomicU32,
    /// It is in [`give_way`].
    gives_way: AtomicBool,
    /// A CPU is on its stack, or still leaving it.
    on_cpu: AtomicBool,
    /// The CPU it runs on, or ran on last.
    cpu: AtomicU32,
    /// Freed with the task.
    _stack: Option<KernelStack>,
    owner: Once<Arc<dyn Owner>>,
    /// Where on its stack the registers of its program are kept; 0 before it says so.
    user_registers: AtomicU64,
    /// The locks that it holds.
    #[cfg_attr(not(debug_assertions), allow(dead_code, reason = "nothing is watched then"))]
    pub(crate) held: crate::sync::order::Held,
    /// What only the task itself touches, or the switch on its behalf.
    own: UnsafeCell<Own>,
}

/// [`Task::user_end`] of a task on `table`.
fn user_end(table: Option<&Arc<PageTable>>) -> u64 {
    if table.is_some() { USER_END } else { 0 }
}

/// The part of a task that has one user at a time: the CPU that runs it or is switching to or from it.
struct Own {
    context: <Arch as crate::contract::Context>::Saved,
    user: Option<Box<<Arch as UserRegisters>::State>>,
    page_table: Option<Arc<PageTable>>,
    entry: Option<Entry>,
}

// SAFETY: everything but `own` and the scheduler's seat is shared by its own type; `own` is used by the task itself and
// by `switch_to`, which the `on_cpu` hand-over and the uniqueness of `Runnable` keep from overlapping. The seat is used
// by the owner of that token, and by the task itself while there is none.
unsafe impl Sync for Task {}
// SAFETY: nothing in a task is tied to a CPU or thread.
unsafe impl Send for Task {}

/// A counted reference to a task.
pub type TaskRef = Arc<Task>;

/// The permission to run a task once.
///
/// Every task holds a reference to itself until it is dead. It cannot die while a token of it exists, so the token
/// borrows that reference, and nothing is counted where tasks are woken and run.
pub struct Runnable(ManuallyDrop<TaskRef>);

impl Runnable {
    /// The task that it would run.
    #[inline]
    pub fn task(&self) -> &TaskRef {
        &self.0
    }

    /// Takes the entity that the task brings along from its sleep, or from its making.
    #[inline]
    pub fn take_entity(&mut self) -> Option<Box<Entity>> {
        // SAFETY: the only token of the task, borrowed exclusively: it is not running, so nobody else is at its seat.
        unsafe { (*self.0.sched.seat.get()).take() }
    }

    /// Lets the task keep its entity until it is queued again.
    pub fn put_entity(&mut self, entity: Box<Entity>) {
        // SAFETY: as in `take_entity`; a token of a running task that yields is as unique.
        unsafe { *self.0.sched.seat.get() = Some(entity) };
    }

    /// The token of a task that has none, and is not dead.
    ///
    /// # Safety
    /// The task made itself runnable, or its waker did, or it is new.
    #[inline]
    unsafe fn of(task: *const Task) -> Runnable {
        // SAFETY: a task that is not dead holds a reference to itself, which is neither counted nor dropped here.
        Runnable(ManuallyDrop::new(unsafe { Arc::from_raw(task) }))
    }

    /// The task, which lives as long as it does not die.
    #[inline]
    fn into_task(self) -> *const Task {
        let task = Arc::as_ptr(&self.0);
        mem::forget(self);
        task
    }
}

impl Drop for Runnable {
    /// A task that never ran is freed. One that has run is kept for ever, with what is on its stack.
    #[cold]
    fn drop(&mut self) {
        // SAFETY: the entry is the task's own once it runs, and whoever has the only token keeps it from running.
        // Nothing else of `own` is looked at, which a CPU may be leaving.
        let never_ran = unsafe { (*self.0.own.get()).entry.is_some() };
        if never_ran {
            // SAFETY: the reference of the task to itself, which nothing will make use of any more.
            unsafe { ManuallyDrop::drop(&mut self.0) };
        }
    }
}

/// What a task runs. When it returns, the task ends by `Upcalls::end_task`: a task that ended inside would leave for
/// ever what the calls above it own, this box among that.
pub type Entry = Box<dyn FnOnce() + Send>;

impl Task {
    /// A task without a user side.
    pub fn new_kernel(entry: Entry) -> Result<Runnable, OutOfMemory> {
        Self::create(entry, None, None, None)
    }

    /// A task that will enter user mode on `page_table` with the registers of `user`. `owner` is what
    /// [`Task::owner`] gives back.
    pub fn new_user(
        entry: Entry,
        user: UserState,
        page_table: Arc<PageTable>,
        owner: Option<Arc<dyn Owner>>,
    ) -> Result<Runnable, OutOfMemory> {
        Self::create(entry, Some(user.0), Some(page_table), owner)
    }

    fn create(
        entry: Entry,
        user: Option<Box<<Arch as UserRegisters>::State>>,
        page_table: Option<Arc<PageTable>>,
        owner: Option<Arc<dyn Owner>>,
    ) -> Result<Runnable, OutOfMemory> {
        let stack = KernelStack::allocate()?;
        let top = stack.top();
        let own = Own { context: Arch::empty(), user, page_table, entry: Some(entry) };
        let owner = owner.map_or_else(Once::new, Once::filled);
        // Made in its place: a task is large.
        let task = Arc::new(Self::with(Some(stack), own, owner, RUNNABLE));
        // SAFETY: the stack is fresh and the task's own, and nobody has seen the task yet. `first_steps` takes the
        // task's address, which stays valid: the task holds a reference to itself.
        unsafe {
            (*task.own.get()).context = Arch::prepare(top, switch::first_steps, Arc::as_ptr(&task) as usize);
        }
        // SAFETY: it is new.
        Ok(unsafe { Runnable::of(Arc::into_raw(task)) })
    }

    #[inline(always)]
    fn with(stack: Option<KernelStack>, own: Own, owner: Once<Arc<dyn Owner>>, state: u32) -> Self {
        Self {
            work: AtomicU32::new(0),
            tagged_addresses: AtomicBool::new(false),
            sched: SchedData::new(),
            user_end: AtomicU64::new(user_end(own.page_table.as_ref())),
            state: AtomicU32::new(state),
            gives_way: AtomicBool::new(false),
            on_cpu: AtomicBool::new(false),
            cpu: AtomicU32::new(0),
            _stack: stack,
            owner,
            user_registers: AtomicU64::new(0),
            held: crate::sync::order::Held::new(),
            own: UnsafeCell::new(own),
        }
    }

    /// Where the user memory of the running task ends; 0 if it has none.
    #[inline(always)]
    pub(crate) fn user_end(&self) -> u64 {
        self.user_end.load(Ordering::Relaxed)
    }

    /// Binds the kernel's own object to the task, once; false if there is one already.
    pub fn set_owner(&self, owner: Arc<dyn Owner>) -> bool {
        self.owner.set(owner).is_ok()
    }

    /// The kernel's own object, if it is a `T`.
    #[inline]
    pub fn owner<T: Owner>(&self) -> Option<&T> {
        let owner: &dyn Any = &**self.owner.get()?;
        owner.downcast_ref()
    }

    /// What reports call the task.
    pub fn name(&self) -> impl fmt::Display + '_ {
        fmt::from_fn(|formatter| match self.owner.get() {
            Some(owner) => owner.write_name(formatter),
            None => formatter.write_str("[kernel]"),
        })
    }

    /// Whether it runs or would run if there were a CPU for it.
    pub fn is_runnable(&self) -> bool {
        matches!(self.state.load(Ordering::Relaxed), RUNNING | RUNNABLE | PREPARING)
    }

    /// Whether a CPU is on its stack, or still leaving it. Once false, it stays so until somebody runs the token.
    #[inline]
    pub fn is_on_cpu(&self) -> bool {
        self.on_cpu.load(Ordering::Acquire)
    }

    /// The CPU it runs on, or ran on last.
    #[inline]
    pub fn cpu(&self) -> usize {
        self.cpu.load(Ordering::Relaxed) as usize
    }

    /// Makes a blocked task runnable; the caller enqueues the token. `None` if there is nothing to enqueue: it is not
    /// blocked, or was about to and goes on instead.
    ///
    /// The fence pairs with the one in [`prepare_to_block`]: either the task sees what its waker has changed before, or
    /// the waker sees that it is preparing.
    #[inline]
    pub fn wake(self: &Arc<Self>) -> Option<Runnable> {
        fence(Ordering::SeqCst);
        loop {
            match self.state.load(Ordering::Relaxed) {
                BLOCKED if self.change_state(BLOCKED, RUNNABLE) => break,
                PREPARING if self.change_state(PREPARING, RUNNING) => return None,
                BLOCKED | PREPARING => {}
                _ => return None,
            }
        }
        // SAFETY: this made it runnable.
        Some(unsafe { Runnable::of(Arc::as_ptr(self)) })
    }

    /// Sets bits in `work` and, if the task runs on another CPU, interrupts that CPU.
    pub fn set_work(&self, bits: u32) {
        self.work.fetch_or(bits, Ordering::SeqCst);
        // Pairs with the switch. In this order: the CPU is the one that it is on, or one that it has left since, and
        // then the next one to run it sees the bits.
        if self.on_cpu.load(Ordering::SeqCst) {
            let cpu = self.cpu();
            if cpu != crate::cpu::id() {
                Arch::send_reschedule(cpu);
            }
        }
    }

    /// Where it goes on when it runs again, and its frame pointer; nonsense if it runs by now.
    pub(crate) fn place(&self) -> [u64; 2] {
        // SAFETY: the context lies in the task, which lives; nobody's reference to it is made use of, and `place` bears
        // a switch.
        unsafe { Arch::place(&raw const (*self.own.get()).context) }
    }

    #[inline]
    fn change_state(&self, from: u32, to: u32) -> bool {
        self.state.compare_exchange(from, to, Ordering::SeqCst, Ordering::Relaxed).is_ok()
    }
}

/// Calls `action` with the running task, which is lent for the call and no longer: it lives while it runs, and where it
/// may be kept, [`current_ref`] counts it.
#[inline(always)]
pub fn with_current<R>(action: impl FnOnce(&Task) -> R) -> R {
    action(&current())
}

/// A counted reference to the running task.
#[inline]
pub fn current_ref() -> TaskRef {
    // SAFETY: the pointer comes from an `Arc` whose count the task itself holds while it lives; the copy made
    // here is forgotten, so that the count stays the task's.
    ManuallyDrop::into_inner(unsafe { ManuallyDrop::new(Arc::from_raw(Arch::current_task())) }.clone())
}

/// Whether `task` is the running one.
#[inline]
pub fn is_current(task: &Task) -> bool {
    core::ptr::eq(task, Arch::current_task())
}

/// The bits in the running task's work.
#[inline(always)]
pub fn own_work() -> u32 {
    current().work.load(Ordering::Relaxed)
}

/// Sets bits in the running task's work.
#[inline(always)]
pub fn add_own_work(bits: u32) {
    current().work.fetch_or(bits, Ordering::Relaxed);
}

/// Clears bits in the running task's work; what there was before. What others did before they set them is seen after.
#[inline(always)]
pub fn take_own_work(bits: u32) -> u32 {
    current().work.fetch_and(!bits, Ordering::SeqCst)
}

/// The running task. Not `Send`: it is only true here. Safe code above hal could leak one, and lend the task for ever.
pub(crate) struct Current {
    not_send: PhantomData<*mut ()>,
}

/// The running task.
#[inline(always)]
pub(crate) fn current() -> Current {
    Current { not_send: PhantomData }
}

impl Deref for Current {
    type Target = Task;
    #[inline(always)]
    fn deref(&self) -> &Task {
        let task = Arch::current_task();
        debug_assert!(!task.is_null(), "no task runs yet");
        // SAFETY: whoever holds a `Current` runs on the task's stack, and a task that runs holds a reference to itself.
        unsafe { &*task }
    }
}

/// Sets bits in the work of `task` if that is the running one, which sees them on its way to user mode: nobody is
/// interrupted or woken. False, with nothing done, if it is not, or is about to block.
#[inline]
pub fn set_work_if_current(task: &Weak<Task>, bits: u32) -> bool {
    if !core::ptr::eq(task.as_ptr(), Arch::current_task()) {
        return false;
    }
    let task = current();
    let runs = task.state.load(Ordering::Relaxed) == RUNNING;
    if runs {
        task.work.fetch_or(bits, Ordering::SeqCst);
    }
    runs
}

/// Says that the running task is about to block. From here on a wake is not lost; check the condition, then either
/// [`cancel_block`], or [`commit_block`] and switch away. An interrupt does not preempt in between. Panics if the task
/// has yielded or prepared already.
#[inline]
pub fn prepare_to_block() {
    leave_running(PREPARING);
    fence(Ordering::SeqCst);
}

/// Takes the running task from RUNNING to another state, which nobody else does. In any other state a token of it
/// exists, or its waker may make one: what follows would make a second, and one stack would run on two CPUs. Nor does a
/// handler of an interrupt, which may come between the two steps.
#[inline(always)]
fn leave_running(state: u32) {
    preempt::assert_no_interrupt();
    let task = current();
    assert!(task.state.load(Ordering::Relaxed) == RUNNING, "the running task has yielded or is to block");
    task.state.store(state, Ordering::Release);
}

/// Takes [`prepare_to_block`] back.
#[inline]
pub fn cancel_block() {
    current().change_state(PREPARING, RUNNING);
}

/// Blocks the running task, which has prepared; it must switch away, under the same guard: until then it cannot yield,
/// prepare or end. From here on its waker owns `entity`. An error gives it back: the task was woken meanwhile and goes
/// on.
#[inline]
pub fn commit_block(entity: Box<Entity>, _guard: &PreemptGuard) -> Result<(), Box<Entity>> {
    // It may have interrupted the task at the seat.
    preempt::assert_no_interrupt();
    let task = current();
    if task.state.load(Ordering::Relaxed) != PREPARING {
        return Err(entity);
    }
    let seat = task.sched.seat.get();
    // SAFETY: a task that has prepared has no token, and gets none before it becomes BLOCKED, which it does below.
    let before = unsafe { (*seat).replace(entity) };
    // A running task's entity is in its queue: nothing is dropped, and the compiler need not ask.
    mem::forget(before);
    if task.change_state(PREPARING, BLOCKED) {
        return Ok(());
    }
    // SAFETY: as above: it has been called off, and runs.
    unsafe { (*seat).take() }.map_or(Ok(()), Err)
}

/// Makes the running task runnable and returns its token; enqueue it, then [`switch_to`] some task. Panics if the task
/// has yielded or is about to block.
#[inline]
pub fn yield_current() -> Runnable {
    leave_running(RUNNABLE);
    // SAFETY: the running task had no token, and has just made itself runnable.
    unsafe { Runnable::of(Arch::current_task()) }
}

#[cfg_attr(target_os = "linux", allow(dead_code, reason = "the host machine has no interrupts"))]
/// True if an interrupt that found kernel code should call `Upcalls::preempt` on its way out.
pub(crate) fn wants_preemption() -> bool {
    if Arch::current_task().is_null() || Arch::preempt_count() != 0 {
        return false;
    }
    let task = current();
    let is_wanted = Arch::preempt_is_requested() || task.work.load(Ordering::Relaxed) & work::RESCHEDULE != 0;
    is_wanted && task.state.load(Ordering::Relaxed) == RUNNING
}

/// Where a guard is dropped and the CPU is wanted: calls `Upcalls::preempt`, unless the caller may not be preempted for
/// another reason: interrupts are masked, or it prepares to block. Then its next guard, an interrupt or its own switch
/// sees to it.
///
/// What the upcall itself drops ends here at once, so that it does not nest: the loop looks again.
pub(crate) extern "C" fn give_way() {
    if Arch::preempt_count() != 0 || !Arch::interrupts_enabled() || Arch::current_task().is_null() {
        return;
    }
    let task = current();
    if task.state.load(Ordering::Relaxed) != RUNNING || task.gives_way.swap(true, Ordering::Relaxed) {
        return;
    }
    while Arch::preempt_is_requested() {
        upcalls().preempt();
    }
    task.gives_way.store(false, Ordering::Relaxed);
}
