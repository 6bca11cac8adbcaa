//! Leaving one task and continuing another.
//!
//! A task holds a reference to itself until it is dead, so the current task's address is always good. The order of a
//! switch: wait until `next` has left its last CPU, save the user registers, change the address space, swap stacks;
//! then, already on the new stack, let go of the old task (`on_cpu`), and bury it if it is dead.
//!
//! A task without a user side leaves the address space of its predecessor active: an idle CPU that wakes for the same
//! program pays no switch of page tables. Then the CPU holds its own reference to it, and need not hear of what changes
//! there until a task uses it again (`Paging::suspend`). While a task with user memory runs, the task's reference does.
use super::{BLOCKED, DEAD, Own, RUNNABLE, RUNNING, Runnable, Task};
use crate::arch::Arch;
use crate::contract::{Context as _, Cpu as _, Paging as _, UserRegisters as _};
use crate::cpu::MAX_CPUS;
use crate::paging::PageTable;
use crate::sync::{PerCpu, PreemptGuard, preempt, spin_until};
use crate::upcalls::upcalls;
use alloc::sync::Arc;
use core::cell::Cell;
use core::hint::cold_path;
use core::mem;
use core::ptr;
use core::sync::atomic::{AtomicBool, AtomicPtr, Ordering, fence};

/// What a CPU carries from one stack to the next.
struct Handover {
    /// The address space whose tables the CPU uses, or null. Others may look at it: see [`other_cpus_on`].
    active: AtomicPtr<PageTable>,
    /// The task that was left.
    left: Cell<*const Task>,
    /// The CPU's own reference to it, once a task without user memory has run there.
    kept: Cell<Option<Arc<PageTable>>>,
    /// Such a reference to one that is not active any more, until a place where it may be freed.
    stale: Cell<Option<Arc<PageTable>>>,
}

/// What is left of a switch: dropped where no lock is held and interrupts are enabled, since it may free stacks and
/// whole address spaces.
type Leftovers = (Option<Arc<Task>>, Option<Arc<PageTable>>);

// SAFETY: used by its CPU alone, with preemption and interrupts off; each pointer is used only while its target lives.
unsafe impl Send for Handover {}
// SAFETY: what others than its CPU look at is an atomic; all else is used as said above.
unsafe impl Sync for Handover {}

static HANDOVER: PerCpu<Handover> = PerCpu::new(
    [const {
        Handover {
            active: AtomicPtr::new(ptr::null_mut()),
            left: Cell::new(ptr::null()),
            kept: Cell::new(None),
            stale: Cell::new(None),
        }
    }; MAX_CPUS],
);

/// The CPUs, but for the executing one, that use the tables of an address space, be it for a task that does not. The
/// others have executed a full barrier since they last did, or will before they do.
pub fn other_cpus_on(table: &PageTable) -> u64 {
    fence(Ordering::SeqCst);
    let active_on = |cpu| HANDOVER.of(cpu).map(|handover| handover.active.load(Ordering::Acquire));
    let is_on = |cpu: &usize| active_on(*cpu).is_some_and(|active| ptr::eq(active, table));
    (0..crate::cpu::count()).filter(is_on).fold(0, |cpus, cpu| cpus | 1 << cpu) & !(1 << Arch::id())
}

/// Turns the running code into this CPU's first task, which becomes its idle task. Once for each CPU.
pub(crate) fn init_boot_task() {
    let own = Own { context: Arch::empty(), user: None, page_table: None, entry: None };
    let task = Task::with(None, own, crate::sync::Once::new(), RUNNING);
    task.on_cpu.store(true, Ordering::Relaxed);
    task.cpu.store(Arch::id() as u32, Ordering::Relaxed);
    // SAFETY: the reference is never taken back: a boot task does not end.
    unsafe { Arch::set_current_task(Arc::into_raw(Arc::new(task))) };
}

