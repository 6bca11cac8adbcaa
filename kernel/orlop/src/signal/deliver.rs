//! Delivery: what a thread does about its signals before it goes back to user mode.

use alloc::sync::Arc;

use abi::Errno;
use abi::process::WaitStatus;
use abi::signal::{SA_EXPOSE_TAGBITS, SA_NODEFER, SA_RESTART, Sigaction};
use hal::task;
use hal::user::UserContext;
use libkernel::addr::UserAddr;
use outcome::Restart;
use sched::work;

use super::action::{self, Disposition};
use super::{DefaultAction, SigInfo, Signal, SignalSet, fatal, frame, send, stop};
use crate::core_dump::{self, Cause};
use crate::process::{Thread, table};

/// Handles everything that is pending, and decides about an interrupted system call: it runs again unless a handler
/// that does not want that comes first.
pub fn deliver(thread: &Arc<Thread>, context: &mut UserContext, mut restart: Option<Restart>) {
    let bits = task::take_own_work(work::SIGNAL | work::STOP);
    if bits & work::STOP != 0 {
        stop::wait_while_stopped(thread);
    }
    let mut info = SigInfo::default();
    while task::own_work() & work::KILL == 0 {
        let Some(signal) = take(thread, &mut info) else { break };
        let act = action_of(thread, signal);
        match action::disposition(signal, &act) {
            Disposition::Ignore => {}
            Disposition::Handle => {
                // Before the frame, which keeps the registers as the handler's return shall find them. The first
                // handler decides: those that are entered after it lie on top, and return into it.
                settle_interrupted(context, restart.take(), &act);
                if act.sa_flags & SA_EXPOSE_TAGBITS == 0 && info.is_fault() {
                    info.fields[0] = UserAddr::new(info.fields[0]).untagged().as_u64();
                }
                handle(thread, context, signal, &info, &act);
            }
            Disposition::Default(default) => perform(thread, context, signal, &info, default),
        }
    }
    if let Some(restart) = restart {
        run_again(context, restart);
    }
    // After the signals that the other mask let in (sigsuspend, ppoll). Where one of them has a handler, its frame took
    // the mask along.
    if task::own_work() & work::RESTORE_MASK != 0 {
        let mask = thread.take_saved_mask();
        thread.set_signal_mask(mask);
    }
    // With the mask of the end: this thread may have been told of what it blocks by now.
    if bits & work::SIGNAL != 0 {
        send::pass_on(thread.process(), thread, thread.signal_mask());
    }
}

/// Takes the next deliverable signal: the thread's own before the process's.
fn take(thread: &Thread, info: &mut SigInfo) -> Option<Signal> {
    let wanted = SignalSet::ALL.difference(thread.signal_mask());
    thread.take_pending(wanted, info)
}

fn action_of(thread: &Thread, signal: Signal) -> Sigaction {
    thread.process().signals.actions.lock().take(signal)
}

/// Enters the handler; without room for its frame the thread gets `SIGSEGV`.
fn handle(thread: &Arc<Thread>, context: &mut UserContext, signal: Signal, info: &SigInfo, act: &Sigaction) {
    let mask = thread.take_saved_mask();
    if frame::enter(thread, context, signal, info, act, mask).is_err() {
        thread.set_signal_mask(mask);
        if signal == Signal::SEGV {
            end_with_dump(thread, context, signal, info);
        } else {
            let info = SigInfo::new(Signal::SEGV.number(), abi::signal::SI_KERNEL);
            send::force(thread, Signal::SEGV, &info);
        }
        return;
    }
    let mut blocked = thread.signal_mask().union(mask).union(SignalSet::from_bits(act.sa_mask));
    if act.sa_flags & SA_NODEFER == 0 {
        blocked = blocked.with(signal);
    }
    thread.set_signal_mask(blocked);
}

fn perform(
    thread: &Arc<Thread>,
    context: &UserContext,
    signal: Signal,
    info: &SigInfo,
    default: DefaultAction,
) {
    match default {
        DefaultAction::Ignore | DefaultAction::Continue => {}
        DefaultAction::Stop if signal != Signal::STOP && table::is_orphaned(thread.process().group()) => {}
        DefaultAction::Stop => {
            stop::stop(thread, signal);
            stop::wait_while_stopped(thread);
        }
        DefaultAction::Terminate | DefaultAction::Core
            if thread.process().signals.shared.lock().protected => {}
        DefaultAction::Terminate => {
            send::end_process(thread.process(), WaitStatus::signaled(signal.number()));
        }
        DefaultAction::Core => end_with_dump(thread, context, signal, info),
    }
}

fn end_with_dump(thread: &Arc<Thread>, context: &UserContext, signal: Signal, info: &SigInfo) {
    fatal::report(thread, context, signal, info);
    core_dump::end_process(thread, context, &Cause { signal, info });
}

/// What a handler makes of the system call that its signal interrupted.
fn settle_interrupted(context: &mut UserContext, restart: Option<Restart>, act: &Sigaction) {
    match restart {
        None => {}
        Some(Restart::Always) => context.regs.restart_syscall(),
        Some(Restart::IfAllowed) if act.sa_flags & SA_RESTART != 0 => context.regs.restart_syscall(),
        Some(_) => context.regs.set_return_value(Errno::EINTR.to_return().cast_unsigned()),
    }
}

/// No handler runs: every kind of interrupted call runs again.
fn run_again(context: &mut UserContext, restart: Restart) {
    match restart {
        Restart::Resume => context.regs.restart_syscall_as(abi::native::nr::restart_syscall),
        Restart::Always | Restart::IfAllowed | Restart::UnlessHandled => context.regs.restart_syscall(),
    }
}
