//! FP/SIMD registers and the thread pointer, saved eagerly at switches.
//!
//! The kernel is built for a soft-float target, so the registers in the CPU are always those of the running task. SVE
//! and SME are refused to programs (CPACR_EL1), so these are all there are.
use super::Arch;
use super::cpu::{read_register, write_register};
use crate::contract::UserRegisters;
use crate::frame::OutOfMemory;
use alloc::boxed::Box;
use core::arch::naked_asm;
use core::mem::offset_of;

/// FP/SIMD registers and the thread pointer of a thread that is not running.
///
/// From `status` on it is laid out as Linux's `fpsimd_context` behind its header, which is how signal frames carry it.
#[repr(C, align(16))]
pub struct State {
    /// TPIDR_EL0.
    thread_pointer: u64,
    /// FPSR (C5.2.9).
    status: u32,
    /// FPCR (C5.2.8).
    control: u32,
    /// Q0 to Q31.
    vectors: [u128; 32],
}

/// FPSR, FPCR and the vector registers.
const FLOATING_POINT_SIZE: usize = 8 + 32 * 16;

impl UserRegisters for Arch {
    type State = State;

    fn fresh() -> Result<State, OutOfMemory> {
        Ok(State { thread_pointer: 0, status: 0, control: 0, vectors: [0; 32] })
    }

    fn capture(_saved: &State) -> Result<Box<State>, OutOfMemory> {
        let mut copy = Box::new_uninit();
        // SAFETY: writes all fields of the state, between which there is no padding.
        unsafe {
            save_user_state(copy.as_mut_ptr());
            Ok(copy.assume_init())
        }
    }

    #[inline(always)]
    fn save(state: &mut State) {
        // SAFETY: writes exactly the fields of the state.
        unsafe { save_user_state(state) }
    }

    fn restore_floating_point(state: &State) {
        let thread_pointer = Self::live_tls();
        Self::restore(state);
        Self::set_live_tls(thread_pointer);
    }

    #[inline(always)]
    fn restore(state: &State) {
        // SAFETY: reads exactly the fields of the state; the kernel itself uses none of these registers.
        unsafe { load_user_state(state) }
    }

    fn tls(state: &State) -> u64 {
        state.thread_pointer
    }

    fn set_tls(state: &mut State, value: u64) {
        state.thread_pointer = value;
    }

    fn live_tls() -> u64 {
        read_register!("tpidr_el0")
    }

    fn set_live_tls(value: u64) {
        // SAFETY: the kernel does not use this register.
        unsafe { write_register!("tpidr_el0", value) }
    }

    fn floating_point_size() -> usize {
        FLOATING_POINT_SIZE
    }

    fn floating_point(state: &mut State) -> &mut [u8] {
        let image = (&raw mut state.status).cast::<u8>();
        // SAFETY: `status`, `control` and `vectors` lie side by side without padding (asserted below) and take any
        // bits.
        unsafe { core::slice::from_raw_parts_mut(image, FLOATING_POINT_SIZE) }
    }

    /// Reserved bits of FPSR and FPCR are ignored by the CPU; nothing traps.
    fn is_valid_floating_point(image: &[u8]) -> bool {
        image.len() == FLOATING_POINT_SIZE
    }
}

/// | register | in | out |
/// |---|---|---|
/// | x0 | the [`State`] to fill | kept |
/// | x1, x2, x3 | | clobbered |
///
/// Stack: not used. Interrupts: any. Does not fault.
#[unsafe(naked)]
unsafe extern "C" fn save_user_state(state: *mut State) {
    naked_asm!(
        ".arch_extension fp",
        ".arch_extension simd",
        "stp q0, q1, [x0, #{vectors}]",
        "stp q2, q3, [x0, #{vectors} + 32]",
        "stp q4, q5, [x0, #{vectors} + 64]",
        "stp q6, q7, [x0, #{vectors} + 96]",
        "stp q8, q9, [x0, #{vectors} + 128]",
        "stp q10, q11, [x0, #{vectors} + 160]",
        "stp q12, q13, [x0, #{vectors} + 192]",
        "stp q14, q15, [x0, #{vectors} + 224]",
        "stp q16, q17, [x0, #{vectors} + 256]",
        "stp q18, q19, [x0, #{vectors} + 288]",
        "stp q20, q21, [x0, #{vectors} + 320]",
        "stp q22, q23, [x0, #{vectors} + 352]",
        "stp q24, q25, [x0, #{vectors} + 384]",
        "stp q26, q27, [x0, #{vectors} + 416]",
        "stp q28, q29, [x0, #{vectors} + 448]",
        "stp q30, q31, [x0, #{vectors} + 480]",
        "mrs x1, fpsr",
        "mrs x2, fpcr",
        "mrs x3, tpidr_el0",
        "stp w1, w2, [x0, #{status}]",
        "str x3, [x0, #{thread_pointer}]",
        "ret",
        vectors = const offset_of!(State, vectors),
        status = const offset_of!(State, status),
        thread_pointer = const offset_of!(State, thread_pointer),
    )
}

/// | register | in | out |
/// |---|---|---|
/// | x0 | the [`State`] to load | kept |
/// | x1, x2, x3 | | clobbered |
///
/// Stack: not used. Interrupts: any. Does not fault.
#[unsafe(naked)]
unsafe extern "C" fn load_user_state(state: *const State) {
    naked_asm!(
        ".arch_extension fp",
        ".arch_extension simd",
        "ldp q0, q1, [x0, #{vectors}]",
        "ldp q2, q3, [x0, #{vectors} + 32]",
        "ldp q4, q5, [x0, #{vectors} + 64]",
        "ldp q6, q7, [x0, #{vectors} + 96]",
        "ldp q8, q9, [x0, #{vectors} + 128]",
        "ldp q10, q11, [x0, #{vectors} + 160]",
        "ldp q12, q13, [x0, #{vectors} + 192]",
        "ldp q14, q15, [x0, #{vectors} + 224]",
        "ldp q16, q17, [x0, #{vectors} + 256]",
        "ldp q18, q19, [x0, #{vectors} + 288]",
        "ldp q20, q21, [x0, #{vectors} + 320]",
        "ldp q22, q23, [x0, #{vectors} + 352]",
        "ldp q24, q25, [x0, #{vectors} + 384]",
        "ldp q26, q27, [x0, #{vectors} + 416]",
        "ldp q28, q29, [x0, #{vectors} + 448]",
        "ldp q30, q31, [x0, #{vectors} + 480]",
        "ldp w1, w2, [x0, #{status}]",
        "ldr x3, [x0, #{thread_pointer}]",
        "msr fpsr, x1",
        "msr fpcr, x2",
        "msr tpidr_el0, x3",
        "ret",
        vectors = const offset_of!(State, vectors),
        status = const offset_of!(State, status),
        thread_pointer = const offset_of!(State, thread_pointer),
    )
}

const _: () = assert!(offset_of!(State, vectors) == offset_of!(State, status) + 8);
const _: () = assert!(offset_of!(State, control) == offset_of!(State, status) + 4);
