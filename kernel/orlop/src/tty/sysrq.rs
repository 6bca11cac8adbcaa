//! What the kernel answers to a letter: on the console behind a BREAK, as Linux does on a serial line ("magic SysRq"),
//! and to root in `/proc/sysrq-trigger`.
//!
//! - `t`: every thread, with its state and, unless a program's code is running, its calls in the kernel;
//! - `l`: the calls of all CPUs;
//! - `0` to `9`: what the console shows;
//! - `b`, `o`: restart and power off, at once; `c`: a panic.
//!
//! A thread that sleeps and should not is found by what it waits for. `/proc/sys/kernel/sysrq` says what the console
//! may ask; the bits are those of Linux's `include/linux/sysrq.h`.
//!
//! Lock order: the lock of answers (sleeps) comes before all that an answer looks at.

use core::sync::atomic::AtomicI32;
use core::sync::atomic::Ordering::Relaxed;

use hal::backtrace;
use hal::task::Task;
use klog::log;
use klog::{CONSOLE_LEVEL, urgent};
use sched::{Mutex, watchdog};

use crate::process::{Thread, table};

/// `/proc/sys/kernel/sysrq`: what the console may ask. 0 is nothing, 1 everything, else the sum of the bits below.
pub static ALLOWED: AtomicI32 = AtomicI32::new(1);
const LOG: i32 = 0x2;
const DUMP: i32 = 0x8;
const BOOT: i32 = 0x80;

/// One answer at a time: two would be mixed up.
static ANSWERING: Mutex<()> = Mutex::new(());

/// Whether the console may ask anything.
pub(super) fn is_on() -> bool {
    ALLOWED.load(Relaxed) != 0
}

/// Answers the console, if it may ask that. Called by the console's kernel task.
pub(super) fn answer_console(letter: u8) {
    let allowed = ALLOWED.load(Relaxed);
    let group = match letter {
        b'0'..=b'9' => LOG,
        b't' | b'l' | b'c' => DUMP,
        b'b' | b'o' => BOOT,
        _ => allowed,
    };
    if allowed == 1 || allowed & group != 0 {
        answer(letter);
    } else {
        log!("sysrq: This sysrq operation is disabled.");
    }
}

/// Answers whoever may ask everything. Sleeps.
pub fn answer(letter: u8) {
    let _alone = ANSWERING.lock();
    match letter {
        b't' => show_threads(),
        b'l' => show_cpus(),
        b'0'..=b'9' => set_console_level(letter - b'0'),
        b'b' => {
            log!("sysrq: Resetting");
            hal::power::restart()
        }
        b'o' => {
            log!("sysrq: Power Off");
            hal::power::power_off()
        }
        b'c' => {
            log!("sysrq: Trigger a crash");
            panic!("sysrq triggered crash")
        }
        _ => log!(
            "sysrq: HELP : loglevel(0-9) reboot(b) crash(c) show-backtrace-all-active-cpus(l) poweroff(o) show-task-states(t)"
        ),
    }
}

fn set_console_level(level: u8) {
    log!("sysrq: Changing Loglevel");
    log!("sysrq: Loglevel set to {level}");
    CONSOLE_LEVEL.store(level.into(), Relaxed);
}

fn show_threads() {
    log!("sysrq: Show State");
    table::for_each_process(|process| process.visit_threads(|thread| show_thread(thread)));
    log!("sysrq: end");
}

fn show_thread(thread: &Thread) {
    let Some(task) = thread.task() else { return };
    urgent(format_args!(
        "task:{} state:{} tid:{} pid:{} cpu:{} work:{:#x}",
        thread.shown_name(),
        if task.is_runnable() { 'R' } else { 'S' },
        thread.id().kernel_number(),
        thread.process().pid().kernel_number(),
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
