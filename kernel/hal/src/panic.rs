//! The end of the kernel: what happened, where, how it came there, and a failing exit.
//!
//! Everything here runs when nothing can be trusted: no allocation, no locks, polled output, and a second failure
//! ends at once.
use crate::arch::Arch;
use crate::backtrace::CallSite;
use crate::console::Console;
use crate::contract::{Cpu as _, Platform as _, Smp as _};
use crate::sync::Once;
use core::fmt::{self, Write as _};
use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use libkernel::clock::SECOND_NS;
use libkernel::symbols::Table;

/// A CPU exception of the kernel's own code.
#[cfg_attr(target_os = "linux", allow(dead_code, reason = "the host machine has its own exceptions"))]
pub(crate) struct Fatal<'a> {
    /// The exception's name.
    pub what: &'a str,
    /// Its error code.
    pub code: u64,
    /// The instruction.
    pub pc: u64,
    /// The frame pointer there.
    pub frame_pointer: u64,
    /// Registers by name.
    pub registers: &'a [(&'a str, u64)],
    /// Says more of it.
    pub details: fn(),
    /// Why the kernel ends, in Linux's words.
    pub why: &'a str,
}

/// Ends the emulator with this after a panic.
const FAILED: u8 = 1;
/// A frame record is never farther from the one before than the largest stack.
const LONGEST_FRAME: u64 = 64 << 10;
const MAX_FRAMES: usize = 32;
const KERNEL_HALF: u64 = 1 << 63;

/// The CPU that reports.
static REPORTER: AtomicUsize = AtomicUsize::new(NOBODY);
const NOBODY: usize = usize::MAX;
static FAILED_AGAIN: AtomicBool = AtomicBool::new(false);
static SYMBOLS: Once<Table<'static>> = Once::new();

/// Keeps the symbol table for backtraces, if `bytes` is one.
pub fn set_symbols(bytes: &'static [u8]) {
    if let Some(table) = Table::parse(bytes) {
        let _ = SYMBOLS.set(table);
    }
}

/// Ends the kernel after an exception of its own. It reads whatever the frame pointer names.
#[cfg_attr(target_os = "linux", allow(dead_code, reason = "the host machine has its own exceptions"))]
pub(crate) fn fatal(fatal: &Fatal<'_>) -> ! {
    begin();
    say(format_args!("kernel exception {} (code {:#x}) on CPU {}", fatal.what, fatal.code, Arch::id()));
    (fatal.details)();
    for row in fatal.registers.chunks(4) {
        for (name, value) in row {
            let _ = write!(Console, " {name:>6} {value:016x}");
        }
        let _ = writeln!(Console);
    }
    print_frame(fatal.pc, false);
    backtrace(fatal.frame_pointer);
    end(format_args!("{}", fatal.why), || {})
}

/// Writes a line with the time since boot, as the kernel's log has it.
pub(crate) fn say(text: fmt::Arguments<'_>) {
    let now = crate::time::now_ns();
    let (seconds, microseconds) = (now / SECOND_NS, now / 1_000 % 1_000_000);
    let _ = writeln!(Console, "[{seconds:5}.{microseconds:06}] {text}");
}

/// Says why the kernel ends, in the words that Linux has for it and that people and scripts look for, and ends it.
fn end(why: fmt::Arguments<'_>, details: impl FnOnce()) -> ! {
    say(format_args!("Kernel panic - not syncing: {why}"));
    details();
    say(format_args!("---[ end Kernel panic - not syncing: {why} ]---"));
    Arch::exit(FAILED)
}

/// Masks interrupts and stops the other CPUs. The first CPU to fail reports; a failure inside its report ends at once.
fn begin() {
    Arch::interrupts_disable();
    let this = Arch::id();
    match REPORTER.compare_exchange(NOBODY, this, Ordering::Relaxed, Ordering::Relaxed) {
        Ok(_) => Arch::stop_others(),
        Err(reporter) if reporter == this && !FAILED_AGAIN.swap(true, Ordering::Relaxed) => {
            Console::write(b"\nfailed again while reporting\n");
            Arch::exit(FAILED)
        }
        Err(_) => Arch::halt(),
    }
}

/// Whether the kernel is ending: a CPU that is asked to stop then does.
#[allow(dead_code, reason = "the host machine has one CPU")]
pub(crate) fn is_ending() -> bool {
    REPORTER.load(Ordering::Relaxed) != NOBODY
}

/// Follows the frame records: the caller's record, then the return address, on both architectures.
fn backtrace(mut frame_pointer: u64) {
    for _ in 0..MAX_FRAMES {
        if frame_pointer & KERNEL_HALF == 0 || !frame_pointer.is_multiple_of(8) {
            return;
        }
        // SAFETY: an aligned kernel address that a frame pointer held; if it lies all the same, the fault is caught
        // by `begin`.
        let [next, return_address] = unsafe { (frame_pointer as *const [u64; 2]).read_volatile() };
        if return_address & KERNEL_HALF == 0 {
            return;
        }
        print_frame(return_address, true);
        if next <= frame_pointer || next - frame_pointer > LONGEST_FRAME {
            return;
        }
        frame_pointer = next;
    }
}

fn print_frame(address: u64, is_return: bool) {
    let _ = writeln!(Console, "  {}", CallSite { address, is_return });
}

/// The function that holds an address, and how far inside.
pub(crate) fn symbol(address: u64) -> Option<(impl core::fmt::Display, u64)> {
    SYMBOLS.get()?.lookup(address)
}

/// The size of the function that holds an address, with what follows it to the next one.
pub(crate) fn symbol_size(address: u64) -> Option<u64> {
    SYMBOLS.get()?.size(address)
}

/// The address and the name of the kernel's function with this index, in ascending order.
pub fn symbol_at(index: usize) -> Option<(u64, impl core::fmt::Display)> {
    SYMBOLS.get()?.get(index)
}

/// A Rust panic: message, backtrace, failing exit.
#[cfg(target_os = "none")]
#[panic_handler]
fn panic(information: &core::panic::PanicInfo<'_>) -> ! {
    begin();
    end(format_args!("{}", information.message()), || {
        if let Some(place) = information.location() {
            say(format_args!("CPU: {} at {place}", Arch::id()));
        }
        backtrace(Arch::frame_pointer());
    })
}
