//! Scripted faults: what goes wrong, when, how often; changeable while the endpoint runs.
//!
//! A fault says on which requests it strikes and what it then does. Every fault that matches a
//! request strikes, so that "loses locks" and "drops the third response" combine; the first one
//! that answers or drops decides the response. Faults come by API or from a JSON [`Script`]:
//!
//! ```json
//! {
//!   "clock_offset_secs": 0,
//!   "faults": [
//!     {"operation": "PutObject", "key_contains": ".json", "skip": 2, "times": 1,
//!      "action": {"do": "answer", "status": 503, "code": "SlowDown"}},
//!     {"operation": "PutObject", "action": {"do": "lose_lock"}}
//!   ]
//! }
//! ```

use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};

use crate::clock::Clock;

/// What a fault does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "snake_case", deny_unknown_fields)]
pub enum Action {
    /// Answers with an error; nothing is done.
    Answer {
        /// HTTP status.
        status: u16,
        /// S3 error code, such as `SlowDown`; any text.
        code: String,
        /// The message; the code again when empty.
        #[serde(default)]
        message: String,
    },
    /// Does what was asked, then answers with an error all the same.
    AnswerAfterCommit {
        /// HTTP status.
        status: u16,
        /// S3 error code.
        code: String,
        /// The message; the code again when empty.
        #[serde(default)]
        message: String,
    },
    /// Closes the connection; nothing is done.
    DropBeforeCommit,
    /// Does what was asked, then closes the connection without an answer.
    DropAfterCommit,
    /// Waits before it reads the request's body, then goes on.
    StallRequest {
        /// For how long, in milliseconds.
        millis: u64,
    },
    /// Does what was asked and waits before it answers.
    StallResponse {
        /// For how long, in milliseconds.
        millis: u64,
    },
    /// Sends the response's body in small pieces.
    SlowBody {
        /// Size of a piece in bytes.
        piece_bytes: usize,
        /// Pause before each piece, in milliseconds.
        pause_millis: u64,
    },
    /// Closes the connection in the middle of the response's body.
    CutBody {
        /// Bytes sent before that.
        after_bytes: usize,
    },
    /// Ignores lock headers and the default rule, without a word (PutObject,
    /// CreateMultipartUpload, CompleteMultipartUpload), as several servers do on multipart.
    LoseLock,
    /// Stores a weaker lock than asked, without a word.
    WeakenLock {
        /// GOVERNANCE whatever was asked.
        #[serde(default)]
        to_governance: bool,
        /// Retains that many seconds less.
        #[serde(default)]
        shorter_by_secs: u32,
    },
    /// Ignores `If-None-Match` (PutObject, CompleteMultipartUpload).
    IgnoreIfNoneMatch,
    /// Leaves checksums out of the response.
    HideChecksum,
    /// Leaves the lock headers out of HEAD and GET, as for a caller who may not read retention.
    HideLock,
    /// Damages the bytes after their checksums were checked.
    CorruptBytes,
    /// GetBucketVersioning says Suspended.
    ReportSuspended,
}

/// When a fault strikes and what it does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fault {
    /// Only on this operation, such as `PutObject`; on any when absent.
    #[serde(default)]
    pub operation: Option<String>,
    /// Only on keys that contain this. Requests without an object key then never match; for a
    /// listing its `prefix` counts as the key.
    #[serde(default)]
    pub key_contains: Option<String>,
    /// Lets that many matching requests pass first.
    #[serde(default)]
    pub skip: u64,
    /// Strikes that often, then never again; without end when absent.
    #[serde(default)]
    pub times: Option<u64>,
    /// What it does.
    pub action: Action,
}

impl Fault {
    /// A fault on every request of an operation, for ever.
    #[must_use]
    pub fn on(operation: &str, action: Action) -> Self {
        Self {
            operation: Some(operation.to_owned()),
            ..Self::always(action)
        }
    }

    /// A fault on every request, for ever: an outage.
    #[must_use]
    pub const fn always(action: Action) -> Self {
        Self {
            operation: None,
            key_contains: None,
            skip: 0,
            times: None,
            action,
        }
    }

    /// The same, only on keys that contain this.
    #[must_use]
    pub fn key(mut self, contains: &str) -> Self {
        self.key_contains = Some(contains.to_owned());
        self
    }

    /// The same, only on the nth matching request, counted from 1.
    #[must_use]
    pub const fn nth(mut self, nth: u64) -> Self {
        self.skip = nth.saturating_sub(1);
        self.times = Some(1);
        self
    }

    /// The same, that often.
    #[must_use]
    pub const fn times(mut self, times: u64) -> Self {
        self.times = Some(times);
        self
    }

    fn matches(&self, operation: &str, key: Option<&str>) -> bool {
        self.operation
            .as_deref()
            .is_none_or(|wanted| wanted == operation)
            && self
                .key_contains
                .as_deref()
                .is_none_or(|part| key.is_some_and(|key| key.contains(part)))
    }
}

