//! What a process keeps for those who write it into `/proc/PID`: the kernel itself makes no use of it, but for the
//! filter of dumps.
//!
//! No process is chosen to die when memory ends (who asks for more is refused, or dies of its own fault), and there is
//! no audit. Children inherit all of it.

use core::sync::atomic::{AtomicI32, AtomicU32, Ordering};

use abi::Errno;
use hal::sync::SpinLock;
use subject::UserId;

/// The values of one process.
pub struct Kept {
    oom_adjustment: AtomicI32,
    /// What the adjustment may not go below without privilege.
    least_oom_adjustment: AtomicI32,
    dump_filter: AtomicU32,
    login_user: SpinLock<Option<UserId>>,
    login_session: AtomicU32,
}

/// What is shown as user and session of who has not logged in (Linux: `AUDIT_UID_UNSET`, `AUDIT_SID_UNSET`).
pub const NOBODY: u32 = u32::MAX;

/// Anonymous memory and ELF headers (Linux: `MMF_DUMP_FILTER_DEFAULT`), and the bits there are.
const DUMP_FILTER: u32 = 0x33;
const DUMP_FILTER_BITS: u32 = 0x1ff;

static LAST_SESSION: AtomicU32 = AtomicU32::new(0);

impl Kept {
    /// What the first process starts with.
    pub fn initial() -> Kept {
        Kept {
            oom_adjustment: AtomicI32::new(0),
            least_oom_adjustment: AtomicI32::new(0),
            dump_filter: AtomicU32::new(DUMP_FILTER),
            login_user: SpinLock::new(None),
            login_session: AtomicU32::new(NOBODY),
        }
    }

    /// The values of a child.
    pub fn duplicate(&self) -> Kept {
        Kept {
            oom_adjustment: AtomicI32::new(self.oom_adjustment()),
            least_oom_adjustment: AtomicI32::new(self.least_oom_adjustment.load(Ordering::Relaxed)),
            dump_filter: AtomicU32::new(self.dump_filter()),
            login_user: SpinLock::new(self.login_user()),
            login_session: AtomicU32::new(self.login_session()),
        }
    }

    /// `oom_score_adj`.
    pub fn oom_adjustment(&self) -> i32 {
        self.oom_adjustment.load(Ordering::Relaxed)
    }

    /// Sets it. EINVAL beyond 1000 either way; EACCES if it sinks below what a privileged process last set.
    pub fn set_oom_adjustment(&self, value: i32, is_privileged: bool) -> Result<(), Errno> {
        if !(-1000..=1000).contains(&value) {
            return Err(Errno::EINVAL);
        }
        if is_privileged {
            self.least_oom_adjustment.store(value, Ordering::Relaxed);
        } else if value < self.least_oom_adjustment.load(Ordering::Relaxed) {
            return Err(Errno::EACCES);
        }
        self.oom_adjustment.store(value, Ordering::Relaxed);
        Ok(())
    }

    /// Sets it through `oom_adj`, which leaves what it may not go below.
    pub fn set_oom_adjustment_the_old_way(&self, value: i32) {
        self.oom_adjustment.store(value, Ordering::Relaxed);
    }

    /// `coredump_filter`: `MMF_DUMP_*` of `abi::core_dump`.
    pub fn dump_filter(&self) -> u32 {
        self.dump_filter.load(Ordering::Relaxed)
    }

    /// Sets it; bits that mean nothing are dropped.
    pub fn set_dump_filter(&self, filter: u32) {
        self.dump_filter.store(filter & DUMP_FILTER_BITS, Ordering::Relaxed);
    }

    /// `loginuid`; nobody before a login.
    pub fn login_user(&self) -> Option<UserId> {
        *self.login_user.lock()
    }

    /// `sessionid`; [`NOBODY`] before a login.
    pub fn login_session(&self) -> u32 {
        self.login_session.load(Ordering::Relaxed)
    }

    /// Somebody has logged in, which begins a session; or nobody.
    pub fn log_in(&self, user: Option<UserId>) {
        let session = if user.is_none() { NOBODY } else { next_session(&LAST_SESSION) };
        *self.login_user.lock() = user;
        self.login_session.store(session, Ordering::Relaxed);
    }
}

/// The number of a session. After the last one the first comes again, and none is [`NOBODY`] (Linux:
/// `audit_set_loginuid`).
fn next_session(last: &AtomicU32) -> u32 {
    loop {
        let session = last.fetch_add(1, Ordering::Relaxed).wrapping_add(1);
        if session != NOBODY {
            return session;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_session_has_the_number_of_nobody() {
        let last = AtomicU32::new(NOBODY - 2);
        assert_eq!([(); 3].map(|()| next_session(&last)), [NOBODY - 1, 0, 1]);
    }
}
