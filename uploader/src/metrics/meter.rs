//! What was done at one destination since the start, counted where it is committed.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::delivery::Change;

/// The counts of one destination.
#[derive(Debug, Default)]
pub(crate) struct Meter(Mutex<Counts>);

/// What a [`Meter`] has counted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Counts {
    /// Objects that the store took.
    pub(super) uploads: u64,
    /// Their bytes.
    pub(super) uploaded_bytes: u64,
    /// Attempts that failed and are made again, by class.
    pub(super) retries: BTreeMap<&'static str, u64>,
    /// Looks at the bucket that failed, by class.
    pub(super) failed_probes: BTreeMap<&'static str, u64>,
}

impl Meter {
    /// Counts a change of a delivery of so many bytes.
    pub(crate) fn count(&self, change: &Change, size_bytes: u64) {
        let mut counts = self.counts();
        match change {
            Change::PutSucceeded { .. } => {
                counts.uploads += 1;
                counts.uploaded_bytes = counts.uploaded_bytes.saturating_add(size_bytes);
            }
            Change::Deferred { error, .. } | Change::ObjectMissing { error, .. } => {
                *counts.retries.entry(error.class).or_default() += 1;
            }
            Change::Adopted { .. }
            | Change::LockProven { .. }
            | Change::Blocked { .. }
            | Change::Released
            | Change::Retired => {}
        }
    }

    /// Counts a look at the bucket that failed.
    pub(crate) fn failed_probe(&self, class: &'static str) {
        *self.counts().failed_probes.entry(class).or_default() += 1;
    }

    pub(super) fn read(&self) -> Counts {
        self.counts().clone()
    }

    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
