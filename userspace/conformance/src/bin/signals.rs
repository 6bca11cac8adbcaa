//! Signals: handlers, masks, alternate stacks, restarts, and returns from handlers that lie.
#![no_std]
#![no_main]

extern crate alloc;

use abi::Errno;
use abi::native::nr;
use abi::process::WaitStatus;
use abi::signal::*;
use conformance::handler::{self, bit, count, install, record_signal};
use conformance::{Outcome, check, check_eq, child, raw};
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use libsyscall::file::{close, pipe2, read, write};
use libsyscall::memory::map_anonymous;
use libsyscall::process::{getpid, getuid, kill};
use libsyscall::signal::*;
use libsyscall::thread::{gettid, sched_yield};

conformance::tests!(&[
    ("a_handler_learns_who_sent", a_handler_learns_who_sent),
    ("a_value_can_be_queued", a_value_can_be_queued),
    ("actions_can_be_read_back", actions_can_be_read_back),
    ("actions_refuse", actions_refuse),
    ("a_blocked_signal_waits", a_blocked_signal_waits),
    ("pending_signals_can_be_seen", pending_signals_can_be_seen),
    ("realtime_signals_queue", realtime_signals_queue),
    ("standard_signals_do_not_queue", standard_signals_do_not_queue),
    ("the_handler_blocks_itself", the_handler_blocks_itself),
    ("the_handler_may_nest", the_handler_may_nest),
    ("a_handler_can_be_reset", a_handler_can_be_reset),
    ("handlers_nest", handlers_nest),
    ("the_mask_of_the_action_holds", the_mask_of_the_action_holds),
    ("an_alternate_stack_is_used", an_alternate_stack_is_used),
    ("alternate_stacks_refuse", alternate_stacks_refuse),
    ("a_read_is_interrupted", a_read_is_interrupted),
    ("a_read_is_restarted", a_read_is_restarted),
    ("a_pause_is_interrupted", a_pause_is_interrupted),
    ("suspending_changes_the_mask", suspending_changes_the_mask),
    ("waiting_takes_a_signal", waiting_takes_a_signal),
    ("waiting_times_out", waiting_times_out),
    ("a_fork_inherits", a_fork_inherits),
    ("kill_and_stop_cannot_be_blocked", kill_and_stop_cannot_be_blocked),
    ("ignored_signals_do_nothing", ignored_signals_do_nothing),
    ("a_return_without_a_frame", a_return_without_a_frame),
    ("a_handler_on_a_bad_stack", a_handler_on_a_bad_stack),
    ("a_handler_changes_the_mask_to_return_to", a_handler_changes_the_mask_to_return_to),
    ("a_thread_can_be_addressed", a_thread_can_be_addressed),
    ("a_stopped_process_keeps_its_signals", a_stopped_process_keeps_its_signals),
    ("a_fault_with_its_signal_blocked_kills", a_fault_with_its_signal_blocked_kills),
]);

fn a_handler_learns_who_sent() -> Outcome {
    record_signal(SIGUSR1, 0)?;
    kill(getpid(), SIGUSR1)?;
    check_eq!(count(), 1);
    check_eq!(handler::SIGNAL.load(Ordering::Relaxed), SIGUSR1 as i32);
    check_eq!(handler::CODE.load(Ordering::Relaxed), SI_USER);
    let sender = handler::FIELD.load(Ordering::Relaxed);
    check_eq!((sender as i32, (sender >> 32) as u32), (getpid(), getuid()));
    tgkill(getpid(), gettid(), SIGUSR1)?;
    check_eq!((count(), handler::CODE.load(Ordering::Relaxed)), (2, SI_TKILL));
    Ok(())
}

