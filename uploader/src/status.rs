//! One honest line for `systemctl status`.

use host::age::between;
use host::alarm::Alarm;
use jiff::Timestamp;

use crate::delivery::{DestinationSummary, Summary};

/// The line, from what delivery.db says at `now`.
#[must_use]
pub fn line(summary: &Summary, now: Timestamp) -> String {
    let mut parts: Vec<String> = summary
        .destinations
        .iter()
        .map(|destination| of_destination(destination, now))
        .collect();
    if parts.is_empty() {
        parts.push("no orders yet".to_owned());
    }
    if !summary.unreadable_orders.is_empty() {
        parts.push(format!(
            "{} unreadable order(s) in the outbox",
            summary.unreadable_orders.len()
        ));
    }
    parts.join("; ")
}

/// The same after what the uploader itself cannot do.
pub(crate) fn with_alarms(alarms: &[Alarm], line: String) -> String {
    if alarms.is_empty() {
        return line;
    }
    let codes: Vec<&str> = alarms.iter().map(|alarm| &*alarm.code).collect();
    format!("ALARM {}; {line}", codes.join(", "))
}

fn of_destination(d: &DestinationSummary, now: Timestamp) -> String {
    let waiting = d.counts.pending + d.counts.uploaded;
    if let Some(retired) = &d.retired {
        let mut text = format!("{}: retired ({})", d.destination_id, retired.reason);
        if waiting + d.counts.blocked > 0 {
            text.push_str(&format!(", {} to be ended", waiting + d.counts.blocked));
        }
        text.push_str(&format!(
            ", {} given up, {} confirmed",
            d.counts.retired, d.counts.confirmed
        ));
        return text;
    }
    let mut text = format!("{}: {waiting} pending", d.destination_id);
    if d.counts.blocked > 0 {
        text.push_str(&format!(", {} BLOCKED", d.counts.blocked));
    }
    if let Some(oldest) = d.oldest_pending_at {
        text.push_str(&format!(", oldest {}", between(oldest, now)));
    }
    if let (Some(retry), true) = (d.next_retry_at, waiting > 0) {
        text.push_str(&format!(", next retry {}", between(now, retry)));
    }
    if !d.uploads.is_empty() {
        let sent = d.uploads.iter().map(|u| u.sent_bytes).sum();
        let size = d.uploads.iter().map(|u| u.size_bytes).sum();
        text.push_str(&format!(
            ", {} large, {} of {} sent",
            d.uploads.len(),
            bytes(sent),
            bytes(size)
        ));
    }
    match (d.state, &d.reason) {
        ("parked", Some(reason)) => text.push_str(&format!(", PARKED ({reason})")),
        ("open", Some(reason)) => text.push_str(&format!(", failing ({reason})")),
        _ => {}
    }
    if let (Some(probe), true) = (d.next_probe_at, d.state != "ok") {
        text.push_str(&format!(", next probe {}", between(now, probe)));
    }
    text.push_str(&format!(", {} confirmed", d.counts.confirmed));
    text
}

/// Bytes for a reader: in MB with no, or in GB with one decimal (powers of ten, rounded down).
fn bytes(n: u64) -> String {
    if n < 1_000_000_000 {
        format!("{} MB", n / 1_000_000)
    } else {
        format!(
            "{}.{} GB",
            n / 1_000_000_000,
            n % 1_000_000_000 / 100_000_000
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::delivery::{Counts, UploadInProgress};

    fn at(secs: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + secs).unwrap()
    }

    fn destination() -> DestinationSummary {
        DestinationSummary {
            destination_id: "primary".to_owned(),
            uri: "s3://b/".to_owned(),
            state: "ok",
            retired: None,
            reason: None,
            since: at(0),
            next_probe_at: None,
            last_ok_at: None,
            last_preflight_at: None,
            clock_offset_ms: None,
            counts: Counts::default(),
            deferred: 0,
            oldest_pending_at: None,
            last_confirmed_at: None,
            next_retry_at: None,
            last_error: None,
            uploads: Vec::new(),
        }
    }

    #[test]
    fn the_line_says_what_waits_how_long_and_why() {
        let summary = Summary {
            destinations: vec![
                DestinationSummary {
                    counts: Counts {
                        pending: 2,
                        uploaded: 1,
                        confirmed: 7,
                        ..Counts::default()
                    },
                    oldest_pending_at: Some(at(-120)),
                    next_retry_at: Some(at(40)),
                    ..destination()
                },
                DestinationSummary {
                    destination_id: "second".to_owned(),
                    state: "parked",
                    reason: Some("AccessDenied".to_owned()),
                    next_probe_at: Some(at(200)),
                    counts: Counts {
                        pending: 3,
                        blocked: 1,
                        ..Counts::default()
                    },
                    ..destination()
                },
            ],
            ..Summary::default()
        };
        assert_eq!(
            line(&summary, at(0)),
            "primary: 3 pending, oldest 2 m, next retry 40 s, 7 confirmed; \
             second: 3 pending, 1 BLOCKED, PARKED (AccessDenied), next probe 3 m, 0 confirmed"
        );
    }

    #[test]
    fn the_line_says_how_much_of_large_objects_is_sent() {
        let upload = |sent_bytes, size_bytes| UploadInProgress {
            bundle_id: "EB-1".to_owned(),
            path: "p".to_owned(),
            sent_bytes,
            size_bytes,
        };
        let summary = Summary {
            destinations: vec![DestinationSummary {
                counts: Counts {
                    pending: 4,
                    ..Counts::default()
                },
                uploads: vec![upload(899_999_999, 3_000_000_000), upload(0, 90_000_000)],
                ..destination()
            }],
            ..Summary::default()
        };
        assert_eq!(
            line(&summary, at(0)),
            "primary: 4 pending, 2 large, 899 MB of 3.0 GB sent, 0 confirmed"
        );
    }

    #[test]
    fn a_retired_destination_says_why_and_what_was_given_up() {
        let summary = Summary {
            destinations: vec![DestinationSummary {
                state: "retired",
                retired: Some(crate::delivery::Retirement {
                    at: at(0),
                    reason: "the contract ended".to_owned(),
                }),
                counts: Counts {
                    confirmed: 7,
                    retired: 4,
                    ..Counts::default()
                },
                ..destination()
            }],
            ..Summary::default()
        };
        assert_eq!(
            line(&summary, at(0)),
            "primary: retired (the contract ended), 4 given up, 7 confirmed"
        );
    }

    #[test]
    fn what_the_uploader_cannot_do_comes_first() {
        let alarm = |code: &str| Alarm {
            code: code.to_owned(),
            since: at(0),
            message: "words".to_owned(),
        };
        let alarms = [alarm("database"), alarm("reload_refused")];
        assert_eq!(
            with_alarms(&alarms, "main: 0 pending".to_owned()),
            "ALARM database, reload_refused; main: 0 pending"
        );
        assert_eq!(with_alarms(&[], "line".to_owned()), "line");
    }

    #[test]
    fn an_empty_database_claims_nothing() {
        assert_eq!(line(&Summary::default(), at(0)), "no orders yet");
    }
}
