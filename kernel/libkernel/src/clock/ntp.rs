//! The discipline of the clock: how programs that know the time better make it run right.
//!
//! The model is that of RFC 5905 (appendix A.5.5.6) and RFC 1589 with Linux's constants: a loop that moves phase and
//! frequency by offsets that a program measured ([`ADJ_OFFSET`]), a steady correction of the frequency, and `adjtime`'s
//! slow approach. What results is a rate: nanoseconds, with 32 fraction bits, that each second is longer than the
//! machine's own. Time passes here by [`Discipline::pass`], which the kernel calls about once a second while
//! [`Discipline::is_moving`], and before it looks.

use abi::Errno;
use abi::time::{
    ADJ_ADJTIME, ADJ_ESTERROR, ADJ_FREQUENCY, ADJ_MAXERROR, ADJ_MICRO, ADJ_NANO, ADJ_OFFSET,
    ADJ_OFFSET_READONLY, ADJ_SETOFFSET, ADJ_STATUS, ADJ_TAI, ADJ_TICK, ADJ_TIMECONST, STA_CLOCKERR, STA_DEL,
    STA_FLL, STA_FREQHOLD, STA_INS, STA_MODE, STA_NANO, STA_PLL, STA_PPSFREQ, STA_PPSSIGNAL, STA_PPSTIME,
    STA_RONLY, STA_UNSYNC, TIME_DEL, TIME_ERROR, TIME_INS, TIME_OK, TIME_OOP, TIME_WAIT, Timex, USER_HZ,
};

use super::SECOND_NS;

/// Fraction bits of rates and phases.
const FRACTION: u32 = 32;
/// One nanosecond.
const ONE_NS: i64 = 1 << FRACTION;
/// A correction of the frequency by one unit of `freq`, 2^-16 parts per million, as a rate.
const RATE_OF_FREQ: i64 = 1000 << (FRACTION - 16);
/// The largest correction of the frequency: 500 parts per million, as a rate.
const RATE_MAX: i64 = 500_000 * ONE_NS;
/// What `tolerance` says.
const TOLERANCE: i64 = 500 << 16;
/// The largest offset that the loop takes, in nanoseconds.
const PHASE_MAX_NS: i64 = 500_000_000;
/// Shortest and longest time between two offsets for the loop over the frequency, in seconds.
const FLL_AFTER_S: i64 = 256;
const FLL_ALWAYS_AFTER_S: i64 = 2048;
/// How strongly the two loops act, as powers of two: Linux's `SHIFT_PLL`, `SHIFT_FLL`.
const PLL_SHIFT: u32 = 2;
const FLL_SHIFT: u32 = 2;
const CONSTANT_MAX: i64 = 10;
/// In microseconds; beyond it the clock counts as not synchronised.
const ERROR_MAX_US: i64 = 16_000_000;
/// By how much the largest error grows in a second: the tolerance of the frequency.
const ERROR_GROWTH_US: i64 = 500;
/// `adjtime` moves the clock by so many microseconds in a second at most.
const ADJUST_MAX_US: i64 = 500;
const MICROSECOND_NS: i64 = 1_000;
/// The nominal length of a tick in microseconds, and how far a program may move it.
const TICK_US: i64 = 1_000_000 / USER_HZ;
const TICK_MIN_US: i64 = 900_000 / USER_HZ;
const TICK_MAX_US: i64 = 1_100_000 / USER_HZ;
/// The largest difference to international atomic time that is taken, in seconds.
const TAI_MAX_S: i64 = 100_000;
const DAY_S: i64 = 86_400;

/// The state of the discipline.
#[derive(Clone, Debug)]
pub struct Discipline {
    status: i32,
    constant: u32,
    tick_us: i64,
    /// Steady correction, as a rate.
    frequency: i64,
    /// Phase that is still to be moved, in nanoseconds with fraction.
    phase: i64,
    /// What `adjtime` has left, in microseconds.
    adjust_us: i64,
    /// What of the phase and of `adjust_us` moves in the second that runs.
    phase_share: i64,
    adjust_share_us: i64,
    /// Nanoseconds of the running second that have passed.
    passed_ns: u64,
    error_max_us: i64,
    error_estimate_us: i64,
    tai_s: i32,
    leap: Leap,
    /// The wall clock's second of the last offset.
    reference_s: i64,
}

