//! Which evidence is asked for: the same question for `list` and `pull`, and in the manifest of what
//! was pulled, where `verify.sh` asks it again.

use evidence::bundle::Kind;
use evidence::controls::{Citation, Criterion};
use evidence::custody::SealedEntry;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

/// By so many days clocks may be off before an incident that was noticed in a period is looked for among
/// what was sealed too early.
pub const SLACK_DAYS: i64 = 2;

/// A question. What is empty or absent asks for nothing; everything that is asked for must hold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Selection {
    /// One of these clients.
    pub clients: Vec<String>,
    /// One of these hosts.
    pub hosts: Vec<String>,
    /// One of these kinds of bundle.
    pub kinds: Vec<Kind>,
    /// Which time `from` and `before` speak of.
    pub time: Time,
    /// At this time or later.
    pub from: Option<Timestamp>,
    /// Before this time.
    pub before: Option<Timestamp>,
    /// One of these types of event, in any case.
    pub event_types: Vec<String>,
    /// One of these severities, in any case.
    pub severities: Vec<String>,
    /// One of these controls, or what is below one.
    pub controls: Vec<Citation>,
    /// One of these SOC 2 criteria, or of a group, by what the host's map had when it sealed.
    pub soc2: Vec<Criterion>,
    /// One of these findings is sealed in the bundle.
    pub findings: Vec<String>,
    /// One of these resolutions, in any case.
    pub resolutions: Vec<String>,
    /// The time allowed was not kept.
    pub sla_missed: bool,
    /// Each of these stands somewhere in the bundle, in any case. No index knows: each bundle of which
    /// the rest holds must be fetched.
    pub words: Vec<String>,
}

/// Which time of a bundle is meant.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Time {
    /// When an incident was noticed (`detected_at`); when it was sealed, of what is no incident.
    #[default]
    Detected,
    /// When it was sealed (`generated_at`).
    Sealed,
}

impl Default for Selection {
    fn default() -> Self {
        Self {
            clients: Vec::new(),
            hosts: Vec::new(),
            kinds: vec![Kind::Incident],
            time: Time::default(),
            from: None,
            before: None,
            event_types: Vec::new(),
            severities: Vec::new(),
            controls: Vec::new(),
            soc2: Vec::new(),
            findings: Vec::new(),
            resolutions: Vec::new(),
            sla_missed: false,
            words: Vec::new(),
        }
    }
}

impl Selection {
    /// Whether evidence of this host can be asked for.
    #[must_use]
    pub fn names_host(&self, client_id: &str, host_id: &str) -> bool {
        is_one_of(&self.clients, |client| client == client_id)
            && is_one_of(&self.hosts, |host| host == host_id)
    }

    /// The days, first and last, on which what can answer was sealed, going by the names of bundles. An
    /// incident is sealed after it was noticed, if clocks agree within [`SLACK_DAYS`]; and how long
    /// after, nothing says.
    #[must_use]
    pub fn days(&self) -> (Option<Date>, Option<Date>) {
        let day = |time: Timestamp| time.to_zoned(TimeZone::UTC).date();
        let from = self.from.map(day);
        match self.time {
            Time::Sealed => (from, self.before.map(day)),
            Time::Detected => {
                let slack = SignedDuration::from_hours(24 * SLACK_DAYS);
                (from.map(|day| day.saturating_sub(slack)), None)
            }
        }
    }

    /// Whether everything but the words holds, going by what an index knows.
    #[must_use]
    pub fn holds(&self, client_id: &str, host_id: &str, entry: &SealedEntry) -> bool {
        self.names_host(client_id, host_id)
            && is_one_of(&self.kinds, |kind| *kind == entry.kind)
            && self.holds_time(entry)
            && self.holds_incident(entry)
    }

    fn holds_time(&self, entry: &SealedEntry) -> bool {
        let at = match (self.time, &entry.incident) {
            (Time::Detected, Some(incident)) => incident.detected_at.at(),
            _ => entry.generated_at,
        };
        self.from.is_none_or(|from| at >= from) && self.before.is_none_or(|before| at < before)
    }

