//! Dates of the Gregorian calendar, in universal time.

use alloc::string::String;

const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
const SECONDS_PER_DAY: i64 = 86_400;
/// Days in 400 years, after which the calendar repeats.
const DAYS_PER_ERA: i64 = 146_097;
/// From 0000-03-01, where an era starts, to 1970-01-01.
const DAYS_BEFORE_1970: i64 = 719_468;

/// A point in time, taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Date {
    /// Year.
    pub year: i64,
    /// Month, 1 to 12.
    pub month: u8,
    /// Day of the month, 1 to 31.
    pub day: u8,
    /// Days since a Thursday, 0 to 6.
    weekday: u8,
    /// Hour.
    pub hour: u8,
    /// Minute.
    pub minute: u8,
    /// Second.
    pub second: u8,
}

impl Date {
    /// The date `seconds` after the start of 1970.
    ///
    /// Years are counted from March, so that a leap day is the last of its year and months follow a line.
    pub const fn from_seconds(seconds: i64) -> Date {
        let days = seconds.div_euclid(SECONDS_PER_DAY);
        let time = seconds.rem_euclid(SECONDS_PER_DAY);
        let shifted = days + DAYS_BEFORE_1970;
        let era = shifted.div_euclid(DAYS_PER_ERA);
        let day_of_era = shifted.rem_euclid(DAYS_PER_ERA);
        let year_of_era =
            (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let month_from_march = (5 * day_of_year + 2) / 153;
        let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
        Date {
            year: era * 400 + year_of_era + if month <= 2 { 1 } else { 0 },
            month: month as u8,
            day: (day_of_year - (153 * month_from_march + 2) / 5 + 1) as u8,
            weekday: days.rem_euclid(7) as u8,
            hour: (time / 3600) as u8,
            minute: (time / 60 % 60) as u8,
            second: (time % 60) as u8,
        }
    }

    /// `Sun Nov 22 14:35:00 UTC 2026`.
    pub fn in_full(&self) -> String {
        let (day, month) = (DAYS[usize::from(self.weekday)], self.month_name());
        let Date { year, day: number, hour, minute, second, .. } = self;
        alloc::format!("{day} {month} {number:2} {hour:02}:{minute:02}:{second:02} UTC {year}")
    }

    /// `2026-11-22 14:35`.
    pub fn in_short(&self) -> String {
        let Date { year, month, day, hour, minute, .. } = self;
        alloc::format!("{year}-{month:02}-{day:02} {hour:02}:{minute:02}")
    }

    fn month_name(&self) -> &'static str {
        MONTHS[usize::from(self.month) - 1]
    }
}

#[cfg(test)]
mod tests {
    use super::Date;

    #[test]
    fn known_dates() {
        assert_eq!(Date::from_seconds(0).in_full(), "Thu Jan  1 00:00:00 UTC 1970");
        assert_eq!(Date::from_seconds(951_782_399).in_full(), "Mon Feb 28 23:59:59 UTC 2000");
        assert_eq!(Date::from_seconds(951_782_400).in_full(), "Tue Feb 29 00:00:00 UTC 2000");
        assert_eq!(Date::from_seconds(4_107_542_400).in_short(), "2100-03-01 00:00");
        assert_eq!(Date::from_seconds(-1).in_full(), "Wed Dec 31 23:59:59 UTC 1969");
    }

    #[test]
    fn far_dates_do_not_overflow() {
        for seconds in [i64::MIN, i64::MAX] {
            assert!((1..=12).contains(&Date::from_seconds(seconds).month));
        }
    }
}
