//! Whether evidence was sealed in time, and by a clock that can be believed.
//!
//! What is filled in afterwards may be true, but it is not a record of the moment, and nothing takes that
//! label away again. The path says from which time it follows.

use jiff::{SignedDuration, Timestamp};

use super::{Finding, code};
use crate::bundle::TimeSource;
use crate::incident::IncidentBody;

/// So far from the store's clock a host's may be, in milliseconds; an audit allows the same.
const FAR_FROM_STORE_MS: f64 = 300_000.0;

/// How long after its treatment ended an incident may be sealed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lateness {
    /// Longer than this is late.
    pub late_after: SignedDuration,
    /// Longer than this is filled in afterwards.
    pub backfilled_after: SignedDuration,
}

/// What there is to say of an incident that is sealed `now`.
#[must_use]
pub fn timeliness(body: &IncidentBody, now: Timestamp, allowed: Lateness) -> Option<Finding> {
    let since = now.duration_since(body.execution.timestamp_end.at());
    let (code, limit) = if since > allowed.backfilled_after {
        (code::BACKFILLED, allowed.backfilled_after)
    } else if since > allowed.late_after {
        (code::SEALED_LATE, allowed.late_after)
    } else {
        return None;
    };
    Some(Finding::new(
        code,
        "/execution/timestamp_end",
        format!(
            "sealed {} s after the treatment ended; more than {} s is labelled",
            since.as_secs(),
            limit.as_secs()
        ),
    ))
}

/// What there is to say of the clock that a bundle is sealed by. Of one of which nothing is known, only
/// the header says so.
#[must_use]
pub fn clock_doubt(time: &TimeSource) -> Option<Finding> {
    if time.synchronised == Some(false) {
        return Some(Finding::new(
            code::CLOCK_NOT_SYNCHRONISED,
            "/time/synchronised",
            "the host's time service says that the clock is not synchronised",
        ));
    }
    let error_ms = time.estimated_error_ms?;
    (error_ms > FAR_FROM_STORE_MS).then(|| {
        Finding::new(
            code::CLOCK_NOT_SYNCHRONISED,
            "/time/estimated_error_ms",
            "the host's clock may be more than five minutes off",
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::incident::{Incident, Limits};

    fn sealed_after(seconds: i64) -> Option<Finding> {
        let path = "../tests/fixtures/drops/valid/backup-failure.json";
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
        let incident = Incident::parse(&std::fs::read(path).unwrap(), &Limits::default()).unwrap();
        let ended = incident.body.execution.timestamp_end.at();
        let allowed = Lateness {
            late_after: SignedDuration::from_secs(3600),
            backfilled_after: SignedDuration::from_secs(86_400),
        };
        let now = ended + SignedDuration::from_secs(seconds);
        timeliness(&incident.body, now, allowed)
    }

    #[test]
    fn what_is_sealed_long_after_its_end_is_late_and_then_filled_in_afterwards() {
        for (seconds, expected) in [
            (-5, None),
            (3600, None),
            (3601, Some(code::SEALED_LATE)),
            (86_400, Some(code::SEALED_LATE)),
            (86_401, Some(code::BACKFILLED)),
        ] {
            let found = sealed_after(seconds);
            assert_eq!(found.as_ref().map(|f| &*f.code), expected, "{seconds}");
        }
        assert!(sealed_after(3601).unwrap().message.contains("3601 s"));
    }

    #[test]
    fn a_clock_is_doubted_when_it_is_said_to_be_wrong_and_not_for_being_unknown() {
        let clock = |synchronised, estimated_error_ms| TimeSource {
            source: "x".to_owned(),
            synchronised,
            estimated_error_ms,
        };
        for (time, doubted) in [
            (TimeSource::unknown(), false),
            (clock(Some(true), Some(12.0)), false),
            (clock(Some(false), None), true),
            (clock(None, Some(300_000.0)), false),
            (clock(None, Some(300_001.0)), true),
        ] {
            assert_eq!(clock_doubt(&time).is_some(), doubted, "{time:?}");
        }
    }
}