    fn holds_incident(&self, entry: &SealedEntry) -> bool {
        let Some(incident) = &entry.incident else {
            return !self.asks_of_incidents();
        };
        let said = |wanted: &str, said: &str| wanted.eq_ignore_ascii_case(said);
        is_one_of(&self.event_types, |t| said(t, &incident.event_type))
            && is_one_of(&self.severities, |s| said(s, &incident.severity))
            && is_one_of(&self.resolutions, |r| said(r, &incident.resolution_type))
            && is_one_of(&self.controls, |control| {
                incident
                    .hipaa_controls
                    .iter()
                    .any(|cited| control.is_cited_by(cited))
            })
            && is_one_of(&self.soc2, |criterion| {
                incident.soc2.iter().any(|id| criterion.names(id))
            })
            && is_one_of(&self.findings, |code| incident.findings.contains(code))
            && !(self.sla_missed && incident.sla_met)
    }

    /// Only incidents can answer.
    fn asks_of_incidents(&self) -> bool {
        self.sla_missed
            || !(self.event_types.is_empty()
                && self.severities.is_empty()
                && self.controls.is_empty()
                && self.soc2.is_empty()
                && self.findings.is_empty()
                && self.resolutions.is_empty())
    }

    /// Whether each word stands in one of the document's texts or names.
    #[must_use]
    pub fn holds_words(&self, document: &serde_json::Value) -> bool {
        self.words.iter().all(|word| {
            let word = word.to_lowercase();
            stands_in(document, &|text| text.to_lowercase().contains(&word))
        })
    }
}

/// Nothing asked for is as good as all.
fn is_one_of<T>(asked: &[T], is_it: impl FnMut(&T) -> bool) -> bool {
    asked.is_empty() || asked.iter().any(is_it)
}

fn stands_in(value: &serde_json::Value, is_in: &impl Fn(&str) -> bool) -> bool {
    match value {
        serde_json::Value::String(text) => is_in(text),
        serde_json::Value::Array(items) => items.iter().any(|item| stands_in(item, is_in)),
        serde_json::Value::Object(fields) => fields
            .iter()
            .any(|(name, item)| is_in(name) || stands_in(item, is_in)),
        serde_json::Value::Number(number) => is_in(&number.to_string()),
        serde_json::Value::Bool(_) | serde_json::Value::Null => false,
    }
}

#[cfg(test)]
mod tests {
    use evidence::custody::IncidentEntry;
    use evidence::digest::Sha256;
    use serde_json::{Number, json};

    use super::*;

    fn incident() -> SealedEntry {
        SealedEntry {
            bundle_id: "EB-20261101-0001".to_owned(),
            sequence: 7,
            sha256: Sha256::of(b"bundle"),
            kind: Kind::Incident,
            generated_at: "2026-11-01T00:10:00Z".parse().unwrap(),
            incident: Some(IncidentEntry {
                incident_id: "INC-7".to_owned(),
                event_type: "backup_failure".to_owned(),
                severity: "High".to_owned(),
                detected_at: "2026-11-01T00:30:00+01:00".parse().unwrap(),
                hostname: "srv-1".to_owned(),
                hipaa_controls: vec![
                    "164.312(b)".to_owned(),
                    "45 CFR 164.308(a)(7)(ii)(A)".to_owned(),
                ],
                resolution_type: "auto".to_owned(),
                sla_met: false,
                mttr_seconds: Number::from(900),
                sla_target_seconds: Number::from(600),
                soc2: vec!["A1.2".to_owned(), "CC7.5".to_owned()],
                findings: vec!["misapplied_control".to_owned()],
            }),
        }
    }

    fn custody() -> SealedEntry {
        SealedEntry {
            kind: Kind::Custody,
            incident: None,
            ..incident()
        }
    }

    fn holds(selection: &Selection, entry: &SealedEntry) -> bool {
        selection.holds("clinic", "host", entry)
    }

    fn texts(texts: &[&str]) -> Vec<String> {
        texts.iter().map(|text| (*text).to_owned()).collect()
    }

    #[test]
    fn nothing_asked_for_is_every_incident() {
        assert!(holds(&Selection::default(), &incident()));
        assert!(!holds(&Selection::default(), &custody()));
    }