/// Where a leap second stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Leap {
    None,
    /// Before this second of the wall clock one is inserted.
    Insert(i64),
    /// This second of the wall clock is left out.
    Delete(i64),
    /// The inserted second runs, until the wall clock shows this second again.
    Running(i64),
    /// It is over, and the program has not taken its wish back.
    Over,
}

impl Default for Discipline {
    fn default() -> Self {
        Self::new()
    }
}

impl Discipline {
    /// Nobody has said anything about the clock yet.
    pub const fn new() -> Discipline {
        Discipline {
            status: STA_UNSYNC,
            constant: 2,
            tick_us: TICK_US,
            frequency: 0,
            phase: 0,
            adjust_us: 0,
            phase_share: 0,
            adjust_share_us: 0,
            passed_ns: 0,
            error_max_us: ERROR_MAX_US,
            error_estimate_us: ERROR_MAX_US,
            tai_s: 0,
            leap: Leap::None,
            reference_s: 0,
        }
    }

    /// By how many nanoseconds, with 32 fraction bits, each second is longer than the machine's own.
    pub const fn rate(&self) -> i64 {
        let tick = (self.tick_us - TICK_US) * USER_HZ * MICROSECOND_NS * ONE_NS;
        tick + self.frequency + self.phase_share + self.adjust_share_us * MICROSECOND_NS * ONE_NS
    }

    /// Nanoseconds until the running second ends.
    pub const fn left_ns(&self) -> u64 {
        SECOND_NS - self.passed_ns
    }

    /// Whether seconds must be counted: something is to change at the next one.
    pub const fn is_moving(&self) -> bool {
        self.phase != 0 || self.adjust_us != 0 || self.phase_share != 0 || self.adjust_share_us != 0
    }

    /// The wall clock's second at which something is to happen.
    pub const fn next_leap(&self) -> Option<i64> {
        match self.leap {
            Leap::Insert(second) | Leap::Delete(second) | Leap::Running(second) => Some(second),
            Leap::None | Leap::Over => None,
        }
    }

    /// International atomic time less UTC, in seconds.
    pub const fn tai_s(&self) -> i32 {
        self.tai_s
    }

    /// So much time has passed. Shares of the phase end with their second; each further second moves the next share.
    pub fn pass(&mut self, ns: u64) {
        let passed_ns = self.passed_ns.saturating_add(ns);
        self.passed_ns = passed_ns % SECOND_NS;
        let seconds = passed_ns / SECOND_NS;
        let seconds = i64::try_from(seconds).unwrap_or(i64::MAX);
        self.error_max_us = self.error_max_us.saturating_add(ERROR_GROWTH_US.saturating_mul(seconds));
        if self.error_max_us > ERROR_MAX_US {
            self.error_max_us = ERROR_MAX_US;
            self.status |= STA_UNSYNC;
        }
        if seconds > 0 {
            // A second that was counted late was slewed at its rate for all that time: what was too much comes back.
            self.phase = self.phase.saturating_sub(self.phase_share.saturating_mul(seconds));
            self.adjust_us = self.adjust_us.saturating_sub(self.adjust_share_us.saturating_mul(seconds));
            self.share();
        }
    }

    /// What moves in the second that begins.
    fn share(&mut self) {
        let share = self.phase >> (PLL_SHIFT + self.constant);
        // The shift rounds down, so a negative rest would never end but by itself.
        self.phase_share = if self.phase < 0 && share == -1 { self.phase } else { share };
        if self.phase_share == 0 {
            self.phase = 0;
        }
        self.adjust_share_us = self.adjust_us.clamp(-ADJUST_MAX_US, ADJUST_MAX_US);
    }

    /// Moves a leap second on when the wall clock shows `wall_s`: by how many seconds the wall clock is to be set.
    pub fn leap(&mut self, wall_s: i64) -> i64 {
        match self.leap {
            Leap::Insert(second) if wall_s >= second => {
                self.leap = Leap::Running(second);
                self.tai_s += 1;
                -1
            }
            Leap::Delete(second) if wall_s >= second => {
                self.leap = Leap::Over;
                self.tai_s -= 1;
                1
            }
            Leap::Running(second) if wall_s >= second => {
                self.leap = Leap::Over;
                0
            }
            _ => 0,
        }
    }

