//! The clock of a virtual machine: a line over the time-stamp counter, which the hypervisor draws anew when it has to.
//!
//! Layouts and protocol: Linux, Documentation/virt/kvm/x86/msr.rst (MSR_KVM_SYSTEM_TIME_NEW, MSR_KVM_WALL_CLOCK_NEW).

use crate::clock::SECOND_NS;

/// Words of what the hypervisor writes for each CPU.
pub const WORDS: usize = 8;
/// The word with the factor's shift and the flags.
pub const FLAGS_WORD: usize = 7;
/// In [`FLAGS_WORD`]: somebody stopped the machine. The guest takes it back.
pub const STOPPED: u32 = 1 << 9;

/// One line: nanoseconds since the hypervisor's zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Line {
    /// The counter where the line begins.
    pub start_count: u64,
    /// The time there.
    pub start_ns: u64,
    /// Nanoseconds of a count, with 32 fraction bits, after the shift.
    pub factor: u32,
    /// Binary places by which a span of counts is moved up first.
    pub shift: i8,
    /// Whether all CPUs have the same line.
    pub is_stable: bool,
}

/// The line that `load` shows by its words, and what `count` reads while it holds: the first word is odd while the
/// hypervisor writes, and another one after it wrote.
pub fn read(load: impl Fn(usize) -> u32, count: impl Fn() -> u64, pause: impl Fn()) -> (Line, u64) {
    const STABLE: u32 = 1 << 8;
    loop {
        let version = load(0);
        let wide = |word: usize| u64::from(load(word)) | u64::from(load(word + 1)) << 32;
        let last = load(FLAGS_WORD);
        let line = Line {
            start_count: wide(2),
            start_ns: wide(4),
            factor: load(6),
            shift: (last as u8).cast_signed(),
            is_stable: last & STABLE != 0,
        };
        let count = count();
        if version & 1 == 0 && load(0) == version {
            return (line, count);
        }
        pause();
    }
}

impl Line {
    /// The time at `count`, which may lie before the line's beginning.
    #[inline]
    pub const fn at(self, count: u64) -> u64 {
        let span = count.wrapping_sub(self.start_count).cast_signed();
        let length_ns = self.nanoseconds(span.unsigned_abs());
        if span < 0 { self.start_ns.wrapping_sub(length_ns) } else { self.start_ns.wrapping_add(length_ns) }
    }

    const fn nanoseconds(self, counts: u64) -> u64 {
        let shift = self.shift.unsigned_abs() as u32 & 63;
        let shifted = if self.shift < 0 { counts as u128 >> shift } else { (counts as u128) << shift };
        (shifted.wrapping_mul(self.factor as u128) >> 32) as u64
    }

    /// The counter's frequency in hertz; `None` for a line that says nothing.
    pub fn hertz(self) -> Option<u64> {
        let counts = (u128::from(SECOND_NS) << 32).checked_div(self.factor.into())?;
        let shift = u32::from(self.shift.unsigned_abs()) & 63;
        let hertz = if self.shift < 0 { counts << shift } else { counts >> shift };
        u64::try_from(hertz).ok().filter(|&hertz| hertz > 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    /// What KVM tells for a counter of so many kilohertz (its `kvm_get_time_scale`, by its definition: the factor has
    /// its highest bit set or the one below).
    fn line(kilohertz: u64) -> Line {
        let mut shift = 0i8;
        let mut scaled = u128::from(SECOND_NS) << 32;
        let hertz = u128::from(kilohertz) * 1000;
        while scaled / hertz > u128::from(u32::MAX) {
            scaled /= 2;
            shift += 1;
        }
        while scaled / hertz < 1 << 31 {
            scaled *= 2;
            shift -= 1;
        }
        let factor = u32::try_from(scaled / hertz).unwrap();
        Line { start_count: 1 << 40, start_ns: 5_000_000_000, factor, shift, is_stable: true }
    }

    #[test]
    fn a_second_is_a_second() {
        for kilohertz in [24_000, 999_999, 1_000_000, 2_099_512, 5_700_000] {
            let line = line(kilohertz);
            let hertz = kilohertz * 1000;
            assert!(line.hertz().unwrap().abs_diff(hertz) <= hertz / 100_000_000, "{kilohertz}: {line:?}");
            let second = line.at(line.start_count + hertz) - line.start_ns;
            assert!(second.abs_diff(SECOND_NS) <= 2, "{kilohertz}: {second}");
            let before = line.start_ns - line.at(line.start_count - hertz);
            assert!(before.abs_diff(SECOND_NS) <= 2, "{kilohertz}: {before}");
        }
        assert_eq!(Line { factor: 0, ..line(1) }.hertz(), None);
    }

    #[test]
    fn a_long_time_does_not_overflow() {
        let line = line(2_099_512);
        let year = 365 * 86_400;
        let found = line.at(line.start_count + 2_099_512_000 * year) - line.start_ns;
        assert!(found.abs_diff(year * SECOND_NS) < SECOND_NS, "{found}");
    }

    #[test]
    fn a_line_is_read_whole() {
        // The hypervisor writes at the first two looks.
        let looks = Cell::new(0u32);
        let load = |word| match word {
            0 => {
                looks.set(looks.get() + 1);
                [3, 3, 4, 6, 6][looks.get().min(5) as usize - 1]
            }
            2 => 100,
            4 => looks.get(),
            6 => 1 << 31,
            7 => 1 << 8 | 1,
            _ => 0,
        };
        let (line, count) = read(load, || 150, || ());
        let wanted = Line { start_count: 100, start_ns: 5, factor: 1 << 31, shift: 1, is_stable: true };
        assert_eq!((line, count), (wanted, 150));
        assert_eq!(line.at(count), 55);
    }
}
