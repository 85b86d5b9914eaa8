//! What somebody with the writer's credentials can try against a locked version. Used by the
//! conformance suite to see that a store refuses; never by the uploader.

use std::error::Error as StdError;

use aws_sdk_s3::config::http::HttpResponse;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_s3::primitives::{ByteStream, DateTime};
use aws_sdk_s3::types::{ChecksumAlgorithm, ObjectLockRetention, ObjectLockRetentionMode};
use jiff::Timestamp;

use super::S3Destination;
use super::answer::whole_seconds;
use super::classify::{Call, classify};
use crate::Class;
use crate::conformance::{Adversary, Attempt};

impl Adversary for S3Destination {
    async fn delete_version(&self, key: &str, version_id: &str) -> Attempt {
        attempt(
            "DeleteObject",
            self.client()
                .delete_object()
                .bucket(self.bucket())
                .key(key)
                .version_id(version_id)
                .bypass_governance_retention(true)
                .send()
                .await,
        )
    }

    async fn shorten(&self, key: &str, version_id: &str, until: Timestamp) -> Attempt {
        self.change(key, version_id, ObjectLockRetentionMode::Compliance, until)
            .await
    }

    async fn downgrade(&self, key: &str, version_id: &str, until: Timestamp) -> Attempt {
        self.change(key, version_id, ObjectLockRetentionMode::Governance, until)
            .await
    }

    async fn lay_delete_marker(&self, key: &str) -> Attempt {
        attempt(
            "DeleteObject",
            self.client()
                .delete_object()
                .bucket(self.bucket())
                .key(key)
                .send()
                .await,
        )
    }

    async fn put_unlocked(&self, key: &str, bytes: &'static [u8]) -> Attempt {
        attempt(
            "PutObject",
            self.client()
                .put_object()
                .bucket(self.bucket())
                .key(key)
                .body(ByteStream::from_static(bytes))
                .send()
                .await,
        )
    }
}

impl S3Destination {
    async fn change(
        &self,
        key: &str,
        version_id: &str,
        mode: ObjectLockRetentionMode,
        until: Timestamp,
    ) -> Attempt {
        let retention = ObjectLockRetention::builder()
            .mode(mode)
            .retain_until_date(DateTime::from_secs(whole_seconds(until)))
            .build();
        attempt(
            "PutObjectRetention",
            self.client()
                .put_object_retention()
                .bucket(self.bucket())
                .key(key)
                .version_id(version_id)
                .bypass_governance_retention(true)
                .checksum_algorithm(ChecksumAlgorithm::Sha256)
                .retention(retention)
                .send()
                .await,
        )
    }
}

/// A refusal is the store's judgement of this attempt. An outage, credentials that do not hold, a
/// wrong clock or a version that is not there prove nothing about its lock.
fn attempt<T, E>(operation: &'static str, result: Result<T, SdkError<E, HttpResponse>>) -> Attempt
where
    E: ProvideErrorMetadata + StdError + Send + Sync + 'static,
{
    let failure = match result {
        Ok(_) => return Attempt::Allowed,
        Err(error) => classify(Call::changing(operation), error),
    };
    let judged = match failure.class {
        Class::BlockItem => failure.status.is_some(),
        Class::Park => matches!(
            failure.code.as_str(),
            "AccessDenied" | "MethodNotAllowed" | "NotImplemented"
        ),
        Class::Transient
        | Class::ConflictRetry
        | Class::Occupied
        | Class::OutcomeUnknown
        | Class::Clock => false,
    };
    if judged {
        Attempt::Refused(failure.code)
    } else {
        Attempt::NoAnswer
    }
}
