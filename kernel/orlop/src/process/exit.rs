//! The end: of a thread, and with the last thread of its process.
//!
//! A thread ends in its own loop, never in the middle of a system call: whoever wants it to end sets `work::KILL`, and
//! every wait that may last comes back for it. So nothing is left locked or half done.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::Ordering;

use abi::process::WaitStatus;
use abi::signal::{SI_USER, SigInfo};
use hal::task;
use libkernel::addr::UserAddr;
use sched::work;
use subject::Pid;

use super::family::{BATCH, Heard};
use super::report::{self, Vanishes};
use super::{Process, Thread, table};
use crate::futex;
use crate::signal::{Signal, SignalSet, send, stop};

impl Thread {
    /// Asks the running thread alone to end with this status: `exit`.
    pub fn end(&self, status: WaitStatus) {
        if self.id() == self.process().pid() {
            self.process().signals.shared.lock().leader_status = Some(status);
        }
        task::add_own_work(work::KILL);
    }
}

/// Ends the running thread, but for its task, which ends when the thread's loop has returned. The counted reference is
/// the loop's own.
pub(super) fn end_thread(thread: Arc<Thread>) {
    task::give_back_surplus();
    // It may hold a thread that holds this one.
    let resume = thread.resume.lock().take();
    drop(resume);
    let process = thread.process().clone();
    // The robust locks first: their list lies in the thread's stack or beside it, and whoever is woken by the word that
    // is cleared then may free both. Both need the memory, which goes last.
    futex::leave_memory(&thread, futex::Future::Ends);
    clear_child_id(&thread);
    thread.set_files(None);
    thread.set_fs(None);
    task::set_page_table(None);
    thread.set_memory(None);
    // Before anybody can hear of the end: who has waited for it may make another thread in its place, and finds nothing
    // under its number any more. The leader keeps both until somebody has waited for the process.
    if thread.id() != process.pid() {
        thread.stop_counting();
        let mut table = table::lock();
        // In one step with its number: who finds that gone finds its children with their next parent.
        thread.has_left.store(true, Ordering::Relaxed);
        let entered = table.remove_thread(&thread);
        drop(table);
        drop(entered);
    }
    if Thread::any_death_signal() {
        tell_children_of_thread(&thread);
    }
    if process.remove_thread(&thread) == 0 {
        end_process(&process);
    } else {
        stop::leave(&process, &thread);
        send::pass_on(&process, &thread, SignalSet::ALL);
    }
    // Whoever waits looks at the list of threads, which has changed by now.
    process.thread_ended.wake_all();
}

/// The thread leaves its memory, by its end or by `execve`, and tells who waits for that: `CLONE_CHILD_CLEARTID`.
/// Nothing is stored where nobody else has the memory (Linux: `mm_release`).
pub(super) fn clear_child_id(thread: &Thread) {
    let address = UserAddr::new(thread.clear_child_id.swap(0, Ordering::Relaxed));
    if address.is_null() || thread.memory().is_none_or(|memory| memory.is_only()) {
        return;
    }
    if hal::user_copy::store_u32(address, 0).is_ok() {
        // Without a mapping there is nobody to wake.
        let _ = futex::wake_one_of(thread, address);
    }
}

/// Ends the process of the last thread: it is a zombie from here on, or gone if nobody wants to know.
fn end_process(process: &Arc<Process>) {
    let status = final_status(process);
    if process.pid() == Pid::INIT {
        panic!("Attempted to kill init! exitcode=0x{:08x}", status.0);
    }
    process.timers.disarm();
    process.leave_memory();
    leave_session(process);
    // Before anybody can wait for it: once it is reaped its number may be another's, whom they would take for their
    // parent.
    let mut groups = give_children_away(process);
    let (parent, vanishes) = become_zombie(process, status, &mut groups);
    groups.sort_unstable();
    groups.dedup();
    // Only now does the process no longer count among those who could continue them.
    groups.into_iter().for_each(continue_if_orphaned);
    // Last, for the parent may reap it at once. Another parent that it has got since then has heard of it when it
    // adopted it.
    match parent {
        Some(parent) => report::tell_of_end(&parent, process, status, vanishes),
        None => report::vanish(process),
    }
}

