//! The machine, for both architectures, behind safe types.
//!
//! `hal` is the one crate with real `unsafe`: it boots the CPU, owns frames, page tables, kernel stacks and
//! tasks, enters and leaves user mode, and copies user memory with fault recovery. It is mechanism only: it
//! never names a process, a file or an errno. What it needs decided it asks through [`Upcalls`].
//!
//! Generic code lives here; what executes privileged instructions lives in `arch/`, and [`contract`] states
//! what each architecture must provide.
#![no_std]

extern crate alloc;
#[cfg(target_os = "linux")]
extern crate std;

mod arch;
pub mod backtrace;
pub mod boot;
pub mod console;
mod contract;
pub mod cpu;
pub mod frame;
#[cfg(any(not(target_os = "linux"), test))]
mod heap;
pub mod irq;
pub mod list;
pub mod paging;
pub mod panic;
#[cfg(not(target_os = "linux"))]
mod patch;
pub mod power;
pub mod random;
pub mod speculation;
pub mod sync;
pub mod task;
pub mod time;
#[cfg(any(not(target_os = "linux"), test))]
#[cfg_attr(test, allow(dead_code, reason = "the host machine has no such port"))]
mod uart;
mod upcalls;
pub mod user;
pub mod user_copy;
pub mod vdso;

pub use upcalls::{IrqLine, Unresolved, Upcalls, register};

/// Names the kernel object that hal calls up into. Used once, in the kernel's `main.rs`:
///
/// ```ignore
/// static KERNEL: Kernel = Kernel::new();
/// hal::entry!(KERNEL);
/// // expands to an unmangled function, found by the boot code at link time:
/// // fn hal_upcalls() -> &'static dyn hal::Upcalls { &KERNEL }
/// ```
#[macro_export]
macro_rules! entry {
    ($kernel:path) => {
        #[unsafe(no_mangle)]
        fn hal_upcalls() -> &'static dyn $crate::Upcalls {
            &$kernel
        }
    };
}
