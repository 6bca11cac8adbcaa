//! The auxiliary vector: what the kernel tells a program about itself and the machine.

use crate::entry::recorded_environment;
use abi::auxv::{AT_NULL, AuxvEntry};

/// The value of the entry `kind` (`AT_*`).
pub fn value(kind: u64) -> Option<u64> {
    entries().find(|entry| entry.a_type == kind).map(|entry| entry.a_val)
}

/// All entries up to `AT_NULL`.
pub fn entries() -> impl Iterator<Item = AuxvEntry> {
    let mut next = after_environment();
    core::iter::from_fn(move || {
        if next.is_null() {
            return None;
        }
        // SAFETY: the kernel lays the vector, ended by `AT_NULL`, right behind the environment; the end is not passed.
        let entry = unsafe { next.read() };
        if entry.a_type == AT_NULL {
            return None;
        }
        // SAFETY: as above.
        next = unsafe { next.add(1) };
        Some(entry)
    })
}

/// The address behind the null pointer that ends the environment's array.
fn after_environment() -> *const AuxvEntry {
    let mut variable = recorded_environment();
    if variable.is_null() {
        return core::ptr::null();
    }
    // SAFETY: `record` promises an array that a null pointer ends.
    unsafe {
        while !(*variable).is_null() {
            variable = variable.add(1);
        }
        variable.add(1).cast()
    }
}
