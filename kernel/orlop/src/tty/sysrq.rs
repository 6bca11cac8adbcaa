//! What the kernel answers on the console to a BREAK and a letter, as Linux does on a serial line ("magic SysRq").
//!
//! - `t`: every thread, with its state and, unless a program's code is running, its calls in the kernel;
//! - `l`: the calls of all CPUs.
//!
//! A thread that sleeps and should not is found by what it waits for.

use hal::backtrace;
use hal::task::Task;

use crate::log;
use crate::log::urgent;
use crate::process::{Thread, table};
use crate::sched::watchdog;

/// Answers one letter. Called by the console's kernel task.
pub(super) fn answer(letter: u8) {
    match letter {
        b't' => show_threads(),
        b'l' => show_cpus(),
        _ => log!("sysrq: HELP : show-all-tasks(t) show-backtrace-all-active-cpus(l)"),
    }
}

fn show_threads() {
    log!("sysrq: Show State");
    table::for_each_process(|process| process.threads().iter().for_each(|thread| show_thread(thread)));
    log!("sysrq: end");
}

fn show_thread(thread: &Thread) {
    let Some(task) = thread.task() else { return };
    urgent(format_args!(
        "task:{} state:{} tid:{} pid:{} cpu:{} work:{:#x}",
        thread.shown_name(),
        if task.is_runnable() { 'R' } else { 'S' },
        thread.id().number(),
        thread.process().pid().number(),
        task.cpu(),
        task.work.load(core::sync::atomic::Ordering::Relaxed),
    ));
    show_calls(&task);
}

fn show_calls(task: &Task) {
    if !task.is_on_cpu() {
        backtrace::of_suspended(task, &mut watchdog::show);
    } else if task.cpu() != hal::cpu::id() {
        watchdog::show_calls_of(task.cpu());
    }
}

fn show_cpus() {
    log!("sysrq: Show backtrace of all active CPUs");
    watchdog::show_all_calls(|| urgent(format_args!("  it answers this")));
}
