//! System calls with arguments that no wrapper would pass.

use abi::Errno;

/// Makes call `number` with `arguments`, the missing ones 0.
///
/// The caller answers for what the call does to the process; tests do so by making it in a child.
pub fn call(number: u64, arguments: &[u64]) -> Result<u64, Errno> {
    Errno::from_return(call_raw(number, arguments))
}

/// [`call`] without reading an error out of the result.
pub fn call_raw(number: u64, arguments: &[u64]) -> i64 {
    let argument = |index: usize| arguments.get(index).copied().unwrap_or_default();
    // SAFETY: the caller answers for it, see `call`.
    unsafe {
        libsyscall::syscall(
            number,
            argument(0),
            argument(1),
            argument(2),
            argument(3),
            argument(4),
            argument(5),
        )
    }
}
