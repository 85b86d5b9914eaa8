//! S3 Object Lock, by the AWS SDK, with every check on our side of it.
//!
//! The SDK never retries here and never chooses a checksum: SHA-256 and Content-MD5 are given
//! explicitly and `request_checksum_calculation` is `WhenRequired`, the combination that every
//! server we know accepts (no aws-chunked trailer). The store's own `Date` is kept from every answer:
//! requests are signed with it, and retention is counted from it.

mod adversary;
mod answer;
mod body;
mod bucket;
mod classify;
mod clock;
mod connection;
mod credentials;
mod hold;
mod listing;
mod multipart;
mod profile;
mod reading;
mod setup;
mod topic;
mod transport;
mod trust;
mod web;

use std::sync::{Arc, RwLock};

use aws_sdk_s3::Client;
use aws_sdk_s3::primitives::DateTime;
use aws_sdk_s3::types::{
    ChecksumAlgorithm, ObjectLockMode, ObjectLockRetention, ObjectLockRetentionMode,
    ServerSideEncryption,
};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;

use crate::{
    Class, Destination, Failure, Fetched, ListMarker, MultipartEnd, MultipartRequest,
    ObjectVersion, PartRequest, Preflight, Put, PutRequest, ReadBack, Stored, UploadedPart,
    VersionPage,
};
use answer::{etag, sha256_of, whole_seconds};
use classify::{Call, classify};
use clock::ServerClock;
pub use connection::S3Options;
use connection::make_client;
pub use setup::{Setting, Standing};
pub use topic::Topic;
pub use trust::{CaBundle, CaError};
pub use web::{Url, Web, WebError};

/// One S3 bucket with Object Lock.
pub struct S3Destination {
    options: S3Options,
    clock: Arc<ServerClock>,
    client: RwLock<Client>,
}

impl S3Destination {
    /// Makes the client; nothing is sent and no credential is needed yet.
    pub async fn connect(options: S3Options) -> Self {
        let clock = Arc::new(ServerClock::default());
        let client = RwLock::new(make_client(&options, &clock));
        Self {
            options,
            clock,
            client,
        }
    }

    /// How this bucket is reached.
    #[must_use]
    pub const fn options(&self) -> &S3Options {
        &self.options
    }

    fn client(&self) -> Client {
        // A poisoned lock still holds a whole client: it is only ever replaced in one assignment.
        self.client
            .read()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .clone()
    }

    fn bucket(&self) -> &str {
        &self.options.bucket
    }

    /// How a new object is to be encrypted; otherwise as the bucket says.
    fn encryption(&self) -> (Option<ServerSideEncryption>, Option<String>) {
        let key_id = self.options.sse_kms_key_id.clone();
        let algorithm = key_id.as_ref().map(|_| ServerSideEncryption::AwsKms);
        (algorithm, key_id)
    }

    /// The configuration of one request that sends a body of this size.
    fn patient(&self, size_bytes: usize) -> aws_sdk_s3::config::Builder {
        let (connect, answer) = (self.options.connect_timeout, self.options.request_timeout);
        body::patient(size_bytes, connect, answer)
    }

    /// The store's date with the answer that has just come.
    fn date(&self, operation: &'static str) -> Result<Timestamp, Failure> {
        self.clock.now().ok_or_else(|| {
            let message = "the store's answer has no Date, so no retention can be counted from it";
            self.half_answer(operation, "NoDate", message)
        })
    }

    /// The store answered, and something that it must tell is missing.
    fn half_answer(
        &self,
        operation: &'static str,
        code: &'static str,
        message: &'static str,
    ) -> Failure {
        Failure {
            class: Class::Transient,
            operation,
            code: code.to_owned(),
            status: None,
            message: message.to_owned(),
            server_date: self.clock.now(),
            source: None,
        }
    }

    /// The connection ended in the middle of a body.
    fn cut_short(&self, call: Call, source: Box<dyn std::error::Error + Send + Sync>) -> Failure {
        Failure {
            source: Some(source),
            ..self.half_answer(call.operation, "BodyCut", "the body ended early")
        }
    }

    /// The date that the next request will bear.
    fn signing_date(&self) -> Timestamp {
        self.clock.now().unwrap_or_else(Timestamp::now)
    }
}

/// How far a request's date must be from the store's for a refusal to be put down to that. S3
/// allows 15 minutes; a third of that costs at most one more request.
const SKEW_SECS: i64 = 300;

/// A refusal of a HEAD has no body, so a wrong clock and a denial look alike; but it tells the
/// store's date. If that explains it, this says so.
fn unless_skewed(signed_at: Timestamp, failure: Failure) -> Failure {
    let off_secs = |date: Timestamp| date.duration_since(signed_at).as_secs();
    match failure.server_date.map(off_secs) {
        Some(off_secs) if failure.status == Some(403) && off_secs.abs() > SKEW_SECS => Failure {
            class: Class::Clock,
            code: "RequestTimeTooSkewed".to_owned(),
            message: format!("the store's date is {off_secs} s from that of the request"),
            ..failure
        },
        _ => failure,
    }
}

