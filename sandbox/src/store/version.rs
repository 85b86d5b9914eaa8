//! One version of one object, or a delete marker.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::body::Body;
use super::checksum::Checksum;
use super::lock::Lock;

/// The version id of what was written while versioning was off or suspended.
pub const NULL_VERSION: &str = "null";

/// What the client told about an object besides its bytes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Headers {
    /// `Content-Type`.
    pub content_type: Option<String>,
    /// `Content-Encoding`, as the client gave it.
    pub content_encoding: Option<String>,
    /// `x-amz-meta-…`, names without the prefix.
    pub metadata: BTreeMap<String, String>,
    /// The KMS key, when SSE-KMS was asked for; the ETag is then not the MD5.
    pub kms_key_id: Option<String>,
}

/// A stored version or delete marker, as tests and the demo may inspect it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Version {
    /// The object key.
    pub key: String,
    /// The version id; [`NULL_VERSION`] in a bucket without versioning.
    pub version_id: String,
    /// Rises by one with each version that this store ever made: the order of commits.
    pub sequence: u64,
    /// Whether this is a delete marker: no bytes, no lock.
    pub is_delete_marker: bool,
    /// Size in bytes.
    pub size_bytes: u64,
    /// SHA-256 of the bytes that are really stored, in lower-case hexadecimal; empty for a delete
    /// marker. A fault that corrupts the bytes shows here, and in no header.
    pub sha256: String,
    /// ETag without quotes.
    pub etag: String,
    /// The checksum that S3 keeps and echoes.
    pub checksum: Option<Checksum>,
    /// How many parts a multipart upload had.
    pub parts_count: Option<u32>,
    /// What the client told.
    pub headers: Headers,
    /// When it was made, by the endpoint's clock.
    pub last_modified: Timestamp,
    /// What protects it.
    pub lock: Lock,
    /// The multipart upload it came from.
    pub(crate) upload_id: Option<String>,
    /// Names this version's files.
    pub(crate) object_id: String,
    /// The bytes; `None` for a delete marker.
    #[serde(skip)]
    pub(crate) body: Option<Body>,
}

/// An object about to be stored.
#[derive(Debug, Clone)]
pub(crate) struct NewObject {
    pub(crate) key: String,
    pub(crate) bytes: bytes::Bytes,
    pub(crate) etag: String,
    pub(crate) checksum: Checksum,
    pub(crate) headers: Headers,
    pub(crate) lock: LockRequest,
}

/// Which lock a new version gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum LockRequest {
    /// As asked; where no retention was asked for, the bucket's default rule decides.
    Asked(Lock),
    /// None at all, not even by the default rule: a server that loses locks.
    Lost,
}

/// On what condition a new version is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Condition {
    /// On none.
    Always,
    /// `If-None-Match: *`: the key has no current version, or a delete marker is on top.
    Absent,
    /// `If-Match`: the current version has this ETag.
    Matches(String),
}
