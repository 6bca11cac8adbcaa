//! The end of a program that panics: a line that says where and why, and exit code 101.

use crate::io;
use core::panic::PanicInfo;

/// Exit status of a program that panicked, as the standard library has it.
const PANIC_STATUS: i32 = 101;

#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    io::stdout().finish_if_free();
    crate::eprintln!("{info}");
    libsyscall::process::exit_group(PANIC_STATUS)
}
