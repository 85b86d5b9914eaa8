//! Equal stretches of time for the plots: as fine as keeps a plot legible.

use std::collections::BTreeMap;

use jiff::civil::Date;
use jiff::tz::TimeZone;

use super::hours::{Hour, day_of};

/// More bars than these are too thin to see.
const MAX_PERIODS: i64 = 100;

/// How long each is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    Hour,
    Day,
    Week,
    Month,
    Year,
}

impl Step {
    /// The finest step in which the hours from `first` to `last` are few enough.
    pub(super) fn over(first: Hour, last: Hour) -> Self {
        let hours = last - first + 1;
        [
            (Self::Hour, 1),
            (Self::Day, 24),
            (Self::Week, 24 * 7),
            (Self::Month, 24 * 28),
        ]
        .into_iter()
        .find(|(_, length)| hours / length < MAX_PERIODS)
        .map_or(Self::Year, |(step, _)| step)
    }

    /// In words, for "by the …".
    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::Hour => "hour",
            Self::Day => "day",
            Self::Week => "week",
            Self::Month => "month",
            Self::Year => "year",
        }
    }

    /// The first hour of the period that `hour` lies in.
    pub(super) fn start(self, hour: Hour) -> Hour {
        let (day, hour_of_day) = day_of(hour);
        let midnight = hour - hour_of_day as i64;
        match self {
            Self::Hour => hour,
            Self::Day => midnight,
            Self::Week => midnight - 24 * i64::from(day.weekday().to_monday_zero_offset()),
            Self::Month => first_hour(day.first_of_month()),
            Self::Year => first_hour(day.first_of_year()),
        }
    }

    /// The first hour of the next period, `start` being that of one.
    fn next(self, start: Hour) -> Hour {
        // Longer than any period of its kind, and shorter than two.
        let beyond = match self {
            Self::Hour => 1,
            Self::Day => 24,
            Self::Week => 24 * 7,
            Self::Month => 24 * 32,
            Self::Year => 24 * 367,
        };
        self.start(start + beyond)
    }

    /// How a period is called.
    pub(super) fn label(self, start: Hour) -> String {
        let (day, hour) = day_of(start);
        match self {
            Self::Hour => format!("{day} {hour:02}:00"),
            Self::Day | Self::Week => day.to_string(),
            Self::Month => format!("{:04}-{:02}", day.year(), day.month()),
            Self::Year => format!("{:04}", day.year()),
        }
    }

    /// All periods from the one of `first` to the one of `last`, empty ones too, filled by `fill`.
    pub(super) fn periods<T: Default>(
        self,
        first: Hour,
        last: Hour,
        values: impl IntoIterator<Item = (Hour, T)>,
        join: impl Fn(&mut T, T),
    ) -> Vec<(Hour, T)> {
        let mut periods: BTreeMap<Hour, T> = BTreeMap::new();
        let mut start = self.start(first);
        while start <= last {
            periods.insert(start, T::default());
            start = self.next(start);
        }
        for (hour, value) in values {
            join(periods.entry(self.start(hour)).or_default(), value);
        }
        periods.into_iter().collect()
    }
}

fn first_hour(day: Date) -> Hour {
    // A day of a Span, so it is well within range; see hours.rs.
    day.to_zoned(TimeZone::UTC)
        .map_or(0, |midnight| midnight.timestamp().as_second() / 3_600)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::hours::hour_of;

    fn hour(text: &str) -> Hour {
        hour_of(text.parse().unwrap())
    }

    #[test]
    fn a_longer_time_is_cut_into_longer_periods() {
        let first = hour("2026-01-01T00:00:00Z");
        for (last, step) in [
            ("2026-01-01T00:00:00Z", Step::Hour),
            ("2026-01-04T00:00:00Z", Step::Hour),
            ("2026-02-01T00:00:00Z", Step::Day),
            ("2026-12-31T00:00:00Z", Step::Week),
            ("2030-12-31T00:00:00Z", Step::Month),
            ("2040-12-31T00:00:00Z", Step::Year),
        ] {
            assert_eq!(Step::over(first, hour(last)), step, "{last}");
        }
    }

    #[test]
    fn periods_follow_each_other_without_a_gap_and_hold_everything() {
        let first = hour("2025-11-13T05:00:00Z");
        let last = hour("2027-02-28T23:00:00Z");
        for step in [Step::Day, Step::Week, Step::Month, Step::Year] {
            let hours = first..=last;
            let periods = step.periods(first, last, hours.map(|hour| (hour, 1_i64)), |sum, n| {
                *sum += n;
            });
            assert_eq!(
                periods.iter().map(|(_, n)| n).sum::<i64>(),
                last - first + 1
            );
            assert!(periods.iter().all(|(_, n)| *n > 0), "{step:?}: {periods:?}");
            for pair in periods.windows(2) {
                assert_eq!(step.next(pair[0].0), pair[1].0, "{step:?}");
            }
        }
        assert_eq!(Step::Month.label(Step::Month.start(first)), "2025-11");
        assert_eq!(Step::Week.label(Step::Week.start(first)), "2025-11-10");
    }
}
