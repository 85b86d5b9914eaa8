//! Coverage by hour: what each host sealed in each hour of its life, so that silence shows.
//!
//! An hour is attested when a custody bundle was sealed in it, or lies between two custody bundles of
//! the host that are no further apart than the audit allowed. Between a custody bundle that says that the
//! agent stops and the next bundle it was stopped. All other hours between a host's first and last bundle
//! are silent. Before and after there is no data, which is something else. Times are
//! those that the host signed; a time that cannot be (see [`Span`]) is counted and not drawn, or one
//! forged year 9999 would make a report of three million rows.

use std::collections::BTreeMap;

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;

use super::content::{BodyContent, Proven};
use evidence::bundle::Kind;

const HOUR_SECS: i64 = 3_600;
/// Why the custody bundle of a clean stop was sealed.
const STOP: &str = "stop";

/// An hour, counted from 1970-01-01T00Z.
pub(super) type Hour = i64;

/// The hour that `at` lies in.
pub(super) fn hour_of(at: Timestamp) -> Hour {
    at.as_second().div_euclid(HOUR_SECS)
}

/// The day that an hour lies in, and which of its 24 it is, in UTC.
pub(super) fn day_of(hour: Hour) -> (Date, usize) {
    // Only hours of a Span come here, and those are well within what a Timestamp holds.
    let at = Timestamp::from_second(hour * HOUR_SECS).unwrap_or(Timestamp::UNIX_EPOCH);
    let civil = at.to_zoned(TimeZone::UTC).datetime();
    (civil.date(), usize::from(civil.hour().unsigned_abs()))
}

/// The times that a bundle can honestly bear, from 2000 to a day after it was looked at; and what is
/// silence.
#[derive(Debug, Clone, Copy)]
pub(super) struct Span {
    first: Timestamp,
    last: Timestamp,
    silent_after_secs: i64,
}

impl Span {
    pub(super) fn new(looked_at: Option<Timestamp>, silent_after_secs: i64) -> Self {
        // 2100-01-01T00:00:00Z where nobody knows when it was.
        let last_secs = looked_at.map_or(4_102_444_800, |at| at.as_second().saturating_add(86_400));
        Self {
            // 2000-01-01T00:00:00Z
            first: Timestamp::constant(946_684_800, 0),
            last: Timestamp::from_second(last_secs).unwrap_or(Timestamp::MAX),
            silent_after_secs,
        }
    }

    pub(super) fn holds(self, at: Timestamp) -> bool {
        self.first <= at && at <= self.last
    }
}

/// What one host did in one hour.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Cell {
    incidents: u32,
    attested: bool,
    stopped: bool,
}

/// What an hour shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shows {
    /// Before the host's first bundle, or after its last.
    NoData,
    /// Nothing attests it.
    Silent,
    /// Nothing attests it: the agent was stopped, as it had said.
    Stopped,
    /// Incidents were sealed, and no custody attests the hour.
    IncidentsUnattested(u32),
    /// Custody attests it, and nothing happened.
    Attested,
    /// Incidents were sealed, and custody attests the hour.
    Incidents(u32),
}

/// One host's hours.
#[derive(Debug, Clone, Default)]
pub(super) struct HostHours {
    cells: BTreeMap<Hour, Cell>,
    last_custody: Option<Timestamp>,
    stopped_at: Option<Timestamp>,
    /// Bundles that bear an impossible time.
    pub(super) impossible: u64,
}

