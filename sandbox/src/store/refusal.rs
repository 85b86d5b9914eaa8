//! Why the store refused, in S3's own words and codes.

use std::io;

/// A refusal. Its Display is the message that S3 sends.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// No bucket of that name.
    #[error("The specified bucket does not exist")]
    NoSuchBucket,
    /// No current version: the key was never written, or a delete marker is on top.
    #[error("The specified key does not exist.")]
    NoSuchKey {
        /// The version id of the delete marker on top, if that is why.
        delete_marker: Option<String>,
    },
    /// The key has no version of that id.
    #[error("The specified version does not exist.")]
    NoSuchVersion,
    /// The version asked for is a delete marker, which has neither bytes nor a lock.
    #[error("The specified method is not allowed against this resource.")]
    IsDeleteMarker {
        /// The marker's version id.
        version_id: String,
    },
    /// No multipart upload of that id: never begun, completed, or aborted.
    #[error(
        "The specified upload does not exist. The upload ID may be invalid, or the upload may have been aborted or completed."
    )]
    NoSuchUpload,
    /// The bucket exists.
    #[error("Your previous request to create the named bucket succeeded and you already own it.")]
    BucketAlreadyOwnedByYou,
    /// Retention or a legal hold forbids it.
    #[error("Access Denied because object protected by object lock.")]
    Locked,
    /// `If-None-Match` or `If-Match` did not hold.
    #[error("At least one of the pre-conditions you specified did not hold")]
    PreconditionFailed,
    /// The bucket's settings do not permit it.
    #[error("{0}")]
    InvalidBucketState(&'static str),
    /// The request makes no sense here.
    #[error("{0}")]
    InvalidRequest(String),
    /// One value of the request makes no sense.
    #[error("{0}")]
    InvalidArgument(&'static str),
    /// A part named in CompleteMultipartUpload was not uploaded, or with another ETag.
    #[error(
        "One or more of the specified parts could not be found.  The part may not have been uploaded, or the specified entity tag may not match the part's entity tag."
    )]
    InvalidPart,
    /// Part numbers must ascend.
    #[error("The list of parts was not in ascending order. Parts must be ordered by part number.")]
    InvalidPartOrder,
    /// Every part but the last needs 5 MiB.
    #[error("Your proposed upload is smaller than the minimum allowed size")]
    EntityTooSmall,
    /// A checksum did not match.
    #[error("{0}")]
    BadDigest(String),
    /// The version has no retention, or no legal hold.
    #[error("The specified object does not have a ObjectLock configuration")]
    NoSuchObjectLock,
    /// Our own disk failed.
    #[error("We encountered an internal error. Please try again.")]
    Disk(#[from] io::Error),
}

impl Refusal {
    /// S3's error code.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::NoSuchBucket => "NoSuchBucket",
            Self::NoSuchKey { .. } => "NoSuchKey",
            Self::NoSuchVersion => "NoSuchVersion",
            Self::IsDeleteMarker { .. } => "MethodNotAllowed",
            Self::NoSuchUpload => "NoSuchUpload",
            Self::BucketAlreadyOwnedByYou => "BucketAlreadyOwnedByYou",
            Self::Locked => "AccessDenied",
            Self::PreconditionFailed => "PreconditionFailed",
            Self::InvalidBucketState(_) => "InvalidBucketState",
            Self::InvalidRequest(_) => "InvalidRequest",
            Self::InvalidArgument(_) => "InvalidArgument",
            Self::InvalidPart => "InvalidPart",
            Self::InvalidPartOrder => "InvalidPartOrder",
            Self::EntityTooSmall => "EntityTooSmall",
            Self::BadDigest(_) => "BadDigest",
            Self::NoSuchObjectLock => "NoSuchObjectLockConfiguration",
            Self::Disk(_) => "InternalError",
        }
    }
}