/// Runs `next` in place of the running task, which must have been blocked or have yielded; returns when it is
/// run again. `next` may be the running task's own token. Panics unless the guard is the only one: others, spin locks'
/// guards too, are only true on the CPU that is left.
#[inline]
pub fn switch_to(next: Runnable, guard: PreemptGuard) {
    // Who has done neither is never run again: a leak, and no harm.
    debug_assert!(matches!(super::current().state.load(Ordering::Relaxed), RUNNABLE | BLOCKED));
    let leftovers = switch(next, &guard);
    if (leftovers.0.is_some() || leftovers.1.is_some()) && !Arch::interrupts_enabled() {
        drop_unmasked(leftovers);
        return drop(guard);
    }
    drop(guard);
    drop(leftovers);
}

/// Drops what is left where an interrupt's way out has switched: with interrupts enabled, as it may take long and ask
/// the other CPUs to forget, and under the caller's guard, so that an interrupt that comes meanwhile switches no more:
/// else each would nest another frame on this stack.
#[cold]
#[inline(never)]
fn drop_unmasked(leftovers: Leftovers) {
    Arch::interrupts_enable();
    drop(leftovers);
    Arch::interrupts_disable();
}

/// Ends the running task and runs `next`. The stack is freed once it is left, and nothing on it is dropped: called
/// where no caller owns anything, by `Upcalls::end_task`. Panics as [`switch_to`] does, and if the task has yielded or
/// is about to block: a token of it would outlive it.
pub fn exit_to(next: Runnable, guard: PreemptGuard) -> ! {
    set_page_table(None);
    super::leave_running(DEAD);
    let leftovers = switch(next, &guard);
    drop((leftovers, guard));
    unreachable!("a dead task was run");
}

/// Switches; returns when the task is run again, with the leftovers of the switch that did it.
fn switch(next: Runnable, guard: &PreemptGuard) -> Leftovers {
    assert!(Arch::preempt_count() == 1, "switching under a second guard");
    let were_enabled = Arch::interrupts_disable();
    let previous = Arch::current_task();
    let task = next.into_task();
    // SAFETY: its token was here, so it lives, and from here on runs on this CPU.
    let next = unsafe { &*task };
    if ptr::eq(task, previous) {
        next.state.store(RUNNING, Ordering::Relaxed);
        restore_interrupts(were_enabled);
        return (None, None);
    }
    if next.on_cpu.load(Ordering::Acquire) {
        wait_until_left(next);
    }
    // In this order: who sees that it is on a CPU also sees on which.
    next.cpu.store(Arch::id() as u32, Ordering::Relaxed);
    next.on_cpu.store(true, Ordering::Release);
    next.state.store(RUNNING, Ordering::Relaxed);
    // Pairs with `Task::set_work`: either it sees that the task is on a CPU, or the task sees its bits.
    fence(Ordering::SeqCst);
    // SAFETY: the token made this CPU the only user of `next`, whose stack is left (`on_cpu`); `previous` runs here.
    // Both stay alive: neither is dead before `let_go`.
    unsafe {
        let (own_previous, own_next) = ((*previous).own.get(), (*task).own.get());
        let handover = HANDOVER.get(guard);
        exchange_user_side(handover, own_previous, own_next);
        handover.left.set(previous);
        Arch::set_current_task(task);
        Arch::switch(&raw mut (*own_previous).context, &raw const (*own_next).context);
    }
    // Not the one of before: this may be another CPU.
    let leftovers = let_go(HANDOVER.get(guard));
    restore_interrupts(were_enabled);
    leftovers
}

/// Waits for another CPU to leave a task's stack, which it is about to do.
#[cold]
#[inline(never)]
fn wait_until_left(task: &Task) {
    spin_until(&task.on_cpu, |is_there| !is_there);
}

fn restore_interrupts(were_enabled: bool) {
    if were_enabled {
        Arch::interrupts_enable();
    }
}

