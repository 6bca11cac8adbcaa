//! The program's environment.

use crate::entry::recorded_environment;
use core::ffi::CStr;

/// All variables, each as `NAME=value`.
pub fn vars() -> Vars {
    Vars { next: recorded_environment() }
}

/// The value of a variable.
pub fn var(name: &[u8]) -> Option<&'static [u8]> {
    vars().find_map(|variable| variable.to_bytes().strip_prefix(name)?.strip_prefix(b"="))
}

/// An iterator over the environment.
pub struct Vars {
    next: *const *const core::ffi::c_char,
}

impl Iterator for Vars {
    type Item = &'static CStr;

    fn next(&mut self) -> Option<&'static CStr> {
        if self.next.is_null() {
            return None;
        }
        // SAFETY: `record` promises strings that stay as they are, up to a null pointer, which is not passed.
        unsafe {
            let variable = *self.next;
            if variable.is_null() {
                return None;
            }
            self.next = self.next.add(1);
            Some(CStr::from_ptr(variable))
        }
    }
}
