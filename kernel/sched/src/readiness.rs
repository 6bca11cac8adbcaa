//! What files are ready for, under poll's names.

use abi::poll::{POLLIN, POLLNVAL, POLLOUT, POLLRDNORM, POLLWRNORM};

use super::wait::PollEvents;

impl PollEvents {
    /// A file that never blocks.
    pub const ALWAYS_READY: PollEvents = PollEvents((POLLIN | POLLOUT | POLLRDNORM | POLLWRNORM) as u32);
    /// Readable, under both of its names.
    pub const READABLE: PollEvents = PollEvents((POLLIN | POLLRDNORM) as u32);
    /// Writable, under both of its names.
    pub const WRITABLE: PollEvents = PollEvents((POLLOUT | POLLWRNORM) as u32);
    /// Not an open file.
    pub const INVALID: PollEvents = PollEvents(POLLNVAL as u32);

    /// These events if the condition holds.
    #[must_use]
    pub fn when(self, condition: bool) -> PollEvents {
        if condition { self } else { PollEvents::NONE }
    }
}
