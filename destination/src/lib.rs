//! A place that keeps evidence write-once-read-many: the trait, and S3 Object Lock.
//!
//! The uploader decides, a [`Destination`] does one thing per call and says honestly what
//! happened. It never retries (exactly one retry loop exists, in the uploader) and never calls an
//! object safe: it reports what the store said, by version.

pub mod conformance;
mod failure;
mod model;
mod s3;
mod traffic;

use std::future::Future;

pub use failure::{Class, Failure};
pub use model::{
    Fetched, LegalHold, ListMarker, ListedVersion, Lock, MultipartEnd, MultipartRequest,
    ObjectVersion, PartRequest, Preflight, Put, PutRequest, ReadBack, Stored, UploadedPart,
    VersionPage,
};
pub use s3::{
    CaBundle, CaError, S3Destination, S3Options, Setting, Standing, Topic, Url, Web, WebError,
};
pub use traffic::bytes_moved;

/// One WORM store: one bucket and prefix.
///
/// Keys are complete object keys (prefix included).
pub trait Destination: Send + Sync + 'static {
    /// Looks at the bucket: existence, versioning, Object Lock, default rule, the server's clock.
    /// Read-only.
    fn preflight(&self) -> impl Future<Output = Result<Preflight, Failure>> + Send;

    /// The store's clock now, from the last `Date` it sent and the time since on the monotonic
    /// clock; `None` before the first answer.
    fn server_now(&self) -> Option<jiff::Timestamp>;

    /// Stores one object in one request, locked, on condition that the key has no current version
    /// (`If-None-Match: *`).
    fn put(&self, request: &PutRequest) -> impl Future<Output = Result<Put, Failure>> + Send;

    /// Begins a multipart upload with a lock and a full-object CRC-64/NVME, and returns its id. One
    /// that was begun and forgotten holds no object; the bucket's lifecycle rule removes it.
    fn begin_multipart(
        &self,
        request: &MultipartRequest,
    ) -> impl Future<Output = Result<String, Failure>> + Send;

    /// Stores one part; sent again, it replaces itself.
    fn put_part(
        &self,
        request: &PartRequest,
    ) -> impl Future<Output = Result<UploadedPart, Failure>> + Send;

    /// The parts that the store has of an upload, in order: `None` when it does not know the
    /// upload (any more): completed, aborted, or expired.
    fn uploaded_parts(
        &self,
        key: &str,
        upload_id: &str,
    ) -> impl Future<Output = Result<Option<Vec<UploadedPart>>, Failure>> + Send;

    /// Makes one object of the parts, on condition that the key has no current version. The store
    /// compares the whole with its checksum; a part that it does not have is
    /// [`Class::ConflictRetry`].
    fn complete_multipart(
        &self,
        end: &MultipartEnd,
    ) -> impl Future<Output = Result<Put, Failure>> + Send;

    /// Gives an upload up and frees its parts; one that is unknown is given up already.
    fn abort_multipart(
        &self,
        key: &str,
        upload_id: &str,
    ) -> impl Future<Output = Result<(), Failure>> + Send;

    /// What is stored at this version (HEAD by version id, with checksum mode): `None` when the
    /// store says that it does not exist.
    fn inspect(
        &self,
        key: &str,
        version_id: &str,
    ) -> impl Future<Output = Result<Option<Stored>, Failure>> + Send;

    /// Every version and delete marker of exactly this key, newest first.
    fn versions(
        &self,
        key: &str,
    ) -> impl Future<Output = Result<Vec<ObjectVersion>, Failure>> + Send;

    /// Every version and delete marker of the keys below a prefix, a page at a time, in the order of
    /// keys (ListObjectVersions).
    fn list(
        &self,
        prefix: &str,
        after: Option<&ListMarker>,
    ) -> impl Future<Output = Result<VersionPage, Failure>> + Send;

    /// Reads a small object whole, and what the store says of it, in one request; `None` when it is
    /// longer than `max_bytes`.
    fn fetch(
        &self,
        key: &str,
        version_id: &str,
        max_bytes: u64,
    ) -> impl Future<Output = Result<Option<Fetched>, Failure>> + Send;

    /// Reads the version in pieces and gives each to `sink`; returns what the store says of it, with
    /// the size that was read and no checksum (there are the bytes). An error of the sink is a failure
    /// with the code `LocalWrite`.
    fn copy_out(
        &self,
        key: &str,
        version_id: &str,
        sink: &mut (dyn FnMut(&[u8]) -> std::io::Result<()> + Send),
    ) -> impl Future<Output = Result<Stored, Failure>> + Send;

    /// Reads the version back in pieces and hashes it; nothing is kept.
    fn read_back(
        &self,
        key: &str,
        version_id: &str,
    ) -> impl Future<Output = Result<ReadBack, Failure>> + Send;

    /// Sets COMPLIANCE retention on a version whose lock is missing (PutObjectRetention).
    fn lock(
        &self,
        key: &str,
        version_id: &str,
        retain_until: jiff::Timestamp,
    ) -> impl Future<Output = Result<(), Failure>> + Send;

    /// Builds the client anew, with credentials read again; used when a destination was parked.
    fn rebuild(&self) -> impl Future<Output = Result<(), Failure>> + Send;
}