impl HostHours {
    pub(super) fn add(&mut self, bundle: &Proven, span: Span) {
        let at = bundle.generated_at;
        if !span.holds(at) {
            self.impossible += 1;
            return;
        }
        let hour = hour_of(at);
        if let Some(stopped_at) = self.stopped_at.take() {
            for between in hour_of(stopped_at) + 1..hour {
                self.cells.entry(between).or_default().stopped = true;
            }
        }
        if matches!(&bundle.body, BodyContent::Custody(custody) if custody.because == STOP) {
            self.stopped_at = Some(at);
        }
        let cell = self.cells.entry(hour).or_default();
        match bundle.kind {
            Kind::Incident => cell.incidents += 1,
            Kind::Custody => {
                cell.attested = true;
                if let Some(before) = self.last_custody.replace(at) {
                    let gap_secs = at.as_second() - before.as_second();
                    if (0..=span.silent_after_secs).contains(&gap_secs) {
                        for between in hour_of(before)..hour {
                            self.cells.entry(between).or_default().attested = true;
                        }
                    }
                }
            }
            Kind::Probe | Kind::Rotation => {}
        }
    }

    /// The first and last hour in which it sealed anything.
    pub(super) fn life(&self) -> Option<(Hour, Hour)> {
        Some((
            *self.cells.first_key_value()?.0,
            *self.cells.last_key_value()?.0,
        ))
    }

    pub(super) fn shows(&self, hour: Hour) -> Shows {
        let Some((first, last)) = self.life() else {
            return Shows::NoData;
        };
        if hour < first || hour > last {
            return Shows::NoData;
        }
        let cell = self.cells.get(&hour).copied().unwrap_or_default();
        match (cell.incidents, cell.attested, cell.stopped) {
            (0, true, _) => Shows::Attested,
            (0, false, true) => Shows::Stopped,
            (0, false, false) => Shows::Silent,
            (incidents, true, _) => Shows::Incidents(incidents),
            (incidents, false, _) => Shows::IncidentsUnattested(incidents),
        }
    }

    /// Hours of its life, and how many of them are silent.
    pub(super) fn count(&self) -> (u64, u64) {
        let Some((first, last)) = self.life() else {
            return (0, 0);
        };
        let spoken_for = |cell: &&Cell| cell.attested || (cell.stopped && cell.incidents == 0);
        let spoken_for = self.cells.values().filter(spoken_for).count() as u64;
        let hours = last.abs_diff(first) + 1;
        (hours, hours - spoken_for)
    }

    /// Days of its life, those without anything in them joined to runs.
    pub(super) fn days(&self) -> Vec<DayRow> {
        let mut rows: Vec<DayRow> = Vec::new();
        let Some((first, last)) = self.life() else {
            return rows;
        };
        let mut hour = first - first.rem_euclid(24);
        while hour <= last {
            let next = self
                .cells
                .range(hour..)
                .next()
                .map_or(last, |(hour, _)| *hour);
            let empty_days = (next - hour) / 24;
            if empty_days > 2 {
                rows.push(DayRow::Silent {
                    from: hour,
                    days: empty_days,
                });
                hour += empty_days * 24;
            } else {
                rows.push(DayRow::Hours(hour));
                hour += 24;
            }
        }
        rows
    }
}

