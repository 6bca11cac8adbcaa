// LEAD IS WRITING THIS FILE (frame/, heap, paging/, task/, user_copy, random, sync/per_cpu users) IN BRANCH lead SINCE 14:08: do not write it; finish arch/x86_64 (boot, console, power, entry to start) first, then `git checkout` these files, rebase.
//! The part of a thread's registers that the kernel itself does not use: FPU, vectors, thread pointers.
use super::current;
use crate::frame::OutOfMemory;
use crate::user_copy::BadAddress;
use libkernel::addr::UserAddr;

/// An image of floating-point registers that the CPU would refuse.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct BadImage;

/// FPU registers and thread pointers of a thread that is not running.
pub struct UserState {}

#[allow(unused_variables)]
impl UserState {
    /// The state of a fresh program.
    pub fn new() -> Result<Self, OutOfMemory> {
        todo!()
    }

    /// A copy.
    pub fn duplicate(&self) -> Result<Self, OutOfMemory> {
        todo!()
    }

    /// The thread pointer.
    pub fn tls(&self) -> u64 {
        todo!()
    }

    /// Sets the thread pointer; false if `value` is not a user address.
    pub fn set_tls(&mut self, value: u64) -> bool {
        todo!()
    }
}

/// Bytes of the floating-point image that [`store_floating_point`] writes (x86_64: XSAVE area, AArch64: the
/// registers of `fpsimd_context`).
pub fn floating_point_size() -> usize {
    todo!()
}

/// Writes the running task's floating-point registers to user memory (signal frame). May page in.
pub fn store_floating_point(to: UserAddr) -> Result<(), BadAddress> {
    let _ = (to, current());
    todo!()
}

/// Loads the running task's floating-point registers from user memory (`sigreturn`), after checking the image.
pub fn load_floating_point(from: UserAddr) -> Result<Result<(), BadImage>, BadAddress> {
    let _ = from;
    todo!()
}

/// Sets the running task's floating-point registers to those of a fresh program.
pub fn reset_floating_point() {
    todo!()
}
