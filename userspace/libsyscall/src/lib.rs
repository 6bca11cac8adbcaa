//! Linux system calls from Rust.
//!
//! Two layers. [`arch`] holds one function for each architecture, [`syscall`], which is the instruction and nothing
//! more. The other modules are typed wrappers above it, grouped by subject and named as Linux names the calls; they
//! return `Result<_, Errno>`. A wrapper is safe where no argument can make the kernel touch memory that Rust believes
//! to be its own. Numbers and layouts come from [`abi`], so the same source serves x86_64 and AArch64: where only one
//! of them has a call (`open`, `fork`, `poll`), the wrapper uses the general form that both have.
#![no_std]

pub mod arch;
pub mod file;
pub mod memory;
pub mod process;
pub mod signal;
pub mod system;
pub mod thread;
pub mod time;

pub use abi::{Errno, native::nr};
pub use arch::syscall;

/// `call!(nr::read, fd, buffer, length)` is [`syscall`] with missing arguments 0 and its return value split into
/// `Result<u64, Errno>`.
macro_rules! call {
    (@pad $number:expr, $a0:expr, $a1:expr, $a2:expr, $a3:expr, $a4:expr, $a5:expr $(, $zero:expr)*) => {
        abi::Errno::from_return($crate::syscall(
            $number, $a0 as u64, $a1 as u64, $a2 as u64, $a3 as u64, $a4 as u64, $a5 as u64,
        ))
    };
    ($number:expr $(, $argument:expr)* $(,)?) => {
        $crate::call!(@pad $number $(, $argument)*, 0, 0, 0, 0, 0, 0)
    };
}
pub(crate) use call;
