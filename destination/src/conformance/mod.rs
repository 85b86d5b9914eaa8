//! One suite that every store must pass before evidence is trusted to it.
//!
//! It writes a few small objects under a prefix of its own and locks them for as long as asked,
//! so they stay in the bucket until then. Each check is named; a check that could not be made is
//! not passed. [`Verdict`] says what the failures mean.

mod difference;
mod multipart;
mod single;

use std::future::Future;

use jiff::{SignedDuration, Timestamp};

use crate::{Class, Destination, Failure};
pub use difference::{Difference, KNOWN_STORES, KnownStore, Verdict};

/// Objects that a run makes at most, and leaves locked.
pub const OBJECTS_LEFT: u32 = 8;
/// Bytes that a run stores at most.
pub const BYTES_LEFT: u64 = 16 << 20;

/// What a store let somebody do who wants to undo evidence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Attempt {
    /// It happened.
    Allowed,
    /// The store refused, with this code.
    Refused(String),
    /// Nothing that judges the attempt: the store could not be reached, was failing, did not know
    /// the credentials or the version. It proves nothing.
    NoAnswer,
}

/// Attempts on a locked version that an uploader never makes.
pub trait Adversary {
    /// Deletes the version itself.
    fn delete_version(&self, key: &str, version_id: &str) -> impl Future<Output = Attempt> + Send;
    /// Moves retain-until to an earlier date.
    fn shorten(
        &self,
        key: &str,
        version_id: &str,
        until: Timestamp,
    ) -> impl Future<Output = Attempt> + Send;
    /// Changes COMPLIANCE to GOVERNANCE.
    fn downgrade(
        &self,
        key: &str,
        version_id: &str,
        until: Timestamp,
    ) -> impl Future<Output = Attempt> + Send;
    /// Lays a delete marker over the versions.
    fn lay_delete_marker(&self, key: &str) -> impl Future<Output = Attempt> + Send;
    /// Puts without lock, condition or checksum.
    fn put_unlocked(&self, key: &str, bytes: &'static [u8])
    -> impl Future<Output = Attempt> + Send;
}

/// One named check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    /// What must be true, as a sentence.
    pub name: &'static str,
    /// Whether it is.
    pub outcome: Outcome,
}

/// What came of a check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It is true.
    Passed,
    /// It is not: what was found instead.
    Failed(String),
    /// Neither was found out: why.
    CouldNotCheck(String),
}

/// Why a check did not pass.
#[derive(Debug)]
enum Problem {
    Failed(String),
    CouldNotCheck(String),
}

impl From<String> for Problem {
    fn from(found: String) -> Self {
        Self::Failed(found)
    }
}

impl From<&str> for Problem {
    fn from(found: &str) -> Self {
        Self::Failed(found.to_owned())
    }
}

impl From<Failure> for Problem {
    /// A store that is away, throttles, or denies the call itself is not thereby unfit.
    fn from(failure: Failure) -> Self {
        let away = failure
            .status
            .is_none_or(|status| status >= 500 || status == 429);
        let denied = matches!(failure.class, Class::Park | Class::Clock);
        if denied || (away && failure.class != Class::Occupied) {
            Self::CouldNotCheck(failure.to_string())
        } else {
            Self::Failed(failure.to_string())
        }
    }
}

/// Told of each check as it is made.
struct Report<'a> {
    checks: Vec<Check>,
    heard: &'a mut (dyn FnMut(&Check) + Send),
}

impl Report<'_> {
    /// Notes a check; true when it passed.
    fn say(&mut self, name: &'static str, result: Result<(), Problem>) -> bool {
        let outcome = match result {
            Ok(()) => Outcome::Passed,
            Err(Problem::Failed(found)) => Outcome::Failed(found),
            Err(Problem::CouldNotCheck(why)) => Outcome::CouldNotCheck(why),
        };
        let passed = outcome == Outcome::Passed;
        let check = Check { name, outcome };
        (self.heard)(&check);
        self.checks.push(check);
        passed
    }
}

/// What the suite is to do.
#[derive(Debug, Clone)]
pub struct Suite {
    /// Keys are made below it; it must be new to the bucket.
    pub prefix: String,
    /// How long the objects stay locked.
    pub lock_for: SignedDuration,
}

impl Suite {
    /// Runs every check, in order; a failure of one does not keep the others from running, unless
    /// they make no sense without it. `heard` is told of each as it is made.
    pub async fn run(
        &self,
        store: &(impl Destination + Adversary),
        mut heard: impl FnMut(&Check) + Send,
    ) -> Vec<Check> {
        let mut report = Report {
            checks: Vec::new(),
            heard: &mut heard,
        };
        if self.single(store, &mut report).await {
            self.multipart(store, &mut report).await;
        }
        report.checks
    }

    fn key(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    fn until(&self, store: &impl Destination) -> Timestamp {
        let now = store.server_now().unwrap_or_else(Timestamp::now);
        let until = now + self.lock_for;
        Timestamp::from_second(until.as_second()).unwrap_or(until)
    }
}

fn refused(attempt: &Attempt) -> Result<(), Problem> {
    match attempt {
        Attempt::Refused(_) => Ok(()),
        Attempt::Allowed => Err("it was allowed".into()),
        Attempt::NoAnswer => Err(Problem::CouldNotCheck("no answer".to_owned())),
    }
}