fn a_value_can_be_queued() -> Outcome {
    record_signal(SIGUSR2, 0)?;
    let info = SigInfo::queued(SIGUSR2, SI_QUEUE, getpid(), getuid(), 0x1234_5678_9abc);
    raw::call(nr::rt_sigqueueinfo, &[getpid() as u64, SIGUSR2.into(), (&raw const info) as u64])?;
    check_eq!(handler::CODE.load(Ordering::Relaxed), SI_QUEUE);
    check_eq!(handler::VALUE.load(Ordering::Relaxed), 0x1234_5678_9abc);
    let parent = libsyscall::process::getppid() as u64;
    let forged = SigInfo::user(SIGUSR2, SI_USER, 1, 0);
    let result = raw::call(nr::rt_sigqueueinfo, &[parent, SIGUSR2.into(), (&raw const forged) as u64]);
    check_eq!(result, Err(Errno::EPERM));
    Ok(())
}

fn actions_can_be_read_back() -> Outcome {
    let set = handler::action(record, SA_RESTART | SA_ONSTACK, bit(SIGUSR2) | bit(SIGKILL));
    // SAFETY: the handler only counts.
    let (old, now) = unsafe { (rt_sigaction(SIGUSR1, Some(&set))?, rt_sigaction(SIGUSR1, None)?) };
    check_eq!(old, Sigaction::default());
    check_eq!(now, Sigaction { sa_mask: bit(SIGUSR2), ..set });
    Ok(())
}

fn actions_refuse() -> Outcome {
    let action = Sigaction { sa_handler: SIG_IGN, ..Sigaction::default() };
    let address = (&raw const action) as u64;
    for signal in [0, 65, u64::MAX, u64::from(SIGKILL), u64::from(SIGSTOP)] {
        check_eq!(raw::call(nr::rt_sigaction, &[signal, address, 0, 8]), Err(Errno::EINVAL));
    }
    check_eq!(raw::call(nr::rt_sigaction, &[SIGUSR1.into(), address, 0, 4]), Err(Errno::EINVAL));
    check_eq!(raw::call(nr::rt_sigprocmask, &[0, address, 0, 16]), Err(Errno::EINVAL));
    check_eq!(raw::call(nr::rt_sigprocmask, &[3, address, 0, 8]), Err(Errno::EINVAL));
    check_eq!(raw::call(nr::rt_sigaction, &[SIGKILL.into(), 0, 0, 8]), Ok(0));
    Ok(())
}

fn a_blocked_signal_waits() -> Outcome {
    record_signal(SIGUSR1, 0)?;
    let old = rt_sigprocmask(SIG_BLOCK, bit(SIGUSR1))?;
    kill(getpid(), SIGUSR1)?;
    check_eq!(count(), 0);
    check_eq!(rt_sigprocmask(SIG_SETMASK, old)?, old | bit(SIGUSR1));
    check_eq!(count(), 1);
    Ok(())
}

fn pending() -> Result<u64, Errno> {
    let mut set = 0u64;
    raw::call(nr::rt_sigpending, &[(&raw mut set) as u64, 8])?;
    Ok(set)
}

fn pending_signals_can_be_seen() -> Outcome {
    rt_sigprocmask(SIG_BLOCK, bit(SIGUSR1) | bit(SIGTERM))?;
    check_eq!(pending()?, 0);
    kill(getpid(), SIGUSR1)?;
    tgkill(getpid(), gettid(), SIGTERM)?;
    check_eq!(pending()?, bit(SIGUSR1) | bit(SIGTERM));
    // Ignoring a signal drops it.
    set_disposition(SIGTERM, Disposition::Ignore)?;
    check_eq!(pending()?, bit(SIGUSR1));
    Ok(())
}

fn realtime_signals_queue() -> Outcome {
    record_signal(SIGRTMIN, 0)?;
    let old = rt_sigprocmask(SIG_BLOCK, bit(SIGRTMIN))?;
    for _ in 0..50 {
        kill(getpid(), SIGRTMIN)?;
    }
    rt_sigprocmask(SIG_SETMASK, old)?;
    check_eq!(count(), 50);
    Ok(())
}

