//! How the errors of the crates below become error numbers: all in this one file.
//!
//! `Errno` and those errors both belong to other crates, so the standard `From` cannot be written here;
//! `call().or_errno()?` does the same in a function that returns `Result<_, Errno>`, and plain `?` works in a
//! system-call handler.

use abi::Errno;
use hal::frame::OutOfMemory;
use hal::user_copy::BadAddress;

use crate::Failure;

/// An error that means one error number wherever it comes from.
pub trait ToErrno {
    /// The number.
    fn to_errno(self) -> Errno;
}

/// Results whose error is a [`ToErrno`].
pub trait OrErrno<T> {
    /// The same result with the error as a number.
    fn or_errno(self) -> Result<T, Errno>;
}

impl<T, E: ToErrno> OrErrno<T> for Result<T, E> {
    #[inline]
    fn or_errno(self) -> Result<T, Errno> {
        self.map_err(ToErrno::to_errno)
    }
}

/// Implements [`ToErrno`] and `From<_> for Failure`: `errors! { OutOfMemory => ENOMEM, }` makes
/// `impl ToErrno for OutOfMemory { fn to_errno(self) -> Errno { Errno::ENOMEM } }` and the `From`.
macro_rules! errors {
    ($($error:ty => $errno:ident,)*) => {
        $(
            impl ToErrno for $error {
                #[inline]
                fn to_errno(self) -> Errno {
                    Errno::$errno
                }
            }

            impl From<$error> for Failure {
                #[inline]
                fn from(_: $error) -> Failure {
                    Failure::Errno(Errno::$errno)
                }
            }
        )*
    };
}

errors! {
    OutOfMemory => ENOMEM,
    BadAddress => EFAULT,
    alloc::collections::TryReserveError => ENOMEM,
    libkernel::bit_string::OutOfMemory => ENOMEM,
    libkernel::vma::OutOfMemory => ENOMEM,
    libkernel::radix::OutOfMemory => ENOMEM,
    libkernel::text::OutOfMemory => ENOMEM,
}
