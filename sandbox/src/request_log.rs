//! What was asked of the endpoint and how it ended, with counts per operation.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use tokio::sync::watch;

/// Entries kept; older ones go first. Counts are never cut.
const KEPT_ENTRIES: usize = 100_000;

/// How a request ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// With a response.
    Answered {
        /// HTTP status.
        status: u16,
        /// S3 error code, when it was one with a body.
        code: Option<String>,
    },
    /// With a connection closed on purpose.
    Dropped,
}

/// One request that ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// When it ended, by the endpoint's clock.
    pub at: Timestamp,
    /// The S3 operation; empty when the request was refused before that was known, such as for a
    /// wrong signature.
    pub operation: String,
    /// The bucket.
    pub bucket: Option<String>,
    /// The object key.
    pub key: Option<String>,
    /// Who asked.
    pub access_key: Option<String>,
    /// How it ended.
    pub outcome: Outcome,
}

/// Requests of one operation.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Count {
    /// That were recognised (signature and route).
    pub arrived: u64,
    /// That ended in a 2xx or 3xx.
    pub succeeded: u64,
    /// That ended in an error.
    pub failed: u64,
    /// Whose connection was closed on purpose.
    pub dropped: u64,
}

/// The log of an endpoint.
#[derive(Debug)]
pub struct RequestLog {
    inner: Mutex<Inner>,
    changes: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct Inner {
    entries: VecDeque<Request>,
    counts: BTreeMap<String, Count>,
}

impl Default for RequestLog {
    fn default() -> Self {
        Self {
            inner: Mutex::default(),
            changes: watch::Sender::new(0),
        }
    }
}

impl RequestLog {
    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn arrived(&self, operation: &str) {
        self.inner()
            .counts
            .entry(operation.to_owned())
            .or_default()
            .arrived += 1;
        self.changes.send_modify(|n| *n += 1);
    }

    pub(crate) fn ended(&self, request: Request) {
        {
            let mut inner = self.inner();
            let count = inner.counts.entry(request.operation.clone()).or_default();
            match request.outcome {
                Outcome::Answered { status, .. } if status < 400 => count.succeeded += 1,
                Outcome::Answered { .. } => count.failed += 1,
                Outcome::Dropped => count.dropped += 1,
            }
            if inner.entries.len() == KEPT_ENTRIES {
                inner.entries.pop_front();
            }
            inner.entries.push_back(request);
        }
        self.changes.send_modify(|n| *n += 1);
    }

    /// The requests that ended, oldest first (the last 100,000).
    #[must_use]
    pub fn requests(&self) -> Vec<Request> {
        self.inner().entries.iter().cloned().collect()
    }

    /// How many requests of this operation arrived.
    #[must_use]
    pub fn hits(&self, operation: &str) -> u64 {
        self.count(operation).arrived
    }

    /// The counts of one operation.
    #[must_use]
    pub fn count(&self, operation: &str) -> Count {
        self.inner()
            .counts
            .get(operation)
            .copied()
            .unwrap_or_default()
    }

    /// The counts of all operations.
    #[must_use]
    pub fn counts(&self) -> BTreeMap<String, Count> {
        self.inner().counts.clone()
    }

    /// Forgets entries and counts.
    pub fn clear(&self) {
        *self.inner() = Inner::default();
        self.changes.send_modify(|n| *n += 1);
    }

    /// Waits until the condition holds, looking again at every request that arrives or ends. Put
    /// a timeout around it as a bound for failure.
    pub async fn wait_until(&self, condition: impl Fn(&Self) -> bool) {
        let mut changes = self.changes.subscribe();
        while !condition(self) {
            // The sender lives in `self`, so this cannot fail.
            if changes.changed().await.is_err() {
                return;
            }
        }
    }
}
