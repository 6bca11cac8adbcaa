//! Sockets, of which there are none yet.
//!
//! No family is supported, so `socket` says EAFNOSUPPORT, as Linux does where a family is left out: programs then do
//! without (sudo, bash, the C library's look-ups), where an absent call would end them. What takes a socket's
//! descriptor says EBADF or ENOTSOCK. Arguments are checked before that in Linux's order (`net/socket.c`).

use abi::Errno;
use abi::fs::{O_CLOEXEC, O_NONBLOCK};
use abi::time::Timespec;
use libkernel::addr::UserAddr;
use memory::user::{UserPtr, UserSlice};

use super::at::content_file;
use super::open::descriptor_limit;
use super::{Caller, Failure};
use crate::time::from_timespec;

/// One more than the highest family (`AF_MAX`).
const FAMILIES: u32 = 46;
/// The part of a type that is no flag (`SOCK_TYPE_MASK`).
const TYPE_MASK: u32 = 0xf;
/// One more than the highest type (`SOCK_MAX`).
const TYPES: u32 = 11;
/// Set by 32-bit callers only (`MSG_CMSG_COMPAT`).
const COMPAT: u32 = 0x8000_0000;
/// The longest address (`sizeof(struct sockaddr_storage)`).
const ADDRESS_SIZE: usize = 128;

/// EINVAL for flags that are not known; `SOCK_CLOEXEC` and `SOCK_NONBLOCK` are the open flags.
fn check_flags(flags: u32) -> Result<(), Errno> {
    if flags & !(O_CLOEXEC | O_NONBLOCK) == 0 { Ok(()) } else { Err(Errno::EINVAL) }
}

fn check_message_flags(flags: u32) -> Result<(), Errno> {
    if flags & COMPAT == 0 { Ok(()) } else { Err(Errno::EINVAL) }
}

/// What no family, or no type, says.
fn refuse(family: u32, kind: u32) -> Errno {
    if family < FAMILIES && kind & TYPE_MASK >= TYPES { Errno::EINVAL } else { Errno::EAFNOSUPPORT }
}

/// Any call whose first argument is a socket and that looks at it first: EBADF without a file that is open for its
/// content, else ENOTSOCK.
pub fn with_socket(caller: &mut Caller<'_>, fd: i32) -> Result<usize, Failure> {
    content_file(caller, fd)?;
    Err(Errno::ENOTSOCK.into())
}

/// `socket(family, type, protocol)`.
pub fn socket(_caller: &mut Caller<'_>, family: u32, kind: u32, _protocol: u32) -> Result<u32, Failure> {
    check_flags(kind & !TYPE_MASK)?;
    Err(refuse(family, kind).into())
}

/// `socketpair(family, type, protocol, descriptors)`: Linux reserves and tells the numbers first.
pub fn socketpair(
    caller: &mut Caller<'_>,
    family: u32,
    kind: u32,
    _protocol: u32,
    descriptors: UserAddr,
) -> Result<(), Failure> {
    check_flags(kind & !TYPE_MASK)?;
    let files = caller.thread.files();
    let limit = descriptor_limit(caller);
    let (first, second) = (files.reserve(0, limit)?, files.reserve(0, limit)?);
    UserPtr::new(descriptors).write(&[first.number(), second.number()])?;
    Err(refuse(family, kind).into())
}

/// `connect(fd, address, length)`: the address is read before the file is looked at.
pub fn connect(caller: &mut Caller<'_>, fd: i32, address: UserAddr, length: i32) -> Result<(), Failure> {
    let file = content_file(caller, fd)?;
    let length = usize::try_from(length).map_err(|_| Errno::EINVAL)?;
    if length > ADDRESS_SIZE {
        return Err(Errno::EINVAL.into());
    }
    let mut bytes = [0_u8; ADDRESS_SIZE];
    UserSlice::new(address, length).read_into(bytes.get_mut(..length).unwrap_or_default())?;
    drop(file);
    Err(Errno::ENOTSOCK.into())
}

/// `accept(fd, address, length)`.
pub fn accept(caller: &mut Caller<'_>, fd: i32) -> Result<u32, Failure> {
    accept4(caller, fd, UserAddr::new(0), UserAddr::new(0), 0)
}

/// `accept4(fd, address, length, flags)`: a new descriptor is reserved before the old one is looked at.
pub fn accept4(
    caller: &mut Caller<'_>,
    fd: i32,
    _address: UserAddr,
    _length: UserAddr,
    flags: u32,
) -> Result<u32, Failure> {
    content_file(caller, fd)?;
    check_flags(flags)?;
    caller.thread.files().reserve(0, descriptor_limit(caller))?;
    Err(Errno::ENOTSOCK.into())
}

/// `setsockopt(fd, level, name, value, length)`.
pub fn setsockopt(
    caller: &mut Caller<'_>,
    fd: i32,
    _level: u32,
    _name: u32,
    _value: UserAddr,
    length: i32,
) -> Result<usize, Failure> {
    if length < 0 {
        return Err(Errno::EINVAL.into());
    }
    with_socket(caller, fd)
}

/// `sendmsg(fd, message, flags)` and `recvmsg`.
pub fn message(caller: &mut Caller<'_>, fd: i32, _message: UserAddr, flags: u32) -> Result<usize, Failure> {
    check_message_flags(flags)?;
    with_socket(caller, fd)
}

/// `sendmmsg(fd, messages, count, flags)`.
pub fn sendmmsg(
    caller: &mut Caller<'_>,
    fd: i32,
    _messages: UserAddr,
    _count: u32,
    flags: u32,
) -> Result<usize, Failure> {
    check_message_flags(flags)?;
    with_socket(caller, fd)
}

/// `recvmmsg(fd, messages, count, flags, timeout)`.
pub fn recvmmsg(
    caller: &mut Caller<'_>,
    fd: i32,
    _messages: UserAddr,
    _count: u32,
    flags: u32,
    timeout: UserPtr<Timespec>,
) -> Result<usize, Failure> {
    check_message_flags(flags)?;
    if let Some(timeout) = timeout.optional() {
        from_timespec(&timeout.read()?)?;
    }
    with_socket(caller, fd)
}
