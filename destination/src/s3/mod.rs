//! S3 Object Lock, by the AWS SDK, with every check on our side of it.
//!
//! The SDK never retries here and never chooses a checksum: SHA-256 and Content-MD5 are given
//! explicitly and `request_checksum_calculation` is `WhenRequired`, the combination that every
//! server we know accepts (no aws-chunked trailer). The store's own `Date` is kept from every answer:
//! requests are signed with it, and retention is counted from it.

mod adversary;
mod answer;
mod body;
mod classify;
mod clock;
mod connection;
mod credentials;
mod multipart;
mod profile;
mod transport;
mod trust;

use std::sync::{Arc, RwLock};

use aws_sdk_s3::Client;
use aws_sdk_s3::primitives::DateTime;
use aws_sdk_s3::types::{
    BucketVersioningStatus, ChecksumAlgorithm, ChecksumMode, ChecksumType, ObjectLockEnabled,
    ObjectLockMode, ObjectLockRetention, ObjectLockRetentionMode, ServerSideEncryption,
};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;

use crate::{
    Class, Destination, Failure, ListMarker, ListedVersion, Lock, MultipartEnd, MultipartRequest,
    ObjectVersion, PartRequest, Preflight, Put, PutRequest, ReadBack, Stored, UploadedPart,
    VersionPage,
};
use answer::{etag, sha256_of, time, whole_seconds};
use classify::{Call, classify};
use clock::ServerClock;
pub use connection::S3Options;
use connection::make_client;
pub use trust::{CaBundle, CaError};

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

    async fn head_bucket(&self) -> Result<(), Failure> {
        let signed_at = self.signing_date();
        let answer = self
            .client()
            .head_bucket()
            .bucket(self.bucket())
            .send()
            .await;
        answer
            .map(drop)
            .map_err(|error| unless_skewed(signed_at, classify(Call::reading("HeadBucket"), error)))
    }

    /// The date that the next request will bear.
    fn signing_date(&self) -> Timestamp {
        self.clock.now().unwrap_or_else(Timestamp::now)
    }

    /// Why a HEAD was refused, which has no body to say it: whoever may not ask at all is refused
    /// a GET for the same reason, in words.
    async fn in_words(&self, failure: Failure) -> Failure {
        if failure.class != Class::Park || !matches!(failure.status, Some(301 | 400..=404)) {
            return failure;
        }
        let answer = self
            .client()
            .get_bucket_versioning()
            .bucket(self.bucket())
            .send()
            .await;
        match answer.map_err(|error| classify(Call::reading("GetBucketVersioning"), error)) {
            Err(reason) if reason.status.is_some() => reason,
            _ => failure,
        }
    }

    async fn lock_of(&self, key: &str, version_id: &str) -> Result<Lock, Failure> {
        let call = Call::reading("GetObjectRetention");
        let answer = self
            .client()
            .get_object_retention()
            .bucket(self.bucket())
            .key(key)
            .version_id(version_id)
            .send()
            .await;
        match answer {
            Ok(answer) => {
                let retention = answer.retention();
                let mode = retention
                    .and_then(|r| r.mode())
                    .map(ObjectLockRetentionMode::as_str);
                let until = retention.and_then(|r| r.retain_until_date()).and_then(time);
                Ok(lock(mode, until).unwrap_or(Lock::Unlocked))
            }
            Err(error) => {
                let failure = classify(call, error);
                match failure.code.as_str() {
                    "NoSuchObjectLockConfiguration" | "ObjectLockConfigurationNotFoundError" => {
                        Ok(Lock::Unlocked)
                    }
                    "AccessDenied" => Ok(Lock::Unknown),
                    _ if failure.status == Some(403) => Ok(Lock::Unknown),
                    // An answer that cannot be read (versitygw names the element otherwise) says
                    // nothing of the lock, and nothing against the store.
                    _ if failure.status == Some(200) => Ok(Lock::Unknown),
                    _ => Err(failure),
                }
            }
        }
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

/// The lock that mode and date describe; `None` when there is no whole one.
fn lock(mode: Option<&str>, until: Option<Timestamp>) -> Option<Lock> {
    match (mode?, until?) {
        ("COMPLIANCE", until) => Some(Lock::Compliance(until)),
        ("GOVERNANCE", until) => Some(Lock::Governance(until)),
        _ => None,
    }
}

impl Destination for S3Destination {
    async fn preflight(&self) -> Result<Preflight, Failure> {
        let client = self.client();
        if let Err(failure) = self.head_bucket().await {
            // The refusal told the store's date, and with that the same question may be answered.
            if failure.class != Class::Clock {
                return Err(self.in_words(failure).await);
            }
            self.head_bucket().await?;
        }
        let mut unknown = Vec::new();
        let versioning = match client
            .get_bucket_versioning()
            .bucket(self.bucket())
            .send()
            .await
        {
            Ok(answer) => Some(answer.status() == Some(&BucketVersioningStatus::Enabled)),
            Err(error) => {
                let failure = classify(Call::reading("GetBucketVersioning"), error);
                may_not_ask(failure, "versioning", &mut unknown)?;
                None
            }
        };
        let (object_lock, default_rule) = match client
            .get_object_lock_configuration()
            .bucket(self.bucket())
            .send()
            .await
        {
            Ok(answer) => {
                let configuration = answer.object_lock_configuration();
                let enabled = configuration.and_then(|c| c.object_lock_enabled())
                    == Some(&ObjectLockEnabled::Enabled);
                (
                    Some(enabled),
                    configuration.and_then(|c| c.rule()).and_then(answer::rule),
                )
            }
            Err(error) => {
                let failure = classify(Call::reading("GetObjectLockConfiguration"), error);
                if failure.code == "ObjectLockConfigurationNotFoundError" {
                    (Some(false), None)
                } else {
                    may_not_ask(failure, "Object Lock", &mut unknown)?;
                    (None, None)
                }
            }
        };
        let server_date = self.date("HeadBucket")?;
        let offset = server_date.duration_since(Timestamp::now()).as_millis();
        Ok(Preflight {
            versioning,
            object_lock,
            default_rule,
            clock_offset_ms: i64::try_from(offset).unwrap_or(i64::MAX),
            server_date,
            unknown,
        })
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
        let signed_at = self.signing_date();
        let answer = self
            .client()
            .head_object()
            .bucket(self.bucket())
            .key(key)
            .version_id(version_id)
            .checksum_mode(ChecksumMode::Enabled)
            .send()
            .await;
        let head = match answer {
            Ok(head) => head,
            Err(error) => {
                let failure = classify(Call::reading("HeadObject"), error);
                // HEAD has no body, so a missing version and a missing bucket look alike; a
                // missing bucket is found by the preflight.
                return if failure.status == Some(404) {
                    Ok(None)
                } else {
                    Err(unless_skewed(signed_at, failure))
                };
            }
        };
        let server_date = self.date("HeadObject")?;
        let size_bytes = head.content_length().and_then(|n| u64::try_from(n).ok());
        let size_bytes = size_bytes.ok_or_else(|| {
            let message = "the store's answer does not tell the size of the object";
            self.half_answer("HeadObject", "NoSize", message)
        })?;
        let mode = head.object_lock_mode().map(ObjectLockMode::as_str);
        let until = head.object_lock_retain_until_date().and_then(time);
        let lock = match lock(mode, until) {
            Some(lock) => lock,
            // The headers are left out without an error when the caller may not read retention.
            None => self.lock_of(key, version_id).await?,
        };
        let kms = head
            .server_side_encryption()
            .is_some_and(|sse| sse.as_str() != "AES256");
        let customer_key = head.sse_customer_algorithm().is_some();
        let etag = etag(head.e_tag());
        // A composite checksum is the hash of the parts' hashes; servers differ in whether they
        // mark it with its suffix, its type, or both.
        let composite = head.checksum_type() == Some(&ChecksumType::Composite);
        Ok(Some(Stored {
            version_id: version_id.to_owned(),
            size_bytes,
            etag_is_md5: !kms && !customer_key && etag.is_some(),
            etag,
            sha256: sha256_of(head.checksum_sha256().filter(|_| !composite)),
            lock,
            last_modified: head.last_modified().and_then(time),
            server_date,
        }))
    }

    async fn versions(&self, key: &str) -> Result<Vec<ObjectVersion>, Failure> {
        let mut found = Vec::new();
        let mut after = None;
        loop {
            let page = self.list(key, after.as_ref()).await?;
            let ours = page.entries.into_iter().filter(|entry| entry.key == key);
            found.extend(ours.map(|entry| entry.version));
            // Keys come sorted: once another key has come, this one is complete.
            match page.next {
                Some(next) if next.key.as_str() <= key => after = Some(next),
                _ => break,
            }
        }
        found.sort_by_key(|v| (!v.is_latest, v.last_modified.map(std::cmp::Reverse)));
        Ok(found)
    }

    async fn list(&self, prefix: &str, after: Option<&ListMarker>) -> Result<VersionPage, Failure> {
        let page = self
            .client()
            .list_object_versions()
            .bucket(self.bucket())
            .prefix(prefix)
            .set_key_marker(after.map(|marker| marker.key.clone()))
            .set_version_id_marker(after.and_then(|marker| marker.version_id.clone()))
            .send()
            .await
            .map_err(|error| classify(Call::reading("ListObjectVersions"), error))?;
        let versions = page.versions().iter().map(|entry| ListedVersion {
            key: entry.key().unwrap_or_default().to_owned(),
            version: ObjectVersion {
                version_id: entry.version_id().unwrap_or("null").to_owned(),
                is_delete_marker: false,
                is_latest: entry.is_latest().unwrap_or(false),
                size_bytes: entry
                    .size()
                    .and_then(|n| u64::try_from(n).ok())
                    .unwrap_or(0),
                last_modified: entry.last_modified().and_then(time),
            },
        });
        let markers = page.delete_markers().iter().map(|entry| ListedVersion {
            key: entry.key().unwrap_or_default().to_owned(),
            version: ObjectVersion {
                version_id: entry.version_id().unwrap_or("null").to_owned(),
                is_delete_marker: true,
                is_latest: entry.is_latest().unwrap_or(false),
                size_bytes: 0,
                last_modified: entry.last_modified().and_then(time),
            },
        });
        let mut entries: Vec<ListedVersion> = versions.chain(markers).collect();
        // The answer has the two kinds apart; by key they belong together.
        entries.sort_by(|a, b| {
            let newest = |e: &ListedVersion| {
                (
                    !e.version.is_latest,
                    e.version.last_modified.map(std::cmp::Reverse),
                )
            };
            a.key.cmp(&b.key).then_with(|| newest(a).cmp(&newest(b)))
        });
        let next = if page.is_truncated() == Some(true) {
            let next = page.next_key_marker.map(|key| ListMarker {
                key,
                version_id: page.next_version_id_marker,
            });
            if next.is_none() || next.as_ref() == after {
                let message = "the listing goes on, but does not say where";
                return Err(self.half_answer("ListObjectVersions", "ListingStuck", message));
            }
            next
        } else {
            None
        };
        Ok(VersionPage { entries, next })
    }

    async fn fetch(
        &self,
        key: &str,
        version_id: &str,
        max_bytes: u64,
    ) -> Result<Option<Vec<u8>>, Failure> {
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
            other => other.map(|_| Some(bytes)),
        }
    }

    async fn copy_out(
        &self,
        key: &str,
        version_id: &str,
        sink: &mut (dyn FnMut(&[u8]) -> std::io::Result<()> + Send),
    ) -> Result<u64, Failure> {
        let call = Call::reading("GetObject");
        let answer = self
            .client()
            .get_object()
            .bucket(self.bucket())
            .key(key)
            .version_id(version_id)
            .send()
            .await
            .map_err(|error| classify(call, error))?;
        let mut body = answer.body;
        let mut size_bytes = 0;
        while let Some(piece) = body.next().await {
            let piece = piece.map_err(|error| self.cut_short(call, Box::new(error)))?;
            size_bytes += piece.len() as u64;
            sink(&piece).map_err(|error| Failure {
                source: Some(Box::new(error)),
                ..self.half_answer(
                    call.operation,
                    "LocalWrite",
                    "a piece could not be written here",
                )
            })?;
        }
        Ok(size_bytes)
    }

    async fn read_back(&self, key: &str, version_id: &str) -> Result<ReadBack, Failure> {
        let call = Call::reading("GetObject");
        let answer = self
            .client()
            .get_object()
            .bucket(self.bucket())
            .key(key)
            .version_id(version_id)
            .send()
            .await
            .map_err(|error| classify(call, error))?;
        let size_bytes = answer
            .content_length()
            .and_then(|n| usize::try_from(n).ok());
        let patience = self.options.request_timeout + body::transfer(size_bytes.unwrap_or(0));
        let read = async {
            let mut body = answer.body;
            let mut hash = evidence::digest::Sha256Stream::default();
            let mut size_bytes = 0_u64;
            while let Some(piece) = body.next().await {
                let piece = piece.map_err(|error| self.cut_short(call, Box::new(error)))?;
                size_bytes += piece.len() as u64;
                hash.update(&piece);
            }
            Ok(ReadBack {
                sha256: hash.finish(),
                size_bytes,
            })
        };
        // A body that comes a byte at a time is never stalled, and would never end.
        tokio::time::timeout(patience, read)
            .await
            .unwrap_or_else(|_| {
                let message = "the body came too slowly to wait for its end";
                Err(self.half_answer(call.operation, "BodySlow", message))
            })
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

/// A check that the caller may not make is unknown, not failed; anything else is a failure.
fn may_not_ask(failure: Failure, what: &str, unknown: &mut Vec<String>) -> Result<(), Failure> {
    let refused = failure.status == Some(403) && failure.code == "AccessDenied";
    let not_offered = failure.status == Some(501) || failure.code == "NotImplemented";
    if refused || not_offered {
        unknown.push(format!("{what}: {}", failure.code));
        return Ok(());
    }
    Err(failure)
}
