//! Structures that grow with Linux's versions: the caller passes their size along.

use abi::Errno;
use libkernel::addr::UserAddr;
use memory::user;
use zerocopy::{FromBytes, IntoBytes};

/// Reads a structure of the caller's `size`: missing bytes are zero, and bytes that this kernel does not know must be
/// (E2BIG). EINVAL below the size of the first version, which is that of `T`; E2BIG beyond a page.
pub fn read<T: FromBytes + IntoBytes>(address: UserAddr, size: usize) -> Result<T, Errno> {
    read_since(address, size, size_of::<T>())
}

/// As [`read`], of a structure whose first version had fewer bytes than `T`.
pub fn read_since<T: FromBytes + IntoBytes>(
    address: UserAddr,
    size: usize,
    first: usize,
) -> Result<T, Errno> {
    const PAGE: usize = 4096;
    let known = size_of::<T>().min(size);
    if size < first {
        return Err(Errno::EINVAL);
    }
    if size > PAGE {
        return Err(Errno::E2BIG);
    }
    let mut value = T::new_zeroed();
    user::read_bytes(address, value.as_mut_bytes().get_mut(..known).unwrap_or_default())?;
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
