//! The temporary signal mask of `ppoll`, `pselect6` and `epoll_pwait`.

use abi::Errno;
use libkernel::addr::UserAddr;
use libkernel::signal_set::SignalSet;
use memory::user::UserPtr;

use super::{Caller, Failure};

/// Makes `call` with the mask at `address` in place of the thread's; a null address leaves that alone. Only an
/// interrupted call lets in the signals that the thread blocks otherwise: one that has an answer has put the old mask
/// back before they are looked at (Linux: `restore_saved_sigmask_unless`). EINVAL for a mask of another size than eight
/// bytes.
pub fn with_temporary<T>(
    caller: &mut Caller<'_>,
    address: UserAddr,
    size: usize,
    call: impl FnOnce(&mut Caller<'_>) -> Result<T, Failure>,
) -> Result<T, Failure> {
    if address.is_null() {
        return call(caller);
    }
    if size != size_of::<u64>() {
        return Err(Errno::EINVAL.into());
    }
    let bits: u64 = UserPtr::new(address).read()?;
    caller.thread.set_temporary_mask(SignalSet::from_bits(bits));
    let outcome = call(caller);
    if !matches!(outcome, Err(Failure::Restart(_) | Failure::Errno(Errno::EINTR))) {
        caller.thread.end_temporary_mask();
    }
    outcome
}
