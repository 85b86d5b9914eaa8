//! What a check found, and what to do about it.

use serde::Serialize;

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// Worth knowing, and no fault.
    Note,
    /// The daemons put it right when they start, or `fsck --repair` does.
    Repairable,
    /// It could not be looked at, so it is neither good nor bad.
    CouldNotCheck,
    /// Evidence, or the record of it, is not what was left.
    Damaged,
}

/// Where it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Part {
    /// `spool.db`.
    Spool,
    /// The evidence folder.
    Evidence,
    /// The outbox.
    Outbox,
    /// The receipts folder.
    Receipts,
    /// `delivery.db`.
    Delivery,
    /// The quarantine.
    Quarantine,
    /// A bucket.
    Bucket,
}

impl Part {
    /// The name in JSON and for people.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Spool => "spool",
            Self::Evidence => "evidence",
            Self::Outbox => "outbox",
            Self::Receipts => "receipts",
            Self::Delivery => "delivery",
            Self::Quarantine => "quarantine",
            Self::Bucket => "bucket",
        }
    }
}

/// One thing found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// How bad.
    pub level: Level,
    /// Where.
    pub part: Part,
    /// What kind, from a closed list (docs/operations.md).
    pub code: &'static str,
    /// The bundle, object, order or file.
    pub item: String,
    /// In words.
    pub message: String,
    /// What to do.
    pub remedy: &'static str,
}

impl Finding {
    pub(crate) fn new(
        level: Level,
        part: Part,
        code: &'static str,
        item: impl Into<String>,
        message: impl Into<String>,
    ) -> Self {
        Self {
            level,
            part,
            code,
            item: item.into(),
            message: message.into(),
            remedy: remedy(level, code),
        }
    }
}

/// What to do about a finding.
fn remedy(level: Level, code: &str) -> &'static str {
    match (level, code) {
        (
            _,
            "bundle_changed"
            | "bundle_not_verified"
            | "chain_gap"
            | "chain_broken"
            | "database_damaged"
            | "database_unreadable"
            | "reference_to_nothing"
            | "bundle_row_differs"
            | "artifact_rows_differ"
            | "incident_twice"
            | "incident_not_indexed"
            | "order_damaged"
            | "order_count_wrong"
            | "confirmation_of_nothing"
            | "day_number_behind"
            | "custody_gap"
            | "custody_differs"
            | "custody_of_nothing"
            | "custody_not_listed"
            | "tally_differs"
            | "key_not_rotated",
        ) => {
            "stop both services, copy the state folder, and let `msp-evidence fsck --rebuild` make \
             the spool anew from the evidence folder and the bucket"
        }
        (_, "spool_behind" | "bucket_ahead") => {
            "an older snapshot was restored: restart the agent, which begins a new chain that names \
             this one; `fsck --rebuild` brings back what the spool has forgotten"
        }
        (_, "earlier_chain") => {
            "nothing is wrong with it; `fsck --rebuild` brings an earlier chain back into the spool"
        }
        (_, "artifact_missing" | "artifact_changed") => {
            "restore the file from a copy or from the bucket; its digest is in its path"
        }
        (_, "other_signed_file") => {
            "two histories share this folder: find out where the file came from, and keep both"
        }
        (_, "not_in_bucket" | "lock_missing" | "lock_too_short" | "stored_bytes_differ") => {
            "what was proven once is not so any more: keep the local copies, find out who changed \
             the bucket, and order it again with `destination backfill` to a place you trust"
        }
        (_, "stored_twice" | "delete_marker" | "unknown_object") => {
            "find out who else writes here; nothing of ours was overwritten, and locked versions stay"
        }
        (_, "bucket_unreachable") => "try again when the store can be reached",
        (Level::Repairable, "delivery_damaged") => {
            "nothing to do: the uploader sets a damaged delivery.db aside, and everything is looked \
             at again"
        }
        (Level::Repairable, _) => "nothing to do: it is put right when the services start",
        (Level::Note, _) => "nothing to do",
        _ => "see docs/operations.md, \"Checking a host\"",
    }
}

/// Everything a check looked at and found.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Bundles of the spool, each with its signature and its files.
    pub bundles: u64,
    /// Chains.
    pub chains: u64,
    /// Orders that wait for receipts.
    pub open_orders: u64,
    /// Confirmations in the spool.
    pub confirmations: u64,
    /// Deliveries in delivery.db.
    pub deliveries: u64,
    /// Objects looked at in buckets.
    pub stored_objects: u64,
    /// What was found, in the order of looking.
    pub findings: Vec<Finding>,
}

impl Report {
    /// How bad the worst is; `None` when nothing was found.
    #[must_use]
    pub fn worst(&self) -> Option<Level> {
        self.findings.iter().map(|finding| finding.level).max()
    }

    /// How many are of this level.
    #[must_use]
    pub fn count(&self, level: Level) -> usize {
        self.findings.iter().filter(|f| f.level == level).count()
    }

    pub(crate) fn say(
        &mut self,
        level: Level,
        part: Part,
        code: &'static str,
        item: impl Into<String>,
        message: impl Into<String>,
    ) {
        self.findings
            .push(Finding::new(level, part, code, item, message));
    }
}
