//! The part of a thread's registers that the kernel itself does not use: FPU, vectors, thread pointers.
//!
//! While a task runs they are in the CPU, and its saved state is stale; a switch saves and restores them.
use super::current;
use crate::arch::Arch;
use crate::contract::{Speculation as _, UserRegisters};
use crate::frame::OutOfMemory;
use crate::sync::{Once, preempt};
use crate::user_copy::{self, BadAddress};
use alloc::boxed::Box;
use libkernel::addr::UserAddr;
use libkernel::arch::native::{UserRegs, is_thread_pointer};
use libkernel::fault::Access;
use libkernel::speculation::Limits;

type State = <Arch as UserRegisters>::State;

/// An image of floating-point registers that the CPU would refuse.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct BadImage;

/// FPU registers and thread pointers of a thread that is not running.
pub struct UserState(pub(super) Box<State>);

impl UserState {
    /// The state of a fresh program.
    pub fn new() -> Result<Self, OutOfMemory> {
        Ok(Self(Box::new(Arch::fresh()?)))
    }

    /// The thread pointer.
    pub fn tls(&self) -> u64 {
        Arch::tls(&self.0)
    }

    /// Sets the thread pointer; false if no program may have `value` there.
    pub fn set_tls(&mut self, value: u64) -> bool {
        let allowed = is_thread_pointer(value);
        if allowed {
            Arch::set_tls(&mut self.0, value);
        }
        allowed
    }
}

/// Calls `action` with the running task's saved state, which is stale; preemption is off, so it stays `action`'s.
/// Panics in an interrupt handler, which may have interrupted another `action`.
fn with_saved<R>(action: impl FnOnce(&mut State) -> R) -> R {
    preempt::assert_no_interrupt();
    let _guard = preempt::disable();
    let task = current();
    // SAFETY: the running task's own part; with preemption off no switch saves into it meanwhile, and no handler comes
    // here.
    let own = unsafe { &mut *task.own.get() };
    action(own.user.as_mut().expect("a task without a user side has no user registers"))
}

/// Whether the running task was made for a program.
pub(crate) fn has_user_side() -> bool {
    let _guard = preempt::disable();
    // SAFETY: as in `with_saved`; nobody adds or takes a user side.
    unsafe { (*current().own.get()).user.is_some() }
}

/// A copy of the running task's FPU registers and thread pointers, as they are now (`fork`, `clone`).
pub fn duplicate_user_state() -> Result<UserState, OutOfMemory> {
    with_saved(|saved| Ok(UserState(Arch::capture(saved)?)))
}

/// The running task's thread pointer (FS_BASE, TPIDR_EL0), as it is now.
pub fn tls() -> u64 {
    Arch::live_tls()
}

/// Sets it; false if no program may have `value` there.
pub fn set_tls(value: u64) -> bool {
    preempt::assert_no_interrupt();
    let allowed = is_thread_pointer(value);
    if allowed {
        Arch::set_live_tls(value);
    }
    allowed
}

/// See [`crate::speculation::limit`].
pub(crate) fn limit_speculation(regs: &mut UserRegs, limits: Limits) {
    with_saved(|state| Arch::limit(state, regs, limits));
}

/// The running task's second thread pointer, where the architecture has one (x86_64: the GS base).
pub fn gs_base() -> Option<u64> {
    Arch::live_gs_base()
}

/// Sets it; false if there is none or `value` is not a user address.
pub fn set_gs_base(value: u64) -> bool {
    preempt::assert_no_interrupt();
    UserAddr::new(value).is_user() && Arch::set_live_gs_base(value)
}

/// Bytes of the floating-point image that [`store_floating_point`] writes (x86_64: XSAVE area, AArch64: the
/// registers of `fpsimd_context`).
pub fn floating_point_size() -> usize {
    Arch::floating_point_size()
}

/// Writes the running task's floating-point registers to user memory (signal frame). May page in.
pub fn store_floating_point(to: UserAddr) -> Result<(), BadAddress> {
    with_pages(to, Access::Write, |state| {
        Arch::save(state);
        let image = Arch::floating_point(state);
        Arch::describe_floating_point(image);
        user_copy::copy_to_user_nofault(to, image) == image.len()
    })
}

/// Copies the running task's floating-point registers, as [`store_floating_point`] writes them, as far as there is room
/// (core dump).
pub fn copy_floating_point(to: &mut [u8]) {
    with_saved(|state| {
        Arch::save(state);
        let image = Arch::floating_point(state);
        Arch::describe_floating_point(image);
        to.iter_mut().zip(image).for_each(|(to, from)| *to = *from);
    });
}

/// The running task's data-segment selectors, where the architecture has any (x86_64: DS, ES, FS, GS).
pub fn data_selectors() -> [u16; 4] {
    Arch::live_selectors()
}

/// Loads the running task's floating-point registers from user memory (`sigreturn`), after checking the image.
pub fn load_floating_point(from: UserAddr) -> Result<Result<(), BadImage>, BadAddress> {
    let mut valid = false;
    with_pages(from, Access::Read, |state| {
        let image = Arch::floating_point(state);
        let complete = user_copy::copy_from_user_nofault(image, from) == image.len();
        valid = complete && Arch::is_valid_floating_point(image);
        if valid {
            Arch::restore_floating_point(state);
        } else {
            Arch::make_floating_point_savable(image);
        }
        complete
    })?;
    Ok(if valid { Ok(()) } else { Err(BadImage) })
}

/// Sets the running task's floating-point registers to those of a fresh program (a signal handler's start).
pub fn reset_floating_point() -> Result<(), OutOfMemory> {
    preempt::assert_no_interrupt();
    let fresh = fresh()?;
    let _guard = preempt::disable();
    Arch::restore_floating_point(fresh);
    Ok(())
}

/// Sets all that [`UserState`] holds of the running task to what a fresh program has (`execve`): on x86_64 selectors
/// and bases, too.
pub fn reset_user_state() -> Result<(), OutOfMemory> {
    preempt::assert_no_interrupt();
    let fresh = fresh()?;
    let _guard = preempt::disable();
    Arch::restore(fresh);
    Ok(())
}

fn fresh() -> Result<&'static State, OutOfMemory> {
    match FRESH.get() {
        Some(fresh) => Ok(fresh),
        None => make_fresh(),
    }
}

/// The state of a fresh program, made once.
static FRESH: Once<State> = Once::new();

#[cold]
fn make_fresh() -> Result<&'static State, OutOfMemory> {
    // If another CPU makes it at the same moment, the caller tries again as with any shortage.
    drop(FRESH.set(Arch::fresh()?));
    FRESH.get().ok_or(OutOfMemory)
}

/// How often a page may vanish again between being paged in and being used.
const ATTEMPTS: usize = 16;

/// Calls `action`, which must not page in, and pages the user range of an image in whenever it says false.
fn with_pages(
    address: UserAddr,
    access: Access,
    mut action: impl FnMut(&mut State) -> bool,
) -> Result<(), BadAddress> {
    for _ in 0..ATTEMPTS {
        if with_saved(&mut action) {
            return Ok(());
        }
        user_copy::page_in(address, Arch::floating_point_size(), access)?;
    }
    Err(BadAddress)
}
