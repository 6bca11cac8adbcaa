//! Signals: actions, masks, stacks, sending and waiting.

use alloc::sync::Arc;

use abi::Errno;
use abi::signal::{
    SI_TKILL, SI_USER, SIG_BLOCK, SIG_SETMASK, SIG_UNBLOCK, SIGSET_SIZE, SigInfo, Sigaction, StackT,
};
use abi::time::Timespec;
use libkernel::addr::UserAddr;
use memory::user::{self, UserPtr};
use sched::wait::{Deadline, WaitError};
use subject::capability;

use super::{Caller, Failure, Restart};
use crate::process::{Process, Thread, find_thread};
use crate::signal::action::{Disposition, disposition};
use crate::signal::{Signal, SignalSet, frame, send};
use crate::time::from_timespec;

fn check_size(size: usize) -> Result<(), Errno> {
    if size == SIGSET_SIZE { Ok(()) } else { Err(Errno::EINVAL) }
}

fn signal_number(number: u32) -> Result<Signal, Errno> {
    Signal::new(number).ok_or(Errno::EINVAL)
}

/// Signal 0 only asks whether a signal could be sent.
fn signal_or_test(number: u32) -> Result<Option<Signal>, Errno> {
    if number == 0 { Ok(None) } else { signal_number(number).map(Some) }
}

/// `rt_sigaction`.
pub fn rt_sigaction(
    caller: &mut Caller<'_>,
    signal: u32,
    new: UserPtr<Sigaction>,
    old: UserPtr<Sigaction>,
    size: usize,
) -> Result<(), Failure> {
    check_size(size)?;
    let new = new.optional().map(UserPtr::read).transpose()?;
    let signal = signal_number(signal)?;
    if new.is_some() && SignalSet::UNSTOPPABLE.contains(signal) {
        return Err(Failure::Errno(Errno::EINVAL));
    }
    let signals = &caller.thread.process().signals;
    let actions = signals.actions.lock();
    let before = actions.get(signal);
    if let Some(mut action) = new {
        action.sa_mask &= !SignalSet::UNSTOPPABLE.bits();
        action.sa_flags &= KNOWN_FLAGS;
        actions.set(signal, action);
        drop(actions);
        if disposition(signal, &action) == Disposition::Ignore {
            discard(caller.thread.process(), signal);
        }
    } else {
        drop(actions);
    }
    if let Some(old) = old.optional() {
        old.write(&before)?;
    }
    Ok(())
}

/// The flags that are kept; programs find out by looking which are (`sigaction(2)`, `SA_UNSUPPORTED`).
const KNOWN_FLAGS: u64 = abi::signal::SA_NOCLDSTOP
    | abi::signal::SA_NOCLDWAIT
    | abi::signal::SA_SIGINFO
    | abi::signal::SA_EXPOSE_TAGBITS
    | abi::signal::SA_RESTORER
    | abi::signal::SA_ONSTACK
    | abi::signal::SA_RESTART
    | abi::signal::SA_NODEFER
    | abi::signal::SA_RESETHAND;

/// A signal that is ignored from now on is no longer pending.
fn discard(process: &Process, signal: Signal) {
    let set = SignalSet::EMPTY.with(signal);
    process.signals.shared.lock().pending.discard(set);
    process.each_thread(|thread| thread.signals.pending.lock().discard(set));
}

/// `rt_sigprocmask`.
pub fn rt_sigprocmask(
    caller: &mut Caller<'_>,
    how: u32,
    new: UserPtr<u64>,
    old: UserPtr<u64>,
    size: usize,
) -> Result<(), Failure> {
    check_size(size)?;
    let before = caller.thread.signal_mask();
    if let Some(new) = new.optional() {
        let set = SignalSet::from_bits(new.read()?);
        let mask = match how {
            SIG_BLOCK => before.union(set),
            SIG_UNBLOCK => before.difference(set),
            SIG_SETMASK => set,
            _ => return Err(Failure::Errno(Errno::EINVAL)),
        };
        caller.thread.set_signal_mask(mask);
    }
    if let Some(old) = old.optional() {
        old.write(&before.bits())?;
    }
    Ok(())
}

/// `rt_sigpending`: the first `size` bytes of the set, as on Linux.
pub fn rt_sigpending(caller: &mut Caller<'_>, set: UserAddr, size: usize) -> Result<(), Failure> {
    let pending = caller.thread.pending_signals().intersection(caller.thread.signal_mask());
    let bytes = pending.bits().to_ne_bytes();
    user::write_bytes(set, bytes.get(..size).ok_or(Errno::EINVAL)?)?;
    Ok(())
}

