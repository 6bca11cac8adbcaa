//! Entering a handler, and `rt_sigreturn`.

use abi::Errno;
use abi::signal::{
    SA_ONSTACK, SA_RESTORER, SEGV_ACCERR, SEGV_MAPERR, SI_KERNEL, SS_AUTODISARM, SS_DISABLE, SS_ONSTACK,
    Sigaction, StackT,
};
use hal::task;
use hal::user::UserContext;
use libkernel::addr::UserAddr;
use libkernel::arch::native::signal_frame::{self, FaultRecord, Parts, RED_ZONE, SAVED_OFFSET, Saved};
use memory::user::{UserPtr, read_bytes, write_bytes};
use outcome::OrErrno;
use zerocopy::{FromZeros, IntoBytes};

use super::{NO_STACK, SigInfo, Signal, SignalSet};
use crate::process::Thread;

/// Writes the frame of a handler and makes the registers enter it. EFAULT if the stack cannot hold it; nothing is
/// changed then.
pub(super) fn enter(
    thread: &Thread,
    context: &mut UserContext,
    signal: Signal,
    info: &SigInfo,
    action: &Sigaction,
    mask: SignalSet,
) -> Result<(), Errno> {
    let regs = &mut context.regs;
    let stack = *thread.signals.stack.lock();
    let (top, alternate) = stack_top(&stack, regs.stack_pointer(), action.sa_flags).ok_or(Errno::EFAULT)?;
    let layout = signal_frame::layout(top, task::floating_point_size()).ok_or(Errno::EFAULT)?;
    if alternate && !is_within(&stack, layout.frame) {
        return Err(Errno::EFAULT);
    }
    let restorer = restorer(thread, action).ok_or(Errno::EFAULT)?;
    let fault = *thread.signals.fault.lock();
    let parts = Parts {
        regs,
        info,
        mask: mask.bits(),
        stack: shown_stack(&stack, regs.stack_pointer()),
        fault,
        restorer,
    };
    UserPtr::new(UserAddr::new(layout.frame)).write(&signal_frame::build(&parts, &layout))?;
    for (address, bytes) in signal_frame::extras(&parts, &layout) {
        write_bytes(UserAddr::new(address), bytes.as_bytes())?;
    }
    task::store_floating_point(UserAddr::new(layout.floating_point)).or_errno()?;
    task::reset_floating_point().or_errno()?;
    signal_frame::enter(regs, &layout, action.sa_handler, signal.number(), restorer);
    if stack.ss_flags & SS_AUTODISARM != 0 {
        *thread.signals.stack.lock() = NO_STACK;
    }
    Ok(())
}

/// Puts back what the handler interrupted. EFAULT if the frame is not readable or not one.
pub fn leave(thread: &Thread, context: &mut UserContext) -> Result<(), Errno> {
    let address = signal_frame::at_return(&context.regs).ok_or(Errno::EFAULT)?;
    let mut saved = Saved::new_zeroed();
    read_bytes(UserAddr::new(address.wrapping_add(SAVED_OFFSET)), saved.as_mut_bytes())?;
    let restored = signal_frame::restore(&saved, &context.regs);
    // As on Linux, mask and general registers come back even if the rest turns out to be bad: the handler of the
    // SIGSEGV that follows returns to what was interrupted.
    context.regs = restored.regs;
    // A handler ran after whatever there was to continue, which the program has been told of (Linux:
    // `restore_sigcontext`).
    let resume = thread.resume.lock().take();
    drop(resume);
    thread.set_signal_mask(SignalSet::from_bits(restored.mask));
    let read = |address, bytes: &mut [u8]| read_bytes(UserAddr::new(address), bytes).ok();
    let image = signal_frame::floating_point(&saved, address, read).map_err(|_| Errno::EFAULT)?;
    load_floating_point(image)?;
    // As Linux does, a stack that cannot be restored is left as it is.
    let _ = set_stack(thread, &restored.stack, context.regs.stack_pointer());
    Ok(())
}

