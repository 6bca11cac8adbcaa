//! Faults on purpose, to see the watchdog at work: the boot word `provoke=hardlockup` or `provoke=softlockup`.

use alloc::boxed::Box;

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
        _ => return Ok(()),
    };
    super::spawn(Box::new(move || {
        task::with_current(|task| settings::set_affinity(task, 1 << (hal::cpu::count() - 1)));
        spin()
    }))
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