impl Action {
    /// An error answer without any effect.
    #[must_use]
    pub fn answer(status: u16, code: &str) -> Self {
        Self::Answer {
            status,
            code: code.to_owned(),
            message: String::new(),
        }
    }
}

/// Faults as a file holds them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Script {
    /// How far the endpoint's clock is ahead of the machine's, in seconds.
    #[serde(default)]
    pub clock_offset_secs: i64,
    /// The faults, in order.
    #[serde(default)]
    pub faults: Vec<Fault>,
}

/// Names an armed fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct FaultId(u64);

#[derive(Debug)]
struct Armed {
    id: FaultId,
    fault: Fault,
    matched: u64,
    struck: u64,
}

/// The faults of an endpoint.
#[derive(Debug)]
pub struct Faults {
    clock: Clock,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    armed: Vec<Armed>,
    last_id: u64,
}

impl Faults {
    pub(crate) fn new(clock: Clock) -> Self {
        Self {
            clock,
            inner: Mutex::default(),
        }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Arms a fault.
    pub fn add(&self, fault: Fault) -> FaultId {
        let mut inner = self.inner();
        inner.last_id += 1;
        let id = FaultId(inner.last_id);
        inner.armed.push(Armed {
            id,
            fault,
            matched: 0,
            struck: 0,
        });
        id
    }

    /// Disarms a fault; says whether it was armed.
    pub fn remove(&self, id: FaultId) -> bool {
        let mut inner = self.inner();
        let before = inner.armed.len();
        inner.armed.retain(|armed| armed.id != id);
        inner.armed.len() < before
    }

    /// Disarms all faults and sets the clock right.
    pub fn clear(&self) {
        self.inner().armed.clear();
        self.clock.set_offset_secs(0);
    }

    /// Replaces all faults, and the clock's offset, by a script's.
    pub fn load(&self, script: Script) {
        self.clear();
        self.clock.set_offset_secs(script.clock_offset_secs);
        for fault in script.faults {
            self.add(fault);
        }
    }

    /// How often a fault has struck; 0 once it is removed.
    #[must_use]
    pub fn struck(&self, id: FaultId) -> u64 {
        self.inner()
            .armed
            .iter()
            .find(|armed| armed.id == id)
            .map_or(0, |armed| armed.struck)
    }

    /// What strikes this request; counts it.
    pub(crate) fn strike(&self, operation: &str, key: Option<&str>) -> Vec<Action> {
        let mut actions = Vec::new();
        for armed in &mut self.inner().armed {
            if !armed.fault.matches(operation, key) {
                continue;
            }
            armed.matched += 1;
            let spent = armed.fault.times.is_some_and(|times| armed.struck >= times);
            if armed.matched > armed.fault.skip && !spent {
                armed.struck += 1;
                actions.push(armed.fault.action.clone());
            }
        }
        actions
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_strikes_its_operation_and_key_after_the_skipped_and_only_so_often() {
        let faults = Faults::new(Clock::default());
        let fault = Fault::on("PutObject", Action::LoseLock).key(".json");
        let id = faults.add(Fault {
            skip: 1,
            times: Some(2),
            ..fault
        });
        let struck = |operation: &str, key| !faults.strike(operation, key).is_empty();
        assert!(!struck("PutObject", Some("a.json")));
        assert!(!struck("GetObject", Some("a.json")));
        assert!(!struck("PutObject", Some("a.txt")));
        assert!(!struck("PutObject", None));
        assert!(struck("PutObject", Some("a.json")));
        assert!(struck("PutObject", Some("b.json")));
        assert!(!struck("PutObject", Some("c.json")));
        assert_eq!(faults.struck(id), 2);
        assert!(faults.remove(id));
        assert!(!faults.remove(id));
    }

    #[test]
    fn a_script_loads_and_refuses_unknown_fields() {
        let text = r#"{"clock_offset_secs": 3600, "faults": [
            {"operation": "PutObject", "skip": 2, "times": 1,
             "action": {"do": "answer", "status": 503, "code": "SlowDown"}},
            {"action": {"do": "drop_after_commit"}},
            {"action": {"do": "weaken_lock", "to_governance": true}}]}"#;
        let script: Script = serde_json::from_str(text).unwrap();
        let again = serde_json::to_string(&script).unwrap();
        assert_eq!(serde_json::from_str::<Script>(&again).unwrap(), script);
        let clock = Clock::default();
        let faults = Faults::new(clock.clone());
        faults.load(script);
        assert_eq!(clock.offset_secs(), 3600);
        assert_eq!(faults.strike("PutObject", None).len(), 2);
        faults.clear();
        assert_eq!(clock.offset_secs(), 0);
        assert!(faults.strike("PutObject", None).is_empty());
        let typo = r#"{"faults": [{"operatoin": "PutObject", "action": {"do": "lose_lock"}}]}"#;
        assert!(serde_json::from_str::<Script>(typo).is_err());
    }
}
