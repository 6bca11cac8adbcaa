//! Threads, processes, groups and sessions as the kernel knows them, and the numbers by which programs do.
//!
//! A [`Pid`] is the kernel's own: a key of its tables, the same whoever looks. A number is on the side of a namespace,
//! and one gets from one to the other only by naming it: [`Pid::number_in`] shows, [`PidNamespace::find`] takes what a
//! program gave. The kernel's numbers are those of the initial namespace, so that there either way costs nothing.

use alloc::sync::Arc;
use core::fmt;
use core::sync::atomic::{AtomicU32, Ordering};

/// A thread, a process, a process group or a session; all four share one space of numbers.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Pid(u32);

impl Pid {
    /// Nobody: the parent of init, the process of a kernel task.
    pub const NOBODY: Pid = Pid(0);
    /// The first process.
    pub const INIT: Pid = Pid(1);

    /// What has this [`Pid::kernel_number`].
    pub const fn of_kernel_number(number: u32) -> Pid {
        Pid(number)
    }

    /// The kernel's own number: for its log, and where a value has to be a plain word. No program may see it.
    pub const fn kernel_number(self) -> u32 {
        self.0
    }

    /// The number that it has in a namespace, as programs there see it; 0 where it has none.
    #[inline(always)]
    pub const fn number_in(self, _initial: &PidNamespace) -> u32 {
        self.0
    }

    /// As [`Pid::number_in`], as the signed type of most system calls.
    #[inline(always)]
    pub const fn signed_in(self, namespace: &PidNamespace) -> i32 {
        self.number_in(namespace).cast_signed()
    }
}

/// For the kernel's log.
impl fmt::Debug for Pid {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

/// A namespace of processes: who has which number there. There is the initial one, in which everything has one.
#[derive(Debug)]
pub struct PidNamespace {
    /// Its first process, which adopts orphans.
    first: Pid,
    /// The inode number of its file.
    number: u64,
    /// The number that was given last; changed by who has the process table locked.
    last: AtomicU32,
}

impl PidNamespace {
    /// The initial one, to be made once, at boot.
    pub fn initial() -> Arc<PidNamespace> {
        /// Linux: `PROC_PID_INIT_INO`.
        const FIRST: u64 = 0xefff_fffc;
        Arc::new(PidNamespace { first: Pid::INIT, number: FIRST, last: AtomicU32::new(0) })
    }

    /// What a program there means by a positive number. Whether anything has it is for the process table to say.
    #[inline(always)]
    pub fn find(&self, number: i32) -> Option<Pid> {
        u32::try_from(number).ok().filter(|&number| number > 0).map(Pid)
    }

    /// Where, in the kernel's order, those begin whose numbers there are not below this one.
    pub const fn at_least(&self, number: u32) -> Pid {
        Pid(number)
    }

    /// The number that was given last to who was made in it, but for those that were asked for.
    pub fn last(&self) -> u32 {
        self.last.load(Ordering::Relaxed)
    }

    /// Notes that a number has been given, for who has the process table locked.
    pub fn set_last(&self, number: u32) {
        self.last.store(number, Ordering::Relaxed);
    }

    /// The inode number of its file: what programs tell namespaces apart by.
    pub const fn number(&self) -> u64 {
        self.number
    }

    /// Its first process, which adopts orphans.
    pub const fn first(&self) -> Pid {
        self.first
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_name_positive_numbers_and_see_them_again() {
        let initial = &PidNamespace::initial();
        for number in [1, 300, i32::MAX] {
            assert_eq!(initial.find(number).map(|pid| pid.signed_in(initial)), Some(number));
        }
        assert!([0, -1, i32::MIN].iter().all(|&number| initial.find(number).is_none()));
        assert_eq!(Pid::NOBODY.number_in(initial), 0);
    }
}
