//! The machine's console: polled output for the kernel log, interrupts for input.
use crate::arch::Arch;
use crate::contract::{Cpu as _, Platform as _};
use crate::sync::{IrqGuard, IrqLock};
use core::fmt;

/// Keeps what CPUs write at the same time apart. A leaf.
static OUTPUT: IrqLock<()> = IrqLock::new(());

/// What comes from the serial line.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Received {
    /// A byte.
    Byte(u8),
    /// The line was held low for longer than a byte takes: a BREAK.
    Break,
}

/// What the serial line is, by which programs know it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Model {
    /// A 16550 of any kind.
    Uart16550,
    /// Arm's PL011, or SBSA's part of it; also where there is none at all, for which its name stands.
    Pl011,
}

/// What the machine's serial line is.
pub fn model() -> Model {
    Arch::console_model()
}

/// Writes bytes by polling, all of them before anybody else's.
pub fn write(bytes: &[u8]) {
    lock().write(bytes);
}

/// The console for as long as the guard lives, with interrupts masked: for one line.
pub fn lock() -> Output {
    let guard = OUTPUT.lock();
    Output { _guard: Some(guard) }
}

/// As [`lock`], but waits for so many nanoseconds only: for reports about a CPU that may hold the console and be stuck.
pub fn lock_or_go_on(patience_ns: u64) -> Output {
    let end = crate::time::now_ns().saturating_add(patience_ns);
    loop {
        let guard = OUTPUT.try_lock();
        if guard.is_some() || crate::time::now_ns() > end {
            return Output { _guard: guard };
        }
        Arch::relax();
    }
}

/// The console in one CPU's hands.
pub struct Output {
    _guard: Option<IrqGuard<'static, ()>>,
}

impl Output {
    /// Writes bytes by polling.
    pub fn write(&mut self, bytes: &[u8]) {
        Arch::console_write(bytes);
    }
}

/// Starts delivery of received bytes to `Upcalls::console_input`.
pub fn enable_input() {
    Arch::console_enable_input();
}

/// Stops that delivery for a while. Calls of this and of [`resume_input`] must not overlap.
pub fn pause_input() {
    Arch::console_pause_input();
}

/// Goes on with it.
pub fn resume_input() {
    Arch::console_resume_input();
}

/// A `fmt::Write` for every console there is that waits for nobody: for the kernel's end, where whoever holds one may
/// have been stopped.
pub(crate) struct Console;

impl Console {
    /// Writes bytes by polling.
    pub(crate) fn write(bytes: &[u8]) {
        Arch::console_write_last(bytes);
    }
}

impl fmt::Write for Console {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        Self::write(text.as_bytes());
        Ok(())
    }
}
