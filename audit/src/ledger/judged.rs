//! By what the ledger was judged: kept in it, so that a report can say so without the auditor's keys.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Ledger, LedgerError};
use crate::keyring::PinnedKey;

/// By what a finished audit judged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JudgedBy {
    /// The store's clock when it was listed; for a folder, the auditor's.
    pub looked_at: Option<Timestamp>,
    /// Custody had to reach back to this time.
    pub from: Option<Timestamp>,
    /// Custody had to reach up to this time.
    pub to: Option<Timestamp>,
    /// Custody bundles of a host that are further apart leave silence between them.
    pub silent_after_secs: i64,
    /// Versions, locks and dates of a store were to be had.
    pub has_store_metadata: bool,
    /// The keys that the auditor gave.
    pub keys: Vec<TrustedKey>,
}

/// A key that signatures were judged by.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrustedKey {
    /// `sha256:` fingerprint.
    pub fingerprint: String,
    /// How it came to be trusted, in words.
    pub trusted_because: String,
    /// Whose evidence alone it may sign.
    pub client_id: Option<String>,
    /// Which host's evidence alone it may sign.
    pub host_id: Option<String>,
    /// From when.
    pub not_before: Option<Timestamp>,
    /// Until when.
    pub not_after: Option<Timestamp>,
    /// Since when it is not trusted.
    pub revoked_at: Option<Timestamp>,
    /// Why.
    pub revoked_reason: Option<String>,
}

impl TrustedKey {
    /// One that the auditor gave.
    pub(crate) fn given(pinned: &PinnedKey) -> Self {
        let file = pinned.file.file_name().unwrap_or_default();
        Self {
            fingerprint: pinned.key.key_id(),
            trusted_because: format!("given: {}", file.display()),
            client_id: pinned.client_id.clone(),
            host_id: pinned.host_id.clone(),
            not_before: pinned.not_before,
            not_after: pinned.not_after,
            revoked_at: pinned.revoked_at,
            revoked_reason: pinned.revoked_reason.clone(),
        }
    }
}

impl Ledger {
    /// Writes down by what everything was judged; or that it is not, or not any more.
    pub(crate) fn set_judged_by(&self, judged: Option<&JudgedBy>) -> Result<(), LedgerError> {
        let text = judged
            .map(serde_json::to_string)
            .transpose()
            .map_err(|_| LedgerError::Damaged("by what it was judged"))?;
        self.set_meta("judged_by", &text.unwrap_or_default())
    }

    /// By what everything was judged; none while the audit has not come to its end.
    ///
    /// # Errors
    /// When SQLite fails, or the ledger is damaged.
    pub fn judged_by(&self) -> Result<Option<JudgedBy>, LedgerError> {
        match self.meta("judged_by")?.filter(|text| !text.is_empty()) {
            None => Ok(None),
            Some(text) => serde_json::from_str(&text)
                .map(Some)
                .map_err(|_| LedgerError::Damaged("by what it was judged")),
        }
    }
}
