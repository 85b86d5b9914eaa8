//! A multipart upload that is not complete yet.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::body::Body;
use super::checksum::{Algorithm, Kind};
use super::version::{Headers, LockRequest};

/// Every part but the last has at least this size (Amazon S3 multipart upload limits).
pub(crate) const MIN_PART_BYTES: u64 = 5 * 1024 * 1024;

/// An upload that was begun and neither completed nor aborted.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Upload {
    /// Its id.
    pub upload_id: String,
    /// The object key.
    pub key: String,
    /// When it was begun, by the endpoint's clock.
    pub initiated_at: Timestamp,
    /// The checksum algorithm agreed at the beginning.
    pub algorithm: Option<Algorithm>,
    /// What that checksum will be taken over.
    pub kind: Kind,
    /// The parts so far, by number.
    pub parts: BTreeMap<u16, Part>,
    /// What the object will have besides its bytes.
    pub headers: Headers,
    pub(crate) lock: LockRequest,
}

/// One uploaded part.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Part {
    /// 1 to 10,000.
    pub number: u16,
    /// Size in bytes.
    pub size_bytes: u64,
    /// MD5 in hexadecimal.
    pub etag: String,
    /// By the upload's algorithm, or CRC64NVME when none was agreed; Base64.
    pub checksum: String,
    /// When it arrived.
    pub last_modified: Timestamp,
    pub(crate) object_id: String,
    #[serde(skip)]
    pub(crate) body: Option<Body>,
}

/// What the client says in CompleteMultipartUpload.
#[derive(Debug, Clone, Default)]
pub(crate) struct Completion {
    pub(crate) parts: Vec<CompletedPart>,
    /// `x-amz-mp-object-size`.
    pub(crate) size_bytes: Option<u64>,
    /// The checksum header of the complete request.
    pub(crate) checksum: Option<(Algorithm, String)>,
}

#[derive(Debug, Clone)]
pub(crate) struct CompletedPart {
    pub(crate) number: u16,
    pub(crate) etag: String,
    pub(crate) checksum: Option<String>,
}
