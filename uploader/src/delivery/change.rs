//! What is written about a delivery: an event with the facts that belong to it.

use evidence::digest::Sha256;
use evidence::handover::Proof;
use jiff::Timestamp;

use super::state::{BlockedReason, Event};

/// An error, as kept for the operator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ErrorNote {
    /// Class of the failure, such as `transient`.
    pub class: &'static str,
    /// The store's code, or ours.
    pub code: String,
    /// In words; never credentials, never evidence content.
    pub message: String,
}

/// One event of one delivery with its facts. Applied by [`super::Ledger::apply`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// The store took our PUT.
    PutSucceeded {
        /// The version it made.
        version_id: String,
        /// ETag without quotes.
        etag: Option<String>,
        /// The SHA-256 it echoed.
        sha256: Option<Sha256>,
    },
    /// A version at the key is ours.
    Adopted {
        /// That version.
        version_id: String,
        /// ETag without quotes.
        etag: Option<String>,
        /// SHA-256 that the store gave for it.
        sha256: Option<Sha256>,
        /// How long this version must be locked to count as confirmed.
        retain_until: Timestamp,
        /// Another version or a delete marker lies over it.
        overlaid: bool,
    },
    /// Read back by version: identical and locked.
    LockProven {
        /// How identity was proven.
        proof: Proof,
        /// ETag as read back.
        etag: Option<String>,
        /// The lock, as read back.
        locked_until: Timestamp,
        /// The store's clock when it answered.
        server_date: Timestamp,
    },
    /// Failed for now.
    Deferred {
        /// Why.
        error: ErrorNote,
        /// Not before.
        next_attempt_at: Timestamp,
    },
    /// The version is gone, says the store.
    ObjectMissing {
        /// Not before.
        next_attempt_at: Timestamp,
        /// What the store said.
        error: ErrorNote,
    },
    /// Needs an operator.
    Blocked {
        /// Why, from the closed list.
        reason: BlockedReason,
        /// Why, in words.
        error: ErrorNote,
    },
    /// An operator asked to try again.
    Released,
    /// An operator retired the destination.
    Retired,
}

impl Change {
    /// The event for the transition function.
    #[must_use]
    pub const fn event(&self) -> Event {
        match self {
            Self::PutSucceeded { .. } => Event::PutSucceeded,
            Self::Adopted { .. } => Event::Adopted,
            Self::LockProven { .. } => Event::LockProven,
            Self::Deferred { .. } => Event::Deferred,
            Self::ObjectMissing { .. } => Event::ObjectMissing,
            Self::Blocked { .. } => Event::Blocked,
            Self::Released => Event::Released,
            Self::Retired => Event::Retired,
        }
    }

    /// The error that belongs to it, if one does.
    #[must_use]
    pub const fn error(&self) -> Option<&ErrorNote> {
        match self {
            Self::Deferred { error, .. }
            | Self::ObjectMissing { error, .. }
            | Self::Blocked { error, .. } => Some(error),
            _ => None,
        }
    }

    /// What the history says besides the event's name.
    pub(super) fn detail(&self) -> Option<String> {
        match self {
            Self::PutSucceeded { version_id, .. } => Some(version_id.clone()),
            Self::Adopted {
                version_id,
                overlaid: true,
                ..
            } => Some(format!("{version_id} (overlaid)")),
            Self::Adopted { version_id, .. } => Some(version_id.clone()),
            Self::LockProven { locked_until, .. } => Some(format!("locked until {locked_until}")),
            Self::Deferred { error, .. } | Self::ObjectMissing { error, .. } => {
                Some(error.code.clone())
            }
            Self::Blocked { reason, error } => Some(format!("{}: {}", reason.as_str(), error.code)),
            Self::Released | Self::Retired => None,
        }
    }
}

/// The name of a proof in SQL; the same as in JSON.
pub(super) const fn proof_name(proof: Proof) -> &'static str {
    match proof {
        Proof::ServerSha256 => "server_sha256",
        Proof::EtagMd5 => "etag_md5",
        Proof::ReadBack => "read_back",
    }
}

/// The inverse of [`proof_name`].
pub(super) fn proof_from_name(name: &str) -> Option<Proof> {
    [Proof::ServerSha256, Proof::EtagMd5, Proof::ReadBack]
        .into_iter()
        .find(|p| proof_name(*p) == name)
}
