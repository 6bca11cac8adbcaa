//! The comparison of two CPUs' clocks.
//!
//! Each shows its clock to the other over and over, and looks at the other's before it reads its own: an earlier time
//! is one that ran backwards between the two. A difference below the time that this takes goes unseen, and no program
//! sees it either, for it hands times over no faster. Neither waits for the other, which a busy host may not run for a
//! while.
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// How often the CPU that starts looks.
pub(super) const LOOKS: u32 = 64;

/// Who shows.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    /// The boot CPU.
    Boot = 0,
    /// The CPU that starts.
    Other = 1,
}

/// What the two show each other.
pub(super) struct Clocks {
    shown_ns: [AtomicU64; 2],
    differ: AtomicBool,
}

impl Clocks {
    pub(super) const fn new() -> Self {
        Self { shown_ns: [const { AtomicU64::new(0) }; 2], differ: AtomicBool::new(false) }
    }

    /// Looks at the other side's clock, and shows that of the executing CPU, which `clock` reads no earlier than the
    /// order of the program says.
    pub(super) fn look(&self, side: Side, clock: impl Fn() -> u64) {
        let own = side as usize;
        let other_ns = self.shown_ns[1 - own].load(Ordering::Acquire);
        let now_ns = clock();
        if now_ns < other_ns {
            self.differ.store(true, Ordering::Relaxed);
        }
        self.shown_ns[own].store(now_ns, Ordering::Release);
    }

    /// Whether time never ran backwards for those who looked before.
    pub(super) fn agree(&self) -> bool {
        !self.differ.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::thread;

    /// Whether the clocks agree, if the other side's is off by `offset_ns`.
    fn agree(offset_ns: i64) -> bool {
        const BASE_NS: u64 = 1_000_000_000;
        let clocks = Clocks::new();
        let look = |side, offset_ns| {
            clocks.look(side, || (crate::time::now_ns() + BASE_NS).wrapping_add_signed(offset_ns));
        };
        look(Side::Boot, 0);
        thread::scope(|scope| {
            let other = scope.spawn(|| (0..LOOKS).for_each(|_| look(Side::Other, offset_ns)));
            (0..LOOKS).for_each(|_| look(Side::Boot, 0));
            other.join().unwrap();
        });
        look(Side::Boot, 0);
        clocks.agree()
    }

    #[test]
    fn one_clock_agrees_with_itself() {
        assert!(agree(0));
    }

    #[test]
    fn a_clock_that_is_off_is_found_out() {
        assert!(!agree(-500_000_000));
        assert!(!agree(500_000_000));
    }
}
