//! How many threads each user has, for `RLIMIT_NPROC`.
//!
//! Root is not limited and not counted: most threads cost nothing here.

use alloc::collections::BTreeMap;

use abi::Errno;
use hal::sync::SpinLock;

use super::{Credentials, Limits, Resource, capability};

static USERS: SpinLock<BTreeMap<u32, u64>> = SpinLock::new(BTreeMap::new());

const ROOT: u32 = 0;

/// EAGAIN if a user with these credentials and limits may not have another thread.
pub(super) fn check(credentials: &Credentials, limits: &Limits) -> Result<(), Errno> {
    let user = credentials.user.real;
    let exempt = user == ROOT
        || credentials.has_capability(capability::SYS_RESOURCE)
        || credentials.has_capability(capability::SYS_ADMIN);
    if exempt || count(user) < limits.soft(Resource::Processes) { Ok(()) } else { Err(Errno::EAGAIN) }
}

fn count(user: u32) -> u64 {
    USERS.lock().get(&user).copied().unwrap_or(0)
}

/// Counts a thread of this user.
#[inline]
pub(super) fn join(user: u32) {
    if user != ROOT {
        count_in(user);
    }
}

/// A thread of this user is gone, or somebody else's now.
#[inline]
pub(super) fn leave(user: u32) {
    if user != ROOT {
        count_out(user);
    }
}

#[cold]
fn count_in(user: u32) {
    *USERS.lock().entry(user).or_insert(0) += 1;
}

#[cold]
fn count_out(user: u32) {
    let mut users = USERS.lock();
    if let Some(count) = users.get_mut(&user) {
        *count -= 1;
        if *count == 0 {
            users.remove(&user);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_are_counted_and_root_is_not() {
        join(77_001);
        join(77_001);
        join(ROOT);
        assert_eq!((count(77_001), count(ROOT)), (2, 0));
        leave(77_001);
        leave(77_001);
        leave(ROOT);
        assert_eq!(count(77_001), 0);
    }
}
