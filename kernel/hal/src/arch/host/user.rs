//! The user side of a task: its thread pointer is kept, but there is no user mode to use it in.
use super::Arch;
use super::cpu::{running, update};
use crate::contract::{UserEntry, UserRegisters};
use crate::frame::OutOfMemory;
use crate::user::UserExit;
use alloc::boxed::Box;
use core::sync::atomic::{AtomicU32, Ordering};
use libkernel::arch::native::UserRegs;

/// Registers of a thread that is not running.
pub struct UserState {
    thread_pointer: u64,
}

impl UserRegisters for Arch {
    type State = UserState;

    fn fresh() -> Result<UserState, OutOfMemory> {
        Ok(UserState { thread_pointer: 0 })
    }

    fn capture(_saved: &UserState) -> Result<Box<UserState>, OutOfMemory> {
        Ok(Box::new(UserState { thread_pointer: Self::live_tls() }))
    }

    fn save(state: &mut UserState) {
        state.thread_pointer = Self::live_tls();
    }

    fn restore_floating_point(_state: &UserState) {}

    fn restore(state: &UserState) {
        Self::set_live_tls(state.thread_pointer);
    }

    fn tls(state: &UserState) -> u64 {
        state.thread_pointer
    }

    fn set_tls(state: &mut UserState, value: u64) {
        state.thread_pointer = value;
    }

    fn live_tls() -> u64 {
        running().thread_pointer
    }

    fn set_live_tls(value: u64) {
        update(|running| running.thread_pointer = value);
    }

    fn floating_point_size() -> usize {
        0
    }

    fn floating_point(_state: &mut UserState) -> &mut [u8] {
        &mut []
    }

    fn is_valid_floating_point(image: &[u8]) -> bool {
        image.is_empty()
    }
}

impl UserEntry for Arch {
    /// Comes back at once: work is pending, or there is no program to run.
    fn run(_regs: &mut UserRegs, work: &AtomicU32) -> UserExit {
        assert!(work.load(Ordering::Acquire) != 0, "the host machine has no user mode");
        UserExit::Interrupted
    }
}