fn standard_signals_do_not_queue() -> Outcome {
    record_signal(SIGUSR1, 0)?;
    let old = rt_sigprocmask(SIG_BLOCK, bit(SIGUSR1))?;
    for _ in 0..5 {
        kill(getpid(), SIGUSR1)?;
    }
    rt_sigprocmask(SIG_SETMASK, old)?;
    check_eq!(count(), 1);
    Ok(())
}

static DEPTH: AtomicU32 = AtomicU32::new(0);
static DEEPEST: AtomicU32 = AtomicU32::new(0);
static RUNS: AtomicU32 = AtomicU32::new(0);

extern "C" fn raise_again(signal: i32, _info: *const SigInfo, _context: *mut UContext) {
    let depth = DEPTH.fetch_add(1, Ordering::Relaxed) + 1;
    DEEPEST.fetch_max(depth, Ordering::Relaxed);
    if RUNS.fetch_add(1, Ordering::Relaxed) < 3 {
        let _ = kill(getpid(), signal as u32);
    }
    DEPTH.fetch_sub(1, Ordering::Relaxed);
}

fn runs_and_depth(signal: u32, flags: u64) -> Result<(u32, u32), conformance::Failure> {
    install(signal, raise_again, flags)?;
    kill(getpid(), signal)?;
    Ok((RUNS.load(Ordering::Relaxed), DEEPEST.load(Ordering::Relaxed)))
}

fn the_handler_blocks_itself() -> Outcome {
    check_eq!(runs_and_depth(SIGUSR1, 0)?, (4, 1));
    Ok(())
}

fn the_handler_may_nest() -> Outcome {
    check_eq!(runs_and_depth(SIGUSR1, SA_NODEFER)?, (4, 4));
    Ok(())
}

fn a_handler_can_be_reset() -> Outcome {
    record_signal(SIGUSR1, SA_RESETHAND)?;
    kill(getpid(), SIGUSR1)?;
    check_eq!(count(), 1);
    // SAFETY: nothing is set.
    check_eq!(unsafe { rt_sigaction(SIGUSR1, None) }?.sa_handler, SIG_DFL);
    Ok(())
}

static TRACE: AtomicU64 = AtomicU64::new(0);

extern "C" fn outer(_signal: i32, _info: *const SigInfo, _context: *mut UContext) {
    trace(1);
    let _ = kill(getpid(), SIGUSR2);
    trace(3);
}

extern "C" fn inner(_signal: i32, _info: *const SigInfo, _context: *mut UContext) {
    trace(2);
}

fn trace(step: u64) {
    TRACE.store(TRACE.load(Ordering::Relaxed) * 10 + step, Ordering::Relaxed);
}

fn handlers_nest() -> Outcome {
    install(SIGUSR1, outer, 0)?;
    install(SIGUSR2, inner, 0)?;
    kill(getpid(), SIGUSR1)?;
    check_eq!(TRACE.load(Ordering::Relaxed), 123);
    Ok(())
}

fn the_mask_of_the_action_holds() -> Outcome {
    install(SIGUSR2, inner, 0)?;
    // SAFETY: the handler only counts and sends.
    unsafe { rt_sigaction(SIGUSR1, Some(&handler::action(outer, 0, bit(SIGUSR2)))) }?;
    kill(getpid(), SIGUSR1)?;
    check_eq!(TRACE.load(Ordering::Relaxed), 132);
    check_eq!(rt_sigprocmask(SIG_BLOCK, 0)?, 0);
    Ok(())
}

static STACK_SEEN: AtomicU64 = AtomicU64::new(0);
static STACK_FLAGS: AtomicU32 = AtomicU32::new(0);

