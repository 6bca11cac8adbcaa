//! The temporary signal mask of `ppoll`, `pselect6` and `epoll_pwait`.

use abi::Errno;
use libkernel::addr::UserAddr;
use libkernel::signal_set::SignalSet;

use super::Caller;
use crate::user::UserPtr;

/// Replaces the mask by the one at `address` until the call has ended; a null address leaves it alone. EINVAL for a mask of
/// another size than eight bytes.
pub fn set_temporarily(caller: &Caller<'_>, address: UserAddr, size: usize) -> Result<(), Errno> {
    if address.is_null() {
        return Ok(());
    }
    if size != size_of::<u64>() {
        return Err(Errno::EINVAL);
    }
    let bits: u64 = UserPtr::new(address).read()?;
    caller.thread.set_temporary_mask(SignalSet::from_bits(bits));
    Ok(())
}