/// `rt_sigsuspend`: sleeps under another mask until a handler has run.
pub fn rt_sigsuspend(caller: &mut Caller<'_>, set: UserPtr<u64>, size: usize) -> Result<(), Failure> {
    check_size(size)?;
    caller.thread.set_temporary_mask(SignalSet::from_bits(set.read()?));
    pause(caller)
}

/// `pause`.
pub fn pause(_caller: &mut Caller<'_>) -> Result<(), Failure> {
    // Only a signal ends this.
    let _ = sched::sleep(Deadline::NEVER);
    Err(Failure::Restart(Restart::UnlessHandled))
}

/// `rt_sigreturn`: goes back to what a handler interrupted. A bad frame is a SIGSEGV.
pub fn rt_sigreturn(caller: &mut Caller<'_>) -> Result<u64, Failure> {
    if frame::leave(caller.thread, caller.context).is_err() {
        let info = frame::bad_frame(caller.thread, caller.context);
        send::force(caller.thread, Signal::SEGV, &info);
    }
    Ok(caller.context.regs.return_value())
}

/// `sigaltstack`.
pub fn sigaltstack(
    caller: &mut Caller<'_>,
    new: UserPtr<StackT>,
    old: UserPtr<StackT>,
) -> Result<(), Failure> {
    let stack_pointer = caller.context.regs.stack_pointer();
    let before = frame::shown_stack(&caller.thread.signals.stack.lock(), stack_pointer);
    if let Some(new) = new.optional() {
        frame::set_stack(caller.thread, &new.read()?, stack_pointer)?;
    }
    if let Some(old) = old.optional() {
        old.write(&before)?;
    }
    Ok(())
}

/// `rt_sigtimedwait`: takes a pending signal of the set, or waits for one.
pub fn rt_sigtimedwait(
    caller: &mut Caller<'_>,
    set: UserPtr<u64>,
    info: UserPtr<SigInfo>,
    timeout: UserPtr<Timespec>,
    size: usize,
) -> Result<u32, Failure> {
    check_size(size)?;
    let wanted = SignalSet::from_bits(set.read()?).difference(SignalSet::UNSTOPPABLE);
    let deadline = match timeout.optional() {
        Some(timeout) => Deadline::after(from_timespec(&timeout.read()?)?),
        None => Deadline::NEVER,
    };
    let (signal, found) = await_signal(caller.thread, wanted, deadline)?;
    if let Some(info) = info.optional() {
        info.write(&found)?;
    }
    Ok(signal.number())
}

fn await_signal(
    thread: &Thread,
    wanted: SignalSet,
    deadline: Deadline,
) -> Result<(Signal, SigInfo), Failure> {
    let mut info = SigInfo::default();
    let mut take = || thread.take_pending(wanted, &mut info);
    thread.await_signals(wanted);
    // Looked for after that, so that none comes unheard in between.
    let (found, error) = match take() {
        Some(found) => (Some(found), WaitError::TimedOut),
        None => {
            let error = sched::sleep(deadline);
            (take(), error)
        }
    };
    thread.await_signals(SignalSet::EMPTY);
    found.map(|signal| (signal, info)).ok_or(match error {
        WaitError::TimedOut => Failure::Errno(Errno::EAGAIN),
        WaitError::Interrupted => Failure::Errno(Errno::EINTR),
    })
}

/// Whether the caller may send this signal there: `kill(2)`.
#[inline]
fn may_signal(caller: &Thread, target: &Thread, signal: Option<Signal>) -> bool {
    Arc::ptr_eq(caller.process(), target.process()) || may_signal_another(caller, target, signal)
}

#[inline(never)]
fn may_signal_another(caller: &Thread, target: &Thread, signal: Option<Signal>) -> bool {
    let (own, other) = (caller.credentials(), target.credentials());
    let same_user =
        [own.user.effective, own.user.real].iter().any(|id| [other.user.real, other.user.saved].contains(id));
    let continues =
        signal == Some(Signal::CONT) && Arc::ptr_eq(&caller.process().session(), &target.process().session());
    same_user || continues || own.has_capability(capability::KILL)
}

/// Sends a signal to the process of a thread, which may have ended.
fn send_to(caller: &Thread, target: &Thread, number: u32, info: &SigInfo) -> Result<(), Errno> {
    let signal = signal_or_test(number)?;
    if !may_signal(caller, target, signal) {
        return Err(Errno::EPERM);
    }
    signal.map_or(Ok(()), |signal| send::to_process(target.process(), signal, info))
}

