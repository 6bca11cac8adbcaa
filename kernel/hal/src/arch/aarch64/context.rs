//! Kernel contexts: what a switch between two tasks swaps.
//!
//! Registers that a callee keeps, the stack, and the block at the top of the stack that says what runs on it
//! (`cpu.rs`).
use super::Arch;
use super::cpu::Running;
use crate::contract::Context;
use core::arch::naked_asm;
use core::mem::{offset_of, size_of};

/// A task's kernel registers while it does not run: what the procedure call standard (AAPCS64 6.1.1) makes a callee
/// keep.
#[repr(C)]
#[derive(Default)]
pub struct KernelContext {
    /// x19 to x28.
    callee_saved: [u64; 10],
    /// x29, the frame pointer.
    frame_pointer: u64,
    /// x30: where the task goes on.
    link: u64,
    stack_pointer: u64,
    /// TPIDR_EL1: the [`Running`] block of this context's stack.
    block: u64,
}

impl Context for Arch {
    type Saved = KernelContext;

    /// The stack begins below the [`Running`] block at its top.
    unsafe fn prepare(
        stack_top: *mut u8,
        entry: extern "C" fn(usize) -> !,
        argument: usize,
    ) -> KernelContext {
        let block = stack_top.wrapping_sub(size_of::<Running>()).cast::<Running>();
        // SAFETY: the caller vouches for a free, mapped and aligned stack.
        unsafe { block.write(Running::EMPTY) };
        let mut context =
            KernelContext { block: block as u64, stack_pointer: block as u64, ..Default::default() };
        context.callee_saved[0] = argument as u64;
        context.callee_saved[1] = entry as usize as u64;
        context.link = first_switch as *const () as u64;
        context
    }

    fn empty() -> KernelContext {
        KernelContext::default()
    }

    #[inline(always)]
    unsafe fn switch(previous: *mut KernelContext, next: *const KernelContext) {
        // SAFETY: the caller's promises are the function's.
        unsafe { switch(previous, next) }
    }

    unsafe fn place(saved: *const KernelContext) -> [u64; 2] {
        // SAFETY: the caller's promise: two words, whatever they hold.
        unsafe {
            [(&raw const (*saved).link).read_volatile(), (&raw const (*saved).frame_pointer).read_volatile()]
        }
    }
}

/// Where a new task's first switch lands.
///
/// | register | in |
/// |---|---|
/// | x19 | argument for the entry function, passed on in x0 |
/// | x20 | entry function |
///
/// Stack: the task's own, empty. Interrupts: masked, as the switch left them. Does not fault.
#[unsafe(naked)]
extern "C" fn first_switch() {
    naked_asm!("mov x0, x19", "mov x30, xzr", "br x20")
}

/// Saves the running kernel context in `previous` and goes on in `next`. Returns when something switches back.
///
/// | register | in | out |
/// |---|---|---|
/// | x0 | `previous`: filled | clobbered |
/// | x1 | `next`: loaded | clobbered |
/// | x2 to x18 | | clobbered (caller-saved) |
/// | x19 to x30, sp | `previous`' | `next`'s |
/// | TPIDR_EL1 | the old stack's [`Running`] block | the new stack's, with the old one's content |
///
/// Stack: changes from the one to the other. Interrupts: must be masked, stay masked. Does not fault.
///
/// The barriers are for tasks that move between CPUs. Cache and TLB maintenance is waited for by the CPU that began it,
/// so what `previous` began, in EL0 too, is complete before another CPU can take it over. And `next`'s stack may have
/// been mapped by another CPU since this one last synchronised (B2.3.12, D8.2.6).
///
/// # Safety
/// `next` was filled by `prepare` or by this function, its stack is mapped and used by no CPU.
#[unsafe(naked)]
unsafe extern "C" fn switch(previous: *mut KernelContext, next: *const KernelContext) {
    naked_asm!(
        "dsb ish",
        "isb",
        "mrs x3, tpidr_el1",
        "stp x19, x20, [x0, #{saved}]",
        "stp x21, x22, [x0, #{saved} + 16]",
        "stp x23, x24, [x0, #{saved} + 32]",
        "stp x25, x26, [x0, #{saved} + 48]",
        "stp x27, x28, [x0, #{saved} + 64]",
        "mov x2, sp",
        "stp x29, x30, [x0, #{frame_pointer}]",
        "stp x2, x3, [x0, #{stack_pointer}]",
        "ldp x5, x6, [x3]",
        "ldp x7, x8, [x3, #16]",
        "ldp x2, x4, [x1, #{stack_pointer}]",
        "stp x5, x6, [x4]",
        "stp x7, x8, [x4, #16]",
        "ldp x19, x20, [x1, #{saved}]",
        "ldp x21, x22, [x1, #{saved} + 16]",
        "ldp x23, x24, [x1, #{saved} + 32]",
        "ldp x25, x26, [x1, #{saved} + 48]",
        "ldp x27, x28, [x1, #{saved} + 64]",
        "ldp x29, x30, [x1, #{frame_pointer}]",
        "mov sp, x2",
        "msr tpidr_el1, x4",
        "ret",
        saved = const offset_of!(KernelContext, callee_saved),
        frame_pointer = const offset_of!(KernelContext, frame_pointer),
        stack_pointer = const offset_of!(KernelContext, stack_pointer),
    )
}

const _: () = assert!(size_of::<Running>() == 32, "switch copies two pairs of words");
const _: () = assert!(offset_of!(KernelContext, block) == offset_of!(KernelContext, stack_pointer) + 8);
const _: () = assert!(offset_of!(KernelContext, link) == offset_of!(KernelContext, frame_pointer) + 8);
