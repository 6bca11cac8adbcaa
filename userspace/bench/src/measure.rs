//! How often an operation is repeated, and which of the repetitions counts.

use crate::arch::counter;
use abi::Errno;

/// Batches of which the quickest counts: the others hold timer interrupts.
const BATCHES: usize = 5;

/// Times operations.
pub fn repeat(times: u64, mut operation: impl FnMut() -> Result<(), Errno>) -> Result<u64, Errno> {
    // Warm up: page tables, caches of the kernel's allocators, the file's pages.
    for _ in 0..times.div_ceil(4) {
        operation()?;
    }
    let mut best = u64::MAX;
    for _ in 0..BATCHES {
        let start = counter();
        for _ in 0..times {
            operation()?;
        }
        best = best.min(counter().wrapping_sub(start));
    }
    Ok(best / times)
}