    /// Somebody set the wall clock: what was known of it holds no more.
    pub fn clock_was_set(&mut self) {
        self.adjust_us = 0;
        self.adjust_share_us = 0;
        self.phase = 0;
        self.phase_share = 0;
        self.status |= STA_UNSYNC;
        self.error_max_us = ERROR_MAX_US;
        self.error_estimate_us = ERROR_MAX_US;
    }

    /// Whether a wish is valid, and whether this caller may have it: EINVAL, EPERM.
    pub fn check(wish: &Timex, is_privileged: bool) -> Result<(), Errno> {
        let has = |mode| wish.modes & mode != 0;
        if has(ADJ_ADJTIME) {
            if !has(ADJ_OFFSET) {
                return Err(Errno::EINVAL);
            }
            return if has(ADJ_OFFSET_READONLY) || is_privileged { Ok(()) } else { Err(Errno::EPERM) };
        }
        if wish.modes != 0 && !is_privileged {
            return Err(Errno::EPERM);
        }
        if has(ADJ_TICK) && !(TICK_MIN_US..=TICK_MAX_US).contains(&wish.tick) {
            return Err(Errno::EINVAL);
        }
        if has(ADJ_SETOFFSET) {
            let parts = if has(ADJ_NANO) { SECOND_NS } else { SECOND_NS / 1000 };
            if !(0..parts.cast_signed()).contains(&wish.time.tv_usec) {
                return Err(Errno::EINVAL);
            }
        }
        if has(ADJ_FREQUENCY) && wish.freq.checked_mul(RATE_OF_FREQ).is_none() {
            return Err(Errno::EINVAL);
        }
        Ok(())
    }

    /// Takes a wish that was checked, when the wall clock shows `wall_s`, and tells the state in its place, but for the
    /// time. Returns `TIME_*`.
    pub fn adjust(&mut self, wish: &mut Timex, wall_s: i64) -> i32 {
        if wish.modes & ADJ_ADJTIME != 0 {
            let left_us = self.adjust_us;
            if wish.modes & ADJ_OFFSET_READONLY == 0 {
                self.adjust_us = wish.offset;
                self.adjust_share_us = 0;
            }
            wish.offset = left_us;
        } else {
            self.change(wish, wall_s);
            let phase_ns = self.phase >> FRACTION;
            wish.offset = if self.status & STA_NANO != 0 { phase_ns } else { phase_ns / MICROSECOND_NS };
        }
        if self.is_moving() && !self.is_running() {
            // Nobody counted seconds before: one begins with the wish.
            self.passed_ns = 0;
            self.share();
        }
        wish.freq = self.frequency / RATE_OF_FREQ;
        wish.maxerror = self.error_max_us;
        wish.esterror = self.error_estimate_us;
        wish.status = self.status;
        wish.constant = i64::from(self.constant);
        wish.precision = 1;
        wish.tolerance = TOLERANCE;
        wish.tick = self.tick_us;
        wish.tai = self.tai_s;
        // Nobody gives a pulse each second.
        (wish.ppsfreq, wish.jitter, wish.shift, wish.stabil) = (0, 0, 0, 0);
        (wish.jitcnt, wish.calcnt, wish.errcnt, wish.stbcnt) = (0, 0, 0, 0);
        self.state()
    }

    const fn is_running(&self) -> bool {
        self.phase_share != 0 || self.adjust_share_us != 0
    }

    /// `TIME_*`.
    const fn state(&self) -> i32 {
        let is_bad = self.status & (STA_UNSYNC | STA_CLOCKERR) != 0;
        let lacks_pulse = self.status & (STA_PPSFREQ | STA_PPSTIME) != 0 && self.status & STA_PPSSIGNAL == 0;
        if is_bad || lacks_pulse {
            return TIME_ERROR;
        }
        match self.leap {
            Leap::None => TIME_OK,
            Leap::Insert(_) => TIME_INS,
            Leap::Delete(_) => TIME_DEL,
            Leap::Running(_) => TIME_OOP,
            Leap::Over => TIME_WAIT,
        }
    }