    #[test]
    fn each_question_lets_through_what_answers_it_and_nothing_else() {
        type Change = fn(&mut Selection);
        let changes: [(&str, Change, Change); 10] = [
            (
                "client",
                |s| s.clients = texts(&["other", "clinic"]),
                |s| s.clients = texts(&["clinic-b"]),
            ),
            (
                "host",
                |s| s.hosts = texts(&["host"]),
                |s| s.hosts = texts(&["Host"]),
            ),
            (
                "event type",
                |s| s.event_types = texts(&["BACKUP_failure"]),
                |s| s.event_types = texts(&["backup"]),
            ),
            (
                "severity",
                |s| s.severities = texts(&["high", "low"]),
                |s| s.severities = texts(&["low"]),
            ),
            (
                "control",
                |s| s.controls = vec!["164.308(a)(7)".parse().unwrap()],
                |s| s.controls = vec!["164.308(a)(1)".parse().unwrap()],
            ),
            (
                "criterion",
                |s| s.soc2 = vec!["CC7".parse().unwrap()],
                |s| s.soc2 = vec!["CC7.1".parse().unwrap()],
            ),
            (
                "finding",
                |s| s.findings = texts(&["zero_hash", "misapplied_control"]),
                |s| s.findings = texts(&["misapplied"]),
            ),
            (
                "resolution",
                |s| s.resolutions = texts(&["auto"]),
                |s| s.resolutions = texts(&["manual"]),
            ),
            (
                "from",
                |s| s.from = Some("2026-10-31T23:30:00Z".parse().unwrap()),
                |s| s.from = Some("2026-10-31T23:30:01Z".parse().unwrap()),
            ),
            (
                "before",
                |s| s.before = Some("2026-10-31T23:30:01Z".parse().unwrap()),
                |s| s.before = Some("2026-10-31T23:30:00Z".parse().unwrap()),
            ),
        ];
        for (what, yes, no) in changes {
            for (change, expected) in [(yes, true), (no, false)] {
                let mut selection = Selection::default();
                change(&mut selection);
                assert_eq!(holds(&selection, &incident()), expected, "{what}");
            }
        }
    }

    #[test]
    fn a_missed_sla_is_one_that_the_incident_says_was_missed() {
        let selection = Selection {
            sla_missed: true,
            ..Selection::default()
        };
        assert!(holds(&selection, &incident()));
        let mut kept = incident();
        kept.incident.as_mut().unwrap().sla_met = true;
        assert!(!holds(&selection, &kept));
    }

    #[test]
    fn the_time_is_that_of_detection_or_of_sealing_as_asked() {
        let november = Selection {
            from: Some("2026-11-01T00:00:00Z".parse().unwrap()),
            ..Selection::default()
        };
        assert!(!holds(&november, &incident()), "noticed in October, by UTC");
        let sealed = Selection {
            time: Time::Sealed,
            ..november.clone()
        };
        assert!(holds(&sealed, &incident()));
        let of_custody = Selection {
            kinds: vec![Kind::Custody],
            ..november
        };
        assert!(holds(&of_custody, &custody()), "it detects nothing");
    }

    #[test]
    fn what_was_noticed_in_a_period_is_looked_for_among_what_was_sealed_since() {
        let october = Selection {
            from: Some("2026-10-01T00:00:00Z".parse().unwrap()),
            before: Some("2026-11-01T00:00:00Z".parse().unwrap()),
            ..Selection::default()
        };
        let day = |text: &str| text.parse::<Date>().unwrap();
        assert_eq!(october.days(), (Some(day("2026-09-29")), None));
        let sealed = Selection {
            time: Time::Sealed,
            ..october
        };
        let days = (Some(day("2026-10-01")), Some(day("2026-11-01")));
        assert_eq!(sealed.days(), days);
        assert_eq!(Selection::default().days(), (None, None));
    }

    #[test]
    fn what_only_incidents_can_answer_no_custody_answers() {
        let both = Selection {
            kinds: Vec::new(),
            ..Selection::default()
        };
        assert!(holds(&both, &custody()) && holds(&both, &incident()));
        let grave = Selection {
            severities: texts(&["high"]),
            ..both
        };
        assert!(holds(&grave, &incident()));
        assert!(!holds(&grave, &custody()));
    }

    #[test]
    fn every_word_must_stand_somewhere_in_the_document() {
        let document = json!({
            "incident": {"details": {"Volume": "D:\\Backups", "code": 1603}},
            "actions_taken": [{"stdout_excerpt": "service restarted"}],
        });
        for (words, expected) in [
            (&[][..], true),
            (&["backups"], true),
            (&["volume", "RESTARTED", "1603"], true),
            (&["backups", "tape"], false),
        ] {
            let selection = Selection {
                words: texts(words),
                ..Selection::default()
            };
            assert_eq!(selection.holds_words(&document), expected, "{words:?}");
        }
    }
}