extern "C" fn note_stack(_signal: i32, _info: *const SigInfo, _context: *mut UContext) {
    let here = 0u8;
    STACK_SEEN.store((&raw const here) as u64, Ordering::Relaxed);
    // SAFETY: nothing is set.
    let stack = unsafe { sigaltstack(None) };
    STACK_FLAGS.store(stack.map_or(u32::MAX, |stack| stack.ss_flags), Ordering::Relaxed);
    // SAFETY: the call is refused while the stack is in use.
    let change = unsafe { sigaltstack(Some(&StackT { ss_flags: SS_DISABLE, ..StackT::default() })) };
    TRACE.store(u64::from(change == Err(Errno::EPERM)), Ordering::Relaxed);
}

const STACK_SIZE: u64 = 64 * 1024;

fn fresh_stack() -> Result<StackT, Errno> {
    let start = map_anonymous(STACK_SIZE as usize)? as u64;
    Ok(StackT { ss_sp: start, ss_flags: 0, pad: 0, ss_size: STACK_SIZE })
}

fn an_alternate_stack_is_used() -> Outcome {
    let stack = fresh_stack()?;
    // SAFETY: the stack is fresh and used for nothing else.
    let old = unsafe { sigaltstack(Some(&stack)) }?;
    check_eq!(old.ss_flags, SS_DISABLE);
    install(SIGUSR1, note_stack, SA_ONSTACK)?;
    kill(getpid(), SIGUSR1)?;
    let seen = STACK_SEEN.load(Ordering::Relaxed);
    check!(seen > stack.ss_sp && seen < stack.ss_sp + STACK_SIZE);
    check_eq!(STACK_FLAGS.load(Ordering::Relaxed), SS_ONSTACK);
    check_eq!(TRACE.load(Ordering::Relaxed), 1);
    install(SIGUSR1, note_stack, 0)?;
    kill(getpid(), SIGUSR1)?;
    let seen = STACK_SEEN.load(Ordering::Relaxed);
    check!(seen < stack.ss_sp || seen > stack.ss_sp + STACK_SIZE);
    // SAFETY: nothing is set.
    check_eq!(unsafe { sigaltstack(None) }?.ss_flags, 0);
    Ok(())
}

fn alternate_stacks_refuse() -> Outcome {
    let stack = fresh_stack()?;
    // SAFETY: both calls are refused.
    unsafe {
        check_eq!(sigaltstack(Some(&StackT { ss_size: 100, ..stack })), Err(Errno::ENOMEM));
        check_eq!(sigaltstack(Some(&StackT { ss_flags: 8, ..stack })), Err(Errno::EINVAL));
    }
    Ok(())
}

/// A child that sends `signal` to this process until it is killed.
fn pest(signal: u32) -> Result<i32, conformance::Failure> {
    let target = getpid();
    child::start(|| {
        loop {
            ulib::time::sleep(core::time::Duration::from_millis(5));
            let _ = kill(target, signal);
        }
    })
}

fn a_read_is_interrupted() -> Outcome {
    record_signal(SIGUSR1, 0)?;
    let (reader, _writer) = pipe2(0)?;
    let pest = pest(SIGUSR1)?;
    check_eq!(read(reader, &mut [0]), Err(Errno::EINTR));
    kill(pest, SIGKILL)?;
    check!(count() > 0);
    Ok(())
}

fn a_read_is_restarted() -> Outcome {
    record_signal(SIGUSR1, SA_RESTART)?;
    let (reader, writer) = pipe2(0)?;
    let target = getpid();
    let pid = child::start(|| {
        for _ in 0..5 {
            ulib::time::sleep(core::time::Duration::from_millis(5));
            let _ = kill(target, SIGUSR1);
        }
        let _ = close(reader);
        let _ = write(writer, b"r");
        0
    })?;
    let mut byte = [0];
    check_eq!(read(reader, &mut byte), Ok(1));
    check_eq!((byte, count() > 0), (*b"r", true));
    child::wait(pid)?;
    Ok(())
}

