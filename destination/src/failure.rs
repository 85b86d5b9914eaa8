//! What went wrong at a store, sorted by what to do about it (design: upload protocol).

use jiff::Timestamp;

/// What the uploader does about a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Class {
    /// 503, SlowDown, 429, RequestTimeout, network, TLS, and any 5xx to a call that only reads:
    /// back off and try again, for ever. Nothing was changed.
    Transient,
    /// 409 ConditionalRequestConflict, OperationAborted: a short jitter, then again.
    ConflictRetry,
    /// 412: something is at the key; inspect its versions.
    Occupied,
    /// The request may have taken effect (response lost, or a 5xx other than 503 to a call that
    /// changes something): inspect before putting again.
    OutcomeUnknown,
    /// AccessDenied, InvalidAccessKeyId, SignatureDoesNotMatch, ExpiredToken, NoSuchBucket, KMS, a
    /// bucket without Object Lock, no credentials, an answer that is not a store's: park the
    /// destination, probe, keep everything.
    Park,
    /// RequestTimeTooSkewed, date rejected: derive the clock offset again.
    Clock,
    /// BadDigest, EntityTooLarge, InvalidRequest: re-read and hash, isolate this item, carry on.
    BlockItem,
}

/// One failed call. Its Display omits the source; the chain is printed once, at the top.
#[derive(Debug, thiserror::Error)]
#[error("{operation}: {code}: {message}")]
pub struct Failure {
    /// What to do about it.
    pub class: Class,
    /// The S3 operation, such as `PutObject`.
    pub operation: &'static str,
    /// The S3 error code, or our own such as `Timeout`, `Dns`, `Tls`, `ConnectionReset`.
    pub code: String,
    /// HTTP status, when there was an answer.
    pub status: Option<u16>,
    /// The store's words, shortened; never credentials.
    pub message: String,
    /// The store's `Date`, when there was an answer.
    pub server_date: Option<Timestamp>,
    /// What lies below.
    #[source]
    pub source: Option<Box<dyn std::error::Error + Send + Sync>>,
}
