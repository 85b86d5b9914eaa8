//! What the proxy does to whom.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// What happens to a request or to its answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Act {
    /// A new connection is reset at once.
    ResetAtConnect,
    /// The connection is reset when the head of the request has come; nothing is passed on.
    ResetBeforeBody,
    /// The store gets half of the body; then both connections are reset.
    ResetMidBody,
    /// The store has answered; the connection is reset instead of passing that on.
    ResetBeforeAnswer,
    /// The connection is reset in the middle of the answer.
    ResetMidAnswer,
    /// The store has answered; the connection is closed in good order without a word.
    LoseAnswer,
    /// The request is taken and nothing is ever said again; the store never sees it.
    Silence,
    /// The store has answered; nothing is ever said of that.
    SilenceAfterCommit,
    /// The head and so much of the body are read, and then nothing more.
    StopReading {
        /// In bytes.
        after_bytes: usize,
    },
    /// The answer comes a byte at a time.
    Trickle {
        /// Before each byte.
        pause: Duration,
    },
    /// The body of the answer comes a byte at a time, after its head.
    TrickleBody {
        /// Before each byte.
        pause: Duration,
    },
    /// An answer of our own; the store never sees the request.
    Answer {
        /// HTTP status.
        status: u16,
        /// S3 error code; the answer of somebody who is no store (a page) when empty.
        code: &'static str,
        /// The message.
        message: &'static str,
    },
    /// An error of our own instead of the store's answer.
    AnswerAfterCommit {
        /// HTTP status.
        status: u16,
        /// S3 error code.
        code: &'static str,
    },
    /// The store does not see headers that begin so.
    StripRequest(&'static str),
    /// The uploader does not see headers that begin so.
    StripAnswer(&'static str),
    /// Answers are dated wrong by so many seconds; the store's own clock is right.
    WrongDate(i64),
    /// The store's clock is off by so many seconds, for what it says and for what it refuses.
    WrongClock(i64),
    /// Only this access key is known; who uses it speaks to the store in its owner's name.
    OnlyKey(String),
}

/// On which requests an act strikes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    operations: &'static [&'static str],
    key_contains: Option<String>,
    skip: u64,
    times: Option<u64>,
    act: Act,
}

impl Rule {
    /// On every request.
    #[must_use]
    pub const fn always(act: Act) -> Self {
        Self::on(&[], act)
    }

    /// On these operations.
    #[must_use]
    pub const fn on(operations: &'static [&'static str], act: Act) -> Self {
        Self {
            operations,
            key_contains: None,
            skip: 0,
            times: None,
            act,
        }
    }

    /// Only so many times.
    #[must_use]
    pub const fn times(mut self, times: u64) -> Self {
        self.times = Some(times);
        self
    }

    /// Lets so many pass first.
    #[must_use]
    pub const fn skip(mut self, skip: u64) -> Self {
        self.skip = skip;
        self
    }

    /// Only on keys that contain this.
    #[must_use]
    pub fn key(mut self, contains: &str) -> Self {
        self.key_contains = Some(contains.to_owned());
        self
    }
}

#[derive(Debug)]
struct Armed {
    rule: Rule,
    matched: u64,
    struck: u64,
}

/// The rules in force.
#[derive(Debug, Default)]
pub(super) struct Rules(Mutex<(Vec<Armed>, u64)>);

impl Rules {
    fn inner(&self) -> MutexGuard<'_, (Vec<Armed>, u64)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn arm(&self, rule: Rule) {
        self.inner().0.push(Armed {
            rule,
            matched: 0,
            struck: 0,
        });
    }

    pub(super) fn clear(&self) {
        self.inner().0.clear();
    }

    /// How often any act has struck since the proxy began.
    pub(super) fn struck(&self) -> u64 {
        self.inner().1
    }

    /// What strikes a new connection.
    pub(super) fn at_connect(&self) -> bool {
        let mut inner = self.inner();
        let (armed, struck) = &mut *inner;
        let found = armed.iter().any(|a| a.rule.act == Act::ResetAtConnect);
        *struck += u64::from(found);
        found
    }

    /// What strikes a request; counts it.
    pub(super) fn strike(&self, operation: &str, key: &str) -> Vec<Act> {
        let mut inner = self.inner();
        let (armed, struck) = &mut *inner;
        let mut acts = Vec::new();
        for armed in armed.iter_mut() {
            let rule = &armed.rule;
            if rule.act == Act::ResetAtConnect
                || !(rule.operations.is_empty() || rule.operations.contains(&operation))
                || !rule
                    .key_contains
                    .as_deref()
                    .is_none_or(|part| key.contains(part))
            {
                continue;
            }
            armed.matched += 1;
            if armed.matched > rule.skip && rule.times.is_none_or(|times| armed.struck < times) {
                armed.struck += 1;
                acts.push(rule.act.clone());
            }
        }
        // What only stands by, such as a clock that is wrong, counts as well: it was in force.
        *struck += acts.len() as u64;
        acts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_strikes_its_operations_and_keys_after_the_skipped_and_only_so_often() {
        let rules = Rules::default();
        let rule = Rule::on(&["PutObject"], Act::LoseAnswer).key(".json");
        rules.arm(rule.skip(1).times(2));
        let struck = |operation: &str, key: &str| !rules.strike(operation, key).is_empty();
        assert!(!struck("PutObject", "a.json"));
        assert!(!struck("GetObject", "a.json") && !struck("PutObject", "a.txt"));
        assert!(struck("PutObject", "a.json") && struck("PutObject", "b.json"));
        assert!(!struck("PutObject", "c.json"));
        assert_eq!(rules.struck(), 2);
        rules.arm(Rule::always(Act::ResetAtConnect));
        assert!(!struck("PutObject", "c.json") && rules.at_connect());
        rules.clear();
        assert!(!rules.at_connect());
        assert_eq!(rules.struck(), 3);
    }
}
