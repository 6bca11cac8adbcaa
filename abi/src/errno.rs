//! Error numbers of the system-call boundary.
//!
//! [`Errno`] is positive, as in Linux's `errno.h`; [`Errno::to_return`] is the one place where an error becomes
//! the negative value that a system call returns, and [`Errno::from_return`] the one where it becomes an error again.
//! Numbers are the same on x86_64 and AArch64. Source: Linux 6.1, `include/uapi/asm-generic/errno{-base,}.h`.

use core::fmt;

/// The largest error number a return value can carry (Linux's `MAX_ERRNO`): -4095..=-1 are errors, all else is success.
pub const MAX_ERRNO: u16 = 4095;

/// An error number, positive and never zero for the named constants.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Errno(u16);

impl Errno {
    /// `EAGAIN` under the name that sockets and non-blocking files use.
    pub const EWOULDBLOCK: Errno = Errno::EAGAIN;
    /// `EDEADLK` under its System V name.
    pub const EDEADLOCK: Errno = Errno::EDEADLK;
    /// `EOPNOTSUPP` under the name the C library gives it.
    pub const ENOTSUP: Errno = Errno::EOPNOTSUPP;

    /// The positive number.
    pub const fn number(self) -> u16 {
        self.0
    }

    /// The value that a system call returns for this error: its number, negated.
    pub const fn to_return(self) -> i64 {
        -(self.0 as i64)
    }

    /// Splits the return value of a system call into its result or its error.
    pub const fn from_return(value: i64) -> Result<u64, Errno> {
        if value < 0 && value >= -(MAX_ERRNO as i64) { Err(Errno(-value as u16)) } else { Ok(value as u64) }
    }
}

impl fmt::Display for Errno {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => formatter.write_str(name),
            None => write!(formatter, "errno {}", self.0),
        }
    }
}

impl fmt::Debug for Errno {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

impl core::error::Error for Errno {}

/// Makes the constants, `name` and `message` from one list.
///
/// `errors! { (EPERM, 1, "Operation not permitted"), }` expands to
/// `pub const EPERM: Errno = Errno(1);` and to the arm `1 => "EPERM"` in `name`, `1 => "Operation…"` in `message`.
macro_rules! errors {
    ($(($name:ident, $number:literal, $message:literal),)*) => {
        impl Errno {
            $(#[doc = $message] pub const $name: Errno = Errno($number);)*

            /// The symbolic name, for the numbers that Linux names.
            pub const fn name(self) -> Option<&'static str> {
                match self.0 {
                    $($number => Some(stringify!($name)),)*
                    _ => None,
                }
            }

            /// The sentence that programs print for this error.
            pub const fn message(self) -> &'static str {
                match self.0 {
                    $($number => $message,)*
                    _ => "Unknown error",
                }
            }

            /// Every named error, in the order of numbers.
            pub const ALL: &'static [Errno] = &[$(Errno($number),)*];
        }
    };
}

