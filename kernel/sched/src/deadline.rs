//! When a wait gives up, and how far the wall clock is ahead of the monotonic one.
//!
//! A deadline on the wall clock stays one: whoever looks whether it has come looks at the wall clock as it stands then.
//! Who sets that clock stores the offset first and then lets every CPU look again at what its timer is armed for
//! ([`super::timer::clocks_changed`]).

use core::sync::atomic::{AtomicU64, Ordering};

use libkernel::timeouts::Base;

/// Nanoseconds since 1970 at the monotonic clock's zero.
static WALL_OFFSET_NS: AtomicU64 = AtomicU64::new(0);

/// Nanoseconds from 1970 to the monotonic clock's zero.
#[inline]
pub fn wall_offset_ns() -> u64 {
    WALL_OFFSET_NS.load(Ordering::Relaxed)
}

/// Nanoseconds since 1970.
pub fn wall_clock_ns() -> u64 {
    wall_offset_ns().wrapping_add(hal::time::now_ns())
}

/// Sets the wall clock. Whoever does lets all CPUs look at their timers afterwards.
pub fn set_wall_offset(offset_ns: u64) {
    WALL_OFFSET_NS.store(offset_ns, Ordering::SeqCst);
}

/// When a wait gives up: a point of the monotonic or of the wall clock in nanoseconds, or never.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deadline(Option<(Base, u64)>);

impl Deadline {
    /// Waits for ever.
    pub const NEVER: Deadline = Deadline(None);

    /// Gives up at this time of the monotonic clock.
    pub const fn at(monotonic_ns: u64) -> Deadline {
        Deadline(Some((Base::Monotonic, monotonic_ns)))
    }

    /// Gives up when the wall clock shows this time, whoever sets it meanwhile.
    pub const fn at_wall(wall_ns: u64) -> Deadline {
        Deadline(Some((Base::Wall, wall_ns)))
    }

    /// Gives up when `ns` nanoseconds have passed.
    pub fn after(ns: u64) -> Deadline {
        Deadline::at(hal::time::now_ns().saturating_add(ns))
    }

    /// The point in time, and of what.
    #[inline]
    pub(super) const fn point(self) -> Option<(Base, u64)> {
        self.0
    }

    /// The time that is left, in nanoseconds, as the clocks stand.
    pub fn left_ns(self) -> Option<u64> {
        let now = hal::time::now_ns();
        self.0.map(|(base, deadline)| deadline.saturating_sub(base_now(base, now)))
    }

    /// Whether it has come.
    #[inline]
    pub fn has_passed(self) -> bool {
        self.0.is_some_and(|(base, deadline)| base_now(base, hal::time::now_ns()) >= deadline)
    }
}

/// What a clock shows when the monotonic one shows `now_ns`.
fn base_now(base: Base, now_ns: u64) -> u64 {
    match base {
        Base::Monotonic => now_ns,
        Base::Wall => now_ns.saturating_add(wall_offset_ns()),
    }
}
