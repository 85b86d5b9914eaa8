//! What a bucket is, before anything is put into it.

use aws_sdk_s3::types::{BucketVersioningStatus, ObjectLockEnabled};
use jiff::Timestamp;

use super::classify::{Call, classify};
use super::{S3Destination, answer, unless_skewed};
use crate::{Class, Failure, Preflight};

impl S3Destination {
    pub(super) async fn look(&self) -> Result<Preflight, Failure> {
        let client = self.client();
        self.reach().await?;
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

    /// Is the bucket there, and may the caller ask it anything?
    async fn reach(&self) -> Result<(), Failure> {
        let mut answer = self.head_bucket().await;
        if matches!(&answer, Err(failure) if failure.class == Class::Clock) {
            // The refusal told the store's date, and with that the same question may be answered.
            answer = self.head_bucket().await;
        }
        match answer {
            Err(failure) if failure.class != Class::Clock => self.in_words(failure).await,
            answer => answer,
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

    /// Why a HEAD was refused, which has no body to say it: whoever may not ask at all is refused
    /// a GET for the same reason, in words.
    ///
    /// Whoever is answered the GET reaches the bucket. HeadBucket wants `s3:ListBucket` without a
    /// prefix, which would show the keys of every client, so a writer of least privilege has no such
    /// permission (S3 User Guide, "Required permissions for Amazon S3 API operations").
    async fn in_words(&self, failure: Failure) -> Result<(), Failure> {
        if failure.class != Class::Park || !matches!(failure.status, Some(301 | 400..=404)) {
            return Err(failure);
        }
        let answer = self
            .client()
            .get_bucket_versioning()
            .bucket(self.bucket())
            .send()
            .await;
        match answer.map_err(|error| classify(Call::reading("GetBucketVersioning"), error)) {
            Ok(_) if failure.status == Some(403) => Ok(()),
            Err(reason) if reason.status.is_some() => Err(reason),
            _ => Err(failure),
        }
    }
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
