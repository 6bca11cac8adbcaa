//! A pause of a virtual machine: by how much the time of day has gone on without it.
//!
//! The guest's own clock stands still while its machine is stopped, or stored and started again elsewhere; the
//! hypervisor's time of day does not. The guest's time of day may be another than the hypervisor's, as somebody set it
//! or steers it: so it is moved by what the other one ran ahead, and not set to it.

/// What both clocks showed at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// The hypervisor's time of day, in nanoseconds since 1970.
    pub host_ns: u64,
    /// The guest's own clock, which nobody steers, in nanoseconds.
    pub own_ns: u64,
}

/// Clocks differ by at most this part of the time, as far as anybody steers one: 500 parts in a million (Linux:
/// `MAXFREQ`).
const DRIFT: u64 = 2000;
/// What two reads of two clocks may be apart.
const APART_NS: u64 = 10_000_000;

impl Moment {
    /// By how many nanoseconds the hypervisor's clock ran ahead until `now`; `None` where that may be drift.
    pub const fn lost_ns(self, now: Moment) -> Option<i64> {
        let own_ns = now.own_ns.wrapping_sub(self.own_ns);
        let host_ns = now.host_ns.wrapping_sub(self.host_ns);
        let lost_ns = host_ns.wrapping_sub(own_ns).cast_signed();
        if lost_ns.unsigned_abs() > own_ns / DRIFT + APART_NS { Some(lost_ns) } else { None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use crate::clock::SECOND_NS as SECOND;
    const BEFORE: Moment = Moment { host_ns: 1_700_000_000 * SECOND, own_ns: 50 * SECOND };

    fn after(host_ns: u64, own_ns: u64) -> Option<i64> {
        BEFORE.lost_ns(Moment { host_ns: BEFORE.host_ns + host_ns, own_ns: BEFORE.own_ns + own_ns })
    }

    #[test]
    fn a_pause_is_lost() {
        assert_eq!(after(65 * SECOND, 60 * SECOND), Some(5 * SECOND.cast_signed()));
        assert_eq!(after(365 * 86_400 * SECOND, SECOND), Some((365 * 86_400 - 1) * SECOND.cast_signed()));
    }

    #[test]
    fn a_counter_that_went_on_has_lost_nothing() {
        assert_eq!(after(65 * SECOND, 65 * SECOND), None);
    }

    #[test]
    fn drift_is_no_pause() {
        // A minute at 400 parts in a million, either way, and an hour.
        assert_eq!(after(60 * SECOND + 24_000_000, 60 * SECOND), None);
        assert_eq!(after(60 * SECOND - 24_000_000, 60 * SECOND), None);
        assert_eq!(after(3601 * SECOND, 3600 * SECOND), None);
        assert_eq!(after(3603 * SECOND, 3600 * SECOND), Some(3 * SECOND.cast_signed()));
    }

    #[test]
    fn a_machine_may_be_started_where_it_is_earlier() {
        let host_ns = BEFORE.host_ns - 3600 * SECOND;
        let now = Moment { host_ns, own_ns: BEFORE.own_ns + SECOND };
        assert_eq!(BEFORE.lost_ns(now), Some(-3601 * SECOND.cast_signed()));
    }
}
