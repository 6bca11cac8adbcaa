//! The life of a thread: run in user mode, handle what happened, deliver signals, run again.

use alloc::sync::Arc;
use core::hint;
use core::sync::atomic::Ordering;

use abi::signal::SigInfo;
use hal::task;
use hal::user::{Exception, UserContext, UserExit, UserFault};
use klog::log;
use libkernel::arch::native::signal_frame::FaultRecord;
use memory::FaultError;
use outcome::{Failure, Restart};
use sched::work;

use super::{Thread, exit};
use crate::core_dump::gathering;
use crate::signal::{self, Signal, deliver, send, stop};
use crate::syscall::{self, Caller};

/// Runs a thread to its end, and returns: what its callers own is theirs to drop.
pub fn run(thread: Arc<Thread>, context: UserContext) {
    // On this stack, and not in the box of the closure that brought it, so that others find it.
    let mut context = UserContext::new(hint::black_box(context.regs));
    context.settle();
    let task = task::current_ref();
    stop::join(&thread);
    loop {
        let (mut restart, mut in_user_mode) = (None, false);
        match context.run(&task.work) {
            UserExit::Syscall => restart = system_call(&thread, &mut context),
            UserExit::Fault(fault) => page_fault(&thread, &fault),
            UserExit::Exception(exception) => raise(&thread, &exception),
            UserExit::Interrupted => in_user_mode = true,
        }
        let bits = task.work.load(Ordering::Relaxed);
        if bits == 0 && restart.is_none() {
            continue;
        }
        if bits & work::SAMPLE != 0 {
            thread.sample(in_user_mode);
        }
        if attend(&thread, &mut context, bits, restart) == Next::End {
            break;
        }
    }
    drop(task);
    // A dump wants the registers, and memory and descriptors as they are: all that `end_thread` gives up.
    gathering::leave_loop(&thread, &context);
    exit::end_thread(thread);
}

/// What the loop does next.
#[derive(PartialEq, Eq)]
enum Next {
    Run,
    End,
}

#[inline]
fn system_call(thread: &Arc<Thread>, context: &mut UserContext) -> Option<Restart> {
    let outcome = syscall::dispatch(&mut Caller { thread, context });
    match outcome {
        Ok(value) => context.regs.set_return_value(value),
        Err(Failure::Errno(errno)) => context.regs.set_return_value(errno.to_return().cast_unsigned()),
        Err(Failure::Restart(restart)) => return Some(restart),
    }
    None
}

/// Does the work that the bits ask for.
#[cold]
fn attend(thread: &Arc<Thread>, context: &mut UserContext, bits: u32, restart: Option<Restart>) -> Next {
    // Before signals and stops: who is to end runs no handler any more, and stays in no stop.
    if bits & work::KILL != 0 {
        return Next::End;
    }
    if bits & work::WATCHED != 0 {
        task::take_own_work(work::WATCHED);
    }
    if bits & work::RESCHEDULE != 0 {
        sched::reschedule();
    }
    if bits & !(work::RESCHEDULE | work::WATCHED | work::SAMPLE) != 0 || restart.is_some() {
        deliver::deliver(thread, context, restart);
    }
    let bits = task::own_work();
    if bits & work::SAMPLE != 0 {
        // The tick came in here.
        thread.sample(false);
    }
    if bits & work::KILL != 0 { Next::End } else { Next::Run }
}

#[inline]
fn page_fault(thread: &Arc<Thread>, fault: &UserFault) {
    let Some(memory) = thread.memory() else { return };
    thread.count_fault();
    match memory.handle_fault(fault, thread.bounds()) {
        // Whoever killed it has left a note for the loop.
        Ok(()) | Err(FaultError::Killed) => {}
        Err(error) => refuse(thread, fault, error.signal()),
    }
}

#[cold]
fn refuse(thread: &Arc<Thread>, fault: &UserFault, signal: Option<(u32, i32)>) {
    let signal = signal.and_then(|(number, code)| Signal::new(number).map(|signal| (signal, code)));
    let Some((signal, code)) = signal else {
        log!("out of memory: process {:?} is killed", thread.process().pid());
        let status = abi::process::WaitStatus::signaled(Signal::KILL.number());
        send::end_process(thread.process(), status);
        return;
    };
    // Before the signal, whose frame shows it.
    *thread.signals.fault.lock() = FaultRecord::of_page_fault(fault);
    send::force(thread, signal, &SigInfo::fault(signal.number(), code, fault.address));
}

#[cold]
fn raise(thread: &Arc<Thread>, exception: &Exception) {
    let cause = libkernel::arch::native::fault::signal(exception.kind);
    let Some(signal) = Signal::new(cause.number) else { return };
    let mut record = thread.signals.fault.lock();
    *record = record.after(exception);
    drop(record);
    let info = if cause.code == abi::signal::SI_KERNEL {
        signal::SigInfo::new(signal.number(), cause.code)
    } else {
        SigInfo::fault(signal.number(), cause.code, exception.address)
    };
    send::force(thread, signal, &info);
}