fn a_pause_is_interrupted() -> Outcome {
    record_signal(SIGUSR1, SA_RESTART)?;
    let pest = pest(SIGUSR1)?;
    let mut nothing: [abi::poll::Pollfd; 0] = [];
    check_eq!(libsyscall::file::ppoll(&mut nothing, None), Err(Errno::EINTR));
    kill(pest, SIGKILL)?;
    Ok(())
}

fn suspending_changes_the_mask() -> Outcome {
    record_signal(SIGUSR1, 0)?;
    rt_sigprocmask(SIG_BLOCK, bit(SIGUSR1))?;
    kill(getpid(), SIGUSR1)?;
    check_eq!(count(), 0);
    check_eq!(rt_sigsuspend(0), Errno::EINTR);
    check_eq!(count(), 1);
    check_eq!(rt_sigprocmask(SIG_BLOCK, 0)?, bit(SIGUSR1));
    Ok(())
}

fn wait_for(set: u64, info: &mut SigInfo, milliseconds: i64) -> Result<u64, Errno> {
    let timeout = abi::time::Timespec { tv_sec: 0, tv_nsec: milliseconds * 1_000_000 };
    let addresses = [(&raw const set) as u64, (&raw mut *info) as u64, (&raw const timeout) as u64, 8];
    raw::call(nr::rt_sigtimedwait, &addresses)
}

fn waiting_takes_a_signal() -> Outcome {
    let mut info = SigInfo::default();
    rt_sigprocmask(SIG_BLOCK, bit(SIGUSR1))?;
    kill(getpid(), SIGUSR1)?;
    check_eq!(wait_for(bit(SIGUSR1), &mut info, 0), Ok(u64::from(SIGUSR1)));
    check_eq!((info.si_signo, info.fields[0] as i32), (SIGUSR1 as i32, getpid()));
    check_eq!(pending()?, 0);
    let pest = pest(SIGUSR1)?;
    check_eq!(wait_for(bit(SIGUSR1), &mut info, 900), Ok(u64::from(SIGUSR1)));
    check_eq!(info.fields[0] as i32, pest);
    kill(pest, SIGKILL)?;
    Ok(())
}

fn waiting_times_out() -> Outcome {
    let mut info = SigInfo::default();
    check_eq!(wait_for(bit(SIGUSR1), &mut info, 10), Err(Errno::EAGAIN));
    check_eq!(wait_for(bit(SIGUSR1), &mut info, 1000), Err(Errno::EINVAL));
    Ok(())
}

fn a_fork_inherits() -> Outcome {
    record_signal(SIGUSR1, 0)?;
    rt_sigprocmask(SIG_BLOCK, bit(SIGUSR2))?;
    kill(getpid(), SIGUSR2)?;
    let status = child::run(|| {
        let _ = kill(getpid(), SIGUSR1);
        let mask = rt_sigprocmask(SIG_BLOCK, 0);
        let inherited = count() == 1 && mask == Ok(bit(SIGUSR2)) && pending() == Ok(0);
        i32::from(!inherited)
    })?;
    check_eq!(status, WaitStatus(0));
    check_eq!(count(), 0);
    Ok(())
}

fn kill_and_stop_cannot_be_blocked() -> Outcome {
    rt_sigprocmask(SIG_SETMASK, u64::MAX)?;
    check_eq!(rt_sigprocmask(SIG_BLOCK, 0)?, !(bit(SIGKILL) | bit(SIGSTOP)));
    let status = child::run(|| {
        let _ = kill(getpid(), SIGKILL);
        0
    })?;
    check_eq!(status.term_signal(), Some(SIGKILL));
    Ok(())
}

fn ignored_signals_do_nothing() -> Outcome {
    for signal in [SIGCHLD, SIGURG, SIGWINCH, SIGCONT] {
        kill(getpid(), signal)?;
    }
    set_disposition(SIGTERM, Disposition::Ignore)?;
    kill(getpid(), SIGTERM)?;
    Ok(())
}

fn a_return_without_a_frame() -> Outcome {
    let status = child::run(|| {
        let _ = raw::call(nr::rt_sigreturn, &[]);
        0
    })?;
    check_eq!(status.term_signal(), Some(SIGSEGV));
    Ok(())
}

