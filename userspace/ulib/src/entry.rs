//! The program's main function: how it is named, called and ended.

use crate::io;
use core::ffi::c_char;
use core::fmt::Display;
use core::sync::atomic::{AtomicPtr, AtomicUsize, Ordering};

/// Names the function that the program starts with.
///
/// It takes nothing and returns anything that is [`Termination`]: `()`, an exit status, or a `Result` of either.
/// `ulib::entry!(main);` expands to the one symbol that the runtime calls, and on a hosted target to C's `main`.
#[macro_export]
macro_rules! entry {
    ($main:path) => {
        #[unsafe(no_mangle)]
        extern "Rust" fn __ulib_main() -> u8 {
            $crate::entry::Termination::status($main())
        }

        $crate::hosted_entry! {}
    };
}

/// Nothing: the program starts at `_start`.
#[cfg(target_os = "none")]
#[doc(hidden)]
#[macro_export]
macro_rules! hosted_entry {
    () => {};
}

/// C's `main`, called by the C library's start code.
#[cfg(not(target_os = "none"))]
#[doc(hidden)]
#[macro_export]
macro_rules! hosted_entry {
    () => {
        // A scope of its own: the program has a `main`, too.
        const _: () = {
            #[unsafe(no_mangle)]
            extern "C" fn main(
                count: i32,
                arguments: *const *const core::ffi::c_char,
                environment: *const *const core::ffi::c_char,
            ) -> i32 {
                // SAFETY: the C library passes what the kernel gave.
                unsafe { $crate::entry::record(count as usize, arguments, environment) };
                $crate::entry::run_main()
            }
        };
    };
}

/// What a main function may return.
pub trait Termination {
    /// The exit status; failures are also reported on standard error.
    fn status(self) -> u8;
}

impl Termination for () {
    fn status(self) -> u8 {
        0
    }
}

impl Termination for u8 {
    fn status(self) -> u8 {
        self
    }
}

impl<T: Termination, E: Display> Termination for Result<T, E> {
    fn status(self) -> u8 {
        match self {
            Ok(value) => value.status(),
            Err(error) => {
                let name = crate::args::program_name();
                crate::eprintln!("{}: {error}", name.escape_ascii());
                1
            }
        }
    }
}

static ARGUMENT_COUNT: AtomicUsize = AtomicUsize::new(0);
static ARGUMENTS: AtomicPtr<*const c_char> = AtomicPtr::new(core::ptr::null_mut());
static ENVIRONMENT: AtomicPtr<*const c_char> = AtomicPtr::new(core::ptr::null_mut());

/// Remembers what the kernel gave to the program.
///
/// # Safety
/// `arguments` must have `count` strings, `environment` strings up to a null pointer, and both must stay as they are.
pub unsafe fn record(count: usize, arguments: *const *const c_char, environment: *const *const c_char) {
    ARGUMENT_COUNT.store(count, Ordering::Relaxed);
    ARGUMENTS.store(arguments.cast_mut(), Ordering::Relaxed);
    ENVIRONMENT.store(environment.cast_mut(), Ordering::Release);
}

/// The number of arguments and the array of their addresses.
pub(crate) fn recorded_arguments() -> (usize, *const *const c_char) {
    (ARGUMENT_COUNT.load(Ordering::Relaxed), ARGUMENTS.load(Ordering::Relaxed))
}

/// The array of the environment's addresses, ended by a null pointer; itself null before [`record`].
pub(crate) fn recorded_environment() -> *const *const c_char {
    ENVIRONMENT.load(Ordering::Acquire)
}

/// Calls the program's main function and ends the process with its status.
pub fn run_main() -> ! {
    unsafe extern "Rust" {
        safe fn __ulib_main() -> u8;
    }
    exit(__ulib_main())
}

/// Flushes standard output and ends the process. Output that could not be written turns status 0 into 1.
pub fn exit(status: u8) -> ! {
    let status = match io::stdout().finish() {
        Err(error) if status == 0 => {
            crate::eprintln!("write error: {}", error.message());
            1
        }
        _ => status,
    };
    libsyscall::process::exit_group(status.into())
}
