//! What somebody with the writer's credentials can try against a locked version. Used by the
//! conformance suite to see that a store refuses; never by the uploader.

use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_s3::primitives::{ByteStream, DateTime};
use aws_sdk_s3::types::{ObjectLockRetention, ObjectLockRetentionMode};
use jiff::Timestamp;

use super::S3Destination;
use super::answer::whole_seconds;
use crate::conformance::{Adversary, Attempt};

impl Adversary for S3Destination {
    async fn delete_version(&self, key: &str, version_id: &str) -> Attempt {
        attempt(
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
            self.client()
                .put_object_retention()
                .bucket(self.bucket())
                .key(key)
                .version_id(version_id)
                .bypass_governance_retention(true)
                .retention(retention)
                .send()
                .await,
        )
    }
}

/// A refusal is an answer of the store; not reaching it proves nothing.
fn attempt<T, E: ProvideErrorMetadata, R>(result: Result<T, SdkError<E, R>>) -> Attempt {
    match result {
        Ok(_) => Attempt::Allowed,
        Err(SdkError::ServiceError(error)) => {
            Attempt::Refused(error.err().code().unwrap_or("refused").to_owned())
        }
        Err(_) => Attempt::NoAnswer,
    }
}
