//! The system-call instruction of each architecture.
//!
//! Both files have the same functions: `syscall`; `clone_onto_stack`, which cannot be written in Rust because the child
//! of such a `clone` returns on a stack without frames; `set_thread_pointer` and `thread_pointer`.

#[cfg(target_arch = "aarch64")]
pub mod aarch64;
#[cfg(target_arch = "x86_64")]
pub mod x86_64;

#[cfg(target_arch = "aarch64")]
pub use aarch64::{clone_onto_stack, set_thread_pointer, syscall, thread_pointer};
#[cfg(target_arch = "x86_64")]
pub use x86_64::{clone_onto_stack, set_thread_pointer, syscall, thread_pointer};

/// Where the child of [`clone_onto_stack`] starts; it must not return.
pub type ChildEntry = extern "C" fn(argument: *mut u8) -> !;
