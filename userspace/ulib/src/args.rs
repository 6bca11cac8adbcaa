//! The program's arguments.

use crate::entry::recorded_arguments;
use alloc::vec::Vec;
use core::ffi::CStr;

/// All arguments; the first is the name the program was called by.
pub fn args() -> Args {
    let (count, _) = recorded_arguments();
    Args { next: 0, count }
}

/// The arguments after the program's name, as byte strings.
pub fn rest() -> Vec<&'static [u8]> {
    args().skip(1).map(CStr::to_bytes).collect()
}

/// The last part of the path the program was called by.
pub fn program_name() -> &'static [u8] {
    let path = args().next().map_or(&b""[..], CStr::to_bytes);
    path.rsplit(|&byte| byte == b'/').next().unwrap_or(path)
}

/// An iterator over the arguments.
pub struct Args {
    next: usize,
    count: usize,
}

impl Iterator for Args {
    type Item = &'static CStr;

    fn next(&mut self) -> Option<&'static CStr> {
        if self.next == self.count {
            return None;
        }
        let (_, arguments) = recorded_arguments();
        // SAFETY: `record` promises `count` strings that stay as they are, and `next` is below `count`.
        let argument = unsafe { CStr::from_ptr(*arguments.add(self.next)) };
        self.next += 1;
        Some(argument)
    }
}
