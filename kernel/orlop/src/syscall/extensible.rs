//! Structures that grow with Linux's versions: the caller passes their size along.

use abi::Errno;
use libkernel::addr::UserAddr;
use zerocopy::{FromBytes, IntoBytes};

use crate::user;

/// Reads a structure of the caller's `size`: missing bytes are zero, and bytes that this kernel does not know must be (E2BIG).
/// EINVAL below the size of the first version, which is that of `T` for all structures so far; E2BIG beyond a page.
pub fn read<T: FromBytes + IntoBytes>(address: UserAddr, size: usize) -> Result<T, Errno> {
    const PAGE: usize = 4096;
    let known = size_of::<T>();
    if size < known {
        return Err(Errno::EINVAL);
    }
    if size > PAGE {
        return Err(Errno::E2BIG);
    }
    let mut value = T::new_zeroed();
    user::read_bytes(address, value.as_mut_bytes())?;
    check_rest(address, known, size)?;
    Ok(value)
}

fn check_rest(address: UserAddr, known: usize, size: usize) -> Result<(), Errno> {
    let mut offset = known;
    while offset < size {
        let mut bytes = [0; 64];
        let step = bytes.len().min(size - offset);
        let part = bytes.get_mut(..step).unwrap_or_default();
        user::read_bytes(user::offset_address(address, offset)?, part)?;
        if part.iter().any(|&byte| byte != 0) {
            return Err(Errno::E2BIG);
        }
        offset += step;
    }
    Ok(())
}
