//! A clock over a counter, read by everybody without a lock.
//!
//! Whoever changes it counts in `begun` before, and in `ended` after. A reader takes `ended` first and `begun` last: if
//! they are equal, nothing changed in between, and the time that it computed belongs to one line. So time does not go
//! back from one reader to the next: the counter of the change is read when every later reader waits for the new line.
//!
//! The two also differ for as long as the counter in use is not the CPU's own, by one bit: so who reads the latter pays
//! nothing for the machines where it is no good.
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering, fence};

use libkernel::clock::Line;

/// In `begun`: the CPU's own counter is not the one to read.
const ELSEWHERE: u32 = 1 << 31;

/// The clock. Writers are kept apart by a lock of theirs, which masks interrupts.
pub(super) struct CounterClock {
    begun: AtomicU32,
    ended: AtomicU32,
    factor: AtomicU64,
    offset_ns: AtomicU64,
}

impl CounterClock {
    pub(super) const fn new(line: Line) -> CounterClock {
        CounterClock {
            begun: AtomicU32::new(0),
            ended: AtomicU32::new(0),
            factor: AtomicU64::new(line.factor),
            offset_ns: AtomicU64::new(line.offset_ns),
        }
    }

    /// The line. For who holds the writers' lock.
    pub(super) fn line(&self) -> Line {
        Line {
            factor: self.factor.load(Ordering::Relaxed),
            offset_ns: self.offset_ns.load(Ordering::Relaxed),
        }
    }

    /// The time at what `own_count` reads, where the CPU's own counter is the one in use, else `count`.
    #[inline(always)]
    pub(super) fn read(&self, own_count: impl Fn() -> u64, count: impl Fn() -> u64) -> u64 {
        let ended = self.ended.load(Ordering::Acquire);
        let time = self.line().at(own_count());
        // The line was read before this is looked at.
        fence(Ordering::Acquire);
        if self.begun.load(Ordering::Relaxed) == ended { time } else { self.read_again(&count) }
    }

    /// Waits for the writer, a few instructions, or as long as a host does not run its CPU.
    #[cold]
    fn read_again(&self, count: &impl Fn() -> u64) -> u64 {
        /// Only what cannot be masked comes between a writer and itself (the report of a hung CPU, a panic): it shall
        /// not wait for ever.
        const TRIES: u32 = 10_000_000;
        for _ in 0..TRIES {
            let ended = self.ended.load(Ordering::Acquire);
            let time = self.line().at(count());
            fence(Ordering::Acquire);
            if self.begun.load(Ordering::Relaxed) & !ELSEWHERE == ended {
                return time;
            }
            core::hint::spin_loop();
        }
        self.line().at(count())
    }

    /// Goes on at another factor from what `count` reads now.
    pub(super) fn turn(&self, count: impl FnOnce() -> u64, factor: u64) {
        self.change(|line| line.turned(count(), factor));
    }

    /// Goes by another line, made of the one that it went by.
    pub(super) fn change(&self, change: impl FnOnce(Line) -> Line) {
        let begun = self.begin();
        self.end(begun, change(self.line()));
    }

    /// Lets every later reader wait until [`CounterClock::end`] is given the result.
    pub(super) fn begin(&self) -> Begun {
        let begun = self.begun.load(Ordering::Relaxed);
        let number = begun.wrapping_add(1) & !ELSEWHERE;
        self.begun.store(number | begun & ELSEWHERE, Ordering::Relaxed);
        // Who reads the counter later than we do, or anything of the new line, sees the number.
        fence(Ordering::SeqCst);
        Begun(number)
    }

    /// Lets readers read the CPU's own counter, or not, from the end of this change on.
    pub(super) fn set_own(&self, begun: &Begun, is_own: bool) {
        self.begun.store(begun.0 | if is_own { 0 } else { ELSEWHERE }, Ordering::Relaxed);
    }

    /// Goes by `line` from now on.
    pub(super) fn end(&self, begun: Begun, line: Line) {
        self.factor.store(line.factor, Ordering::Relaxed);
        self.offset_ns.store(line.offset_ns, Ordering::Relaxed);
        self.ended.store(begun.0, Ordering::Release);
    }
}

/// A change of a clock that has begun, by its number.
#[must_use = "readers wait until the change ends"]
pub(super) struct Begun(u32);

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicBool;
    use std::thread;

    #[test]
    fn time_goes_on_while_the_clock_is_turned() {
        static CLOCK: CounterClock = CounterClock::new(Line::of_frequency(libkernel::clock::SECOND_NS));
        static COUNT: AtomicU64 = AtomicU64::new(1 << 40);
        static OVER: AtomicBool = AtomicBool::new(false);
        static LATEST: AtomicU64 = AtomicU64::new(0);
        let count = || COUNT.fetch_add(50, Ordering::SeqCst);
        let factor = CLOCK.line().factor;
        thread::scope(|scope| {
            let watch = scope.spawn(move || {
                while !OVER.load(Ordering::Relaxed) {
                    let before = LATEST.load(Ordering::SeqCst);
                    let now = CLOCK.read(count, count);
                    assert!(now >= before, "{now} came after {before}");
                    LATEST.fetch_max(now, Ordering::SeqCst);
                }
            });
            for turn in 0..20_000u64 {
                let begun = CLOCK.begin();
                CLOCK.set_own(&begun, turn % 3 == 0);
                CLOCK.end(begun, CLOCK.line());
                let before = LATEST.load(Ordering::SeqCst);
                CLOCK.turn(count, if turn % 2 == 0 { factor / 2 } else { factor * 2 });
                let now = CLOCK.read(count, count);
                assert!(now >= before, "{now} came after {before}");
                LATEST.fetch_max(now, Ordering::SeqCst);
            }
            OVER.store(true, Ordering::Relaxed);
            watch.join().unwrap();
        });
    }
}
