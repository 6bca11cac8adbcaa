//! The epoll event of x86_64, which is packed. Source: Linux 6.1, `include/uapi/linux/eventpoll.h`.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// An event of `epoll_wait`.
#[repr(C, packed)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct EpollEvent {
    /// `EPOLL*` and `POLL*`.
    pub events: u32,
    /// The program's own.
    pub data: u64,
}

impl EpollEvent {
    /// An event with the program's own word.
    pub const fn new(events: u32, data: u64) -> EpollEvent {
        EpollEvent { events, data }
    }
}
