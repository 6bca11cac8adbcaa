//! What each architecture must provide, as small traits on its type `Arch`.
//!
//! Generic code calls them as `Arch::function()`; there is exactly one implementation in a build, so no
//! generics spread. Functions that run on hot paths must be `#[inline(always)]` in the implementation.
use crate::boot::secondary::Start;
use crate::frame::OutOfMemory;
use crate::paging::PageTable;
use crate::sync::preempt::INTERRUPT_UNIT;
use crate::task::Task;
use crate::user_copy::{Missed, OnAbsent};
use alloc::boxed::Box;
use core::sync::atomic::{AtomicU8, AtomicU32, AtomicU64};
use libkernel::addr::{PhysAddr, UserAddr};
use libkernel::arch::native::UserRegs;
use libkernel::speculation::{Limits, Means, Weakness};
use libkernel::topology::CpuPosition;

/// The executing CPU: identity, interrupt mask, preemption count and current task.
pub trait Cpu {
    /// Index of the executing CPU, below `MAX_CPUS`. Only stable while preemption is off.
    fn id() -> usize;
    /// Adds one to the preemption count of the running context: a guard.
    fn preempt_disable();
    /// Takes one off the preemption count. Where that leaves none and the CPU is wanted ([`Cpu::preempt_request`]), the
    /// running task gives way: `task::give_way`.
    fn preempt_enable();
    /// As [`Cpu::preempt_enable`], with interrupts masked: unmasks them before the task gives way.
    fn preempt_enable_interrupts();
    /// Adds to the preemption count (1: one guard; `INTERRUPT_UNIT`: interrupt depth).
    fn preempt_add(amount: u32);
    /// Takes off the preemption count, and looks at nothing else.
    fn preempt_sub(amount: u32);
    /// The preemption count.
    fn preempt_count() -> u32;
    /// Whether an interrupt is being handled.
    #[inline(always)]
    fn is_in_interrupt() -> bool {
        Self::preempt_count() >= INTERRUPT_UNIT
    }
    /// This CPU is wanted: what runs is to give way as soon as it may be preempted. Stays, across switches, until it is
    /// cleared. Preemption is off, or interrupts are masked.
    fn preempt_request();
    /// Takes the request back: it is being met. As [`Cpu::preempt_request`].
    fn preempt_clear_request();
    /// Whether the CPU is wanted.
    fn preempt_is_requested() -> bool;
    /// The running task, or null before `task::init`.
    fn current_task() -> *const Task;
    /// Makes `task` the running one. Called only by the task switch with interrupts off, and once at start.
    ///
    /// # Safety
    /// The caller keeps `task` alive while it is current and is about to run on its stack.
    unsafe fn set_current_task(task: *const Task);
    /// True if this CPU takes interrupts.
    fn interrupts_enabled() -> bool;
    /// Masks interrupts; returns whether they were enabled.
    fn interrupts_disable() -> bool;
    /// Unmasks interrupts.
    fn interrupts_enable();
    /// A hint in a loop that waits for a device or for time to pass (`pause`, `yield`).
    fn relax();
    /// Passes a moment in a loop that waits for another CPU's store, as [`Awaited::pause_while`](crate::sync::Awaited)
    /// says.
    fn pause_while_u8(word: &AtomicU8, value: u8);
    /// See [`Cpu::pause_while_u8`].
    fn pause_while_u32(word: &AtomicU32, value: u32);
    /// See [`Cpu::pause_while_u8`].
    fn pause_while_u64(word: &AtomicU64, value: u64);
    /// Called with interrupts masked: unmasks and sleeps in one step, returns with interrupts enabled.
    fn wait_for_interrupt();
    /// The frame pointer of the function that this is inlined into.
    fn frame_pointer() -> u64;
    /// Interrupts `cpu` so that it looks at its work bits.
    fn send_reschedule(cpu: usize);
}