/// The information of a signal that a process sends, as the target sees the sender.
fn sender_info(caller: &Thread, target: &Thread, signal: u32, code: i32) -> SigInfo {
    let (user, own) =
        caller.with_credentials(|own| (own.user.real, own.user.real.number_in(&own.user_namespace)));
    // Most programs that send one to themselves (`raise`) need not be asked twice.
    let number = if core::ptr::eq(caller, target) { own } else { target.shown_user(user) };
    SigInfo::user(signal, code, target.shown(caller.process().pid()), number)
}

/// `kill`.
pub fn kill(caller: &mut Caller<'_>, pid: i32, number: u32) -> Result<(), Failure> {
    let thread = caller.thread;
    let send =
        |target: &Arc<Thread>| send_to(thread, target, number, &sender_info(thread, target, number, SI_USER));
    let named = |number| thread.pid_namespace().find(number).ok_or(Errno::ESRCH);
    Ok(match pid {
        i32::MIN => Err(Errno::ESRCH),
        -1 => send::to_all(thread.process(), send),
        0 => send::to_members(thread.process().group(), send),
        pid if pid < 0 => send::to_members(named(-pid)?, send),
        pid => send(&find_thread(named(pid)?).ok_or(Errno::ESRCH)?),
    }?)
}

/// Sends to one thread, which must be of the given process if that is known.
fn send_to_thread(
    caller: &Arc<Thread>,
    process: Option<i32>,
    thread: i32,
    number: u32,
    info: impl FnOnce(&Thread) -> SigInfo,
) -> Result<(), Failure> {
    let thread = caller.pid_namespace().find(thread).ok_or(Errno::EINVAL)?;
    if process.is_some_and(|pid| pid <= 0) {
        return Err(Failure::Errno(Errno::EINVAL));
    }
    // Most programs that name a thread name the one that calls (`raise`), which nobody has to look for.
    let other = if thread == caller.id() { None } else { Some(find_thread(thread).ok_or(Errno::ESRCH)?) };
    let target = other.as_ref().unwrap_or(caller);
    let pid = caller.shown(target.process().pid());
    if process.is_some_and(|expected| expected != pid) {
        return Err(Failure::Errno(Errno::ESRCH));
    }
    let signal = signal_or_test(number)?;
    if !may_signal(caller, target, signal) {
        return Err(Failure::Errno(Errno::EPERM));
    }
    if let Some(signal) = signal {
        send::to_thread(target, signal, &info(target))?;
    }
    Ok(())
}

/// `tkill`.
pub fn tkill(caller: &mut Caller<'_>, thread: i32, signal: u32) -> Result<(), Failure> {
    let own = caller.thread;
    send_to_thread(own, None, thread, signal, |target| sender_info(own, target, signal, SI_TKILL))
}

/// `tgkill`.
pub fn tgkill(caller: &mut Caller<'_>, process: i32, thread: i32, signal: u32) -> Result<(), Failure> {
    let own = caller.thread;
    send_to_thread(own, Some(process), thread, signal, |target| sender_info(own, target, signal, SI_TKILL))
}

/// Reads a program's own information.
fn read_info(signal: u32, info: UserPtr<SigInfo>) -> Result<SigInfo, Errno> {
    let mut info = info.read()?;
    info.si_signo = signal.cast_signed();
    // No program speaks for a timer of the kernel's.
    info.hide_private();
    Ok(info)
}

/// Nobody may pretend to be the kernel or `kill` towards others: EPERM. As on Linux, `target` is one's own only if it
/// is the calling thread's number, for a signal to a process too.
fn check_origin(caller: &Thread, target: i32, info: &SigInfo) -> Result<(), Errno> {
    let pretends = info.si_code >= 0 || info.si_code == SI_TKILL;
    if pretends && target != caller.shown(caller.id()) { Err(Errno::EPERM) } else { Ok(()) }
}

/// `rt_sigqueueinfo`.
pub fn rt_sigqueueinfo(
    caller: &mut Caller<'_>,
    pid: i32,
    number: u32,
    info: UserPtr<SigInfo>,
) -> Result<(), Failure> {
    let info = read_info(number, info)?;
    check_origin(caller.thread, pid, &info)?;
    let target = caller.thread.named(pid).ok_or(Errno::ESRCH)?;
    Ok(send_to(caller.thread, &target, number, &info)?)
}

/// `rt_tgsigqueueinfo`.
pub fn rt_tgsigqueueinfo(
    caller: &mut Caller<'_>,
    process: i32,
    thread: i32,
    signal: u32,
    info: UserPtr<SigInfo>,
) -> Result<(), Failure> {
    let info = read_info(signal, info)?;
    if process <= 0 || thread <= 0 {
        return Err(Failure::Errno(Errno::EINVAL));
    }
    check_origin(caller.thread, thread, &info)?;
    send_to_thread(caller.thread, Some(process), thread, signal, |_| info)
}