    /// What the modes say, in Linux's order: the unit before the numbers, the constant before the offset that it
    /// weighs.
    fn change(&mut self, wish: &Timex, wall_s: i64) {
        let has = |mode| wish.modes & mode != 0;
        if has(ADJ_STATUS) {
            self.set_status(wish.status, wall_s);
        }
        if has(ADJ_NANO) {
            self.status |= STA_NANO;
        }
        if has(ADJ_MICRO) {
            self.status &= !STA_NANO;
        }
        if has(ADJ_FREQUENCY) {
            self.frequency = wish.freq.saturating_mul(RATE_OF_FREQ).clamp(-RATE_MAX, RATE_MAX);
        }
        if has(ADJ_MAXERROR) {
            self.error_max_us = wish.maxerror.clamp(0, ERROR_MAX_US);
        }
        if has(ADJ_ESTERROR) {
            self.error_estimate_us = wish.esterror.clamp(0, ERROR_MAX_US);
        }
        if has(ADJ_TIMECONST) {
            // Programs that count microseconds mean the older loop, whose constant was four less.
            let shift = if self.status & STA_NANO == 0 { 4 } else { 0 };
            let constant = wish.constant.clamp(0, CONSTANT_MAX) + shift;
            self.constant = constant.clamp(0, CONSTANT_MAX) as u32;
        }
        if has(ADJ_TAI) && (0..=TAI_MAX_S).contains(&wish.constant) {
            self.tai_s = wish.constant as i32;
        }
        if has(ADJ_OFFSET) {
            self.take_offset(wish.offset, wall_s);
        }
        if has(ADJ_TICK) {
            self.tick_us = wish.tick;
        }
    }

    fn set_status(&mut self, status: i32, wall_s: i64) {
        if self.status & STA_PLL != 0 && status & STA_PLL == 0 {
            self.leap = Leap::None;
            self.status = STA_UNSYNC;
        }
        if self.status & STA_PLL == 0 && status & STA_PLL != 0 {
            self.reference_s = wall_s;
        }
        self.status = self.status & STA_RONLY | status & !STA_RONLY;
        let day_end_s = (wall_s.div_euclid(DAY_S) + 1).saturating_mul(DAY_S);
        self.leap = match self.leap {
            Leap::None | Leap::Insert(_) | Leap::Delete(_) if status & STA_INS != 0 => {
                Leap::Insert(day_end_s)
            }
            Leap::None | Leap::Insert(_) | Leap::Delete(_) if status & STA_DEL != 0 => {
                Leap::Delete(day_end_s - 1)
            }
            Leap::Running(second) => Leap::Running(second),
            Leap::Over if status & (STA_INS | STA_DEL) != 0 => Leap::Over,
            _ => Leap::None,
        };
    }

    /// An offset that a program measured: the phase moves by it, and the frequency by what offsets of this size mean.
    fn take_offset(&mut self, offset: i64, wall_s: i64) {
        if self.status & STA_PLL == 0 {
            return;
        }
        let unit_ns = if self.status & STA_NANO != 0 { 1 } else { MICROSECOND_NS };
        let offset_ns = offset.clamp(-SECOND_NS.cast_signed(), SECOND_NS.cast_signed()) * unit_ns;
        let offset_ns = offset_ns.clamp(-PHASE_MAX_NS, PHASE_MAX_NS);
        let holds = self.status & STA_FREQHOLD != 0;
        let span_s = if holds { 0 } else { wall_s.saturating_sub(self.reference_s).max(0) };
        self.reference_s = wall_s;
        self.status &= !STA_MODE;
        let mut change = 0;
        if span_s > FLL_ALWAYS_AFTER_S || span_s >= FLL_AFTER_S && self.status & STA_FLL != 0 {
            self.status |= STA_MODE;
            change += (offset_ns << (FRACTION - FLL_SHIFT)) / span_s;
        }
        // Offsets that come seldom weigh no more than the loop was made for.
        let span_s = span_s.min(1 << (PLL_SHIFT + 1 + self.constant));
        change += shift(
            offset_ns * span_s,
            FRACTION.cast_signed() - 2 * (PLL_SHIFT + 2 + self.constant).cast_signed(),
        );
        self.frequency = self.frequency.saturating_add(change).clamp(-RATE_MAX, RATE_MAX);
        self.phase = offset_ns << FRACTION;
        self.phase_share = 0;
    }
}

/// `value` times two to the power of `by`.
const fn shift(value: i64, by: i32) -> i64 {
    if by < 0 { value >> by.unsigned_abs() } else { value << by.unsigned_abs() }
}

#[cfg(test)]
mod tests;
