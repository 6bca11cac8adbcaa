//! What the kernel answers on the console to a BREAK and a letter, as Linux does on a serial line ("magic SysRq").
//!
//! - `t`: every thread, with its state and, unless a program's code is running, its calls in the kernel;
//! - `l`: the calls of all CPUs.
//!
//! A thread that sleeps and should not is found by what it waits for.

use alloc::vec::Vec;

use hal::backtrace::{self, Place};
use hal::task::Task;

use crate::log;
use crate::log::urgent;
use crate::process::{Thread, table};

/// How long another CPU has to answer.
const PATIENCE_NS: u64 = 100_000_000;

/// Answers one letter. Called by the console's kernel task.
pub(super) fn answer(letter: u8) {
    match letter {
        b't' => show_threads(),
        b'l' => show_cpus(),
        _ => log!("sysrq: HELP : show-all-tasks(t) show-backtrace-all-active-cpus(l)"),
    }
}

fn show(place: Place) {
    urgent(format_args!("  {place}"));
}

fn show_threads() {
    log!("sysrq: Show State");
    table::for_each_process(|process| {
        let mut threads = Vec::new();
        process.each_thread(|thread| threads.push(thread.clone()));
        threads.iter().for_each(|thread| show_thread(thread));
    });
    log!("sysrq: end");
}

fn show_thread(thread: &Thread) {
    let Some(task) = thread.task() else { return };
    let name = thread.name();
    let length = name.iter().position(|&byte| byte == 0).unwrap_or(name.len());
    urgent(format_args!(
        "task:{} state:{} tid:{} pid:{} cpu:{} work:{:#x}",
        name[..length].escape_ascii(),
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
        backtrace::of_suspended(task, &mut show);
    } else if task.cpu() != hal::cpu::id() && !backtrace::of_other(task.cpu(), PATIENCE_NS, &mut show) {
        urgent(format_args!("  its CPU does not answer"));
    }
}

fn show_cpus() {
    log!("sysrq: Show backtrace of all active CPUs");
    for cpu in 0..hal::cpu::count() {
        urgent(format_args!("calls of CPU {cpu}:"));
        if cpu == hal::cpu::id() {
            urgent(format_args!("  it answers this"));
        } else if !backtrace::of_other(cpu, PATIENCE_NS, &mut show) {
            urgent(format_args!("  it does not answer"));
        }
    }
}
