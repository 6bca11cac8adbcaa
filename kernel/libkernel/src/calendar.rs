//! Dates of the Gregorian calendar as seconds since 1970.

/// A point of time as clocks of firmware and chips tell it, in UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Date {
    /// Of the common era.
    pub year: u64,
    /// From one on.
    pub month: u64,
    /// From one on.
    pub day: u64,
    /// Of the day.
    pub hour: u64,
    /// Of the hour.
    pub minute: u64,
    /// Of the minute.
    pub second: u64,
}

impl Date {
    /// Seconds since 1970; `None` before, and for what is no date.
    pub fn seconds_since_1970(self) -> Option<u64> {
        let is_date = self.year >= 1970 && (1..=12).contains(&self.month) && (1..=31).contains(&self.day);
        let is_time = self.hour < 24 && self.minute < 60 && self.second <= 60;
        if !is_date || !is_time {
            return None;
        }
        let days = days_since_1970(self.year, self.month, self.day);
        Some(((days * 24 + self.hour) * 60 + self.minute) * 60 + self.second)
    }
}

/// Days from 1970-01-01 to a date of the Gregorian calendar: the year is taken to start in March, so that the leap
/// day is its last.
fn days_since_1970(year: u64, month: u64, day: u64) -> u64 {
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days_before_month = (153 * month + 2) / 5;
    let days_before_1970 = 719_468;
    year * 365 + year / 4 - year / 100 + year / 400 + days_before_month + day - 1 - days_before_1970
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(year: u64, month: u64, day: u64) -> Option<u64> {
        Date { year, month, day, hour: 1, minute: 2, second: 3 }.seconds_since_1970().map(|s| s - 3723)
    }

    #[test]
    fn known_days_are_where_they_are() {
        assert_eq!(seconds(1970, 1, 1), Some(0));
        assert_eq!(seconds(2000, 2, 29), Some(951_782_400));
        assert_eq!(seconds(2000, 3, 1), Some(951_868_800));
        assert_eq!(seconds(2026, 11, 30), Some(1_795_996_800));
        assert_eq!(seconds(2100, 3, 1), Some(4_107_542_400));
    }

    #[test]
    fn what_is_no_date_is_none() {
        assert_eq!([seconds(1969, 1, 1), seconds(2000, 0, 1), seconds(2000, 13, 1)], [None; 3]);
        assert_eq!([seconds(2000, 1, 0), seconds(2000, 1, 32)], [None; 2]);
        let late = Date { year: 2000, month: 1, day: 1, hour: 24, minute: 0, second: 0 };
        assert_eq!(late.seconds_since_1970(), None);
    }
}
