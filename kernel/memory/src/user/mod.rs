//! User memory as claims: typed pointers, slices, strings and byte streams.
//!
//! A system call's pointer argument is only a number that a program chose. The types here carry such
//! a number with what it claims to point at; every access goes through hal's fault-recovering copies
//! and answers `EFAULT` where the claim was false. Nothing here hands out a reference to user memory,
//! and every value is copied once, then checked.
//!
//! - [`UserPtr`] is one value, [`UserSlice`] an array of values.
//! - [`string`] reads NUL-terminated strings and paths with Linux's limits.
//! - [`io`] moves the bytes of read-like and write-like calls, with Linux's partial counts.
//!
//! These accesses may page memory in and so may sleep for as long as a pager likes: never under a lock of any kind.

pub mod io;
pub mod string;

use alloc::vec::Vec;
use core::marker::PhantomData;

use abi::Errno;
use abi::poll::Pollfd;
use hal::user_copy;
use libkernel::addr::UserAddr;
use outcome::OrErrno;
use zerocopy::{FromBytes, Immutable, IntoBytes};

pub use io::{Halt, IoSink, IoSource};
pub use string::PathBuffer;

/// A claim that one `T` lies at a user address.
pub struct UserPtr<T> {
    address: UserAddr,
    value: PhantomData<fn() -> T>,
}

impl<T> Clone for UserPtr<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for UserPtr<T> {}

impl<T> UserPtr<T> {
    /// The claim that a `T` lies at `address`. Nothing is checked until it is used.
    pub const fn new(address: UserAddr) -> Self {
        Self { address, value: PhantomData }
    }

    /// Where the claim points.
    pub const fn address(self) -> UserAddr {
        self.address
    }

    /// Whether the program passed NULL.
    pub fn is_null(self) -> bool {
        self.address.as_u64() == 0
    }

    /// `None` for NULL: the shape of Linux's optional pointer arguments.
    pub fn optional(self) -> Option<Self> {
        if self.is_null() { None } else { Some(self) }
    }
}

impl<T: FromBytes + IntoBytes> UserPtr<T> {
    /// Copies the value in. `EFAULT` if any byte of it cannot be read.
    pub fn read(self) -> Result<T, Errno> {
        let mut value = T::new_zeroed();
        read_bytes(self.address, value.as_mut_bytes())?;
        Ok(value)
    }
}

impl<T: IntoBytes + Immutable> UserPtr<T> {
    /// Copies the value out. `EFAULT` if any byte of it cannot be written.
    pub fn write(self, value: &T) -> Result<(), Errno> {
        write_bytes(self.address, value.as_bytes())
    }
}

/// A claim that `len` values of type `T` lie one after another at a user address.
pub struct UserSlice<T> {
    address: UserAddr,
    len: usize,
    value: PhantomData<fn() -> T>,
}

impl<T> Clone for UserSlice<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for UserSlice<T> {}

impl<T> UserSlice<T> {
    /// The claim that `len` values lie at `address`. Nothing is checked until it is used.
    pub const fn new(address: UserAddr, len: usize) -> Self {
        Self { address, len, value: PhantomData }
    }

    /// Where the first value is claimed to lie.
    pub const fn address(self) -> UserAddr {
        self.address
    }

    /// How many values are claimed.
    pub const fn len(self) -> usize {
        self.len
    }

    /// Whether the claim is of no value at all.
    pub const fn is_empty(self) -> bool {
        self.len == 0
    }

    /// The claim of the value at `index`, or `EFAULT` when that lies outside the slice or wraps.
    pub fn at(self, index: usize) -> Result<UserPtr<T>, Errno> {
        if index >= self.len {
            return Err(Errno::EFAULT);
        }
        let offset = index.checked_mul(size_of::<T>()).ok_or(Errno::EFAULT)?;
        offset_address(self.address, offset).map(UserPtr::new)
    }
}

impl<T: FromBytes + IntoBytes> UserSlice<T> {
    /// Copies the values into `values`, which must be as long as the claim.
    pub fn read_into(self, values: &mut [T]) -> Result<(), Errno> {
        if values.len() != self.len {
            return Err(Errno::EINVAL);
        }
        read_bytes(self.address, values.as_mut_bytes())
    }

    /// Copies all values into a new vector. The caller has bounded `len` by what Linux permits.
    pub fn read_to_vec(self) -> Result<Vec<T>, Errno> {
        let mut values = Vec::new();
        values.try_reserve_exact(self.len).or_errno()?;
        values.resize_with(self.len, T::new_zeroed);
        read_bytes(self.address, values.as_mut_slice().as_mut_bytes())?;
        Ok(values)
    }
}

impl<T: IntoBytes + Immutable> UserSlice<T> {
    /// Copies `values` out to the start of the claim; `EFAULT` when they do not fit in it.
    pub fn write(self, values: &[T]) -> Result<(), Errno> {
        if values.len() > self.len {
            return Err(Errno::EFAULT);
        }
        write_bytes(self.address, values.as_bytes())
    }
}

impl UserSlice<Pollfd> {
    /// Copies `revents` of each entry out and leaves the rest alone: poll(2).
    pub fn write_revents(self, entries: &[Pollfd]) -> Result<(), Errno> {
        let rows: &[[u16; 4]] = zerocopy::transmute_ref!(entries);
        let done = user_copy::copy_last_halfwords_to_user(self.address, rows);
        if done == rows.len() { Ok(()) } else { Err(Errno::EFAULT) }
    }
}

/// Fills `bytes` from user memory, or fails with `EFAULT`.
pub fn read_bytes(address: UserAddr, bytes: &mut [u8]) -> Result<(), Errno> {
    let done = user_copy::copy_from_user(bytes, address);
    if done == bytes.len() { Ok(()) } else { Err(Errno::EFAULT) }
}

/// Writes `bytes` to user memory, or fails with `EFAULT`.
pub fn write_bytes(address: UserAddr, bytes: &[u8]) -> Result<(), Errno> {
    let done = user_copy::copy_to_user(address, bytes);
    if done == bytes.len() { Ok(()) } else { Err(Errno::EFAULT) }
}

/// `address + offset`, or `EFAULT` when that wraps.
pub fn offset_address(address: UserAddr, offset: usize) -> Result<UserAddr, Errno> {
    address.as_u64().checked_add(offset as u64).map(UserAddr::new).ok_or(Errno::EFAULT)
}
