//! The executing CPU: system registers, interrupt mask, and the block that tells a stack what runs on it.
//!
//! AArch64 has no instruction that changes per-CPU memory in one step: between reading "where is this CPU's data" and
//! the store, the task may have moved to another CPU. So what must be reached that way ([`Running`]: preemption count,
//! current task, CPU number) lies at the top of the running *stack*, TPIDR_EL1 points to it, and the context switch
//! copies it from the old stack to the new one. A task that moves takes its pointer with it and is never wrong.
use super::Arch;
use super::platform::gic::{self, Request};
use super::platform::identity::{self, Identity, Register};
use super::platform::known_state;
use crate::contract::Cpu;
use crate::cpu::MAX_CPUS;
use crate::task::{self, Task};
use core::arch::{asm, naked_asm};
use core::ptr;
use core::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering, compiler_fence};

/// What runs on this stack, and where. Filled by the context switch; only interrupts of the same CPU look in besides.
#[repr(C, align(16))]
pub(super) struct Running {
    preempt_count: u32,
    cpu: u32,
    task: *const Task,
    /// Top of this CPU's interrupt stack; the vector goes there.
    pub interrupt_stack: u64,
    /// Whether the CPU is wanted: not 0. A word of its own, because an interrupt may set it while the count changes.
    requested: u32,
    /// The switch copies pairs of words.
    unused: u32,
}

impl Running {
    /// The block of a stack that nothing has run on.
    pub const EMPTY: Self =
        Self { preempt_count: 0, cpu: 0, task: ptr::null(), interrupt_stack: 0, requested: 0, unused: 0 };
}

/// Reads a system register by name.
macro_rules! read_register {
    // read_register!("cntfrq_el0") expands to an `mrs` into a u64.
    ($name:literal) => {{
        let value: u64;
        // SAFETY: reading the named register has no effect on memory or on the flags.
        unsafe { core::arch::asm!(concat!("mrs {}, ", $name), out(reg) value, options(nomem, nostack, preserves_flags)) };
        value
    }};
}

/// Writes a system register by name; the caller says in a `SAFETY` comment why that is sound.
macro_rules! write_register {
    // write_register!("cntv_ctl_el0", 1) expands to an `msr` from a u64. It is an unsafe operation.
    ($name:literal, $value:expr) => {{
        let value: u64 = $value;
        core::arch::asm!(concat!("msr ", $name, ", {}"), in(reg) value, options(nostack, preserves_flags))
    }};
}
pub(super) use {read_register, write_register};

/// The running stack's block.
///
/// `pure`: code on one stack always finds the same, wherever its task moves, so the compiler need not ask again.
#[inline(always)]
pub(super) fn block() -> *mut Running {
    let block;
    // SAFETY: reading the register has no effect; it changes only where `switch` changes stacks.
    unsafe { asm!("mrs {}, tpidr_el1", out(reg) block, options(pure, nomem, nostack, preserves_flags)) };
    block
}

/// Interrupt mask bit I of DAIF (C5.2.2).
const INTERRUPTS_MASKED: u64 = 1 << 7;

/// Brings the executing CPU to the state that the kernel counts on: its number and its interrupt stack known, and
/// everything that programs can use or notice as `known_state` has it.
///
/// # Safety
/// TPIDR_EL1 points to the block of the running stack, `interrupt_stack` is the top of a stack that is only this CPU's,
/// and no other CPU has the number. Runs once on each CPU.
pub(super) unsafe fn initialise(cpu: u32, interrupt_stack: u64) {
    let identity = Identity::read();
    identity::remember(&identity);
    // SAFETY: the caller's promise.
    unsafe {
        (*block()).cpu = cpu;
        (*block()).interrupt_stack = interrupt_stack;
        known_state::set(&identity);
    }
}

/// The executing CPU's affinity, as firmware and the interrupt controller name it (MPIDR_EL1, D17.2.101).
pub(super) fn affinity() -> u64 {
    const FIELDS: u64 = 0xff_00ff_ffff;
    read_register!("mpidr_el1") & FIELDS
}

/// Whether the register RNDR exists: FEAT_RNG (ID_AA64ISAR0_EL1.RNDR).
pub(super) fn has_random() -> bool {
    identity::known(Register::Instructions0) >> 60 != 0
}