/// The other CPUs: which there are, how they are started and stopped.
pub trait Smp {
    /// What a CPU has of its own besides its idle task's stack.
    type CpuData: Send;
    /// Makes it, before the CPU starts.
    fn prepare_cpu(cpu: usize) -> Result<Self::CpuData, OutOfMemory>;
    /// Calls `visit` with what the firmware calls each CPU that can be started, as long as it returns true.
    fn for_each_other_cpu(visit: &mut dyn FnMut(u64) -> bool);
    /// Asks for the start of a CPU, which then calls [`secondary::run`](crate::boot::secondary::run) with `start`.
    /// False if the firmware refuses.
    fn start_cpu(start: &'static Start) -> bool;
    /// Where a CPU that runs sits among the others.
    fn place(cpu: usize) -> CpuPosition;
    /// Makes the executing CPU, just started, able to take interrupts.
    fn initialise_cpu();
    /// Interrupts `cpu`, this one too, so that it calls [`answer`](crate::backtrace::answer): whatever it does, where
    /// the architecture has such an interrupt.
    fn send_inquiry(cpu: usize);
    /// Stops all other CPUs, whatever they do, as far as that is possible.
    fn stop_others();
    /// Stops the executing CPU for ever.
    fn halt() -> !;
}

/// Defences against speculation, once `boot` has decided on them.
pub trait Speculation {
    /// See [`crate::speculation::describe`]; `shares_cores`: two CPUs are threads of one core.
    fn describe(weakness: Weakness, shares_cores: bool, out: &mut dyn core::fmt::Write) -> core::fmt::Result;
    /// See [`crate::speculation::slot`].
    fn slot<const LIMIT: usize>(number: u32) -> usize;
    /// See [`crate::speculation::store_bypass`].
    fn store_bypass() -> Means;
    /// See [`crate::speculation::indirect_branches`].
    fn indirect_branches() -> Option<Means>;
    /// Limits the running task, whose saved state and registers are given. Preemption is off.
    fn limit(state: &mut <crate::arch::Arch as UserRegisters>::State, regs: &mut UserRegs, limits: Limits);
}

/// Kernel contexts and the switch between them.
pub trait Context {
    /// What is saved of a kernel context that is not running; usually its stack pointer.
    type Saved: Send;
    /// A context that is about to call `entry(argument)` on the stack that ends at `stack_top`,
    /// interrupts masked.
    ///
    /// # Safety
    /// `stack_top` is 16-byte aligned and ends a mapped stack that nobody else uses.
    unsafe fn prepare(stack_top: *mut u8, entry: extern "C" fn(usize) -> !, argument: usize) -> Self::Saved;
    /// The value for the boot task, whose context is saved by its first switch.
    fn empty() -> Self::Saved;
    /// Saves the running context in `previous` and continues `next`. Interrupts masked.
    ///
    /// # Safety
    /// `next` was made by `prepare` or saved by a switch, is not running, and its stack is mapped.
    unsafe fn switch(previous: *mut Self::Saved, next: *const Self::Saved);
    /// Where a saved context goes on, and its frame pointer: for people to read. Nonsense if the context is running by
    /// now; zeros where nobody can tell.
    ///
    /// # Safety
    /// `saved` may be read. It may be written meanwhile.
    unsafe fn place(saved: *const Self::Saved) -> [u64; 2];
}

/// The part of a user thread's registers that the kernel does not use itself: FPU, vectors, thread pointers.
pub trait UserRegisters {
    /// Where they are kept while the thread does not run.
    type State: Send + Sync;
    /// The state of a fresh program.
    fn fresh() -> Result<Self::State, OutOfMemory>;
    /// A copy of the running task's, whose saved state is stale, for `fork`: the CPU's registers, and what stands in
    /// `saved` alone.
    fn capture(saved: &Self::State) -> Result<Box<Self::State>, OutOfMemory>;
    /// Saves the CPU's registers.
    fn save(state: &mut Self::State);
    /// Loads the CPU's registers.
    fn restore(state: &Self::State);
    /// Saves the registers of the task that ran and loads those of the next one, as far as either has any.
    #[inline(always)]
    fn exchange(previous: Option<&mut Self::State>, next: Option<&Self::State>) {
        previous.into_iter().for_each(Self::save);
        next.into_iter().for_each(Self::restore);
    }
    /// Loads the floating-point registers alone, preemption off.
    fn restore_floating_point(state: &Self::State);
    /// The saved thread pointer (FS_BASE, TPIDR_EL0).
    fn tls(state: &Self::State) -> u64;
    /// Sets the saved thread pointer, to what `is_thread_pointer` allows.
    fn set_tls(state: &mut Self::State, value: u64);
    /// The running thread's thread pointer, read from the CPU.
    fn live_tls() -> u64;
    /// Sets the running thread's thread pointer in the CPU.
    fn set_live_tls(value: u64);
    /// The running thread's second thread pointer, where the architecture has one (x86_64: the GS base).
    fn live_gs_base() -> Option<u64> {
        None
    }
    /// Sets it; false where there is none. The value has been checked to be a user address.
    fn set_live_gs_base(_value: u64) -> bool {
        false
    }
    /// The running thread's data-segment selectors, where the architecture has any (x86_64: DS, ES, FS, GS).
    fn live_selectors() -> [u16; 4] {
        [0; 4]
    }
    /// Bytes of the floating-point image.
    fn floating_point_size() -> usize;
    /// The image inside a saved state.
    fn floating_point(state: &mut Self::State) -> &mut [u8];
    /// Adds to a saved image what the readers of a signal frame look for (x86_64: Linux's software bytes).
    fn describe_floating_point(_image: &mut [u8]) {}
    /// True if the CPU would load `image` without an exception.
    fn is_valid_floating_point(image: &[u8]) -> bool;
    /// Makes an image that is only partly there, or was refused, one that the next save completes: clears what a save
    /// leaves alone.
    fn make_floating_point_savable(_image: &mut [u8]) {}
}

/// Why user mode was left, as the entry code reports it to [`crate::user`].
pub trait UserEntry {
    /// Enters user mode with `regs`, comes back on the next system call, exception or interrupt.
    /// Looks at `work` with interrupts masked just before entering. Interrupts and NMIs that need no more than
    /// hal are handled inside. Returns with interrupts enabled.
    fn run(regs: &mut UserRegs, work: &AtomicU32) -> crate::user::UserExit;
}

/// Address translation: address spaces, what the CPUs keep of them, the direct map.
///
/// A CPU may keep any translation that it could have walked while an address space was active on it, also after it has
/// left that space: how long, and how those are found that have gone stale, is the architecture's own business.
pub trait Paging {
    /// Where translations of one address space may be kept: what `activate` notes, and `flush` and `retire` go by.
    type Translations: Default + Send + Sync;
    /// Start of the window for kernel stacks, aligned to 32 KiB.
    const KERNEL_STACKS: u64;
    /// Start of the window of 512 GiB for the heap's objects out of single frames, aligned to its size.
    const KERNEL_OBJECTS: u64;
    /// First physical address for which the direct map has no room.
    const DIRECT_MAP_END: PhysAddr;
    /// Whether an entry must be invisible to all CPUs before one that lets nobody execute takes its place, also for the
    /// same frame: a fault of some cores.
    fn breaks_before_execution_ends() -> bool {
        false
    }
    /// Where physical memory is visible to the kernel.
    fn direct_map(address: PhysAddr) -> *mut u8;
    /// The physical address behind a direct-map pointer.
    #[cfg_attr(target_os = "linux", allow(dead_code, reason = "the host machine's heap is not ours"))]
    fn direct_unmap(pointer: *const u8) -> PhysAddr;
    /// Prepares a zeroed root table for an address space (x86_64: copies the kernel half).
    fn initialise_root(root: PhysAddr);
    /// Makes `next` the user address space of this CPU, in the place of `previous`. `None`: no user memory is
    /// reachable. Interrupts are masked.
    fn activate(previous: Option<&PageTable>, next: Option<&PageTable>);
    /// A task without user memory runs next, and what is active stays so. Interrupts are masked.
    #[inline(always)]
    fn suspend() {}
    /// A task runs next that uses what has stayed active. Interrupts are masked.
    #[inline(always)]
    fn resume() {}
    /// Returns when no CPU uses translations of the pages from `first` to `last` any more that were walked before their
    /// entries in `table` changed. Preemption is off, interrupts are on.
    fn flush(table: &PageTable, first: UserAddr, last: UserAddr);
    /// Ends `table`, which is active nowhere: returns when no CPU reads its tables any more, which are freed next.
    fn retire(table: &PageTable);
    /// Maps kernel frames at a kernel address (`paging::slots`), where nothing is mapped. Data, never executable. Fails
    /// where a table is missing and cannot be made: not for a page that shares its leaf table with one that was mapped
    /// before. In any context.
    fn map_kernel(address: u64, frame: PhysAddr) -> Result<(), OutOfMemory>;
    /// The root of the tables that translate kernel addresses. They stay where they are, and only grow.
    fn kernel_tables() -> PhysAddr;
    /// Returns when no CPU uses translations of kernel pages any more that were walked before their entries were taken
    /// away. Preemption is off, interrupts are on.
    fn flush_kernel();
    /// The same for the executing CPU alone, which has just come among those that [`Paging::flush_kernel`] asks. A CPU
    /// that hears of it by broadcast has nothing to do.
    fn flush_kernel_here() {}
    /// Whether instructions that were written are visible to execution without more ado.
    const COHERENT_INSTRUCTIONS: bool;
    /// Makes instructions that were written to `frame` through the direct map visible to execution.
    fn synchronise_instructions(frame: PhysAddr);
}

/// Raw copies that stop at a fault, of memory that programs and other CPUs change meanwhile: in assembly, since to the
/// compiler that is a data race. The user range has been checked to lie in user space.
///
/// Where a page of the program's is absent, each function that takes an [`OnAbsent`] asks for it or stops, as that
/// says. It passes it on in a register that its code leaves alone, where the handler of the fault finds it.
pub trait UserAccess {
    /// Copies between kernel addresses. What is changed meanwhile arrives as it was before or after, byte by byte.
    ///
    /// # Safety
    /// `to` is writable and `from` readable for `length` bytes; the two do not overlap.
    unsafe fn copy_shared(to: *mut u8, from: *const u8, length: usize);
    /// Writes zeros to kernel addresses.
    ///
    /// # Safety
    /// `to` is writable for `length` bytes.
    unsafe fn clear_shared(to: *mut u8, length: usize);
    /// Copies in; returns the bytes NOT copied.
    ///
    /// # Safety
    /// `to` is writable for `length` bytes.
    unsafe fn copy_in(to: *mut u8, from: UserAddr, length: usize, absent: OnAbsent) -> usize;
    /// Copies out; returns the bytes NOT copied.
    ///
    /// # Safety
    /// `from` is readable for `length` bytes.
    unsafe fn copy_out(to: UserAddr, from: *const u8, length: usize, absent: OnAbsent) -> usize;
    /// Copies the first halfword of each of `count` rows of eight bytes; returns the rows NOT done.
    ///
    /// # Safety
    /// `from` is readable for `count` rows but for the last six bytes.
    unsafe fn copy_halfwords_out(to: UserAddr, from: *const u16, count: usize, absent: OnAbsent) -> usize;
    /// Writes zeros; returns the bytes NOT written.
    fn clear(to: UserAddr, length: usize, absent: OnAbsent) -> usize;
    /// Loads an aligned word; `None` on a fault.
    fn load_u32(address: UserAddr, absent: OnAbsent) -> Option<u32>;
    /// Stores an aligned word; `None` on a fault.
    fn store_u32(address: UserAddr, value: u32, absent: OnAbsent) -> Option<()>;
    /// Atomically replaces `current` by `new` at an aligned word; the value found, or `None` on a fault.
    fn compare_exchange_u32(
        address: UserAddr,
        current: u32,
        new: u32,
        absent: OnAbsent,
    ) -> Result<u32, Missed>;
}

/// Clock, deadline timer, console, entropy and the off switch.
pub trait Platform {
    /// The counter that the clocks run by: constant in frequency, the same on all CPUs, and never back.
    fn counter() -> u64;
    /// The counter that the executing CPU has of its own; the same where [`Platform::counter_is_own`].
    #[inline(always)]
    fn own_counter() -> u64 {
        Self::counter()
    }
    /// As `counter`, no earlier than what was read from memory before.
    fn counter_in_order() -> u64;
    /// Measures the counter's frequency once more, if it is known by a measure only, and says it to
    /// `time::set_frequency`.
    fn refine_frequency() -> crate::time::Refinement;
    /// The names of the counters that there are, the best first, each with whether it is the one in use.
    fn for_each_counter(visit: &mut dyn FnMut(&'static str, bool));
    /// Makes the counter with this name the one in use, or the best one.
    fn choose_counter(_name: &[u8]) {}
    /// Makes another counter the one in use, and never again this one; false if there is none.
    fn leave_counter() -> bool {
        false
    }
    /// As `own_counter`, in the order of `counter_in_order`.
    fn own_counter_in_order() -> u64 {
        Self::counter_in_order()
    }
    /// The CPUs' own counters differ: they are not to be used unless they are in use.
    fn distrust_own_counter() {}
    /// Whether the counter in use is the CPU's own, which user code can read too.
    fn counter_is_own() -> bool {
        true
    }
    /// Whether the whole machine was stopped since the executing CPU asked last. Interrupts off.
    #[inline(always)]
    fn take_pause() -> bool {
        false
    }
    /// A hypervisor's time of day, in nanoseconds since 1970.
    fn host_clock_ns() -> Option<u64> {
        None
    }
    /// Whether an idle CPU does well to look for work for a while before it sleeps: where sleeping and waking cost as
    /// much.
    #[inline(always)]
    fn polls_when_idle() -> bool {
        false
    }
    /// For how many nanoseconds a hypervisor has not run a CPU though that had something to do.
    fn stolen_ns(_cpu: usize) -> u64 {
        0
    }
    /// Calls `visit` with the number of each fault of the CPU that concerns the kernel, and what is done about it.
    fn for_each_erratum(_visit: &mut dyn FnMut(u32, &dyn core::fmt::Display)) {}
    /// What the CPU can do, for a program's auxiliary vector.
    fn hardware_capabilities() -> crate::cpu::HardwareCapabilities;
    /// Writes the lines of `/proc/cpuinfo` about the executing CPU, but for its number.
    fn describe_cpu(out: &mut dyn core::fmt::Write) -> core::fmt::Result;
    /// Arms (absolute, in `time::now_ns`) or stops this CPU's one-shot timer.
    fn set_deadline(deadline_ns: Option<u64>);
    /// Nanoseconds since 1970 at `time::now_ns() == 0`; zero when no clock exists.
    fn wall_clock_at_boot_ns() -> u64;
    /// What the console's serial line is.
    fn console_model() -> crate::console::Model {
        crate::console::Model::Uart16550
    }
    /// Writes bytes to the console by polling; works in any context, also in a panic.
    fn console_write(bytes: &[u8]);
    /// The same on every console that the machine has, for the last words of a kernel that fails.
    fn console_write_last(bytes: &[u8]);
    /// Returns when the console's port has sent all that it was given, or will not.
    fn console_drain() {}
    /// Makes received console bytes interrupt; they arrive as `Upcalls::console_input`.
    fn console_enable_input();
    /// Leaves received bytes where they are; the line waits as far as it can.
    fn console_pause_input();
    /// Undoes `console_pause_input`.
    fn console_resume_input();
    /// Calls `visit` with the name of each source of randomness of CPU and firmware, and how a word is got from it;
    /// `None`: it has none to give at the moment.
    fn for_each_random_source(visit: &mut dyn FnMut(&'static str, fn() -> Option<u64>));
    /// Turns the machine off.
    fn power_off() -> !;
    /// Restarts the machine.
    fn restart() -> !;
    /// Ends the emulator with a status where that exists, else powers off.
    fn exit(status: u8) -> !;
    /// Lets `line` interrupt this CPU.
    fn enable_irq(line: crate::IrqLine);
    /// Stops `line`.
    fn disable_irq(line: crate::IrqLine);
}
