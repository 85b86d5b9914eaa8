//! What is asked of a store and what it answered.

use bytes::Bytes;
use evidence::digest::Sha256;
use jiff::Timestamp;

/// One object to store in one request.
#[derive(Debug, Clone)]
pub struct PutRequest {
    /// The complete object key.
    pub key: String,
    /// The bytes, already re-hashed by the caller.
    pub body: Bytes,
    /// Their SHA-256, sent as `x-amz-checksum-sha256`.
    pub sha256: Sha256,
    /// Their MD5, sent as `Content-MD5`; `None` where FIPS forbids it.
    pub md5: Option<[u8; 16]>,
    /// `Content-Type`.
    pub content_type: &'static str,
    /// COMPLIANCE until then, whole seconds.
    pub retain_until: Timestamp,
}

/// The store accepted a PUT.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Put {
    /// The version it made; `None` means that the bucket is not versioned.
    pub version_id: Option<String>,
    /// ETag without quotes.
    pub etag: Option<String>,
    /// The SHA-256 that the store echoed.
    pub sha256: Option<Sha256>,
}

/// The lock on a version. A store may hide it from a caller who may not read retention: HEAD then
/// omits the headers without an error, so absence is "unknown", not "unlocked".
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lock {
    /// COMPLIANCE until then.
    Compliance(Timestamp),
    /// GOVERNANCE until then; not good enough.
    Governance(Timestamp),
    /// GetObjectRetention says that there is none.
    Unlocked,
    /// The store would not say.
    Unknown,
}

/// What the store has at one version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// The version.
    pub version_id: String,
    /// Size in bytes.
    pub size_bytes: u64,
    /// ETag without quotes.
    pub etag: Option<String>,
    /// Full-object SHA-256, if the store returns it (never a composite one).
    pub sha256: Option<Sha256>,
    /// Server-side encryption makes the ETag something else than the MD5.
    pub etag_is_md5: bool,
    /// The lock, as read for this version.
    pub lock: Lock,
    /// Last-Modified.
    pub last_modified: Option<Timestamp>,
    /// The store's `Date` with this answer.
    pub server_date: Timestamp,
}

/// One entry of a version listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectVersion {
    /// The version.
    pub version_id: String,
    /// A delete marker hides what is below it but removes nothing.
    pub is_delete_marker: bool,
    /// Whether this is the current version.
    pub is_latest: bool,
    /// Size in bytes; 0 for a delete marker.
    pub size_bytes: u64,
    /// Last-Modified.
    pub last_modified: Option<Timestamp>,
}

/// The stored bytes, read and hashed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadBack {
    /// SHA-256 of what was read.
    pub sha256: Sha256,
    /// Bytes read.
    pub size_bytes: u64,
}

/// What a look at the bucket found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Preflight {
    /// Versioning is Enabled (not Suspended); `None` when the caller may not ask.
    pub versioning: Option<bool>,
    /// Object Lock is Enabled; `None` when the caller may not ask.
    pub object_lock: Option<bool>,
    /// The default rule in words, such as `COMPLIANCE 2192 days`; `None` without one.
    pub default_rule: Option<String>,
    /// Server's date minus ours, in milliseconds.
    pub clock_offset_ms: i64,
    /// The store's `Date`.
    pub server_date: Timestamp,
    /// Checks that the caller may not make, each with the reason.
    pub unknown: Vec<String>,
}

impl Preflight {
    /// Why this bucket cannot keep evidence, if so, in words with a remedy.
    #[must_use]
    pub fn objection(&self) -> Option<String> {
        if self.versioning == Some(false) {
            return Some(
                "versioning is not enabled on the bucket; enable it (it cannot be \
                         suspended while Object Lock is on)"
                    .to_owned(),
            );
        }
        if self.object_lock == Some(false) {
            return Some(
                "Object Lock is not enabled on the bucket; create the bucket with Object \
                         Lock enabled"
                    .to_owned(),
            );
        }
        None
    }
}
