//! Sockets: what is refused, and in which order.
#![no_std]
#![no_main]

extern crate alloc;

use abi::Errno;
use abi::fs::{O_CLOEXEC, O_NONBLOCK, O_PATH};
use abi::native::nr;
use abi::resource::{RLIMIT_NOFILE, Rlimit};
use conformance::{Outcome, check_eq, raw};
use libsyscall::file::{open, pipe2};
use libsyscall::process::prlimit64;

conformance::tests!(&[
    ("families_and_types", families_and_types),
    ("pairs_take_numbers_first", pairs_take_numbers_first),
    ("what_is_no_socket", what_is_no_socket),
    ("arguments_before_files", arguments_before_files),
]);

/// One more than the highest family, and than the highest type.
const AF_MAX: u64 = 46;
const SOCK_MAX: u64 = 11;
/// DECnet, which Linux 6.1 has no longer.
const AF_DECNET: u64 = 12;
const SOCK_STREAM: u64 = 1;

fn families_and_types() -> Outcome {
    let socket = |family, kind| raw::call(nr::socket, &[family, kind, 0]);
    check_eq!(socket(AF_DECNET, SOCK_STREAM), Err(Errno::EAFNOSUPPORT));
    check_eq!(socket(AF_MAX, SOCK_STREAM), Err(Errno::EAFNOSUPPORT));
    check_eq!(socket(u64::MAX, SOCK_STREAM), Err(Errno::EAFNOSUPPORT));
    check_eq!(socket(AF_MAX, SOCK_MAX), Err(Errno::EAFNOSUPPORT));
    check_eq!(socket(AF_DECNET, SOCK_MAX), Err(Errno::EINVAL));
    let flags = u64::from(O_CLOEXEC | O_NONBLOCK);
    check_eq!(socket(AF_DECNET, SOCK_STREAM | flags), Err(Errno::EAFNOSUPPORT));
    check_eq!(socket(AF_DECNET, SOCK_STREAM | 0x10), Err(Errno::EINVAL));
    check_eq!(socket(AF_MAX, SOCK_STREAM | 1 << 31), Err(Errno::EINVAL));
    Ok(())
}

fn pairs_take_numbers_first() -> Outcome {
    let mut numbers = [0u32; 2];
    let pair =
        |family, kind, numbers: *mut u32| raw::call(nr::socketpair, &[family, kind, 0, numbers as u64]);
    check_eq!(pair(AF_DECNET, SOCK_STREAM | 0x10, core::ptr::null_mut()), Err(Errno::EINVAL));
    check_eq!(pair(AF_DECNET, SOCK_STREAM, core::ptr::null_mut()), Err(Errno::EFAULT));
    check_eq!(pair(AF_DECNET, SOCK_STREAM, numbers.as_mut_ptr()), Err(Errno::EAFNOSUPPORT));
    let (next, _) = pipe2(0)?;
    prlimit64(0, RLIMIT_NOFILE, Some(&Rlimit { rlim_cur: next as u64, rlim_max: 1024 }))?;
    check_eq!(pair(AF_DECNET, SOCK_STREAM, core::ptr::null_mut()), Err(Errno::EMFILE));
    Ok(())
}

const CALLS: &[u64] = &[
    nr::bind,
    nr::listen,
    nr::accept,
    nr::accept4,
    nr::connect,
    nr::getsockname,
    nr::getpeername,
    nr::sendto,
    nr::recvfrom,
    nr::setsockopt,
    nr::getsockopt,
    nr::shutdown,
    nr::sendmsg,
    nr::recvmsg,
    nr::sendmmsg,
    nr::recvmmsg,
];

fn what_is_no_socket() -> Outcome {
    let (reader, _) = pipe2(0)?;
    let place = open(c"/", O_PATH, 0)?;
    for &call in CALLS {
        let answer = |fd: u64| (call, raw::call(call, &[fd]));
        check_eq!(answer(reader as u64), (call, Err(Errno::ENOTSOCK)));
        check_eq!(answer(place as u64), (call, Err(Errno::EBADF)));
        check_eq!(answer(1000), (call, Err(Errno::EBADF)));
        check_eq!(answer(u64::MAX), (call, Err(Errno::EBADF)));
    }
    Ok(())
}

fn arguments_before_files() -> Outcome {
    let (reader, _) = pipe2(0)?;
    let fd = reader as u64;
    let (nobody, bad) = (1000, 8);
    check_eq!(raw::call(nr::accept4, &[nobody, 0, 0, 1]), Err(Errno::EBADF));
    check_eq!(raw::call(nr::accept4, &[fd, 0, 0, 1]), Err(Errno::EINVAL));
    check_eq!(raw::call(nr::setsockopt, &[nobody, 1, 1, 0, u64::MAX]), Err(Errno::EINVAL));
    check_eq!(raw::call(nr::connect, &[fd, bad, 16]), Err(Errno::EFAULT));
    check_eq!(raw::call(nr::connect, &[fd, bad, 129]), Err(Errno::EINVAL));
    check_eq!(raw::call(nr::connect, &[fd, bad, u64::MAX]), Err(Errno::EINVAL));
    check_eq!(raw::call(nr::connect, &[nobody, bad, 129]), Err(Errno::EBADF));
    check_eq!(raw::call(nr::sendmsg, &[nobody, bad, 0x8000_0000]), Err(Errno::EINVAL));
    check_eq!(raw::call(nr::recvmmsg, &[nobody, bad, 1, 0x8000_0000, 0]), Err(Errno::EINVAL));
    check_eq!(raw::call(nr::recvmmsg, &[nobody, bad, 1, 0, bad]), Err(Errno::EFAULT));
    let absurd = [0u64, 1_000_000_000];
    check_eq!(raw::call(nr::recvmmsg, &[nobody, bad, 1, 0, absurd.as_ptr() as u64]), Err(Errno::EINVAL));
    Ok(())
}
