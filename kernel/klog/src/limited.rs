//! Messages that a program can cause as often as it likes: a burst of them is logged, the rest is counted.
//!
//! Lock order: a limit's lock is a leaf, and left before the message is logged.

use core::sync::atomic::AtomicU32;
use core::sync::atomic::Ordering::Relaxed;

use hal::sync::IrqLock;
use libkernel::clock::SECOND_NS;
use libkernel::rate_limit::{BURST, INTERVAL_S, RateLimit, Verdict};

use crate::{Level, line};

/// `/proc/sys/kernel/printk_ratelimit`: seconds.
pub static LIMIT_INTERVAL_S: AtomicU32 = AtomicU32::new(INTERVAL_S);
/// `/proc/sys/kernel/printk_ratelimit_burst`.
pub static LIMIT_BURST: AtomicU32 = AtomicU32::new(BURST);

/// The messages of one kind.
pub struct Limited(IrqLock<RateLimit>);

impl Limited {
    /// Nothing was logged yet.
    pub const fn new() -> Limited {
        Limited(IrqLock::new(RateLimit::new()))
    }

    /// Whether another message may be logged, by the limits of `/proc/sys`. The first one after some were left out has
    /// a record before it that says how many, under the `name` of the messages.
    pub fn permits(&self, name: &str) -> bool {
        let interval_ns = u64::from(LIMIT_INTERVAL_S.load(Relaxed)) * SECOND_NS;
        let verdict = self.0.lock().ask(hal::time::now_ns(), interval_ns, LIMIT_BURST.load(Relaxed));
        if let Verdict::Say { missed: missed @ 1.. } = verdict {
            line(Level::Warning, format_args!("{name}: {missed} callbacks suppressed"));
        }
        verdict != Verdict::LeaveOut
    }

    /// The same by the limits that the kernel starts with, for one who counts for itself what is left out.
    pub fn permits_by_default(&self) -> bool {
        let interval_ns = u64::from(INTERVAL_S) * SECOND_NS;
        self.0.lock().ask(hal::time::now_ns(), interval_ns, BURST) != Verdict::LeaveOut
    }
}

impl Default for Limited {
    fn default() -> Limited {
        Limited::new()
    }
}
