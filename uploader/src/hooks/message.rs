//! What is told: fixed words, ids from the configuration, codes and counts. No word of it comes from
//! evidence, a drop's name or a store.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::condition::{Key, Kind};

/// What happened to a condition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Event {
    /// It is there.
    Raised,
    /// It grew.
    Grown,
    /// It is still there.
    Reminder,
    /// It is over.
    Recovered,
}

impl Event {
    /// It says nothing that was not told before.
    pub(super) const fn is_repetition(self) -> bool {
        matches!(self, Self::Grown | Self::Reminder)
    }
}

/// Whose host it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) client_id: String,
    pub(crate) host_id: String,
}

/// What a hook is given, and what waits for it in the book.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Notification {
    /// Always 1.
    pub(crate) notification_version: u32,
    /// The same when it is sent twice.
    pub(crate) id: String,
    /// What happened.
    pub(crate) event: Event,
    /// Of what kind the condition is.
    #[serde(flatten)]
    pub(crate) key: Key,
    /// How many, where there is something to count.
    pub(crate) count: u64,
    /// A store's code, such as `AccessDenied`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(crate) code: Option<String>,
    /// Since when.
    pub(crate) since: Timestamp,
    /// When it was decided to tell it.
    pub(crate) at: Timestamp,
    /// Whose host.
    pub(crate) client_id: String,
    /// Which host.
    pub(crate) host_id: String,
    /// In one line.
    pub(crate) summary: String,
    /// Where what to do is written.
    pub(crate) runbook: String,
}

impl Notification {
    pub(crate) fn new(
        identity: &Identity,
        event: Event,
        key: Key,
        count: u64,
        code: Option<String>,
        since: Timestamp,
        at: Timestamp,
    ) -> Self {
        let words = words(&key, count);
        let code_shown = code.as_ref().map(|c| format!(" ({c})")).unwrap_or_default();
        let host = format!("{}/{}", identity.client_id, identity.host_id);
        let summary = match event {
            Event::Raised => format!("{host}: {words}{code_shown}"),
            Event::Grown => format!("{host}: {words}{code_shown}, more than before"),
            Event::Reminder => format!("{host}: still, {words}{code_shown}"),
            Event::Recovered => format!("{host}: over: {words}"),
        };
        Self {
            notification_version: 1,
            id: ulid::Ulid::generate().to_string(),
            event,
            runbook: format!("docs/operations.md#{}", section(key.kind)),
            key,
            count,
            code,
            since,
            at,
            client_id: identity.client_id.clone(),
            host_id: identity.host_id.clone(),
            summary,
        }
    }

    /// As it is posted, byte for byte the same each time.
    pub(super) fn to_json(&self) -> Vec<u8> {
        let mut bytes = serde_json::to_vec(self).unwrap_or_default();
        bytes.push(b'\n');
        bytes
    }

    /// For a chat: one message with a mark, the words and where to look.
    pub(super) fn to_slack(&self) -> Vec<u8> {
        let mark = match self.event {
            Event::Recovered => ":white_check_mark:",
            _ => ":rotating_light:",
        };
        let text = format!(
            "{mark} msp-evidence {}\nsince {}, {}",
            self.summary, self.since, self.runbook
        );
        serde_json::to_vec(&serde_json::json!({ "text": text })).unwrap_or_default()
    }

    /// For a mail's subject: ASCII, 100 characters at most (Amazon SNS API Reference, "Publish").
    pub(super) fn subject(&self) -> String {
        let subject = format!("msp-evidence {}", self.summary);
        let plain = |c: &char| c.is_ascii_graphic() || *c == ' ';
        subject.chars().filter(plain).take(100).collect()
    }

    #[cfg(test)]
    pub(super) fn for_tests(event: Event, key: Key, at: Timestamp) -> Self {
        let identity = Identity {
            client_id: "clinic".to_owned(),
            host_id: "host".to_owned(),
        };
        Self::new(&identity, event, key, 1, None, at, at)
    }
}

fn words(key: &Key, count: u64) -> String {
    let subject = key.subject.as_deref().unwrap_or_default();
    match key.kind {
        Kind::Blocked => format!("{count} objects for {subject} wait for an operator"),
        Kind::Parked => format!("{subject} refuses us, an operator is needed"),
        Kind::Outage => format!("{subject} fails for long, it is retried by itself"),
        Kind::Quarantine => format!("{count} drops could not be sealed, they are in quarantine"),
        Kind::UnreadableOrders => format!("{count} files in the outbox cannot be acted on"),
        Kind::AgentAlarm => format!("the agent raises the alarm {subject}"),
        Kind::UploaderAlarm => format!("the uploader raises the alarm {subject}"),
        Kind::AgentSilent => "nothing is heard of the agent".to_owned(),
        Kind::StartFailed => "the uploader could not start".to_owned(),
    }
}

/// The section of the operators' manual.
const fn section(kind: Kind) -> &'static str {
    match kind {
        Kind::Blocked => "evidence-is-blocked",
        Kind::Parked => "a-destination-is-parked",
        Kind::Outage => "evidence-waits",
        Kind::Quarantine => "drops-in-quarantine",
        Kind::UnreadableOrders => "the-daemons-do-not-believe-each-other",
        Kind::AgentAlarm | Kind::UploaderAlarm => "alarms",
        Kind::AgentSilent | Kind::StartFailed => "a-daemon-is-down",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KINDS: [Kind; 9] = [
        Kind::Blocked,
        Kind::Parked,
        Kind::Outage,
        Kind::Quarantine,
        Kind::UnreadableOrders,
        Kind::AgentAlarm,
        Kind::UploaderAlarm,
        Kind::AgentSilent,
        Kind::StartFailed,
    ];

    #[test]
    fn each_kind_names_a_section_of_the_operators_manual() {
        let manual = include_str!("../../../docs/operations.md");
        for kind in KINDS {
            let heading = section(kind).replace('-', " ");
            let is_heading = |line: &str| {
                line.starts_with('#')
                    && line.trim_start_matches('#').trim().to_ascii_lowercase() == heading
            };
            assert!(manual.lines().any(is_heading), "{heading}");
        }
    }

    #[test]
    fn a_notification_is_read_back_and_its_forms_are_stable() {
        let at = Timestamp::from_second(1_800_000_000).unwrap();
        let key = Key::new(Kind::Parked, Some("primary"));
        let told = Notification {
            id: "N".to_owned(),
            code: Some("AccessDenied".to_owned()),
            ..Notification::for_tests(Event::Raised, key, at)
        };
        let json = told.to_json();
        assert_eq!(
            String::from_utf8(json.clone()).unwrap(),
            "{\"notification_version\":1,\"id\":\"N\",\"event\":\"raised\",\"kind\":\"parked\",\
             \"subject\":\"primary\",\"count\":1,\"code\":\"AccessDenied\",\
             \"since\":\"2027-01-15T08:00:00Z\",\"at\":\"2027-01-15T08:00:00Z\",\
             \"client_id\":\"clinic\",\"host_id\":\"host\",\
             \"summary\":\"clinic/host: primary refuses us, an operator is needed\",\
             \"runbook\":\"docs/operations.md#a-destination-is-parked\"}\n"
        );
        assert_eq!(serde_json::from_slice::<Notification>(&json).unwrap(), told);
        assert_eq!(
            told.subject(),
            "msp-evidence clinic/host: primary refuses us, an operator is needed"
        );
        let slack = String::from_utf8(told.to_slack()).unwrap();
        assert!(
            slack.starts_with("{\"text\":\":rotating_light: msp-evidence clinic/host: primary")
        );
    }
}
