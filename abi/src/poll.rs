//! Readiness: `poll`, `select`, `epoll`. Source: Linux 6.1, `include/uapi/asm-generic/poll.h`, `linux/eventpoll.h`.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

pub use crate::native::poll::EpollEvent;

/// One entry of `poll`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct Pollfd {
    /// Descriptor; negative ones are skipped.
    pub fd: i32,
    /// Events asked for.
    pub events: u16,
    /// Events that are there.
    pub revents: u16,
}

constants! { u16:
    POLLIN = 0x0001, "can be read";
    POLLPRI = 0x0002, "urgent data";
    POLLOUT = 0x0004, "can be written";
    POLLERR = 0x0008, "error; always reported";
    POLLHUP = 0x0010, "other end closed; always reported";
    POLLNVAL = 0x0020, "not an open descriptor; always reported";
    POLLRDNORM = 0x0040, "as POLLIN";
    POLLRDBAND = 0x0080, "priority data can be read";
    POLLWRNORM = 0x0100, "as POLLOUT";
    POLLWRBAND = 0x0200, "priority data can be written";
    POLLMSG = 0x0400, "unused";
    POLLREMOVE = 0x1000, "unused";
    POLLRDHUP = 0x2000, "the peer will write no more";
}

constants! { u32:
    EPOLL_CTL_ADD = 1, "watch a descriptor";
    EPOLL_CTL_DEL = 2, "stop watching";
    EPOLL_CTL_MOD = 3, "change what is watched";
    EPOLL_CLOEXEC = 0o2_000_000, "close on execve";
    EPOLLEXCLUSIVE = 1 << 28, "wake one waiter";
    EPOLLWAKEUP = 1 << 29, "keep the machine awake";
    EPOLLONESHOT = 1 << 30, "one event, then disarmed";
    EPOLLET = 1 << 31, "only changes";
    EFD_SEMAPHORE = 1, "eventfd: reads take one";
    EFD_CLOEXEC = 0o2_000_000, "eventfd: close on execve";
    EFD_NONBLOCK = 0o4000, "eventfd: do not block";
    FD_SETSIZE = 1024, "descriptors in a C library's fd_set";
}

/// The sixth argument of `pselect6`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct PselectSigmask {
    /// Address of the mask, or 0.
    pub sigmask: u64,
    /// Its size, 8.
    pub sigset_size: u64,
}
