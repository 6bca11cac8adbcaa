//! NUL-terminated strings from user memory, with the limits Linux sets.
//!
//! Short paths, which nearly all are, live in the value itself: no allocation on the way to a path walk.

use alloc::vec::Vec;
use core::ops::Deref;

use abi::Errno;
use hal::user_copy::{self, StringError};
use libkernel::addr::UserAddr;

use super::offset_address;

/// The longest path, with its NUL (`linux/limits.h`).
pub const PATH_MAX: usize = 4096;

/// Paths up to this length (with the NUL) are kept inline.
const INLINE_PATH: usize = 128;

/// A path read from user memory, without its NUL. Derefs to the bytes.
pub struct PathBytes(Storage);

enum Storage {
    Inline { bytes: [u8; INLINE_PATH], len: usize },
    Heap(Vec<u8>),
}

impl Deref for PathBytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match &self.0 {
            Storage::Inline { bytes, len } => bytes.get(..*len).unwrap_or_default(),
            Storage::Heap(bytes) => bytes,
        }
    }
}

/// Reads a path. `EFAULT` for a bad address, `ENAMETOOLONG` where no NUL stands in the first
/// [`PATH_MAX`] bytes. An empty path is returned as such: what it means is the caller's to say.
pub fn read_path(address: UserAddr) -> Result<PathBytes, Errno> {
    let mut bytes = [0; INLINE_PATH];
    match read_string_into(address, &mut bytes)? {
        Some(len) => Ok(PathBytes(Storage::Inline { bytes, len })),
        None => read_long_path(address),
    }
}

#[cold]
fn read_long_path(address: UserAddr) -> Result<PathBytes, Errno> {
    let bytes = read_string(address, PATH_MAX)?.ok_or(Errno::ENAMETOOLONG)?;
    Ok(PathBytes(Storage::Heap(bytes)))
}

/// Reads a string of fewer than `limit` bytes into a new vector, without its NUL; `None` when no NUL
/// stands in the first `limit` bytes.
pub fn read_string(address: UserAddr, limit: usize) -> Result<Option<Vec<u8>>, Errno> {
    const STEP: usize = 256;
    let mut string = Vec::new();
    while string.len() < limit {
        let start = string.len();
        let step = STEP.min(limit - start);
        string.try_reserve(step).map_err(|_| Errno::ENOMEM)?;
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
