//! Sending signals.
//!
//! A signal is made pending first and its receiver is told afterwards, so that a thread that looks at what is pending,
//! or clears its work bit and then looks, loses none. What the receiver would ignore is not even made pending, unless
//! it is blocked: then the action may still change. `SIGKILL` does not wait for delivery: it ends all threads at once,
//! as does any other signal whose default is to end the process without a dump, so that waits that only death ends come
//! to an end. For a dump the thread that takes the signal must leave its program first.

use alloc::sync::Arc;
use core::sync::atomic::Ordering;

use abi::Errno;
use abi::process::WaitStatus;
use sched::work;
use subject::users::SignalCharge;
use subject::{Pid, Resource};

use super::action::{self, Disposition};
pub use super::pending::Fate;
use super::pending::{Added, Pending};
use super::{DefaultAction, Shared, SigInfo, Signal, SignalSet, stop};
use crate::process::{Process, Thread, table};

/// Sends a signal to a process; one of its threads will take it. EAGAIN if a real-time signal with its information
/// finds no room.
pub fn to_process(process: &Arc<Process>, signal: Signal, info: &SigInfo) -> Result<(), Errno> {
    send(process, None, signal, info)
}

/// Sends a signal to one thread.
pub fn to_thread(thread: &Arc<Thread>, signal: Signal, info: &SigInfo) -> Result<(), Errno> {
    send(thread.process(), Some(thread), signal, info)
}

/// Sends the signal of a POSIX timer to its process or to one thread of that; what became of it. `before` is for
/// [`Pending::add_of_timer`](super::pending::Pending::add_of_timer).
pub fn of_timer(
    process: &Arc<Process>,
    target: Option<&Arc<Thread>>,
    signal: Signal,
    info: &SigInfo,
    before: Option<u64>,
    charge: &Arc<SignalCharge>,
) -> Fate {
    let mut fate = Fate::Lost;
    let posted = post(process, target, signal, |pending, _| {
        fate = pending.add_of_timer(signal, info, before, charge);
        Ok(())
    });
    // Adding it is never refused.
    if posted == Ok(Posted::NobodyThere) { Fate::NobodyThere } else { fate }
}

/// Sends a signal from the kernel to every process of a group; ESRCH if there is none.
pub fn to_group(group: Pid, signal: Signal) -> Result<(), Errno> {
    let info = SigInfo::new(signal.number(), abi::signal::SI_KERNEL);
    to_members(group, |leader| to_process(leader.process(), signal, &info))
}

/// Sends a signal to every process of a group, with the sender's own `send`. Succeeds if one could be reached, else the
/// last refusal, or ESRCH without members.
pub fn to_members(group: Pid, send: impl Fn(&Arc<Thread>) -> Result<(), Errno>) -> Result<(), Errno> {
    let mut outcome = Err(Errno::ESRCH);
    table::for_each_member(group, |leader| {
        let sent = send(leader);
        note_group_signal(leader);
        if outcome.is_err() {
            outcome = sent;
        }
    });
    outcome
}

/// Sends a signal to every process but init and the caller's own. Those that may not be signalled do not count, as on
/// Linux.
pub fn to_all(caller: &Process, send: impl Fn(&Arc<Thread>) -> Result<(), Errno>) -> Result<(), Errno> {
    let mut outcome = Err(Errno::ESRCH);
    table::for_all_of_this_moment(|leader| {
        let target = leader.process();
        if target.pid() == caller.pid_namespace().first() || core::ptr::eq(&raw const **target, caller) {
            return;
        }
        let sent = send(leader);
        note_group_signal(leader);
        if sent != Err(Errno::EPERM) {
            outcome = sent;
        } else if outcome == Err(Errno::ESRCH) {
            outcome = Ok(());
        }
    });
    outcome
}

/// Whoever was making a child meanwhile begins again, so that the child does not miss the signal. After it was sent:
/// who begins in between finds it.
fn note_group_signal(leader: &Thread) {
    leader.process().group_signals.fetch_add(1, Ordering::Release);
}

/// Sends a signal from the kernel to the running thread: `SIGPIPE`, `SIGXFSZ`.
pub fn to_self(thread: &Arc<Thread>, signal: Signal) {
    let info = SigInfo::new(signal.number(), abi::signal::SI_KERNEL);
    // Standard signals are never refused.
    let _ = to_thread(thread, signal, &info);
}

/// Sends a signal that the thread cannot escape, for a fault of its own: if it is blocked or ignored, the default comes
/// back.
pub fn force(thread: &Arc<Thread>, signal: Signal, info: &SigInfo) {
    let actions = thread.process().signals.actions.lock().clone();
    let mut act = actions.get(signal);
    let blocked = thread.signal_mask().contains(signal);
    if blocked || act.sa_handler == abi::signal::SIG_IGN {
        act.sa_handler = abi::signal::SIG_DFL;
        actions.set(signal, act);
        thread.set_signal_mask(thread.signal_mask().without(signal));
    }
    if act.sa_handler == abi::signal::SIG_DFL {
        thread.process().signals.shared.lock().protected = false;
    }
    let mut pending = thread.signals.pending.lock();
    thread.with_credentials(|credentials| pending.add(signal, info, &credentials.charged, u64::MAX));
    drop(pending);
    thread.set_work(work::SIGNAL);
}

/// Makes every thread of the process leave, with this status unless one is set already. While it is dumped they leave
/// anyway, but for the one that dumps.
pub fn end_process(process: &Process, status: WaitStatus) {
    let mut shared = process.signals.shared.lock();
    if shared.dump.is_some() {
        return;
    }
    shared.ending.get_or_insert(status);
    drop(shared);
    process.each_thread(|thread| thread.set_work(work::KILL));
    process.signals.continued.wake_all();
}