/// Loads a word so that this CPU's exclusive monitor watches its line, and waits for an event unless it holds something
/// else already. Events are the loss of the monitor, which another CPU's store to the line brings about, what is
/// pending as an interrupt, the timer's event stream (D1.17.1, B2.9.1 of the manual), and one that came before: then
/// this returns at once.
///
/// `pause_while!("ldaxr {found}", "cmp {found}, {value}", word, value)` expands to the one asm block of a word of that
/// size.
macro_rules! pause_while {
    ($load:literal, $compare:literal, $word:expr, $value:expr) => {
        // SAFETY: the reference may be loaded from; nothing else happens. An exclusive load without its store is
        // forgotten by the next.
        unsafe {
            asm!(concat!($load, ", [{word}]"), $compare, "b.ne 2f", "wfe", "2:",
                word = in(reg) $word.as_ptr(), value = in(reg) u64::from($value), found = out(reg) _, options(nostack))
        }
    };
}

impl Cpu for Arch {
    #[inline(always)]
    fn id() -> usize {
        // SAFETY: TPIDR_EL1 points to the running stack's block from the first Rust function on.
        let id = unsafe { (*block()).cpu as usize };
        // SAFETY: no more CPUs than that are started (`boot::start_other_cpus`).
        unsafe { core::hint::assert_unchecked(id < MAX_CPUS) };
        id
    }

    #[inline(always)]
    fn preempt_disable() {
        Self::preempt_add(1);
    }

    #[inline(always)]
    fn preempt_enable() {
        Self::preempt_sub(1);
        // After the store: an interrupt between the two has either met a count of zero and seen to it, or is seen here.
        if Self::preempt_is_requested() {
            core::hint::cold_path();
            give_way();
        }
    }

    #[inline(always)]
    fn preempt_enable_interrupts() {
        Self::preempt_sub(1);
        Self::interrupts_enable();
        if Self::preempt_is_requested() {
            core::hint::cold_path();
            give_way();
        }
    }

    #[inline(always)]
    fn preempt_add(amount: u32) {
        let count = preempt_count_pointer();
        // SAFETY: the block is this stack's own; an interrupt in between leaves the count as it found it.
        unsafe { count.write_volatile(count.read_volatile() + amount) };
        compiler_fence(Ordering::SeqCst);
    }

    #[inline(always)]
    fn preempt_sub(amount: u32) {
        compiler_fence(Ordering::SeqCst);
        let count = preempt_count_pointer();
        // SAFETY: as above.
        unsafe { count.write_volatile(count.read_volatile() - amount) };
    }

    #[inline(always)]
    fn preempt_count() -> u32 {
        // SAFETY: as above.
        unsafe { preempt_count_pointer().read_volatile() }
    }

    #[inline(always)]
    fn preempt_request() {
        // SAFETY: as above.
        unsafe { requested_pointer().write_volatile(1) };
    }

    #[inline(always)]
    fn preempt_clear_request() {
        // SAFETY: as above.
        unsafe { requested_pointer().write_volatile(0) };
    }

    #[inline(always)]
    fn preempt_is_requested() -> bool {
        // SAFETY: as above.
        unsafe { requested_pointer().read_volatile() != 0 }
    }

    #[inline(always)]
    fn current_task() -> *const Task {
        // SAFETY: as above. Not volatile: code on this stack always finds its own task.
        unsafe { (&raw const (*block()).task).read() }
    }

    #[inline(always)]
    unsafe fn set_current_task(task: *const Task) {
        // SAFETY: as above; the switch that follows takes the new value over to the new stack.
        unsafe { (&raw mut (*block()).task).write_volatile(task) };
    }

    #[inline(always)]
    fn interrupts_enabled() -> bool {
        read_register!("daif") & INTERRUPTS_MASKED == 0
    }

    #[inline(always)]
    fn interrupts_disable() -> bool {
        let were_enabled = Self::interrupts_enabled();
        // SAFETY: masking is always allowed; without `nomem` no memory access moves across.
        unsafe { asm!("msr daifset, #2", options(nostack, preserves_flags)) };
        were_enabled
    }

    #[inline(always)]
    fn interrupts_enable() {
        // SAFETY: the vectors are in place from the first Rust function on.
        unsafe { asm!("msr daifclr, #3", options(nostack, preserves_flags)) };
    }

    #[inline(always)]
    fn relax() {
        // SAFETY: a hint.
        unsafe { asm!("yield", options(nomem, nostack, preserves_flags)) };
    }

