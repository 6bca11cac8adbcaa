//! Kernel contexts and `cpu_switch_to`.
use super::Arch;
use crate::contract::Context;
use crate::task::stack_word;
use core::arch::naked_asm;

/// The stack pointer of a context that is not running. What lies there, from low to high:
///
/// ```text
///  +0  r15   +8  r14   +16 r13   +24 r12   +32 rbx   +40 rbp   +48 return address
/// ```
pub struct Saved(u64);

const SAVED_WORDS: usize = 7;
/// Offset of rbp, with the return address behind it.
const SAVED_FRAME_POINTER: u64 = 40;

impl Context for Arch {
    type Saved = Saved;

    unsafe fn prepare(stack_top: *mut u8, entry: extern "C" fn(usize) -> !, argument: usize) -> Saved {
        // One word above the frame keeps the stack as a call would: 8 bytes off 16 at the function's first
        // instruction, with a null return address for backtraces.
        let frame =
            [0, 0, argument as u64, entry as usize as u64, 0, 0, context_start as *const () as u64, 0, 0];
        // SAFETY: the caller gives a stack that is mapped, unused and 16-byte aligned at its end.
        unsafe {
            let sp = stack_top.cast::<[u64; SAVED_WORDS + 2]>().sub(1);
            sp.write(frame);
            Saved(sp as u64)
        }
    }

    fn empty() -> Saved {
        Saved(0)
    }

    #[inline(always)]
    unsafe fn switch(previous: *mut Saved, next: *const Saved) {
        // SAFETY: as the caller promises.
        unsafe { cpu_switch_to(previous, next) }
    }

    unsafe fn place(saved: *const Saved) -> [u64; 2] {
        // SAFETY: the caller's promise: one word, whatever it holds.
        let stack_pointer = unsafe { (&raw const (*saved).0).read_volatile() };
        let frame = stack_pointer.wrapping_add(SAVED_FRAME_POINTER);
        match (stack_word(frame.wrapping_add(8)), stack_word(frame)) {
            (Some(return_address), Some(frame_pointer)) => [return_address, frame_pointer],
            _ => [0; 2],
        }
    }
}

/// Saves the running kernel context and continues another.
///
/// ```text
/// in:        rdi = where to save the stack pointer, rsi = where the next one was saved
/// out:       returns on the next context's stack
/// clobbered: what the C convention lets a call clobber; rbx rbp r12-r15 are the next context's own
/// stack:     switched. interrupts: masked before and after. Faults: never.
/// ```
#[unsafe(naked)]
unsafe extern "C" fn cpu_switch_to(previous: *mut Saved, next: *const Saved) {
    naked_asm!(
        "push rbp",
        "push rbx",
        "push r12",
        "push r13",
        "push r14",
        "push r15",
        "mov [rdi], rsp",
        "mov rsp, [rsi]",
        "pop r15",
        "pop r14",
        "pop r13",
        "pop r12",
        "pop rbx",
        "pop rbp",
        "ret",
    )
}

/// First instructions of a new context: r12 holds its entry, r13 the argument.
///
/// ```text
/// in:    r12 = function, r13 = its argument, rbp = 0 (ends backtraces); interrupts masked
/// out:   never returns
/// ```
#[unsafe(naked)]
unsafe extern "C" fn context_start() {
    naked_asm!("mov rdi, r13", "xor ebp, ebp", "call r12", "ud2")
}
