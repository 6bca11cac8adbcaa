//! Users and groups as the kernel knows them, and the numbers by which programs do.
//!
//! A [`UserId`] or [`GroupId`] is the kernel's own: what is compared, stored with files and charged. A number is on the
//! side of a namespace of users, and one gets from one to the other only by naming it: [`Id::number_in`] shows,
//! [`UserNamespace::user`] and [`UserNamespace::group`] take what a program gave. The number -1 is nobody's, whose ever
//! side it is on. The kernel's identifiers are the numbers of the initial namespace, so that there either way costs
//! nothing.

use alloc::sync::Arc;
use core::marker::PhantomData;
use core::sync::atomic::{AtomicU32, Ordering};

use hal::sync::Once;

use crate::users::Accounts;

/// What a user's identifier is of.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum OfUser {}

/// What a group's identifier is of.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum OfGroup {}

/// A user or a group, to the kernel.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Id<Kind>(u32, PhantomData<Kind>);

/// A user, to the kernel (Linux: `kuid_t`).
pub type UserId = Id<OfUser>;

/// A group, to the kernel (Linux: `kgid_t`).
pub type GroupId = Id<OfGroup>;

/// The number that is nobody's.
const NOBODY: u32 = u32::MAX;

impl<Kind> Id<Kind> {
    /// User and group of the superuser.
    pub const ROOT: Self = Id(0, PhantomData);

    /// The number that it has in a namespace, as programs there see it; `overflowuid` or `overflowgid` where it has
    /// none.
    #[inline(always)]
    pub const fn number_in(&self, _initial: &UserNamespace) -> u32 {
        self.0
    }

    fn of_number(number: u32) -> Option<Self> {
        (number != NOBODY).then_some(Id(number, PhantomData))
    }
}

/// An identifier that changes while others read it.
#[derive(Debug)]
pub struct AtomicId<Kind>(AtomicU32, PhantomData<Kind>);

impl<Kind> AtomicId<Kind> {
    /// Holds this one.
    pub const fn new(id: Id<Kind>) -> Self {
        AtomicId(AtomicU32::new(id.0), PhantomData)
    }

    /// The identifier. Nothing else is ordered by it.
    #[inline]
    pub fn load(&self) -> Id<Kind> {
        Id(self.0.load(Ordering::Relaxed), PhantomData)
    }

    /// Replaces it, in the same way.
    #[inline]
    pub fn store(&self, id: Id<Kind>) {
        self.0.store(id.0, Ordering::Relaxed);
    }
}

/// A namespace of users: who has which number there, and what is counted for each. There is the initial one, in which
/// everybody has one.
pub struct UserNamespace {
    pub(crate) accounts: Accounts,
    number: u64,
}

impl UserNamespace {
    /// The initial one.
    pub fn initial() -> &'static Arc<UserNamespace> {
        static INITIAL: Once<Arc<UserNamespace>> = Once::new();
        INITIAL.get_or_init(|| Arc::new(UserNamespace::new()))
    }

    pub(crate) const fn new() -> UserNamespace {
        /// Linux: `PROC_USER_INIT_INO`.
        const FIRST: u64 = 0xefff_fffd;
        UserNamespace { accounts: Accounts::new(), number: FIRST }
    }

    /// The inode number of its file: what programs tell namespaces apart by.
    pub const fn number(&self) -> u64 {
        self.number
    }

    /// Whom a program there means by a number; nobody by -1.
    #[inline]
    pub fn user(&self, number: u32) -> Option<UserId> {
        Id::of_number(number)
    }

    /// As [`UserNamespace::user`], of groups.
    #[inline]
    pub fn group(&self, number: u32) -> Option<GroupId> {
        Id::of_number(number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_name_users_and_see_them_again() {
        let initial = UserNamespace::initial();
        for number in [0, 1000, u32::MAX - 1] {
            assert_eq!(initial.user(number).map(|user| user.number_in(initial)), Some(number));
            assert_eq!(initial.group(number).map(|group| group.number_in(initial)), Some(number));
        }
        assert_eq!((initial.user(u32::MAX), initial.group(u32::MAX)), (None, None));
    }
}