fn final_status(process: &Process) -> WaitStatus {
    let shared = process.signals.shared.lock();
    shared.ending.or(shared.leader_status).unwrap_or(WaitStatus::exited(0))
}

/// The end of a session's leader frees the controlling terminal.
fn leave_session(process: &Process) {
    let session = process.session();
    if session.id() == process.pid()
        && let Some(terminal) = session.terminal()
    {
        terminal.end_session(&session);
    }
}

/// Gives the children away, a batch at a time: the table is not held for all of them. Those that ended are told of to
/// their new parent, those that asked hear that their parent is gone. Groups that lost with this process somebody who
/// could continue them.
fn give_children_away(process: &Arc<Process>) -> Vec<Pid> {
    let mut groups = Vec::new();
    loop {
        let mut table = table::lock();
        process.gives_children_away.store(true, Ordering::Relaxed);
        if process.family.lock().is_empty() {
            return groups;
        }
        let Some(adopter) = table.adopter(process) else { return groups };
        let any_hears = stop::is_any_stopped() || Thread::any_death_signal();
        let heard = if any_hears { Heard::OfAll } else { Heard::OfEnded };
        let adopted = table.move_children(process, &adopter, heard);
        if stop::is_any_stopped() {
            groups.extend(
                adopted.iter().filter(|one| table::keeps(process, &one.child)).map(|one| one.child.group()),
            );
            groups.dedup();
        }
        drop(table);
        report::tell_of_adopted_zombies(&adopter, &adopted);
        adopted.iter().for_each(|one| send_parent_death_signal(process, &one.child));
    }
}

/// Becomes a zombie. Whether the parent wants none is settled in the same step: then no wait finds one, at no moment.
fn become_zombie(
    process: &Arc<Process>,
    status: WaitStatus,
    groups: &mut Vec<Pid>,
) -> (Option<Arc<Process>>, Vanishes) {
    let mut table = table::lock();
    stop::clear(&mut process.signals.shared.lock());
    let parent = table.process(process.parent()).cloned();
    if stop::is_any_stopped() && parent.as_ref().is_some_and(|parent| table::keeps(parent, process)) {
        groups.push(process.group());
    }
    table.change_news(parent.as_deref(), process, |news| news.ended = Some(status));
    let vanishes = match &parent {
        Some(parent) => table.vanish_if_unwanted(process, parent),
        // Nobody would wait for it.
        None => {
            process.news.lock().reaped = true;
            Vanishes::Yes
        }
    };
    (parent, vanishes)
}

/// Continues a group with stopped members that nobody else can continue now.
fn continue_if_orphaned(group: Pid) {
    let table = table::lock();
    let is_stuck = has_stopped_member(&table, group) && table.is_orphaned(group);
    drop(table);
    if is_stuck {
        // A group whose members are gone by now needs no signal.
        let _ = send::to_group(group, Signal::HUP);
        let _ = send::to_group(group, Signal::CONT);
    }
}

fn has_stopped_member(table: &table::Table, group: Pid) -> bool {
    let is_stopped = |member: &Process| member.signals.shared.lock().stopped.is_some();
    table.group(group).is_some_and(|group| group.members().iter().any(|member| is_stopped(&member)))
}

/// Tells the children of a thread that ends before its process, if they asked for it (`PR_SET_PDEATHSIG`).
fn tell_children_of_thread(thread: &Thread) {
    let process = thread.process();
    let mut children = Vec::new();
    loop {
        children = table::lock().some_children(process, &children);
        for child in children.iter().filter(|child| child.belongs_to(thread)) {
            send_parent_death_signal(process, child);
        }
        if children.len() < BATCH {
            return;
        }
    }
}

/// Tells a child, if it asked for it, that the thread which made it is gone.
fn send_parent_death_signal(process: &Process, child: &Arc<Process>) {
    if !Thread::any_death_signal() {
        return;
    }
    let user = process.user();
    child.visit_threads(|thread| {
        let Some(signal) = thread.parent_death_signal() else { return };
        let info =
            SigInfo::user(signal.number(), SI_USER, child.shown(process.pid()), child.shown_user(user));
        // A full queue loses the information of a signal, as on Linux.
        let _ = send::to_process(child, signal, &info);
    });
}
