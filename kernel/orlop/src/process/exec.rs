//! What `execve` does to threads and signals; loading the program is `crate::exec`'s.

use alloc::sync::Arc;
use core::sync::atomic::Ordering;

use abi::Errno;
use sched::work;

use super::exit::clear_child_id;
use super::{Thread, table};
use crate::futex;
use crate::signal::{NO_STACK, Signal};
use crate::syscall::open::close_on_exec;

/// Makes the running thread the only one of its process, under the process's number. EINTR if it is to end itself.
pub fn dethread(thread: &Arc<Thread>) -> Result<(), Errno> {
    let process = thread.process();
    let mut shared = process.signals.shared.lock();
    if shared.ending.is_some() || shared.executing {
        // Whoever was first may not have got round to this thread yet; it does not go back to its program.
        hal::task::add_own_work(work::KILL);
        return Err(Errno::EINTR);
    }
    shared.executing = true;
    drop(shared);
    process.each_thread(|other| {
        if !Arc::ptr_eq(other, thread) {
            other.set_work(work::KILL);
        }
    });
    process
        .thread_ended
        .wait_until_killed(|| (process.thread_count() == 1).then_some(()))
        .map_err(|_| Errno::EINTR)?;
    process.signals.shared.lock().executing = false;
    take_leadership(thread);
    Ok(())
}

/// The last thread takes the leader's number, whichever it had.
fn take_leadership(thread: &Arc<Thread>) {
    let (own, pid) = (thread.id(), thread.process().pid());
    if own == pid {
        return;
    }
    let mut table = table::lock();
    let entered = table.remove_thread(thread);
    thread.set_id(pid);
    let leader = table.replace_leader(thread);
    drop(table);
    drop(entered);
    if let Some(leader) = leader {
        leader.stop_counting();
    }
}

/// The last thread is about to leave its memory: its locks there are given up, and who waits for that hears of it.
pub fn leave_memory(thread: &Thread) {
    futex::leave_memory(thread, futex::Future::GoesOn);
    clear_child_id(thread);
}

/// Resets what a new program must not inherit. The point of no return has been passed.
pub fn finish(thread: &Arc<Thread>) -> Result<(), Errno> {
    let process = thread.process();
    let actions = process.signals.actions.lock().duplicate();
    actions.reset_handlers();
    *process.signals.actions.lock() = actions;
    *thread.signals.stack.lock() = NO_STACK;
    // What would have been continued was the old program's.
    let resume = thread.resume.lock().take();
    drop(resume);
    hal::task::with_current(|task| task.tagged_addresses.store(false, Ordering::Relaxed));
    process.timers.delete_posix();
    table::lock().set_exit_signal(process, Signal::CHLD.number());
    process.has_executed.store(true, Ordering::Relaxed);
    process.executions.fetch_add(1, Ordering::Relaxed);
    let files = thread.files().duplicate()?;
    close_on_exec(&files);
    thread.set_files(Some(files));
    Ok(())
}
