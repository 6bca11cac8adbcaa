//! NUL-terminated strings from user memory, with the limits Linux sets.
//!
//! Short paths, which nearly all are, lie on the stack of the call: no allocation on the way to a path walk.

use alloc::vec::Vec;

use abi::Errno;
use hal::user_copy::{self, StringError};
use libkernel::addr::UserAddr;
use outcome::OrErrno;

use super::offset_address;

/// The longest path, with its NUL (`linux/limits.h`).
pub const PATH_MAX: usize = 4096;

/// Paths up to this length (with the NUL) need no allocation.
const SHORT_PATH: usize = 128;

/// Where a path from user memory lies while a call works with it. It stays in its place: moved, it would be copied.
pub struct PathBuffer {
    short: [u8; SHORT_PATH],
    long: Vec<u8>,
}

impl PathBuffer {
    /// Room for a path.
    #[inline(always)]
    pub const fn new() -> PathBuffer {
        PathBuffer { short: [0; SHORT_PATH], long: Vec::new() }
    }

    /// Reads a path, and gives it without its NUL. `EFAULT` for a bad address, `ENAMETOOLONG` where no NUL stands in
    /// the first [`PATH_MAX`] bytes. An empty path is returned as such: what it means is the caller's to say.
    pub fn read(&mut self, address: UserAddr) -> Result<&[u8], Errno> {
        match read_string_into(address, &mut self.short)? {
            Some(length) => Ok(self.short.get(..length).unwrap_or_default()),
            None => self.read_long(address),
        }
    }

    #[cold]
    fn read_long(&mut self, address: UserAddr) -> Result<&[u8], Errno> {
        self.long = read_string(address, PATH_MAX)?.ok_or(Errno::ENAMETOOLONG)?;
        Ok(&self.long)
    }
}

/// Reads a string of fewer than `limit` bytes into a new vector, without its NUL; `None` when no NUL
/// stands in the first `limit` bytes.
pub fn read_string(address: UserAddr, limit: usize) -> Result<Option<Vec<u8>>, Errno> {
    const STEP: usize = 256;
    let mut string = Vec::new();
    while string.len() < limit {
        let start = string.len();
        let step = STEP.min(limit - start);
        string.try_reserve(step).or_errno()?;
        string.resize(start + step, 0);
        let tail = string.get_mut(start..).unwrap_or_default();
        if let Some(len) = read_string_into(offset_address(address, start)?, tail)? {
            string.truncate(start + len);
            return Ok(Some(string));
        }
    }
    Ok(None)
}

/// Reads a string into `bytes` and returns its length without the NUL, or `None` when no NUL stands in
/// the first `bytes.len()` bytes.
pub fn read_string_into(address: UserAddr, bytes: &mut [u8]) -> Result<Option<usize>, Errno> {
    match user_copy::copy_string_from_user(bytes, address) {
        Ok(length) => Ok(Some(length)),
        Err(StringError::TooLong) => Ok(None),
        Err(StringError::BadAddress) => Err(Errno::EFAULT),
    }
}