/// Saves the user registers of `previous`, and brings in those and the address space of the next task.
///
/// # Safety
/// The caller may use both `own` parts, and `own_previous` belongs to the running task.
#[inline]
unsafe fn exchange_user_side(handover: &Handover, own_previous: *mut Own, own_next: *mut Own) {
    // SAFETY: see above.
    let (own_previous, own_next) = unsafe { (&mut *own_previous, &mut *own_next) };
    match (&own_next.page_table, &own_previous.page_table) {
        (Some(table), _) => activate(handover, Some(table)),
        // It may still go to its program: there is to be nothing.
        (None, _) if own_next.user.is_some() => activate(handover, None),
        (None, Some(table)) => keep(handover, table),
        (None, None) => {}
    }
    Arch::exchange(own_previous.user.as_deref_mut(), own_next.user.as_deref());
}

/// On the new stack: frees the task that was left for other CPUs; returns it if it is dead.
fn let_go(handover: &Handover) -> Leftovers {
    let (left, stale) = (handover.left.get(), handover.stale.take());
    // SAFETY: `switch` set the pointer on this CPU just before it changed stacks, and the task's reference is still
    // held: only the next lines can end it.
    unsafe {
        let dead = (*left).state.load(Ordering::Relaxed) == DEAD;
        let on_cpu: *const AtomicBool = &raw const (*left).on_cpu;
        (*on_cpu).store(false, Ordering::Release);
        // Not dead: from here on another CPU may run it to its end.
        if dead {
            cold_path();
            return (Some(Arc::from_raw(left)), stale);
        }
        (None, stale)
    }
}

/// Where a new task begins, on its own stack, interrupts masked, with the preemption count of the switch.
pub(super) extern "C" fn first_steps(task: usize) -> ! {
    let leftovers = HANDOVER.with(let_go);
    // SAFETY: the argument is the address of the running task, see `Task::create`.
    let task = unsafe { &*(task as *const Task) };
    // SAFETY: the task itself takes its entry, once.
    let entry = unsafe { (*task.own.get()).entry.take() };
    Arch::preempt_enable_interrupts();
    drop(leftovers);
    if let Some(entry) = entry {
        entry();
    }
    // Nothing is owned on this stack any more.
    upcalls().end_task()
}

/// Moves the running task to another address space (`execve`, exit); `None`: to no user memory. Panics in an interrupt
/// handler, which may have come between a flush's look at who is to forget and its own forgetting.
pub fn set_page_table(table: Option<Arc<PageTable>>) {
    preempt::assert_no_interrupt();
    let guard = preempt::disable();
    let were_enabled = Arch::interrupts_disable();
    let handover = HANDOVER.get(&guard);
    activate(handover, table.as_ref());
    let stale = handover.stale.take();
    super::current().user_end.store(super::user_end(table.as_ref()), Ordering::Relaxed);
    // SAFETY: the running task's own part, with interrupts masked: no switch in between.
    let old = unsafe { mem::replace(&mut (*super::current().own.get()).page_table, table) };
    restore_interrupts(were_enabled);
    drop(guard);
    // The last references may free a whole address space: not under the guard.
    drop((old, stale));
}

/// Makes `table` the active one of this CPU, for a task that holds it. Interrupts masked. A reference that the CPU has
/// kept to the one before goes to `stale`.
#[inline(always)]
fn activate(handover: &Handover, table: Option<&Arc<PageTable>>) {
    let (active, next) = (handover.active.load(Ordering::Relaxed), table.map_or(ptr::null(), Arc::as_ptr));
    if ptr::eq(active, next) {
        return Arch::resume();
    }
    // SAFETY: null, or held by the task that ran until now, or in `kept`.
    Arch::activate(unsafe { active.as_ref() }, table.map(Arc::as_ref));
    // Released: who sees it also sees what the program did before. And a barrier before the next one does anything.
    handover.active.store(next.cast_mut(), Ordering::Release);
    fence(Ordering::SeqCst);
    if let Some(kept) = handover.kept.take() {
        handover.stale.set(Some(kept));
    }
}

/// Leaves the table of the task that ran until now active, under one that has none. Interrupts masked.
#[inline]
fn keep(handover: &Handover, table: &Arc<PageTable>) {
    // What is kept is what is active, if anything is.
    let kept = handover.kept.take().unwrap_or_else(|| table.clone());
    handover.kept.set(Some(kept));
    Arch::suspend();
}
