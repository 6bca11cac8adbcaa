//! AArch64: instructions and registers that a kernel's entry code has to survive.

use crate::Test;

/// What only this architecture can be asked.
pub const TESTS: &[Test] = &[];

/// `sa_restorer`: the kernel's own is in the vDSO.
pub fn restorer() -> Option<u64> {
    None
}
