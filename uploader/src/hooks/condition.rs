//! What somebody must be told of, seen in what delivery.db, the alarms and the agent's standing say.
//! Decides, does no I/O; `now` is an argument.
//!
//! What cannot be looked at just now is neither there nor gone: [`Seen::is_unknown`].

use evidence::handover::{Standing, is_safe_name};
use host::alarm::Alarm;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::delivery::Summary;

/// An agent that has said nothing for so long is silent; it says something every minute.
const SILENT_AFTER: SignedDuration = SignedDuration::from_mins(10);

/// A kind of condition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Kind {
    /// Objects for a destination wait for an operator.
    Blocked,
    /// A destination refuses us.
    Parked,
    /// A destination has failed for long.
    Outage,
    /// Drops lie in quarantine.
    Quarantine,
    /// Files in the outbox cannot be acted on.
    UnreadableOrders,
    /// An alarm of the agent.
    AgentAlarm,
    /// An alarm of the uploader.
    UploaderAlarm,
    /// Nothing is heard of the agent.
    AgentSilent,
    /// The uploader could not start.
    StartFailed,
}

/// Which condition: told once, whatever else changes about it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(crate) struct Key {
    /// Its kind.
    pub(crate) kind: Kind,
    /// A destination's id, or an alarm's code.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) subject: Option<String>,
}

impl Key {
    pub(crate) fn new(kind: Kind, subject: Option<&str>) -> Self {
        Self {
            kind,
            subject: subject.map(str::to_owned),
        }
    }
}

/// A condition that is there now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Condition {
    pub(crate) key: Key,
    /// How many; 1 where there is nothing to count.
    pub(crate) count: u64,
    /// A store's code, such as `AccessDenied`.
    pub(crate) code: Option<String>,
}

/// What there is to look at.
pub(crate) struct Look<'a> {
    pub(crate) now: Timestamp,
    /// Absent when delivery.db cannot be read.
    pub(crate) delivery: Option<&'a Summary>,
    /// The uploader's own.
    pub(crate) alarms: &'a [Alarm],
    /// Absent when the agent said nothing that can be read.
    pub(crate) agent: Option<&'a Standing>,
    /// When the uploader began to listen.
    pub(crate) listening_since: Timestamp,
}

/// What was seen, and what could not be.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) conditions: Vec<Condition>,
    unknown: Vec<Kind>,
}

impl Seen {
    /// Of a start that failed: all else is unknown.
    pub(crate) fn start_failed() -> Self {
        let mut seen = Self {
            unknown: vec![
                Kind::Blocked,
                Kind::Parked,
                Kind::Outage,
                Kind::Quarantine,
                Kind::UnreadableOrders,
                Kind::AgentAlarm,
                Kind::UploaderAlarm,
                Kind::AgentSilent,
            ],
            conditions: Vec::new(),
        };
        seen.add(Kind::StartFailed, None, 1, None);
        seen
    }

    /// Whether conditions of this kind could not be looked for.
    pub(crate) fn is_unknown(&self, kind: Kind) -> bool {
        self.unknown.contains(&kind)
    }

    fn add(&mut self, kind: Kind, subject: Option<&str>, count: u64, code: Option<&str>) {
        if count > 0 {
            self.conditions.push(Condition {
                key: Key::new(kind, subject),
                count,
                // A store can say anything; what is no plain code stays on this host.
                code: code.filter(|code| is_safe_name(code)).map(str::to_owned),
            });
        }
    }
}

/// Looks at everything.
pub(crate) fn look(look: &Look<'_>) -> Seen {
    let mut seen = Seen::default();
    match look.delivery {
        Some(summary) => of_delivery(summary, &mut seen),
        None => seen.unknown.extend([
            Kind::Blocked,
            Kind::Parked,
            Kind::Outage,
            Kind::UnreadableOrders,
        ]),
    }
    for alarm in look.alarms {
        seen.add(Kind::UploaderAlarm, Some(&alarm.code), 1, None);
    }
    let heard_at = look.agent.map_or(look.listening_since, |agent| {
        agent.at.max(look.listening_since)
    });
    if look.now.duration_since(heard_at) >= SILENT_AFTER {
        seen.add(Kind::AgentSilent, None, 1, None);
    }
    match look.agent {
        Some(agent) => {
            for alarm in &agent.alarms {
                seen.add(Kind::AgentAlarm, Some(&alarm.code), 1, None);
            }
            match agent.in_quarantine {
                Some(count) => seen.add(Kind::Quarantine, None, count, None),
                None => seen.unknown.push(Kind::Quarantine),
            }
        }
        None => seen.unknown.extend([Kind::AgentAlarm, Kind::Quarantine]),
    }
    seen
}

