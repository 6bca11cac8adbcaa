//! The end: of a thread, and with the last thread of its process.
//!
//! A thread ends in its own loop, never in the middle of a system call: whoever wants it to end sets `work::KILL`, and every wait
//! that may last comes back for it. So nothing is left locked or half done.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::Ordering;

use abi::process::WaitStatus;
use abi::signal::{SI_KERNEL, SigInfo};
use hal::task;
use libkernel::addr::UserAddr;

use super::report::{self, Vanishes};
use super::{Pid, Process, Thread, table, work};
use crate::futex;
use crate::signal::{Signal, SignalSet, send, stop};

impl Thread {
    /// Asks the running thread alone to end with this status: `exit`.
    pub fn end(&self, status: WaitStatus) {
        if self.id() == self.process().pid() {
            self.process().signals.shared.lock().leader_status = Some(status);
        }
        task::current().work.fetch_or(work::KILL, Ordering::Relaxed);
    }
}

/// Ends the running thread, but for its task, which ends when the thread's loop has returned. The counted reference is the loop's own.
pub(super) fn end_thread(thread: Arc<Thread>) {
    thread.begin_to_end();
    // It may hold a thread that holds this one.
    let resume = thread.resume.lock().take();
    drop(resume);
    let process = thread.process().clone();
    futex::leave_memory(&thread, futex::Future::Ends);
    clear_child_id(&thread);
    thread.set_files(None);
    thread.set_fs(None);
    task::set_page_table(None);
    thread.set_memory(None);
    let user = thread.with_credentials(|credentials| credentials.user.real);
    // Before anybody can hear of the end: who has waited for it may make another thread in its place.
    thread.stop_counting();
    // And who has waited finds nothing under its number any more.
    let entered = table::lock().remove_thread(&thread);
    drop(entered);
    if process.remove_thread(&thread) == 0 {
        end_process(&process, user);
    } else {
        send::pass_on(&process, &thread, SignalSet::ALL);
    }
    process.thread_ended.wake_all();
}

/// Tells a joining thread that this one is gone: `CLONE_CHILD_CLEARTID`.
fn clear_child_id(thread: &Thread) {
    let address = UserAddr::new(thread.clear_child_id.swap(0, Ordering::Relaxed));
    if !address.is_null() && hal::user_copy::store_u32(address, 0).is_ok() {
        // Without a mapping there is nobody to wake.
        let _ = futex::wake_all_of(thread, address);
    }
}

/// Ends the process of the last thread: it is a zombie from here on, or gone if nobody wants to know.
fn end_process(process: &Arc<Process>, user: u32) {
    let status = final_status(process);
    if process.pid() == Pid::INIT {
        panic!("Attempted to kill init! exitcode=0x{:08x}", status.0);
    }
    process.timers.disarm();
    process.leave_memory();
    leave_session(process);
    let (orphaned, vanishes) = become_zombie(process, status, user);
    for group in orphaned {
        // A group whose members are gone by now needs no signal.
        let _ = send::to_group(group, Signal::HUP);
        let _ = send::to_group(group, Signal::CONT);
    }
    report::tell_parent_of_end(process, status, vanishes);
}

fn final_status(process: &Process) -> WaitStatus {
    let shared = process.signals.shared.lock();
    shared.ending.or(shared.leader_status).unwrap_or(WaitStatus::exited(0))
}

/// The end of a session's leader frees the controlling terminal.
fn leave_session(process: &Process) {
    let session = process.session();
    if session.id() == process.pid()
        && let Some(terminal) = session.set_terminal(None)
    {
        terminal.leave_session();
    }
}

/// Gives the children away and becomes a zombie, in one step. The groups with stopped members that nobody could continue now,
/// and whether the parent wants no zombie: then no wait finds one, at no moment.
fn become_zombie(process: &Arc<Process>, status: WaitStatus, user: u32) -> (Vec<Pid>, Vanishes) {
    let mut table = table::lock();
    stop::clear(&mut process.signals.shared.lock());
    let mut groups = affected_groups(&table, process);
    groups.retain(|&group| !table.is_orphaned(group));
    let has_children = !process.children.lock().is_empty();
    let adopter = if has_children { adopter(&table, process) } else { None };
    let children = adopter.as_ref().map_or_else(Vec::new, |adopter| table.move_children(process, adopter));
    let vanishes =
        table.process(process.parent()).map_or(Vanishes::No, |parent| Vanishes::for_parent(parent, process));
    let mut news = process.news.lock();
    (news.ended, news.user) = (Some(status), user);
    news.reaped = vanishes == Vanishes::Yes;
    drop(news);
    groups.retain(|&group| table.is_orphaned(group) && has_stopped_member(&table, group));
    drop(table);
    if let Some(adopter) = adopter {
        report::tell_of_adopted_zombies(&adopter, &children);
        send_parent_death_signals(&children);
    }
    (groups, vanishes)
}

/// Tells the children that asked for it that their parent is gone (`PR_SET_PDEATHSIG`).
fn send_parent_death_signals(children: &[Arc<Process>]) {
    for child in children {
        if let Some(signal) = child.parent_death_signal() {
            let info = SigInfo::new(signal.number(), SI_KERNEL);
            // A full queue loses a real-time signal, as on Linux.
            let _ = send::to_process(child, signal, &info);
        }
    }
}

/// The groups that this process's end can orphan and that have stopped members: its own, if its parent keeps it, and its
/// children's.
fn affected_groups(table: &table::Table, process: &Process) -> Vec<Pid> {
    if !stop::is_any_stopped() {
        return Vec::new();
    }
    let mut groups: Vec<Pid> = process.children.lock().iter().map(|child| child.group()).collect();
    groups.push(process.group());
    groups.sort_unstable();
    groups.dedup();
    groups.retain(|&group| has_stopped_member(table, group));
    groups
}

fn has_stopped_member(table: &table::Table, group: Pid) -> bool {
    table.group(group).iter().any(|member| member.signals.shared.lock().stopped.is_some())
}

/// Who gets the children: the nearest ancestor that adopts, else init. Ancestors are asked only if any process ever adopted: the
/// chain of them can be long.
fn adopter(table: &table::Table, process: &Arc<Process>) -> Option<Arc<Process>> {
    let mut ancestor = table.process(process.parent()).filter(|_| Process::any_adopts());
    while let Some(candidate) = ancestor {
        if candidate.adopts.load(Ordering::Relaxed) && candidate.ended().is_none() {
            return Some(candidate.clone());
        }
        ancestor = table.process(candidate.parent());
    }
    table.process(Pid::INIT).filter(|init| !Arc::ptr_eq(init, process)).cloned()
}
