//! How long an idle CPU looks for work before it sleeps, where sleeping leaves a virtual machine.
//!
//! By how long it slept: short sleeps would have been found by polling, long ones cost only what was polled. The rules
//! and the numbers are Linux's (`drivers/cpuidle/governors/haltpoll.c`).

/// The longest poll, in nanoseconds.
const LONGEST_NS: u64 = 200_000;
/// The first one.
const FIRST_NS: u64 = 50_000;
/// How much longer or shorter the next one is.
const FACTOR: u64 = 2;

/// The poll after a sleep of `slept_ns`, if the one before that took up to `poll_ns`.
pub const fn next_poll_ns(poll_ns: u64, slept_ns: u64) -> u64 {
    if slept_ns > LONGEST_NS {
        let shorter = poll_ns / FACTOR;
        return if shorter < FIRST_NS { 0 } else { shorter };
    }
    if slept_ns <= poll_ns {
        return poll_ns;
    }
    let longer = poll_ns * FACTOR;
    if longer < FIRST_NS {
        FIRST_NS
    } else if longer > LONGEST_NS {
        LONGEST_NS
    } else {
        longer
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn short_sleeps_make_it_poll_and_long_ones_stop_it() {
        let polls = [100_000, 100_000, 150_000, 150_000, 300_000, 300_000, 300_000, 300_000];
        let mut poll_ns = 0;
        let after = polls.map(|slept_ns| {
            poll_ns = next_poll_ns(poll_ns, slept_ns);
            poll_ns
        });
        assert_eq!(after, [50_000, 100_000, 200_000, 200_000, 100_000, 50_000, 0, 0]);
    }

    proptest! {
        #[test]
        fn it_never_polls_longer_than_it_pays(poll_ns in 0..=LONGEST_NS, slept_ns: u64) {
            let next = next_poll_ns(poll_ns, slept_ns);
            prop_assert!(next == 0 || (FIRST_NS.min(poll_ns.max(1))..=LONGEST_NS).contains(&next));
        }
    }
}
