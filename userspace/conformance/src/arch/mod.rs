//! What each architecture's tests need, and the tests that only one of them can have: [`TESTS`], with their
//! [`HELPERS`].

use crate::raw;
use abi::native::nr;
use core::ffi::CStr;

#[cfg(target_arch = "aarch64")]
mod aarch64;
#[cfg(target_arch = "x86_64")]
mod x86_64;

#[cfg(target_arch = "aarch64")]
pub use aarch64::{HELPERS, TESTS, attempt, core_dump, restorer};
#[cfg(target_arch = "x86_64")]
pub use x86_64::{HELPERS, TESTS, attempt, core_dump, restorer};

/// Executes this program's helper `name`; the error's number if that fails.
fn execute_helper(name: &CStr) -> i32 {
    let Some(path) = ulib::args::args().next() else { return 1 };
    let arguments = [path.as_ptr(), c"--helper".as_ptr(), name.as_ptr(), core::ptr::null()];
    let outcome = raw::call(
        nr::execve,
        &[path.as_ptr() as u64, arguments.as_ptr() as u64, arguments[3..].as_ptr() as u64],
    );
    outcome.map_or_else(|errno| i32::from(errno.number()), |_| 0)
}
