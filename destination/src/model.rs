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

/// A multipart upload to begin: for objects that are too large for one request.
#[derive(Debug, Clone)]
pub struct MultipartRequest {
    /// The complete object key.
    pub key: String,
    /// `Content-Type`.
    pub content_type: &'static str,
    /// COMPLIANCE until then, whole seconds. Several servers drop the lock of a multipart upload
    /// without a word, so it proves nothing before it is read back.
    pub retain_until: Timestamp,
}

/// One part of a multipart upload.
#[derive(Debug, Clone)]
pub struct PartRequest {
    /// The complete object key.
    pub key: String,
    /// What [`crate::Destination::begin_multipart`] answered.
    pub upload_id: String,
    /// From 1 to 10,000.
    pub number: u32,
    /// The bytes; at least 5 MiB in every part but the last.
    pub body: Bytes,
    /// Their CRC-64/NVME, sent as `x-amz-checksum-crc64nvme`.
    pub crc64nvme: u64,
    /// Their MD5, sent as `Content-MD5`; `None` where FIPS forbids it.
    pub md5: Option<[u8; 16]>,
}

/// A part that the store has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UploadedPart {
    /// From 1 to 10,000.
    pub number: u32,
    /// ETag without quotes: the MD5 of the part, unless a KMS key encrypts it.
    pub etag: String,
    /// Size in bytes.
    pub size_bytes: u64,
    /// CRC-64/NVME, if the store tells it.
    pub crc64nvme: Option<u64>,
}

/// Everything is uploaded: the parts are to become one object.
#[derive(Debug, Clone)]
pub struct MultipartEnd {
    /// The complete object key.
    pub key: String,
    /// What [`crate::Destination::begin_multipart`] answered.
    pub upload_id: String,
    /// Every part, in order.
    pub parts: Vec<UploadedPart>,
    /// Size of the whole object in bytes.
    pub size_bytes: u64,
    /// CRC-64/NVME of the whole object: a multipart SHA-256 would be a hash of hashes and never
    /// equal the file's (Amazon S3 User Guide, "Checking object integrity").
    pub crc64nvme: u64,
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

/// Whether a version is under a legal hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LegalHold {
    /// It is kept until the hold is taken off.
    On,
    /// It is not, or was never.
    Off,
    /// The caller may not ask.
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
    /// The ETag is the MD5 of the bytes, or of the parts' MD5s with `-N` after a multipart upload;
    /// encryption with a KMS or customer's key makes it something else.
    pub etag_is_md5: bool,
    /// The lock, as read for this version.
    pub lock: Lock,
    /// Last-Modified.
    pub last_modified: Option<Timestamp>,
    /// The store's `Date` with this answer.
    pub server_date: Timestamp,
}

/// A small object, whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fetched {
    /// What the store says of it; no checksum, since here are the bytes.
    pub stored: Stored,
    /// Its bytes.
    pub bytes: Vec<u8>,
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

/// A version in a listing of many keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedVersion {
    /// The complete object key.
    pub key: String,
    /// What is there.
    pub version: ObjectVersion,
}

/// Where a listing goes on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListMarker {
    /// After this key, or within it when a version is named.
    pub key: String,
    /// After this version of it.
    pub version_id: Option<String>,
}

/// Some of a listing, in the order of keys.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct VersionPage {
    /// Versions and delete markers; those of one key newest first, and perhaps not all of them.
    pub entries: Vec<ListedVersion>,
    /// Where it goes on; `None` at the end.
    pub next: Option<ListMarker>,
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
