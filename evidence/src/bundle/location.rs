//! Storage locations: planned inside the signed bytes, completed beside them.
//!
//! Rewriting `storage_locations` after the upload would break the signature, and a WORM object
//! cannot be rewritten. So the signed bundle carries the plan, and what really happened is kept
//! in `EB-….locations.json`, destination by destination.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::digest::Sha256;
use crate::handover::{Proof, Role};

/// The only Object Lock mode the product uses.
pub const OBJECT_LOCK_MODE: &str = "COMPLIANCE";

/// Where a bundle is to be stored, as it was configured when it was sealed. Never a date.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlannedLocation {
    /// The destination.
    pub destination_id: String,
    /// `s3://bucket/key` of the bundle.
    pub uri: String,
    /// Always `COMPLIANCE`.
    pub object_lock_mode: String,
    /// How long, in days from the store's date at upload.
    pub retention_days: u32,
    /// Always `planned`.
    pub state: LocationState,
}

/// How far a destination has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LocationState {
    /// Not every object has been proven stored and locked.
    Planned,
    /// Every object of the bundle has been read back, stored and locked.
    Confirmed,
    /// An operator ended the deliveries before everything was confirmed.
    Retired,
}

/// `EB-….locations.json`: the plan, with what has been confirmed of it.
///
/// Not signed: it repeats what the uploader reported. Custody bundles attest it, audit proves it
/// again from the store.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Locations {
    /// Always 1.
    pub locations_version: u32,
    /// The bundle.
    pub bundle_id: String,
    /// SHA-256 of the bundle's exact file bytes.
    pub sha256: Sha256,
    /// The bundle that says this one again, if it was resealed.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub resealed_by: Option<String>,
    /// Each destination: those of the plan, then those that were added later.
    pub storage_locations: Vec<StorageLocation>,
}

/// When and why an operator ended deliveries.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ended {
    /// When, by the host's clock.
    pub at: Timestamp,
    /// In the operator's words.
    pub reason: String,
}

/// One destination of one bundle.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StorageLocation {
    /// The destination.
    pub destination_id: String,
    /// `s3://bucket/key` of the bundle.
    pub uri: String,
    /// Always `COMPLIANCE`.
    pub object_lock_mode: String,
    /// How long was asked, in days.
    pub retention_days: u32,
    /// Planned until every object is confirmed.
    pub state: LocationState,
    /// The earliest lock end of the objects, once all are confirmed.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub retain_until: Option<Timestamp>,
    /// The version of the bundle file itself, once confirmed.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub version_id: Option<String>,
    /// When the last of the objects was confirmed, by the uploader's clock.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub confirmed_at: Option<Timestamp>,
    /// Always `uploader` where something is confirmed: whose word this is.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub reported_by: Option<String>,
    /// The destination is not in the signed plan: it was added later, and this was backfilled.
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub backfilled: bool,
    /// Deliveries there have ended; what was confirmed before stays confirmed.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub retired: Option<Ended>,
    /// What has been confirmed, object by object.
    pub objects: Vec<ObjectLocation>,
}

/// One confirmed object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ObjectLocation {
    /// Its part in the bundle.
    pub role: Role,
    /// `s3://bucket/key`.
    pub uri: String,
    /// The store's version id.
    pub version_id: String,
    /// ETag without quotes.
    pub etag: Option<String>,
    /// SHA-256 of the stored bytes.
    pub sha256: Sha256,
    /// Size in bytes.
    pub size_bytes: u64,
    /// How identity was proven.
    pub proof: Proof,
    /// COMPLIANCE until then, as read back.
    pub retain_until: Timestamp,
    /// The store's clock.
    pub server_date: Timestamp,
    /// The uploader's clock.
    pub confirmed_at: Timestamp,
}
