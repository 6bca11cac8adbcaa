//! Who may say something often: a burst of messages for each interval, and a count of those that were left out.
//!
//! Source: Linux 6.1, `lib/ratelimit.c`; the numbers are `include/linux/ratelimit_types.h`'s.

/// How long an interval is where nothing else is said, in seconds.
pub const INTERVAL_S: u32 = 5;
/// How many messages an interval has where nothing else is said.
pub const BURST: u32 = 10;

/// The messages of one kind.
#[derive(Default)]
pub struct RateLimit {
    /// When the interval began, in nanoseconds.
    begin: Option<u64>,
    said: u32,
    missed: u32,
}

/// What comes of a message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// It is said, after so many of the interval before were left out.
    Say {
        /// How many.
        missed: u32,
    },
    /// It is left out.
    LeaveOut,
}

impl RateLimit {
    /// Nothing was said yet.
    pub const fn new() -> RateLimit {
        RateLimit { begin: None, said: 0, missed: 0 }
    }

    /// Whether a message may be said at `now_ns`, where each `interval_ns` has `burst` of them. An interval of 0 limits
    /// nothing.
    pub fn ask(&mut self, now_ns: u64, interval_ns: u64, burst: u32) -> Verdict {
        if interval_ns == 0 {
            return Verdict::Say { missed: 0 };
        }
        // An interval begins with its first message: silence costs nothing, and saves up nothing.
        let mut missed = 0;
        let begin = *self.begin.get_or_insert(now_ns);
        if now_ns.saturating_sub(begin) > interval_ns {
            missed = core::mem::take(&mut self.missed);
            (self.begin, self.said) = (Some(now_ns), 0);
        }
        if self.said < burst {
            self.said += 1;
            Verdict::Say { missed }
        } else {
            // What was left out before is not told without a message to tell it with.
            self.missed = self.missed.saturating_add(missed).saturating_add(1);
            Verdict::LeaveOut
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use crate::clock::SECOND_NS as SECOND;

    #[test]
    fn a_burst_is_said_and_the_rest_is_counted() {
        let mut limit = RateLimit::new();
        let said =
            (0..25).filter(|ms| limit.ask(ms * 1_000_000, 5 * SECOND, 10) != Verdict::LeaveOut).count();
        assert_eq!((said, limit.missed), (10, 15));
        assert_eq!(limit.ask(5 * SECOND, 5 * SECOND, 10), Verdict::LeaveOut, "the interval has not passed");
        assert_eq!(limit.ask(5 * SECOND + 1, 5 * SECOND, 10), Verdict::Say { missed: 16 });
        assert_eq!(limit.ask(5 * SECOND + 2, 5 * SECOND, 10), Verdict::Say { missed: 0 });
    }

    #[test]
    fn no_interval_limits_nothing_and_no_burst_says_nothing() {
        let mut limit = RateLimit::new();
        assert!((0..100).all(|now| limit.ask(now, 0, 0) == Verdict::Say { missed: 0 }));
        assert!((0..100).all(|second| limit.ask(second * SECOND, SECOND / 2, 0) == Verdict::LeaveOut));
        assert_eq!(limit.missed, 100, "and nothing is forgotten");
    }

    #[test]
    fn a_clock_that_steps_back_ends_no_interval() {
        let mut limit = RateLimit::new();
        assert_eq!(limit.ask(7 * SECOND, SECOND, 1), Verdict::Say { missed: 0 });
        assert_eq!(limit.ask(0, SECOND, 1), Verdict::LeaveOut);
        assert_eq!(limit.ask(9 * SECOND, SECOND, 1), Verdict::Say { missed: 1 });
    }
}
