//! Processor time told apart: how much of it a program spent in user mode, and how much the kernel for it.
//!
//! The sum is exact. The parts are not measured, which would cost every system call two looks at the clock: a tick of
//! busy CPUs samples where it met the thread, and the sum is divided as the samples are.

/// User and system time in nanoseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CpuTime {
    /// In user mode.
    pub user_ns: u64,
    /// In the kernel.
    pub system_ns: u64,
}

impl CpuTime {
    /// Both together.
    #[must_use]
    pub const fn total_ns(self) -> u64 {
        self.user_ns.saturating_add(self.system_ns)
    }

    /// The sum.
    #[must_use]
    pub const fn plus(self, other: Self) -> Self {
        Self {
            user_ns: self.user_ns.saturating_add(other.user_ns),
            system_ns: self.system_ns.saturating_add(other.system_ns),
        }
    }
}

/// The division that was last shown to anybody: no part of it ever shrinks.
#[derive(Debug, Default)]
pub struct Shown(CpuTime);

impl Shown {
    /// Nothing was shown yet.
    pub const fn new() -> Self {
        Self(CpuTime { user_ns: 0, system_ns: 0 })
    }

    /// This was shown last.
    pub const fn after(last: CpuTime) -> Self {
        Self(last)
    }

    /// Divides `total_ns` as the samples are, as far as that takes nothing back. Without samples all of it is user
    /// time, as on Linux.
    pub fn divide(&mut self, total_ns: u64, sampled: CpuTime) -> CpuTime {
        let total_ns = total_ns.max(self.0.total_ns());
        let part = u128::from(total_ns) * u128::from(sampled.system_ns);
        // At most `total_ns`, as a part of the samples is no more than all of them.
        let wanted = part.checked_div(u128::from(sampled.total_ns())).unwrap_or(0) as u64;
        let system_ns = wanted.clamp(self.0.system_ns, total_ns - self.0.user_ns);
        self.0 = CpuTime { user_ns: total_ns - system_ns, system_ns };
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const fn time(user_ns: u64, system_ns: u64) -> CpuTime {
        CpuTime { user_ns, system_ns }
    }

    #[test]
    fn time_is_divided_as_the_samples_are() {
        assert_eq!(Shown::new().divide(900, time(2, 1)), time(600, 300));
        assert_eq!(Shown::new().divide(900, time(0, 7)), time(0, 900));
        assert_eq!(Shown::new().divide(900, time(7, 0)), time(900, 0));
        assert_eq!(Shown::new().divide(900, time(0, 0)), time(900, 0));
        assert_eq!(Shown::new().divide(u64::MAX, time(1, 1)).total_ns(), u64::MAX);
    }

    #[test]
    fn what_was_shown_is_not_taken_back() {
        let mut shown = Shown::new();
        assert_eq!(shown.divide(1000, time(0, 0)), time(1000, 0));
        // The first sample was in the kernel: user time stays, and all that is new is system time until the shares are
        // right.
        assert_eq!(shown.divide(1100, time(0, 1100)), time(1000, 100));
        assert_eq!(shown.divide(4000, time(1000, 3000)), time(1000, 3000));
        // Even where the sum is said to have shrunk.
        assert_eq!(shown.divide(10, time(1, 1)), time(1000, 3000));
    }

    proptest! {
        #[test]
        fn parts_add_up_and_never_shrink(steps in prop::collection::vec((0u64..1 << 40, 0u64..1 << 40, 0u64..1 << 40), 1..40)) {
            let (mut shown, mut last, mut total, mut sampled) = (Shown::new(), time(0, 0), 0, time(0, 0));
            for (more, user, system) in steps {
                total += more;
                sampled = sampled.plus(time(user, system));
                let now = shown.divide(total, sampled);
                prop_assert_eq!(now.total_ns(), total);
                prop_assert!(now.user_ns >= last.user_ns && now.system_ns >= last.system_ns);
                last = now;
            }
        }
    }
}
