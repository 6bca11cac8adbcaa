//! Faults on purpose, to see the watchdog and the guards of stacks at work: the boot words `provoke=hardlockup`,
//! `provoke=softlockup`, `provoke=overflow` (of the boot CPU's first stack) and `provoke=overflow-of-task`.

use alloc::boxed::Box;
use core::hint::black_box;

use hal::frame::OutOfMemory;
use hal::sync::{IrqLock, preempt};
use hal::task;
use libkernel::command_line::CommandLine;

use super::settings;

/// Lets the last CPU do what the boot word says.
pub fn start(command_line: CommandLine<'_>) -> Result<(), OutOfMemory> {
    let spin: fn() -> ! = match command_line.option("provoke") {
        Some(b"hardlockup") => spin_with_interrupts_off,
        Some(b"softlockup") => spin_without_preemption,
        Some(b"overflow-of-task") => overflow,
        _ => return Ok(()),
    };
    super::spawn(Box::new(move || {
        task::with_current(|task| settings::set_affinity(task, 1 << (hal::cpu::count() - 1)));
        spin()
    }))
}

/// Goes beyond the end of the boot task's stack, if the boot word says so.
pub fn overflow_boot_stack(command_line: CommandLine<'_>) {
    if command_line.option("provoke") == Some(b"overflow") {
        overflow();
    }
}

fn overflow() -> ! {
    unreachable!("{} calls lie on a stack", exhaust_stack(u64::MAX))
}

#[inline(never)]
fn exhaust_stack(calls: u64) -> u64 {
    let frame = black_box([calls; 8]);
    if frame[0] == 0 { 0 } else { black_box(exhaust_stack(calls - 1)) + black_box(frame)[1] }
}

#[inline(never)]
fn spin_with_interrupts_off() -> ! {
    static LOCK: IrqLock<()> = IrqLock::new(());
    let _guard = LOCK.lock();
    loop {
        core::hint::spin_loop();
    }
}

#[inline(never)]
fn spin_without_preemption() -> ! {
    let _guard = preempt::disable();
    loop {
        core::hint::spin_loop();
    }
}
