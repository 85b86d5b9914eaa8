//! Work orders: what the agent asks the uploader to store, frozen at seal time.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::digest::Sha256;

/// One immutable work order; it may cover a whole group commit.
///
/// Every object is to be stored at every destination. The object key at a destination is its
/// `prefix` followed by the object's `path`; the bytes are in the evidence folder at `path`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Order {
    /// Always 1.
    pub order_version: u32,
    /// Unique for ever: `{chain_id}-{first sequence, 12 digits}`, plus a suffix for backfills.
    /// Also the file name, before [`super::ORDER_SUFFIX`].
    pub order_id: String,
    /// Whose evidence this is.
    pub client_id: String,
    /// The host that sealed it.
    pub host_id: String,
    /// The chain that the bundles belong to (ULID).
    pub chain_id: String,
    /// When the order was made, by the host's clock; for age only, never for retention.
    pub created_at: Timestamp,
    /// Where everything goes, as configured when it was sealed.
    pub destinations: Vec<OrderedDestination>,
    /// What goes there, in the order of upload: of one bundle the artifacts, then the signature,
    /// then the bundle itself as commit marker.
    pub objects: Vec<OrderedObject>,
}

/// A destination as it was configured at seal time. The uploader refuses to deliver when its own
/// configuration gives the same id another meaning.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OrderedDestination {
    /// The configured id.
    pub destination_id: String,
    /// `s3://bucket/prefix`.
    pub uri: String,
    /// Object Lock mode; always `COMPLIANCE`.
    pub object_lock_mode: String,
    /// How long to lock, in days from the server's date at upload.
    pub retention_days: u32,
}

/// What part an object plays in its bundle.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// A file of the incident, content-addressed.
    Artifact,
    /// `EB-….json.bundle`, the sigstore bundle.
    Signature,
    /// `EB-….json`, uploaded last: its presence says that the rest is there.
    Bundle,
}

impl Role {
    /// The name used in JSON, SQL and logs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Artifact => "artifact",
            Self::Signature => "signature",
            Self::Bundle => "bundle",
        }
    }

    /// The inverse of [`Role::as_str`].
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Artifact, Self::Signature, Self::Bundle]
            .into_iter()
            .find(|r| r.as_str() == name)
    }
}

/// One file to store, with everything needed to prove it is the right one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OrderedObject {
    /// The bundle it belongs to, `EB-YYYYMMDD-NNNN`.
    pub bundle_id: String,
    /// Its place in the chain.
    pub sequence: u64,
    /// Its part in the bundle.
    pub role: Role,
    /// Object key without the destination's prefix, and file name below the evidence folder:
    /// `{client_id}/{host_id}/{chain_id}/{YYYY}/{MM}/{DD}/…`.
    pub path: String,
    /// Size in bytes.
    pub size_bytes: u64,
    /// SHA-256 of the bytes.
    pub sha256: Sha256,
}

/// Why a file is not a valid order.
#[derive(Debug, thiserror::Error)]
pub enum OrderError {
    /// Not JSON of the expected form.
    #[error("the order is not valid JSON of version 1")]
    Json(#[from] serde_json::Error),
    /// A version this build does not know.
    #[error("order version {0} is not known to this version; upgrade the uploader")]
    Version(u32),
    /// A path that could leave the evidence folder, or an id that could leave the outbox.
    #[error("the order names an unsafe path or id: {0:?}")]
    UnsafeName(String),
    /// An empty or contradictory order.
    #[error("the order is inconsistent: {0}")]
    Inconsistent(&'static str),
}

impl Order {
    /// The bytes of the order file.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = serde_json::to_vec(self).unwrap_or_default();
        bytes.push(b'\n');
        bytes
    }

    /// Parses and checks an order file.
    ///
    /// # Errors
    /// When the bytes are not an order of version 1, or name anything outside the evidence folder.
    pub fn parse(bytes: &[u8]) -> Result<Self, OrderError> {
        let order: Self = serde_json::from_slice(bytes)?;
        if order.order_version != 1 {
            return Err(OrderError::Version(order.order_version));
        }
        if !is_safe_name(&order.order_id) {
            return Err(OrderError::UnsafeName(order.order_id));
        }
        if order.objects.is_empty() || order.destinations.is_empty() {
            return Err(OrderError::Inconsistent("no objects or no destinations"));
        }
        let mut paths = std::collections::HashSet::new();
        for object in &order.objects {
            if !is_safe_path(&object.path) || !is_safe_name(&object.bundle_id) {
                return Err(OrderError::UnsafeName(object.path.clone()));
            }
            if !paths.insert(object.path.as_str()) {
                return Err(OrderError::Inconsistent("the same path twice"));
            }
        }
        let mut ids = std::collections::HashSet::new();
        for destination in &order.destinations {
            if !is_safe_name(&destination.destination_id) {
                return Err(OrderError::UnsafeName(destination.destination_id.clone()));
            }
            if !ids.insert(destination.destination_id.as_str()) {
                return Err(OrderError::Inconsistent("the same destination twice"));
            }
            if destination.object_lock_mode != "COMPLIANCE" || destination.retention_days == 0 {
                return Err(OrderError::Inconsistent(
                    "a destination without COMPLIANCE retention",
                ));
            }
        }
        Ok(order)
    }
}

/// Letters, digits, `.`, `_`, `-`; not empty, not starting with a dot, at most 128 bytes.
#[must_use]
pub fn is_safe_name(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= 128
        && !name.starts_with('.')
        && name
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'))
}

/// Safe names joined by single slashes, relative, at most 900 bytes (S3 allows 1,024 with prefix).
#[must_use]
pub fn is_safe_path(path: &str) -> bool {
    path.len() <= 900 && path.split('/').all(is_safe_name)
}
