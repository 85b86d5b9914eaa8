//! One change of many locks, recorded before and after.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use destination::{Destination as _, Failure, S3Destination};
use evidence::keys::PrivateKey;
use evidence::record::{
    Action, Intended, LockState, RECORD_MAX_OBJECTS, Record, RecordError, RecordedObject, Stage,
};
use jiff::Timestamp;

use super::record::keep;
use super::target::{Target, lock_state};

/// What is to be done, by whom, and why.
pub struct Change<'a> {
    /// The store; its prefix is where the evidence begins.
    pub store: &'a S3Destination,
    /// What.
    pub action: Action,
    /// Of an extension: until when; whole seconds.
    pub retain_until: Option<Timestamp>,
    /// Who.
    pub by: &'a str,
    /// Why.
    pub reason: &'a str,
    /// How the evidence was selected: options and their values.
    pub selection: BTreeMap<String, String>,
    /// The person's key.
    pub key: &'a PrivateKey,
    /// Where a copy of each record is kept; it exists.
    pub record_folder: &'a Path,
    /// How long the store keeps the records, in days. Buckets may refuse what is locked for less or for
    /// longer than their evidence, so it is not made to fit what the records speak of.
    pub record_retention_days: u32,
    /// Now, by the operator's clock.
    pub now: fn() -> Timestamp,
}

/// What came of one lot.
#[derive(Debug)]
pub struct Lot {
    /// The record of it, as stored.
    pub record: Record,
    /// The local copy.
    pub file: PathBuf,
}

/// Why nothing, or no more, was changed.
#[derive(Debug, thiserror::Error)]
pub enum HoldError {
    /// The store did not do it.
    #[error("the store did not answer as it should")]
    Store(#[from] Failure),
    /// A record could not be made.
    #[error("the record cannot be signed")]
    Record(#[from] RecordError),
    /// A record could not be written here.
    #[error("cannot write {}", .0.display())]
    File(PathBuf, #[source] std::io::Error),
    /// There is no such bundle.
    #[error("the store has no bundle at {0}")]
    NoBundle(String),
    /// The store took a record and did not lock it.
    #[error("the store did not lock the record {0}; nothing was changed after that")]
    RecordUnlocked(String),
}

impl Change<'_> {
    /// Does it to these versions, in lots of at most [`RECORD_MAX_OBJECTS`]; `progress` hears how many
    /// are done.
    ///
    /// # Errors
    /// When a record cannot be kept: nothing is changed without one. What a store refuses for single
    /// objects is no error here; the lot's record says so.
    pub async fn carry_out(
        &self,
        targets: &[Target],
        mut progress: impl FnMut(usize),
    ) -> Result<Vec<Lot>, HoldError> {
        let mut lots = Vec::new();
        let mut done = 0;
        for lot in targets.chunks(RECORD_MAX_OBJECTS) {
            let objects = lot.iter().map(|target| RecordedObject {
                object: target.path.clone(),
                version_id: target.version_id.clone(),
                before: target.before.clone(),
                after: None,
                refused: None,
            });
            let intended = self.record(Stage::Intended, None, objects.collect());
            let (signed, _) = keep(self, &intended).await?;
            let intention = Intended {
                record_id: intended.record_id,
                sha256: signed,
            };
            let mut objects = Vec::with_capacity(lot.len());
            for target in lot {
                objects.push(self.one(target).await);
                done += 1;
                progress(done);
            }
            let record = self.record(Stage::Done, Some(intention), objects);
            let (_, file) = keep(self, &record).await?;
            lots.push(Lot { record, file });
        }
        Ok(lots)
    }

    fn record(
        &self,
        stage: Stage,
        intended: Option<Intended>,
        objects: Vec<RecordedObject>,
    ) -> Record {
        let options = self.store.options();
        let now = (self.now)();
        Record {
            record_version: 1,
            record_id: evidence::chain::new_chain_id(),
            action: self.action,
            stage,
            intended,
            // As it is written.
            at: Timestamp::from_microsecond(now.as_microsecond()).unwrap_or(now),
            by: self.by.to_owned(),
            reason: self.reason.to_owned(),
            store: format!("s3://{}/{}", options.bucket, options.prefix),
            selection: self.selection.clone(),
            retain_until: self.retain_until,
            objects,
            key_id: self.key.public().key_id(),
        }
    }

    /// Changes one version and reads back what keeps it then.
    async fn one(&self, target: &Target) -> RecordedObject {
        let key = format!("{}{}", self.store.options().prefix, target.path);
        let version = &target.version_id;
        let asked = match (self.action, self.retain_until) {
            (Action::Hold, _) => self.store.set_legal_hold(&key, version, true).await,
            (Action::ReleaseHold, _) => self.store.set_legal_hold(&key, version, false).await,
            // Never shorter, and not asked for where it is long enough already: COMPLIANCE refuses it.
            (Action::Extend, Some(until)) if !is_kept_until(&target.before, until) => {
                self.store.lock(&key, version, until).await
            }
            (Action::Extend, _) => Ok(()),
        };
        let after = lock_state(self.store, &key, version).await;
        let refused = match (&asked, &after) {
            // Read back, it is so: an answer that was lost changes nothing about that.
            (_, Ok(state)) if self.is_done(state) => None,
            (Err(failure), _) | (Ok(()), Err(failure)) => Some(failure.code.clone()),
            (Ok(()), Ok(_)) => Some("NotAsAsked".to_owned()),
        };
        RecordedObject {
            object: target.path.clone(),
            version_id: version.clone(),
            before: target.before.clone(),
            after: after.ok(),
            refused,
        }
    }

    fn is_done(&self, state: &LockState) -> bool {
        match (self.action, self.retain_until) {
            (Action::Hold, _) => state.legal_hold == Some(true),
            (Action::ReleaseHold, _) => state.legal_hold == Some(false),
            (Action::Extend, Some(until)) => is_kept_until(state, until),
            (Action::Extend, None) => false,
        }
    }
}

/// Only COMPLIANCE counts: anything else may be lifted before that.
fn is_kept_until(state: &LockState, until: Timestamp) -> bool {
    state.mode == "COMPLIANCE" && state.retain_until.is_some_and(|kept| kept >= until)
}