    #[inline(always)]
    fn pause_while_u8(word: &AtomicU8, value: u8) {
        pause_while!("ldaxrb {found:w}", "cmp {found:w}, {value:w}", word, value);
    }

    #[inline(always)]
    fn pause_while_u32(word: &AtomicU32, value: u32) {
        pause_while!("ldaxr {found:w}", "cmp {found:w}, {value:w}", word, value);
    }

    #[inline(always)]
    fn pause_while_u64(word: &AtomicU64, value: u64) {
        pause_while!("ldaxr {found}", "cmp {found}, {value}", word, value);
    }

    #[inline]
    fn wait_for_interrupt() {
        // SAFETY: WFI wakes for a pending interrupt also while it is masked (D1.6.2), so none is lost before the
        // unmask.
        unsafe { asm!("dsb sy", "wfi", "msr daifclr, #3", "isb", options(nostack, preserves_flags)) };
    }

    #[inline(always)]
    fn frame_pointer() -> u64 {
        let value;
        // SAFETY: reads a register.
        unsafe { asm!("mov {}, x29", out(reg) value, options(nomem, nostack, preserves_flags)) };
        value
    }

    fn send_reschedule(cpu: usize) {
        gic::send(Request::Reschedule, cpu);
    }
}

/// Masks urgent requests too. Else they are only from an exception's entry until its registers are saved, and on its
/// way out.
#[inline(always)]
pub(super) fn mask_all() {
    // SAFETY: as `interrupts_disable`.
    unsafe { asm!("msr daifset, #3", options(nostack, preserves_flags)) };
}

/// Takes urgent requests from here on, and no other interrupts: an exception has been entered, and its registers are
/// saved.
#[inline(always)]
pub(super) fn admit_urgent() {
    // SAFETY: the vectors are in place.
    unsafe { asm!("msr daifclr, #1", options(nostack, preserves_flags)) };
}

#[inline(always)]
fn preempt_count_pointer() -> *mut u32 {
    // SAFETY: only computes the field's address.
    unsafe { &raw mut (*block()).preempt_count }
}

#[inline(always)]
fn requested_pointer() -> *mut u32 {
    // SAFETY: only computes the field's address.
    unsafe { &raw mut (*block()).requested }
}

/// Calls [`task::give_way`] from where a guard is dropped, as if it were an interrupt: but for x15, no register changes
/// hands.
#[inline(always)]
fn give_way() {
    // SAFETY: x15 keeps the link register, so that dropping a guard makes no function around it save one.
    unsafe {
        asm!("mov x15, x30", "bl {}", "mov x30, x15", sym preserving_give_way, out("x15") _, options(nostack))
    };
}

/// [`task::give_way`], which keeps all registers.
///
/// | register | in | out |
/// |---|---|---|
/// | x30 | return address | clobbered |
/// | all other general registers | | as they were |
///
/// Stack: 176 bytes, from low to high: x29 and x30 as a frame record, x0 to x18, one word unused. Interrupts: as they
/// are. Does not fault.
#[unsafe(naked)]
unsafe extern "C" fn preserving_give_way() {
    naked_asm!(
        "stp x29, x30, [sp, #-176]!",
        "mov x29, sp",
        "stp x0, x1, [sp, #16]",
        "stp x2, x3, [sp, #32]",
        "stp x4, x5, [sp, #48]",
        "stp x6, x7, [sp, #64]",
        "stp x8, x9, [sp, #80]",
        "stp x10, x11, [sp, #96]",
        "stp x12, x13, [sp, #112]",
        "stp x14, x15, [sp, #128]",
        "stp x16, x17, [sp, #144]",
        "str x18, [sp, #160]",
        "bl {give_way}",
        "ldp x0, x1, [sp, #16]",
        "ldp x2, x3, [sp, #32]",
        "ldp x4, x5, [sp, #48]",
        "ldp x6, x7, [sp, #64]",
        "ldp x8, x9, [sp, #80]",
        "ldp x10, x11, [sp, #96]",
        "ldp x12, x13, [sp, #112]",
        "ldp x14, x15, [sp, #128]",
        "ldp x16, x17, [sp, #144]",
        "ldr x18, [sp, #160]",
        "ldp x29, x30, [sp], #176",
        "ret",
        give_way = sym task::give_way,
    )
}