fn of_delivery(summary: &Summary, seen: &mut Seen) {
    for destination in &summary.destinations {
        let id = Some(destination.destination_id.as_str());
        let code = destination.reason.as_deref();
        seen.add(Kind::Blocked, id, destination.counts.blocked, None);
        match destination.state {
            "parked" => seen.add(Kind::Parked, id, 1, code),
            "open" => seen.add(Kind::Outage, id, 1, code),
            _ => {}
        }
    }
    let unreadable = summary.unreadable_orders.len() as u64;
    seen.add(Kind::UnreadableOrders, None, unreadable, None);
}

#[cfg(test)]
mod tests {
    use evidence::handover::StandingAlarm;

    use super::*;
    use crate::delivery::{Counts, DestinationSummary};

    fn at(secs: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + secs).unwrap()
    }

    fn destination(id: &str, state: &'static str, reason: Option<&str>) -> DestinationSummary {
        DestinationSummary {
            destination_id: id.to_owned(),
            uri: "s3://b/".to_owned(),
            state,
            retired: None,
            reason: reason.map(str::to_owned),
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

    fn standing(at: Timestamp) -> Standing {
        Standing {
            standing_version: 1,
            at,
            alarms: vec![StandingAlarm {
                code: "stalled".to_owned(),
                since: at,
            }],
            in_quarantine: Some(3),
        }
    }

    fn keys(seen: &Seen) -> Vec<(Kind, Option<&str>, u64, Option<&str>)> {
        let conditions = seen.conditions.iter();
        conditions
            .map(|c| {
                (
                    c.key.kind,
                    c.key.subject.as_deref(),
                    c.count,
                    c.code.as_deref(),
                )
            })
            .collect()
    }

    #[test]
    fn what_waits_for_an_operator_is_seen_and_a_stores_words_are_not_told() {
        let mut blocked = destination("main", "ok", None);
        blocked.counts.blocked = 2;
        let summary = Summary {
            destinations: vec![
                blocked,
                destination("a", "parked", Some("AccessDenied")),
                destination("b", "open", Some("Jane Doe was here")),
                destination("c", "retired", Some("contract ended")),
            ],
            ..Summary::default()
        };
        let alarm = Alarm {
            code: "receipts".to_owned(),
            since: at(0),
            message: "words".to_owned(),
        };
        let standing = standing(at(0));
        let seen = look(&Look {
            now: at(60),
            delivery: Some(&summary),
            alarms: &[alarm],
            agent: Some(&standing),
            listening_since: at(0),
        });
        assert_eq!(
            keys(&seen),
            [
                (Kind::Blocked, Some("main"), 2, None),
                (Kind::Parked, Some("a"), 1, Some("AccessDenied")),
                (Kind::Outage, Some("b"), 1, None),
                (Kind::UploaderAlarm, Some("receipts"), 1, None),
                (Kind::AgentAlarm, Some("stalled"), 1, None),
                (Kind::Quarantine, None, 3, None),
            ]
        );
    }

    #[test]
    fn an_agent_is_silent_after_ten_minutes_of_listening() {
        let silent = |agent: Option<&Standing>, listening_since, now| {
            let seen = look(&Look {
                now,
                delivery: None,
                alarms: &[],
                agent,
                listening_since,
            });
            keys(&seen).iter().any(|key| key.0 == Kind::AgentSilent)
        };
        let old = standing(at(0));
        assert!(!silent(Some(&old), at(0), at(599)));
        assert!(silent(Some(&old), at(0), at(600)));
        assert!(!silent(Some(&old), at(500), at(600)), "just begun");
        assert!(!silent(None, at(0), at(599)));
        assert!(silent(None, at(0), at(600)));
    }

    #[test]
    fn what_cannot_be_looked_at_is_neither_there_nor_gone() {
        let seen = look(&Look {
            now: at(0),
            delivery: None,
            alarms: &[],
            agent: None,
            listening_since: at(0),
        });
        assert_eq!(keys(&seen), []);
        for kind in [Kind::Blocked, Kind::Parked, Kind::Outage, Kind::Quarantine] {
            assert!(seen.is_unknown(kind), "{kind:?}");
        }
        assert!(!seen.is_unknown(Kind::UploaderAlarm));
    }
}
