//! One honest line for `systemctl status`.

use std::time::Duration;

use host::alarm::Alarm;
use jiff::Timestamp;

use crate::summary::Summary;

/// What the line is made of.
pub(crate) struct Standing<'a> {
    /// Why nothing is sealed.
    pub(crate) fault: Option<&'a str>,
    /// Incidents sealed since the start.
    pub(crate) sealed: u64,
    /// Drops quarantined since the start.
    pub(crate) quarantined: u64,
    /// What monitoring is told, too; absent when the spool cannot be read.
    pub(crate) summary: Option<&'a Summary>,
    pub(crate) custody_due_in: Duration,
    pub(crate) alarms: &'a [Alarm],
    pub(crate) now: Timestamp,
}

/// The line: what is wrong first.
pub(crate) fn line(standing: &Standing<'_>) -> String {
    let mut parts = Vec::new();
    if let Some(fault) = standing.fault {
        parts.push(format!("STALLED, drops wait: {fault}"));
    }
    // That it is stalled was said in full.
    let alarms: Vec<&str> = standing
        .alarms
        .iter()
        .map(|alarm| &*alarm.code)
        .filter(|code| *code != "stalled")
        .collect();
    if !alarms.is_empty() {
        parts.push(format!("ALARM {}", alarms.join(", ")));
    }
    let summary = standing.summary;
    if let Some(waiting) = summary.and_then(|summary| summary.waiting_drops) {
        parts.push(format!("{waiting} drops wait"));
    }
    parts.push(format!("{} sealed since start", standing.sealed));
    if standing.quarantined > 0 {
        parts.push(format!("{} quarantined", standing.quarantined));
    }
    if let Some(summary) = summary {
        parts.push(match summary.custody.last_sealed_at {
            Some(at) => format!("last custody {} ago", host::age::between(at, standing.now)),
            None => "no custody yet".to_owned(),
        });
    }
    parts.push(format!(
        "custody due in {}",
        host::age::words(standing.custody_due_in)
    ));
    parts.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn summary(waiting: usize, last_custody_at: Option<Timestamp>) -> Summary {
        Summary {
            totals: evidence::custody::Totals::default(),
            last_sealed_at: None,
            oldest_unconfirmed_at: None,
            custody: spool::CustodyState {
                last_bundle_id: None,
                last_sealed_at: last_custody_at,
                unattested_confirmations: 0,
                uncovered_bundles: 0,
            },
            without_custody_since: None,
            waiting_drops: Some(waiting),
            in_quarantine: Some(0),
        }
    }

    fn standing(summary: &Summary) -> Standing<'_> {
        Standing {
            fault: None,
            sealed: 0,
            quarantined: 0,
            summary: Some(summary),
            custody_due_in: Duration::from_secs(3600),
            alarms: &[],
            now: Timestamp::UNIX_EPOCH + jiff::SignedDuration::from_secs(720),
        }
    }

    #[test]
    fn the_line_says_what_waits_what_was_sealed_and_when_custody_was_and_is_due() {
        assert_eq!(
            line(&standing(&summary(0, None))),
            "0 drops wait, 0 sealed since start, no custody yet, custody due in 60 m"
        );
        let summary = summary(3, Some(Timestamp::UNIX_EPOCH));
        let busy = Standing {
            sealed: 17,
            quarantined: 1,
            ..standing(&summary)
        };
        assert_eq!(
            line(&busy),
            "3 drops wait, 17 sealed since start, 1 quarantined, last custody 12 m ago, \
             custody due in 60 m"
        );
    }

    #[test]
    fn what_is_wrong_comes_first() {
        let alarm = |code: &str| Alarm {
            code: code.to_owned(),
            since: Timestamp::UNIX_EPOCH,
            message: "words".to_owned(),
        };
        let alarms = [alarm("left"), alarm("stalled"), alarm("reload_refused")];
        let summary = summary(3, None);
        let bad = Standing {
            fault: Some("no room"),
            alarms: &alarms,
            ..standing(&summary)
        };
        assert_eq!(
            line(&bad),
            "STALLED, drops wait: no room, ALARM left, reload_refused, 3 drops wait, 0 sealed since \
             start, no custody yet, custody due in 60 m"
        );
    }
}
