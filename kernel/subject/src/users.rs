//! Users: what is counted for all processes of one real user together.
//!
//! In each namespace of users there is one [`User`] for each that any credentials have as their real user. Credentials
//! hold it, and so does what was charged to it: who becomes another leaves its signals, timers and pipes with the one
//! it was, as on Linux, and each is given back to whom it was charged. Whom nobody holds any more is forgotten when
//! others come.
//!
//! Lock order: that of [`Accounts`] sleeps, and nothing is taken under it. Counts are atomic.

use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use core::sync::atomic::{AtomicU64, Ordering};

use sched::Mutex;

use crate::{Limits, Resource, UserId, UserNamespace};

/// Up to how many users nobody looks for those that are gone.
const FEW: usize = 16;

/// The users of a namespace.
pub(crate) struct Accounts(Mutex<Users>);

/// The users that there are, and some that were.
struct Users {
    by_id: BTreeMap<UserId, Arc<User>>,
    /// With so many, those that are gone are looked for.
    most: usize,
}

/// What one user has.
#[derive(Debug)]
pub struct User {
    id: UserId,
    threads: AtomicU64,
    /// Queued signals, and timers.
    signals: AtomicU64,
    /// Slots of pipes.
    pipe_slots: AtomicU64,
}

impl Users {
    /// Keeps those that somebody has. Each user that comes pays for two that are looked at.
    fn forget_gone(&mut self) {
        if self.by_id.len() >= self.most {
            // Others get a reference from here alone, or from one that they have.
            self.by_id.retain(|_, user| Arc::strong_count(user) > 1);
            self.most = (2 * self.by_id.len()).max(FEW);
        }
    }
}

impl Accounts {
    pub(crate) const fn new() -> Accounts {
        Accounts(Mutex::new(Users { by_id: BTreeMap::new(), most: FEW }))
    }

    fn of(&self, id: UserId) -> Arc<User> {
        let mut users = self.0.lock();
        if let Some(user) = users.by_id.get(&id) {
            return user.clone();
        }
        users.forget_gone();
        let user = Arc::new(User::new(id));
        users.by_id.insert(id, user.clone());
        user
    }
}

impl User {
    /// What is counted for a user in a namespace.
    pub fn find(namespace: &UserNamespace, id: UserId) -> Arc<User> {
        namespace.accounts.of(id)
    }

    const fn new(id: UserId) -> User {
        let [threads, signals, pipe_slots] = [const { AtomicU64::new(0) }; 3];
        User { id, threads, signals, pipe_slots }
    }

    fn is_root(&self) -> bool {
        self.id == UserId::ROOT
    }

    /// How many signals and timers are charged to the user.
    pub fn signals(&self) -> u64 {
        self.signals.load(Ordering::Relaxed)
    }

    /// The slots of pipes that the user has. Root's are not counted: nothing limits them.
    pub fn pipe_slots(&self) -> Option<&AtomicU64> {
        (!self.is_root()).then_some(&self.pipe_slots)
    }

    /// Counts a thread of this user. Root is not limited and not counted: most threads cost nothing here.
    #[inline]
    pub fn join(&self) {
        if !self.is_root() {
            self.threads.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// A thread of this user is gone, or somebody else's now.
    #[inline]
    pub fn leave(&self) {
        if !self.is_root() {
            self.threads.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// Whether the user has fewer threads than `RLIMIT_NPROC` allows; root may.
    pub(crate) fn may_have_another_thread(&self, limits: &Limits) -> bool {
        self.is_root() || self.threads.load(Ordering::Relaxed) < limits.soft(Resource::Processes)
    }

    /// Whether the user has more threads than `RLIMIT_NPROC` allows; root may.
    pub fn has_too_many_threads(&self, limits: &Limits) -> bool {
        !self.is_root() && self.threads.load(Ordering::Relaxed) > limits.soft(Resource::Processes)
    }
}

/// A signal or a timer that is charged to a user; dropped, it is so no more.
#[derive(Debug)]
pub struct SignalCharge(Arc<User>);

impl SignalCharge {
    /// Charges one to a user that may have `limit`.
    #[inline]
    pub fn take(user: &Arc<User>, limit: u64) -> Option<SignalCharge> {
        if user.signals.fetch_add(1, Ordering::Relaxed) >= limit {
            user.signals.fetch_sub(1, Ordering::Relaxed);
            return None;
        }
        Some(SignalCharge(user.clone()))
    }
}

impl Drop for SignalCharge {
    #[inline]
    fn drop(&mut self) {
        self.0.signals.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find(namespace: &UserNamespace, number: u32) -> Arc<User> {
        User::find(namespace, namespace.user(number).expect("a user"))
    }

    #[test]
    fn users_are_counted_and_root_is_not() {
        let namespace = &UserNamespace::new();
        let (user, root) = (find(namespace, 77_001), User::find(namespace, UserId::ROOT));
        user.join();
        find(namespace, 77_001).join();
        root.join();
        let counts = || (user.threads.load(Ordering::Relaxed), root.threads.load(Ordering::Relaxed));
        assert_eq!(counts(), (2, 0));
        user.leave();
        user.leave();
        root.leave();
        assert_eq!(counts(), (0, 0));
    }

    #[test]
    fn what_is_charged_is_given_back_to_the_same_user() {
        let namespace = &UserNamespace::new();
        let charges: Option<[SignalCharge; 2]> = {
            let user = find(namespace, 77_002);
            let take = || SignalCharge::take(&user, 2);
            let both = take().zip(take()).map(|(one, other)| [one, other]);
            assert!(take().is_none());
            both
        };
        // Nobody has the user but its charges.
        (0..100).for_each(|number| drop(find(namespace, 78_000 + number)));
        assert_eq!(find(namespace, 77_002).signals(), 2);
        drop(charges);
        assert_eq!(find(namespace, 77_002).signals(), 0);
    }

    #[test]
    fn users_that_are_gone_are_forgotten() {
        let namespace = &UserNamespace::new();
        (0..1000).for_each(|number| drop(find(namespace, 100_000 + number)));
        assert!(namespace.accounts.0.lock().by_id.len() < 200);
    }
}
