//! From registers to typed arguments, from typed results to the return register.
//!
//! Linux declares most arguments as `int` and ignores the upper half of the register; [`FromArg`] for the 32-bit types
//! does the same, on purpose and in this one place.

use abi::Errno;
use libkernel::addr::UserAddr;
use memory::user::UserPtr;

use super::{Caller, Failure};

/// A type that one argument register converts to, with checks.
pub trait FromArg: Sized {
    /// Converts the register; the error goes back to the program.
    fn from_arg(value: u64) -> Result<Self, Errno>;
}

impl FromArg for u64 {
    #[inline]
    fn from_arg(value: u64) -> Result<u64, Errno> {
        Ok(value)
    }
}

impl FromArg for i64 {
    #[inline]
    fn from_arg(value: u64) -> Result<i64, Errno> {
        Ok(value.cast_signed())
    }
}

impl FromArg for usize {
    #[inline]
    fn from_arg(value: u64) -> Result<usize, Errno> {
        usize::try_from(value).map_err(|_| Errno::EINVAL)
    }
}

impl FromArg for u32 {
    #[inline]
    #[allow(clippy::cast_possible_truncation, reason = "Linux looks at the low half only")]
    fn from_arg(value: u64) -> Result<u32, Errno> {
        Ok(value as u32)
    }
}

impl FromArg for i32 {
    #[inline]
    fn from_arg(value: u64) -> Result<i32, Errno> {
        u32::from_arg(value).map(u32::cast_signed)
    }
}

impl FromArg for UserAddr {
    #[inline]
    fn from_arg(value: u64) -> Result<UserAddr, Errno> {
        Ok(UserAddr::new(value))
    }
}

impl<T> FromArg for UserPtr<T> {
    #[inline]
    fn from_arg(value: u64) -> Result<UserPtr<T>, Errno> {
        Ok(UserPtr::new(UserAddr::new(value)))
    }
}

/// A type that a handler returns and the program finds in the return register.
pub trait IntoReturn {
    /// The register's value; never in the range of the errors unless the call's contract allows it.
    fn into_return(self) -> u64;
}

impl IntoReturn for () {
    #[inline]
    fn into_return(self) -> u64 {
        0
    }
}

impl IntoReturn for u64 {
    #[inline]
    fn into_return(self) -> u64 {
        self
    }
}

impl IntoReturn for i64 {
    #[inline]
    fn into_return(self) -> u64 {
        self.cast_unsigned()
    }
}

impl IntoReturn for usize {
    #[inline]
    fn into_return(self) -> u64 {
        self as u64
    }
}

impl IntoReturn for u32 {
    #[inline]
    fn into_return(self) -> u64 {
        u64::from(self)
    }
}

impl IntoReturn for i32 {
    #[inline]
    fn into_return(self) -> u64 {
        i64::from(self).cast_unsigned()
    }
}

/// A handler function of any number of arguments; `Arguments` is the tuple of their types.
pub trait Handler<Arguments> {
    /// Converts the caller's argument registers and calls the function.
    fn handle(self, caller: &mut Caller<'_>) -> Result<u64, Failure>;
}

/// Implements [`Handler`] for functions of the listed arguments.
///
/// `handler!(0 A, 1 B)` makes every `fn(&mut Caller, A, B) -> Result<R, Failure>` a `Handler<(A, B,)>` whose `handle`
/// is `self(caller, A::from_arg(registers[0])?, B::from_arg(registers[1])?)`.
macro_rules! handler {
    ($($index:literal $argument:ident),*) => {
        impl<Function, Return, $($argument,)*> Handler<($($argument,)*)> for Function
        where
            Function: Fn(&mut Caller<'_>, $($argument,)*) -> Result<Return, Failure>,
            Return: IntoReturn,
            $($argument: FromArg,)*
        {
            #[inline(always)]
            fn handle(self, caller: &mut Caller<'_>) -> Result<u64, Failure> {
                $(
                    #[allow(non_snake_case, reason = "the value is named as its type")]
                    let $argument = <$argument>::from_arg(caller.argument($index))?;
                )*
                self(caller, $($argument,)*).map(IntoReturn::into_return)
            }
        }
    };
}
handler!();
handler!(0 A);
handler!(0 A, 1 B);
handler!(0 A, 1 B, 2 C);
handler!(0 A, 1 B, 2 C, 3 D);
handler!(0 A, 1 B, 2 C, 3 D, 4 E);
handler!(0 A, 1 B, 2 C, 3 D, 4 E, 5 F);