impl Destination for S3Destination {
    async fn preflight(&self) -> Result<Preflight, Failure> {
        self.look().await
    }

    fn server_now(&self) -> Option<Timestamp> {
        self.clock.now()
    }

    async fn put(&self, request: &PutRequest) -> Result<Put, Failure> {
        let retain_until = DateTime::from_secs(whole_seconds(request.retain_until));
        let (encryption, key_id) = self.encryption();
        let answer = self
            .client()
            .put_object()
            .bucket(self.bucket())
            .key(&request.key)
            .content_type(request.content_type)
            .content_length(i64::try_from(request.body.len()).unwrap_or(i64::MAX))
            .body(body::in_pieces(&request.body))
            .checksum_sha256(STANDARD.encode(request.sha256.as_bytes()))
            .set_content_md5(request.md5.map(|md5| STANDARD.encode(md5)))
            .object_lock_mode(ObjectLockMode::Compliance)
            .object_lock_retain_until_date(retain_until)
            .set_server_side_encryption(encryption)
            .set_ssekms_key_id(key_id)
            .if_none_match("*")
            .customize()
            .config_override(self.patient(request.body.len()))
            .send()
            .await
            .map_err(|error| classify(Call::changing("PutObject"), error))?;
        Ok(Put {
            version_id: version(answer.version_id()),
            etag: etag(answer.e_tag()),
            sha256: sha256_of(answer.checksum_sha256()),
        })
    }

    async fn begin_multipart(&self, request: &MultipartRequest) -> Result<String, Failure> {
        self.begin(request).await
    }

    async fn put_part(&self, request: &PartRequest) -> Result<UploadedPart, Failure> {
        self.part(request).await
    }

    async fn uploaded_parts(
        &self,
        key: &str,
        upload_id: &str,
    ) -> Result<Option<Vec<UploadedPart>>, Failure> {
        self.parts(key, upload_id).await
    }

    async fn complete_multipart(&self, end: &MultipartEnd) -> Result<Put, Failure> {
        self.complete(end).await
    }

    async fn abort_multipart(&self, key: &str, upload_id: &str) -> Result<(), Failure> {
        self.abort(key, upload_id).await
    }

    async fn inspect(&self, key: &str, version_id: &str) -> Result<Option<Stored>, Failure> {
        self.stored(key, version_id).await
    }

    async fn versions(&self, key: &str) -> Result<Vec<ObjectVersion>, Failure> {
        self.versions_of(key).await
    }

    async fn list(&self, prefix: &str, after: Option<&ListMarker>) -> Result<VersionPage, Failure> {
        self.page(prefix, after).await
    }

    async fn fetch(
        &self,
        key: &str,
        version_id: &str,
        max_bytes: u64,
    ) -> Result<Option<Fetched>, Failure> {
        let mut bytes = Vec::new();
        let mut is_longer = false;
        let copied = self
            .copy_out(key, version_id, &mut |piece| {
                bytes.extend_from_slice(piece);
                is_longer = bytes.len() as u64 > max_bytes;
                if is_longer {
                    return Err(std::io::ErrorKind::FileTooLarge.into());
                }
                Ok(())
            })
            .await;
        match copied {
            Err(_) if is_longer => Ok(None),
            other => other.map(|stored| Some(Fetched { stored, bytes })),
        }
    }

    async fn copy_out(
        &self,
        key: &str,
        version_id: &str,
        sink: &mut (dyn FnMut(&[u8]) -> std::io::Result<()> + Send),
    ) -> Result<Stored, Failure> {
        self.pieces(key, version_id, sink).await
    }

    async fn read_back(&self, key: &str, version_id: &str) -> Result<ReadBack, Failure> {
        self.hashed(key, version_id).await
    }

    async fn lock(
        &self,
        key: &str,
        version_id: &str,
        retain_until: Timestamp,
    ) -> Result<(), Failure> {
        let retention = ObjectLockRetention::builder()
            .mode(ObjectLockRetentionMode::Compliance)
            .retain_until_date(DateTime::from_secs(whole_seconds(retain_until)))
            .build();
        self.client()
            .put_object_retention()
            .bucket(self.bucket())
            .key(key)
            .version_id(version_id)
            // S3 wants a digest of this body; the SDK's own choice would be CRC32.
            .checksum_algorithm(ChecksumAlgorithm::Sha256)
            .retention(retention)
            .send()
            .await
            .map_err(|error| classify(Call::changing("PutObjectRetention"), error))?;
        Ok(())
    }

    async fn rebuild(&self) -> Result<(), Failure> {
        let fresh = make_client(&self.options, &self.clock);
        *self
            .client
            .write()
            .unwrap_or_else(std::sync::PoisonError::into_inner) = fresh;
        Ok(())
    }
}

/// A version id that names a version; unversioned buckets say `null` or nothing.
fn version(id: Option<&str>) -> Option<String> {
    id.filter(|id| !id.is_empty() && *id != "null")
        .map(ToOwned::to_owned)
}