/// Tells others of the process's pending signals that `thread` was perhaps told of and will not take: it ends, or
/// blocks `signals`.
pub fn pass_on(process: &Process, thread: &Thread, signals: SignalSet) {
    let shared = process.signals.shared.lock();
    let left = shared.pending.set().intersection(signals);
    if left.is_empty() {
        return;
    }
    process.each_thread(|other| {
        if !core::ptr::eq(&raw const **other, thread) && !left.difference(other.signal_mask()).is_empty() {
            other.set_work(work::SIGNAL);
        }
    });
}

fn send(
    process: &Arc<Process>,
    target: Option<&Arc<Thread>>,
    signal: Signal,
    info: &SigInfo,
) -> Result<(), Errno> {
    post(process, target, signal, |pending, receiver| {
        let limit = process.limits().soft(Resource::PendingSignals);
        let added =
            receiver.with_credentials(|credentials| pending.add(signal, info, &credentials.charged, limit));
        if added == Added::Refused { Err(Errno::EAGAIN) } else { Ok(()) }
    })
    .map(drop)
}

/// What became of a signal that was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Posted {
    /// Somebody takes it, or it waits, or nobody wants it.
    Settled,
    /// The process ends.
    NobodyThere,
}

/// Sends a signal; `add` makes it pending, for that thread or for any of its process.
fn post(
    process: &Arc<Process>,
    target: Option<&Arc<Thread>>,
    signal: Signal,
    add: impl FnOnce(&mut Pending, &Thread) -> Result<(), Errno>,
) -> Result<Posted, Errno> {
    let mut shared = process.signals.shared.lock();
    if shared.ending.is_some() {
        let dump = shared.dump.clone().filter(|_| signal == Signal::KILL);
        if dump.is_some() {
            shared.ending = Some(WaitStatus::signaled(signal.number()));
        }
        drop(shared);
        if let Some(dumper) = dump.and_then(|dump| dump.dumper()) {
            dumper.set_work(work::KILL);
        }
        return Ok(Posted::NobodyThere);
    }
    let continued = settle_job_control(process, &mut shared, signal);
    let outcome = enter(process, target, &mut shared, signal, add);
    drop(shared);
    if continued {
        super::stop::continued(process);
    }
    match outcome? {
        Next::Nothing => {}
        Next::TellTarget => {
            if let Some(thread) = target {
                thread.set_work(work::SIGNAL);
            }
        }
        Next::Tell(thread) => thread.set_work(work::SIGNAL),
        Next::End => end_process(process, WaitStatus::signaled(signal.number())),
    }
    Ok(Posted::Settled)
}

/// What is to be done when the locks are released.
enum Next {
    Nothing,
    /// The thread that it was sent to hears of it.
    TellTarget,
    /// Another thread of the process hears of it.
    Tell(Arc<Thread>),
    End,
}

/// A stop takes back a pending continue, and a continue takes back pending stops. Whether the process was stopped and
/// goes on.
#[inline]
fn settle_job_control(process: &Process, shared: &mut Shared, signal: Signal) -> bool {
    const CONTINUING: SignalSet = SignalSet::EMPTY.with(Signal::CONT);
    if !SignalSet::STOPPING.union(CONTINUING).contains(signal) {
        return false;
    }
    let opposite = if signal == Signal::CONT { SignalSet::STOPPING } else { CONTINUING };
    take_back(process, shared, opposite);
    let is_over = signal == Signal::CONT && stop::clear(shared);
    shared.was_continued |= is_over;
    is_over
}

#[cold]
fn take_back(process: &Process, shared: &mut Shared, opposite: SignalSet) {
    shared.pending.discard(opposite);
    process.each_thread(|thread| {
        let mut pending = thread.signals.pending.lock();
        pending.discard(opposite);
        if opposite == SignalSet::STOPPING {
            thread.signals.has_taken_stop.store(false, Ordering::Relaxed);
        }
    });
}

/// Makes the signal pending where it belongs and finds out who is to hear of it.
fn enter(
    process: &Arc<Process>,
    target: Option<&Arc<Thread>>,
    shared: &mut Shared,
    signal: Signal,
    add: impl FnOnce(&mut Pending, &Thread) -> Result<(), Errno>,
) -> Result<Next, Errno> {
    let takes =
        |thread: &Thread| !thread.signal_mask().contains(signal) || thread.awaited_signals().contains(signal);
    // Counted only where somebody had to be found.
    let found = if target.is_none() { process.find_thread(takes) } else { None };
    let receiver = target.filter(|thread| takes(thread)).or(found.as_ref());
    let awaited = receiver.is_some_and(|thread| thread.awaited_signals().contains(signal));
    if receiver.is_some() && !awaited {
        let action = process.signals.actions.lock().get(signal);
        match action::disposition(signal, &action) {
            Disposition::Ignore | Disposition::Default(DefaultAction::Continue) => return Ok(Next::Nothing),
            Disposition::Default(_) if shared.protected => return Ok(Next::Nothing),
            Disposition::Default(DefaultAction::Terminate) => return Ok(Next::End),
            Disposition::Default(_) | Disposition::Handle => {}
        }
    }
    let next = if receiver.is_none() { Next::Nothing } else { Next::TellTarget };
    // Whoever has no leader any more is gone.
    let leader = if target.is_none() && receiver.is_none() { process.leader() } else { None };
    let Some(charged) = target.or(receiver).or(leader.as_ref()) else { return Ok(Next::Nothing) };
    let mut own = target.map(|thread| thread.signals.pending.lock());
    add(own.as_deref_mut().unwrap_or(&mut shared.pending), charged)?;
    drop(own);
    Ok(found.map_or(next, Next::Tell))
}