/// The frame cannot be written: the process dies, even with a handler for SIGSEGV.
fn a_handler_on_a_bad_stack() -> Outcome {
    let status = child::run(|| {
        let stack = StackT { ss_sp: 0x1_0000, ss_flags: 0, pad: 0, ss_size: STACK_SIZE };
        // SAFETY: nothing is there, which is the point.
        let set = unsafe { sigaltstack(Some(&stack)) };
        let installed =
            install(SIGSEGV, record, SA_ONSTACK).is_ok() && install(SIGUSR1, record, SA_ONSTACK).is_ok();
        if set.is_ok() && installed {
            let _ = kill(getpid(), SIGUSR1);
        }
        0
    })?;
    check_eq!(status.term_signal(), Some(SIGSEGV));
    Ok(())
}

extern "C" fn record(_signal: i32, _info: *const SigInfo, _context: *mut UContext) {
    RUNS.fetch_add(1, Ordering::Relaxed);
}

extern "C" fn block_in_context(_signal: i32, _info: *const SigInfo, context: *mut UContext) {
    // SAFETY: the kernel passes the context that it will restore.
    unsafe { (*context).uc_sigmask = u64::MAX };
}

fn a_handler_changes_the_mask_to_return_to() -> Outcome {
    install(SIGUSR1, block_in_context, 0)?;
    kill(getpid(), SIGUSR1)?;
    check_eq!(rt_sigprocmask(SIG_BLOCK, 0)?, !(bit(SIGKILL) | bit(SIGSTOP)));
    Ok(())
}

fn a_thread_can_be_addressed() -> Outcome {
    static RECEIVER: AtomicU32 = AtomicU32::new(0);
    extern "C" fn note_thread(_signal: i32, _info: *const SigInfo, _context: *mut UContext) {
        RECEIVER.store(gettid() as u32, Ordering::Relaxed);
    }
    install(SIGUSR1, note_thread, 0)?;
    let thread = ulib::thread::spawn(|| {
        while RECEIVER.load(Ordering::Relaxed) == 0 {
            sched_yield();
        }
        gettid() as u32
    })?;
    // The other thread is the only one in the process that is not this one.
    let other = (gettid() + 1..gettid() + 1000).find(|&id| tgkill(getpid(), id, SIGUSR1).is_ok());
    let id = thread.join();
    check_eq!((Some(id as i32), RECEIVER.load(Ordering::Relaxed)), (other, id));
    check_eq!(tgkill(getpid(), 0x3fff_fff0, 0), Err(Errno::ESRCH));
    check_eq!(tgkill(getpid(), -1, 0), Err(Errno::EINVAL));
    Ok(())
}

fn a_stopped_process_keeps_its_signals() -> Outcome {
    let (reader, writer) = pipe2(0)?;
    let pid = child::start(|| {
        let installed = record_signal(SIGUSR1, 0).is_ok();
        let _ = kill(getpid(), SIGSTOP);
        let _ = write(writer, &[count() as u8]);
        i32::from(!installed)
    })?;
    libsyscall::process::wait4(pid, abi::process::WUNTRACED)?;
    kill(pid, SIGUSR1)?;
    kill(pid, SIGCONT)?;
    let mut runs = [0xff];
    read(reader, &mut runs)?;
    check_eq!((runs, child::wait(pid)?), ([1], WaitStatus(0)));
    Ok(())
}

fn a_fault_with_its_signal_blocked_kills() -> Outcome {
    let status = child::run(|| {
        let _ = install(SIGSEGV, record, 0);
        let _ = rt_sigprocmask(SIG_BLOCK, bit(SIGSEGV));
        conformance::fault::load(core::ptr::without_provenance(8));
        0
    })?;
    check_eq!(status.term_signal(), Some(SIGSEGV));
    Ok(())
}