/// What the SIGSEGV says that follows when [`leave`] could not read a frame.
pub fn bad_frame(thread: &Thread, context: &UserContext) -> SigInfo {
    let number = Signal::SEGV.number();
    let Some(address) = signal_frame::blamed_address(&context.regs) else {
        return SigInfo::new(number, SI_KERNEL);
    };
    *thread.signals.fault.lock() = FaultRecord::default();
    let memory = thread.memory();
    let below_an_area = memory.is_some_and(|memory| memory.ends_above(UserAddr::new(address).untagged()));
    SigInfo::fault(number, if below_an_area { SEGV_ACCERR } else { SEGV_MAPERR }, address)
}

/// Loads an image of the frame. Without one, or with a bad one, the registers are those of a fresh program.
fn load_floating_point(image: Option<u64>) -> Result<(), Errno> {
    let loaded = match image {
        Some(image) => match task::load_floating_point(UserAddr::new(image)) {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(_)) | Err(_) => Err(Errno::EFAULT),
        },
        None => Ok(()),
    };
    task::reset_floating_point().or_errno()?;
    loaded
}

/// `sigaltstack`: EPERM on the stack itself, EINVAL for unknown flags, ENOMEM if it is too small.
pub fn set_stack(thread: &Thread, new: &StackT, stack_pointer: u64) -> Result<(), Errno> {
    let mut stack = thread.signals.stack.lock();
    if is_on(&stack, stack_pointer) {
        return Err(Errno::EPERM);
    }
    match new.ss_flags & !SS_AUTODISARM {
        SS_DISABLE => *stack = NO_STACK,
        0 | SS_ONSTACK => {
            if new.ss_size < minimum_size() {
                return Err(Errno::ENOMEM);
            }
            *stack = StackT { pad: 0, ss_flags: new.ss_flags & SS_AUTODISARM, ..*new };
        }
        _ => return Err(Errno::EINVAL),
    }
    Ok(())
}

/// The smallest alternate stack: it must hold a frame (`AT_MINSIGSTKSZ` says more).
fn minimum_size() -> u64 {
    abi::native::MINIMUM_SIGNAL_STACK
}

/// The alternate stack as a program sees it, with whether it runs on it.
pub fn shown_stack(stack: &StackT, stack_pointer: u64) -> StackT {
    let on = if stack.ss_size != 0 && is_within(stack, stack_pointer) { SS_ONSTACK } else { 0 };
    StackT { ss_flags: stack.ss_flags | on, ..*stack }
}

/// Where a frame ends at most: below the interrupted stack, or at the top of the alternate one; and whether it lies on
/// the alternate stack in either case, which it must not grow out of: `sigaltstack` takes one that is smaller than a
/// frame with all registers of the CPU.
fn stack_top(stack: &StackT, stack_pointer: u64, flags: u64) -> Option<(u64, bool)> {
    if is_on(stack, stack_pointer) {
        return Some((stack_pointer.checked_sub(RED_ZONE)?, true));
    }
    if flags & SA_ONSTACK != 0 && stack.ss_size != 0 {
        return Some((stack.ss_sp.checked_add(stack.ss_size)?, true));
    }
    Some((stack_pointer.checked_sub(RED_ZONE)?, false))
}

/// Whether the thread runs on the alternate stack. One that disarms itself never counts: the handler may switch away.
fn is_on(stack: &StackT, stack_pointer: u64) -> bool {
    stack.ss_flags & SS_AUTODISARM == 0 && is_within(stack, stack_pointer)
}

fn is_within(stack: &StackT, address: u64) -> bool {
    address > stack.ss_sp && address - stack.ss_sp <= stack.ss_size
}

/// Where the handler returns to: what the program gave, else the vDSO's trampoline where the architecture has one.
fn restorer(thread: &Thread, action: &Sigaction) -> Option<u64> {
    if action.sa_flags & SA_RESTORER != 0 {
        return Some(action.sa_restorer);
    }
    let offset = hal::vdso::sigreturn_offset()?;
    let vdso = thread.memory()?.vdso();
    if vdso.is_null() { None } else { vdso.as_u64().checked_add(offset) }
}