errors! {
    (EPERM, 1, "Operation not permitted"),
    (ENOENT, 2, "No such file or directory"),
    (ESRCH, 3, "No such process"),
    (EINTR, 4, "Interrupted system call"),
    (EIO, 5, "Input/output error"),
    (ENXIO, 6, "No such device or address"),
    (E2BIG, 7, "Argument list too long"),
    (ENOEXEC, 8, "Exec format error"),
    (EBADF, 9, "Bad file descriptor"),
    (ECHILD, 10, "No child processes"),
    (EAGAIN, 11, "Resource temporarily unavailable"),
    (ENOMEM, 12, "Cannot allocate memory"),
    (EACCES, 13, "Permission denied"),
    (EFAULT, 14, "Bad address"),
    (ENOTBLK, 15, "Block device required"),
    (EBUSY, 16, "Device or resource busy"),
    (EEXIST, 17, "File exists"),
    (EXDEV, 18, "Invalid cross-device link"),
    (ENODEV, 19, "No such device"),
    (ENOTDIR, 20, "Not a directory"),
    (EISDIR, 21, "Is a directory"),
    (EINVAL, 22, "Invalid argument"),
    (ENFILE, 23, "Too many open files in system"),
    (EMFILE, 24, "Too many open files"),
    (ENOTTY, 25, "Inappropriate ioctl for device"),
    (ETXTBSY, 26, "Text file busy"),
    (EFBIG, 27, "File too large"),
    (ENOSPC, 28, "No space left on device"),
    (ESPIPE, 29, "Illegal seek"),
    (EROFS, 30, "Read-only file system"),
    (EMLINK, 31, "Too many links"),
    (EPIPE, 32, "Broken pipe"),
    (EDOM, 33, "Numerical argument out of domain"),
    (ERANGE, 34, "Numerical result out of range"),
    (EDEADLK, 35, "Resource deadlock avoided"),
    (ENAMETOOLONG, 36, "File name too long"),
    (ENOLCK, 37, "No locks available"),
    (ENOSYS, 38, "Function not implemented"),
    (ENOTEMPTY, 39, "Directory not empty"),
    (ELOOP, 40, "Too many levels of symbolic links"),
    (ENOMSG, 42, "No message of desired type"),
    (EIDRM, 43, "Identifier removed"),
    (ECHRNG, 44, "Channel number out of range"),
    (EL2NSYNC, 45, "Level 2 not synchronized"),
    (EL3HLT, 46, "Level 3 halted"),
    (EL3RST, 47, "Level 3 reset"),
    (ELNRNG, 48, "Link number out of range"),
    (EUNATCH, 49, "Protocol driver not attached"),
    (ENOCSI, 50, "No CSI structure available"),
    (EL2HLT, 51, "Level 2 halted"),
    (EBADE, 52, "Invalid exchange"),
    (EBADR, 53, "Invalid request descriptor"),
    (EXFULL, 54, "Exchange full"),
    (ENOANO, 55, "No anode"),
    (EBADRQC, 56, "Invalid request code"),
    (EBADSLT, 57, "Invalid slot"),
    (EBFONT, 59, "Bad font file format"),
    (ENOSTR, 60, "Device not a stream"),
    (ENODATA, 61, "No data available"),
    (ETIME, 62, "Timer expired"),
    (ENOSR, 63, "Out of streams resources"),
    (ENONET, 64, "Machine is not on the network"),
    (ENOPKG, 65, "Package not installed"),
    (EREMOTE, 66, "Object is remote"),
    (ENOLINK, 67, "Link has been severed"),
    (EADV, 68, "Advertise error"),
    (ESRMNT, 69, "Srmount error"),
    (ECOMM, 70, "Communication error on send"),
    (EPROTO, 71, "Protocol error"),
    (EMULTIHOP, 72, "Multihop attempted"),
    (EDOTDOT, 73, "RFS specific error"),
    (EBADMSG, 74, "Bad message"),
    (EOVERFLOW, 75, "Value too large for defined data type"),
    (ENOTUNIQ, 76, "Name not unique on network"),
    (EBADFD, 77, "File descriptor in bad state"),
    (EREMCHG, 78, "Remote address changed"),
    (ELIBACC, 79, "Can not access a needed shared library"),
    (ELIBBAD, 80, "Accessing a corrupted shared library"),
    (ELIBSCN, 81, ".lib section in a.out corrupted"),
    (ELIBMAX, 82, "Attempting to link in too many shared libraries"),
    (ELIBEXEC, 83, "Cannot exec a shared library directly"),
    (EILSEQ, 84, "Invalid or incomplete multibyte or wide character"),
    (ERESTART, 85, "Interrupted system call should be restarted"),
    (ESTRPIPE, 86, "Streams pipe error"),
    (EUSERS, 87, "Too many users"),
    (ENOTSOCK, 88, "Socket operation on non-socket"),
    (EDESTADDRREQ, 89, "Destination address required"),
    (EMSGSIZE, 90, "Message too long"),
    (EPROTOTYPE, 91, "Protocol wrong type for socket"),
    (ENOPROTOOPT, 92, "Protocol not available"),
    (EPROTONOSUPPORT, 93, "Protocol not supported"),
    (ESOCKTNOSUPPORT, 94, "Socket type not supported"),
    (EOPNOTSUPP, 95, "Operation not supported"),
    (EPFNOSUPPORT, 96, "Protocol family not supported"),
    (EAFNOSUPPORT, 97, "Address family not supported by protocol"),
    (EADDRINUSE, 98, "Address already in use"),
    (EADDRNOTAVAIL, 99, "Cannot assign requested address"),
    (ENETDOWN, 100, "Network is down"),
    (ENETUNREACH, 101, "Network is unreachable"),
    (ENETRESET, 102, "Network dropped connection on reset"),
    (ECONNABORTED, 103, "Software caused connection abort"),
    (ECONNRESET, 104, "Connection reset by peer"),
    (ENOBUFS, 105, "No buffer space available"),
    (EISCONN, 106, "Transport endpoint is already connected"),
    (ENOTCONN, 107, "Transport endpoint is not connected"),
    (ESHUTDOWN, 108, "Cannot send after transport endpoint shutdown"),
    (ETOOMANYREFS, 109, "Too many references: cannot splice"),
    (ETIMEDOUT, 110, "Connection timed out"),
    (ECONNREFUSED, 111, "Connection refused"),
    (EHOSTDOWN, 112, "Host is down"),
    (EHOSTUNREACH, 113, "No route to host"),
    (EALREADY, 114, "Operation already in progress"),
    (EINPROGRESS, 115, "Operation now in progress"),
    (ESTALE, 116, "Stale file handle"),
    (EUCLEAN, 117, "Structure needs cleaning"),
    (ENOTNAM, 118, "Not a XENIX named type file"),
    (ENAVAIL, 119, "No XENIX semaphores available"),
    (EISNAM, 120, "Is a named type file"),
    (EREMOTEIO, 121, "Remote I/O error"),
    (EDQUOT, 122, "Disk quota exceeded"),
    (ENOMEDIUM, 123, "No medium found"),
    (EMEDIUMTYPE, 124, "Wrong medium type"),
    (ECANCELED, 125, "Operation canceled"),
    (ENOKEY, 126, "Required key not available"),
    (EKEYEXPIRED, 127, "Key has expired"),
    (EKEYREVOKED, 128, "Key has been revoked"),
    (EKEYREJECTED, 129, "Key was rejected by service"),
    (EOWNERDEAD, 130, "Owner died"),
    (ENOTRECOVERABLE, 131, "State not recoverable"),
    (ERFKILL, 132, "Operation not possible due to RF-kill"),
    (EHWPOISON, 133, "Memory page has hardware error"),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn returns_split_at_minus_4095() {
        assert_eq!(Errno::from_return(0), Ok(0));
        assert_eq!(Errno::from_return(-1), Err(Errno::EPERM));
        assert_eq!(Errno::from_return(-4095).unwrap_err().number(), MAX_ERRNO);
        assert_eq!(Errno::from_return(-4096), Ok(-4096i64 as u64));
        assert_eq!(Errno::EINVAL.to_return(), -22);
    }

    #[test]
    fn every_error_survives_the_return_register() {
        for &errno in Errno::ALL {
            assert_eq!(Errno::from_return(errno.to_return()), Err(errno));
        }
    }
}
