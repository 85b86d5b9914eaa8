//! A day, a month or an instant, as auditors name the ends of a period; in UTC.

use std::str::FromStr;

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;

/// What `--from` and `--to` take: `2026-10`, `2026-10-31` or `2026-10-31T18:00:00Z`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Period {
    /// Its first instant.
    pub start: Timestamp,
    /// The first instant after it; of an instant, itself.
    pub end: Timestamp,
}

/// The text names no period.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no month, day or time: expected 2026-10, 2026-10-31 or 2026-10-31T18:00:00Z")]
pub struct NotAPeriod(String);

impl FromStr for Period {
    type Err = NotAPeriod;

    fn from_str(text: &str) -> Result<Self, NotAPeriod> {
        let days = match text.len() {
            7 => month(text),
            10 => text.parse::<Date>().ok().map(|day| (day, day)),
            _ => None,
        };
        let period = match days {
            Some((first, last)) => midnight(first)
                .zip(last.tomorrow().ok().and_then(midnight))
                .map(|(start, end)| Self { start, end }),
            None => text.parse().ok().map(|at| Self { start: at, end: at }),
        };
        period.ok_or_else(|| NotAPeriod(text.to_owned()))
    }
}

fn month(text: &str) -> Option<(Date, Date)> {
    let first: Date = format!("{text}-01").parse().ok()?;
    Some((first, first.last_of_month()))
}

fn midnight(day: Date) -> Option<Timestamp> {
    Some(day.to_zoned(TimeZone::UTC).ok()?.timestamp())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn period(text: &str) -> (String, String) {
        let period: Period = text.parse().unwrap();
        (period.start.to_string(), period.end.to_string())
    }

    fn of(start: &str, end: &str) -> (String, String) {
        (start.to_owned(), end.to_owned())
    }

    #[test]
    fn a_day_and_a_month_are_whole_and_an_instant_is_itself() {
        assert_eq!(
            period("2026-10-31"),
            of("2026-10-31T00:00:00Z", "2026-11-01T00:00:00Z")
        );
        assert_eq!(
            period("2028-02"),
            of("2028-02-01T00:00:00Z", "2028-03-01T00:00:00Z")
        );
        assert_eq!(
            period("2026-10-31T18:00:00+01:00"),
            of("2026-10-31T17:00:00Z", "2026-10-31T17:00:00Z")
        );
    }

    #[test]
    fn what_names_no_period_is_refused() {
        for text in [
            "",
            "2026",
            "2026-13",
            "2026-02-30",
            "last week",
            "2026-10-31T18:00:00",
            "31.10.2026",
        ] {
            assert!(text.parse::<Period>().is_err(), "{text}");
        }
    }
}
