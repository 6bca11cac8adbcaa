//! The load averages: how many tasks run or want to, over one, five and fifteen minutes.
//!
//! Numbers and periods are Linux's (`kernel/sched/loadavg.c`, `include/linux/sched/loadavg.h`): fixed point with 11
//! bits behind the point, one sample every five seconds, each average decaying by its own factor. Samples that nobody
//! took were times when all CPUs slept.

/// Bits behind the point.
pub const POINT: u32 = 11;
const ONE: u64 = 1 << POINT;

/// Time between two samples.
const PERIOD_NS: u64 = 5_000_000_000;

/// What is left of each average after a period: exp(-5 s / 1 min), exp(-5 s / 5 min), exp(-5 s / 15 min).
const DECAYS: [u64; 3] = [1884, 2014, 2037];

/// The three averages.
#[derive(Debug)]
pub struct LoadAverage {
    sampled_ns: u64,
    averages: [u64; 3],
}

impl LoadAverage {
    /// Nothing has run yet.
    pub const fn new() -> Self {
        Self { sampled_ns: 0, averages: [0; 3] }
    }

    /// The averages, each with [`POINT`] bits behind the point.
    pub const fn averages(&self) -> [u64; 3] {
        self.averages
    }

    /// Whether it is time for a sample.
    pub const fn is_due(&self, now_ns: u64) -> bool {
        now_ns.saturating_sub(self.sampled_ns) >= PERIOD_NS
    }

    /// Takes a sample if it is time: so many tasks run or want to.
    pub fn sample(&mut self, now_ns: u64, active: u64) {
        let periods = now_ns.saturating_sub(self.sampled_ns) / PERIOD_NS;
        if periods == 0 {
            return;
        }
        self.sampled_ns += periods * PERIOD_NS;
        for (average, decay) in self.averages.iter_mut().zip(DECAYS) {
            let slept = *average * power(decay, periods - 1) / ONE;
            let wanted = active * ONE;
            let mut next = slept * decay + wanted * (ONE - decay);
            // As Linux does, so that a constant load is reached from below.
            if wanted >= slept {
                next += ONE - 1;
            }
            *average = next / ONE;
        }
    }
}

/// `base` to the power of `exponent`, in fixed point, rounded to nearest.
fn power(mut base: u64, mut exponent: u64) -> u64 {
    let multiply = |left: u64, right: u64| (left * right + ONE / 2) / ONE;
    let mut result = ONE;
    while exponent != 0 {
        if exponent & 1 != 0 {
            result = multiply(result, base);
        }
        base = multiply(base, base);
        exponent >>= 1;
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(seconds: impl Iterator<Item = u64>, active: u64, load: &mut LoadAverage) -> [f64; 3] {
        seconds.for_each(|second| load.sample(second * crate::clock::SECOND_NS, active));
        load.averages().map(|average| average as f64 / ONE as f64)
    }

    #[test]
    fn a_constant_load_is_reached_at_the_pace_of_each_average() {
        let mut load = LoadAverage::new();
        let [one, five, fifteen] = after((0..=60).step_by(4), 2, &mut load);
        // 2 (1 - 1/e), 2 (1 - exp(-1/5)), 2 (1 - exp(-1/15)).
        assert!((one - 1.26).abs() < 0.05 && (five - 0.36).abs() < 0.05 && (fifteen - 0.13).abs() < 0.05);
        let averages = after((60..36_000).step_by(4), 2, &mut load);
        assert_eq!(averages, [2.0; 3]);
    }

    #[test]
    fn time_without_samples_was_sleep() {
        let mut load = LoadAverage::new();
        after((0..3600).step_by(4), 4, &mut load);
        let [one, five, _] = after(core::iter::once(3600 + 300), 0, &mut load);
        assert!(one < 0.05, "{one}");
        assert!((five - 4.0 * 0.368).abs() < 0.1, "{five}");
        // A year later, one task looks.
        let [one, five, fifteen] = after(core::iter::once(32_000_000), 1, &mut load);
        assert!((one - 0.08).abs() < 0.01 && (five - 0.02).abs() < 0.01 && fifteen < 0.01);
    }

    #[test]
    fn a_clock_that_stands_still_or_goes_back_is_no_sample() {
        let mut load = LoadAverage::new();
        load.sample(6_000_000_000, 1);
        let before = load.averages();
        for now_ns in [6_000_000_000, 0, 9_999_999_999] {
            assert!(!load.is_due(now_ns));
            load.sample(now_ns, 100);
        }
        assert_eq!(load.averages(), before);
    }
}