/// A row of a heat map.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum DayRow {
    /// The 24 hours from this one.
    Hours(Hour),
    /// So many whole days in which nothing was sealed at all.
    Silent {
        /// Its first hour.
        from: Hour,
        /// How many days.
        days: i64,
    },
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::content::CustodyContent;

    fn bundle(kind: Kind, at: &str) -> Proven {
        Proven {
            kind,
            client_id: "c".to_owned(),
            host_id: "h".to_owned(),
            chain_id: "01".to_owned(),
            sequence: 1,
            previous_sha256: None,
            evidence_bundle_hash: String::new(),
            key_id: String::new(),
            generated_at: at.parse().unwrap(),
            body: match kind {
                Kind::Custody => BodyContent::Custody(CustodyContent {
                    because: "interval".to_owned(),
                    from_sequence: None,
                    to_sequence: None,
                    sealed: 0,
                    confirmed: 0,
                    quarantined: 0,
                    duplicates: 0,
                    clock_jumps: 0,
                }),
                _ => BodyContent::Probe,
            },
        }
    }

    fn hours(bundles: &[(Kind, &str)]) -> HostHours {
        let mut hours = HostHours::default();
        let span = Span::new(Some("2026-12-01T00:00:00Z".parse().unwrap()), 4_500);
        for (kind, at) in bundles {
            hours.add(&bundle(*kind, at), span);
        }
        hours
    }

    fn shown(hours: &HostHours, at: &str) -> Shows {
        hours.shows(hour_of(at.parse().unwrap()))
    }

    #[test]
    fn an_hour_without_custody_is_silent_and_one_outside_the_hosts_life_has_no_data() {
        let hours = hours(&[
            (Kind::Custody, "2026-11-20T08:00:00Z"),
            (Kind::Incident, "2026-11-20T08:30:00Z"),
            (Kind::Incident, "2026-11-20T10:30:00Z"),
            (Kind::Custody, "2026-11-20T12:00:00Z"),
        ]);
        assert_eq!(shown(&hours, "2026-11-20T07:59:59Z"), Shows::NoData);
        assert_eq!(shown(&hours, "2026-11-20T08:00:00Z"), Shows::Incidents(1));
        assert_eq!(shown(&hours, "2026-11-20T09:00:00Z"), Shows::Silent);
        assert_eq!(
            shown(&hours, "2026-11-20T10:00:00Z"),
            Shows::IncidentsUnattested(1)
        );
        assert_eq!(shown(&hours, "2026-11-20T12:00:00Z"), Shows::Attested);
        assert_eq!(shown(&hours, "2026-11-20T13:00:00Z"), Shows::NoData);
        assert_eq!(hours.count(), (5, 3));
    }

    #[test]
    fn an_hour_that_a_late_custody_skips_is_attested() {
        let hours = hours(&[
            (Kind::Custody, "2026-11-20T08:59:59Z"),
            (Kind::Custody, "2026-11-20T10:00:01Z"),
        ]);
        assert_eq!(shown(&hours, "2026-11-20T09:00:00Z"), Shows::Attested);
        assert_eq!(hours.count(), (3, 0));
    }

    #[test]
    fn after_a_stop_the_agent_is_stopped_and_not_silent() {
        let mut hours = hours(&[(Kind::Custody, "2026-11-20T08:00:00Z")]);
        let span = Span::new(None, 4_500);
        let mut stop = bundle(Kind::Custody, "2026-11-20T09:00:00Z");
        if let BodyContent::Custody(custody) = &mut stop.body {
            custody.because = STOP.to_owned();
        }
        hours.add(&stop, span);
        hours.add(&bundle(Kind::Custody, "2026-11-20T12:00:00Z"), span);
        hours.add(&bundle(Kind::Custody, "2026-11-20T15:00:00Z"), span);
        assert_eq!(shown(&hours, "2026-11-20T09:00:00Z"), Shows::Attested);
        assert_eq!(shown(&hours, "2026-11-20T10:00:00Z"), Shows::Stopped);
        assert_eq!(shown(&hours, "2026-11-20T11:00:00Z"), Shows::Stopped);
        assert_eq!(shown(&hours, "2026-11-20T13:00:00Z"), Shows::Silent);
        assert_eq!(hours.count(), (8, 2));
    }

    #[test]
    fn times_that_cannot_be_are_counted_and_not_drawn() {
        let hours = hours(&[
            (Kind::Custody, "9999-11-20T08:00:00Z"),
            (Kind::Custody, "1970-01-01T00:00:00Z"),
            (Kind::Custody, "2026-11-20T08:00:00Z"),
        ]);
        assert_eq!(hours.impossible, 2);
        assert_eq!(hours.days().len(), 1);
    }

    #[test]
    fn days_without_anything_are_one_row() {
        let hours = hours(&[
            (Kind::Custody, "2026-01-01T08:00:00Z"),
            (Kind::Custody, "2026-01-31T08:00:00Z"),
        ]);
        let rows = hours.days();
        assert_eq!(rows.len(), 3, "{rows:?}");
        let DayRow::Silent { days, .. } = rows[1] else {
            panic!("{rows:?}");
        };
        assert_eq!(days, 29);
    }
}
