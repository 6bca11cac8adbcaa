//! Who asks: on whose behalf a thread acts, what bounds it, and the numbers by which it is known.
//!
//! Every floor decides by these, so they stand below all floors; who has them, the process and its threads, stands
//! above.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(test)]
extern crate std;

pub mod charges;
mod credentials;
mod limits;
mod pid;
mod user_namespace;
pub mod users;

pub use credentials::{Capabilities, Credentials, Identity, capability};
pub use limits::{INFINITY, Limit, Limits, MayRaise, OPEN_MAX, RESOURCES, Resource};
pub use pid::{Pid, PidNamespace};
pub use user_namespace::{AtomicId, GroupId, Id, OfGroup, OfUser, UserId, UserNamespace};
pub use users::User;
