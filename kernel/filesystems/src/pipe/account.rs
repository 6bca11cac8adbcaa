//! How many pages each user's pipes may hold, and the limits of that: pipe(7), `/proc/sys/fs/pipe-*`.
//!
//! What is counted are the slots that pipes have, used or not. Root's are not counted: who has its rights is not
//! limited.

use alloc::sync::Arc;
use core::sync::atomic::{AtomicU64, Ordering};

use subject::{Credentials, User, capability};

/// The slots that a pipe starts with (Linux: `PIPE_DEF_BUFFERS`).
pub const DEFAULT_SLOTS: usize = 16;

/// The slots that a pipe starts with when its user has many already (Linux: `PIPE_MIN_DEF_BUFFERS`).
const FEW_SLOTS: usize = 2;

/// `pipe-max-size`: the bytes up to which everyone may enlarge a pipe.
pub static MAX_SIZE: AtomicU64 = AtomicU64::new(1 << 20);

/// `pipe-user-pages-soft`: a user's pages beyond which its new pipes are small. 0 is no limit.
pub static USER_PAGES_SOFT: AtomicU64 = AtomicU64::new(16 * 1024);

/// `pipe-user-pages-hard`: a user's pages beyond which it gets no more. 0 is no limit.
pub static USER_PAGES_HARD: AtomicU64 = AtomicU64::new(0);

/// Slots that are counted as a user's; dropped, they are so no more.
pub(super) struct Slots {
    user: Arc<User>,
    count: usize,
}

impl Drop for Slots {
    fn drop(&mut self) {
        change(&self.user, self.count, 0);
    }
}

/// The user has `new` slots in place of `old` ones; how many it has now in all.
fn change(user: &User, old: usize, new: usize) -> u64 {
    let Some(slots) = user.pipe_slots() else { return 0 };
    // What is taken away was added before, so the sum is never below zero.
    let difference = (new as u64).wrapping_sub(old as u64);
    slots.fetch_add(difference, Ordering::Relaxed).wrapping_add(difference)
}

fn exceeds(pages: u64, limit: &AtomicU64) -> bool {
    let limit = limit.load(Ordering::Relaxed);
    limit != 0 && pages > limit
}

fn is_limited(credentials: &Credentials) -> bool {
    !credentials.has_capability(capability::SYS_RESOURCE)
        && !credentials.has_capability(capability::SYS_ADMIN)
}

impl Slots {
    /// The slots of a new pipe; none beyond the hard limit.
    pub(super) fn for_new_pipe(credentials: &Credentials) -> Option<Slots> {
        let user = &credentials.charged;
        let mut count = DEFAULT_SLOTS;
        let most = (MAX_SIZE.load(Ordering::Relaxed) / super::PAGE as u64) as usize;
        if count > most && !credentials.has_capability(capability::SYS_RESOURCE) {
            count = most;
        }
        let mut pages = change(user, 0, count);
        if exceeds(pages, &USER_PAGES_SOFT) && is_limited(credentials) {
            pages = change(user, count, FEW_SLOTS);
            count = FEW_SLOTS;
        }
        let slots = Slots { user: user.clone(), count };
        if exceeds(pages, &USER_PAGES_HARD) && is_limited(credentials) { None } else { Some(slots) }
    }

    pub(super) fn count(&self) -> usize {
        self.count
    }

    /// Whether a pipe of so many slots in place of these could be had.
    pub(super) fn may_become(&self, count: usize, credentials: &Credentials) -> bool {
        if count <= self.count {
            return true;
        }
        let size = count as u64 * super::PAGE as u64;
        if size > MAX_SIZE.load(Ordering::Relaxed) && !credentials.has_capability(capability::SYS_RESOURCE) {
            return false;
        }
        let pages = change(&self.user, self.count, count);
        change(&self.user, count, self.count);
        let exceeds = exceeds(pages, &USER_PAGES_HARD) || exceeds(pages, &USER_PAGES_SOFT);
        !(exceeds && is_limited(credentials))
    }

    pub(super) fn set_count(&mut self, count: usize) {
        change(&self.user, self.count, count);
        self.count = count;
    }
}
