//! Objects as they are stored: their lock, what is told of their bytes, and the bytes.

use aws_sdk_s3::types::{ChecksumMode, ChecksumType, ObjectLockMode, ObjectLockRetentionMode};
use jiff::Timestamp;

use super::answer::{etag, sha256_of, time};
use super::classify::{Call, classify};
use super::{S3Destination, body, unless_skewed};
use crate::{Failure, Lock, ReadBack, Stored};

impl S3Destination {
    pub(super) async fn stored(
        &self,
        key: &str,
        version_id: &str,
    ) -> Result<Option<Stored>, Failure> {
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

    pub(super) async fn pieces(
        &self,
        key: &str,
        version_id: &str,
        sink: &mut (dyn FnMut(&[u8]) -> std::io::Result<()> + Send),
    ) -> Result<Stored, Failure> {
        let call = Call::reading("GetObject");
        let mut answer = self
            .client()
            .get_object()
            .bucket(self.bucket())
            .key(key)
            .version_id(version_id)
            .send()
            .await
            .map_err(|error| classify(call, error))?;
        let server_date = self.date(call.operation)?;
        let expected_bytes = answer
            .content_length()
            .and_then(|n| usize::try_from(n).ok());
        let patience = self.options.request_timeout + body::transfer(expected_bytes.unwrap_or(0));
        let mut body = std::mem::take(&mut answer.body);
        let read = async {
            let mut size_bytes = 0;
            while let Some(piece) = body.next().await {
                let piece = piece.map_err(|error| self.cut_short(call, Box::new(error)))?;
                size_bytes += piece.len() as u64;
                crate::traffic::moved(piece.len());
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
        };
        // A body that comes a byte at a time is never stalled, and would never end.
        let size_bytes = tokio::time::timeout(patience, read)
            .await
            .unwrap_or_else(|_| {
                let message = "the body came too slowly to wait for its end";
                Err(self.half_answer(call.operation, "BodySlow", message))
            })?;
        let mode = answer.object_lock_mode().map(ObjectLockMode::as_str);
        let until = answer.object_lock_retain_until_date().and_then(time);
        let lock = match lock(mode, until) {
            Some(lock) => lock,
            // As with HEAD, the headers are left out without an error.
            None => self.lock_of(key, version_id).await?,
        };
        let kms = answer
            .server_side_encryption()
            .is_some_and(|sse| sse.as_str() != "AES256");
        let customer_key = answer.sse_customer_algorithm().is_some();
        let etag = etag(answer.e_tag());
        Ok(Stored {
            version_id: version_id.to_owned(),
            size_bytes,
            etag_is_md5: !kms && !customer_key && etag.is_some(),
            etag,
            sha256: None,
            lock,
            last_modified: answer.last_modified().and_then(time),
            server_date,
        })
    }

    pub(super) async fn hashed(&self, key: &str, version_id: &str) -> Result<ReadBack, Failure> {
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
                crate::traffic::moved(piece.len());
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
}

/// The lock that mode and date describe; `None` when there is no whole one.
fn lock(mode: Option<&str>, until: Option<Timestamp>) -> Option<Lock> {
    match (mode?, until?) {
        ("COMPLIANCE", until) => Some(Lock::Compliance(until)),
        ("GOVERNANCE", until) => Some(Lock::Governance(until)),
        _ => None,
    }
}
