//! Making a bucket that keeps evidence: what `msp-evidence bucket create` asks of a store. The uploader
//! makes and changes no bucket.
//!
//! One call each, and each can be read back. The order is the caller's: the policy comes last, since it
//! may forbid the others to whoever makes them.

use aws_sdk_s3::types::{
    AbortIncompleteMultipartUpload, BucketLifecycleConfiguration, BucketLocationConstraint,
    CreateBucketConfiguration, DefaultRetention, ExpirationStatus, LifecycleRule,
    LifecycleRuleFilter, ObjectLockConfiguration, ObjectLockEnabled, ObjectLockRetentionMode,
    ObjectLockRule, ObjectOwnership, OwnershipControls, OwnershipControlsRule,
    PublicAccessBlockConfiguration, ServerSideEncryption, ServerSideEncryptionByDefault,
    ServerSideEncryptionConfiguration, ServerSideEncryptionRule,
};

use super::S3Destination;
use super::answer;
use super::classify::{Call, classify};
use crate::Failure;

/// A setting of a bucket, as it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Setting {
    /// What is put without a lock is locked in COMPLIANCE mode for so many days.
    DefaultRule {
        /// Retention in days.
        days: u32,
    },
    /// No ACL and no policy makes anything public.
    PublicAccess,
    /// Objects belong to the bucket's owner, and there are no ACLs.
    Ownership,
    /// How objects are encrypted that do not say it themselves.
    Encryption {
        /// A KMS key (id, alias or ARN); `None`: with keys of the store (SSE-S3).
        kms_key_id: Option<String>,
    },
    /// Uploads in parts that were begun and not completed are cleared away.
    IncompleteUploads {
        /// Days after they were begun.
        days: u32,
    },
    /// What is denied to everybody.
    Policy {
        /// The policy, as JSON.
        json: String,
    },
}

impl Setting {
    /// Its name for people and scripts.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::DefaultRule { .. } => "default_rule",
            Self::PublicAccess => "public_access",
            Self::Ownership => "ownership",
            Self::Encryption { .. } => "encryption",
            Self::IncompleteUploads { .. } => "incomplete_uploads",
            Self::Policy { .. } => "policy",
        }
    }

    /// What reading it back says when it is as it should be.
    #[must_use]
    pub fn wanted(&self) -> String {
        match self {
            Self::DefaultRule { days } => format!("COMPLIANCE {days} days"),
            Self::PublicAccess => "blocked".to_owned(),
            Self::Ownership => "BucketOwnerEnforced".to_owned(),
            Self::Encryption { kms_key_id: None } => "AES256".to_owned(),
            Self::Encryption {
                kms_key_id: Some(key),
            } => format!("aws:kms {key}"),
            Self::IncompleteUploads { days } => format!("cleared away after {days} days"),
            Self::Policy { json } => json.clone(),
        }
    }
}

/// Whether there is a bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// There is none of this name, as far as the caller may know.
    Absent,
    /// There is one with Object Lock and nothing in it, of any version.
    Empty,
    /// There is one without Object Lock.
    Unlockable,
    /// There is one with something in it.
    InUse,
}

const RULE_ID: &str = "abort-incomplete-uploads";

impl S3Destination {
    /// Whether there is a bucket, and whether anything is in it.
    ///
    /// # Errors
    /// When the store does not answer, or does not let the caller look.
    pub async fn standing(&self) -> Result<Standing, Failure> {
        let client = self.client();
        let call = Call::reading("HeadBucket");
        if let Err(error) = client.head_bucket().bucket(self.bucket()).send().await {
            let failure = classify(call, error);
            return match failure.status {
                Some(404) => Ok(Standing::Absent),
                _ => Err(failure),
            };
        }
        let listed = client
            .list_object_versions()
            .bucket(self.bucket())
            .max_keys(1)
            .send()
            .await
            .map_err(|error| classify(Call::reading("ListObjectVersions"), error))?;
        if !listed.versions().is_empty() || !listed.delete_markers().is_empty() {
            return Ok(Standing::InUse);
        }
        Ok(match self.object_lock().await? {
            Some(_) => Standing::Empty,
            None => Standing::Unlockable,
        })
    }

    /// The bucket's Object Lock; `None` when it has none.
    async fn object_lock(&self) -> Result<Option<ObjectLockConfiguration>, Failure> {
        let answer = self
            .client()
            .get_object_lock_configuration()
            .bucket(self.bucket())
            .send()
            .await;
        match answer {
            Ok(answer) => Ok(answer.object_lock_configuration.filter(|configuration| {
                configuration.object_lock_enabled() == Some(&ObjectLockEnabled::Enabled)
            })),
            Err(error) => {
                let failure = classify(Call::reading("GetObjectLockConfiguration"), error);
                match failure.code.as_str() {
                    "ObjectLockConfigurationNotFoundError" => Ok(None),
                    _ => Err(failure),
                }
            }
        }
    }

    /// Makes the bucket, with Object Lock, which turns versioning on (CreateBucket).
    ///
    /// # Errors
    /// When the store refuses: the name may be another's.
    pub async fn create_bucket(&self) -> Result<(), Failure> {
        let region = self.options.region.as_str();
        // S3 API Reference, CreateBucket: us-east-1 must not be named, every other must be.
        let elsewhere = (region != "us-east-1").then(|| {
            CreateBucketConfiguration::builder()
                .location_constraint(BucketLocationConstraint::from(region))
                .build()
        });
        self.client()
            .create_bucket()
            .bucket(self.bucket())
            .set_create_bucket_configuration(elsewhere)
            .object_lock_enabled_for_bucket(true)
            .send()
            .await
            .map(drop)
            .map_err(|error| classify(Call::changing("CreateBucket"), error))
    }

    /// Makes a setting what it should be.
    ///
    /// # Errors
    /// When the store refuses, or does not know the setting.
    pub async fn apply(&self, setting: &Setting) -> Result<(), Failure> {
        let client = self.client();
        let bucket = self.bucket();
        match setting {
            Setting::DefaultRule { days } => client
                .put_object_lock_configuration()
                .bucket(bucket)
                .object_lock_configuration(default_rule(*days))
                .send()
                .await
                .map(drop)
                .map_err(|e| classify(Call::changing("PutObjectLockConfiguration"), e)),
            Setting::PublicAccess => client
                .put_public_access_block()
                .bucket(bucket)
                .public_access_block_configuration(blocked())
                .send()
                .await
                .map(drop)
                .map_err(|e| classify(Call::changing("PutPublicAccessBlock"), e)),
            Setting::Ownership => client
                .put_bucket_ownership_controls()
                .bucket(bucket)
                .set_ownership_controls(enforced())
                .send()
                .await
                .map(drop)
                .map_err(|e| classify(Call::changing("PutBucketOwnershipControls"), e)),
            Setting::Encryption { kms_key_id } => client
                .put_bucket_encryption()
                .bucket(bucket)
                .set_server_side_encryption_configuration(encrypted(kms_key_id.as_deref()))
                .send()
                .await
                .map(drop)
                .map_err(|e| classify(Call::changing("PutBucketEncryption"), e)),
            Setting::IncompleteUploads { days } => client
                .put_bucket_lifecycle_configuration()
                .bucket(bucket)
                .set_lifecycle_configuration(cleared(*days))
                .send()
                .await
                .map(drop)
                .map_err(|e| classify(Call::changing("PutBucketLifecycleConfiguration"), e)),
            Setting::Policy { json } => client
                .put_bucket_policy()
                .bucket(bucket)
                .policy(json)
                .send()
                .await
                .map(drop)
                .map_err(|e| classify(Call::changing("PutBucketPolicy"), e)),
        }
    }

    /// What a setting is, in the words of [`Setting::wanted`]; `None` when there is none.
    ///
    /// # Errors
    /// When the store refuses, or does not know the setting.
    pub async fn read_setting(&self, setting: &Setting) -> Result<Option<String>, Failure> {
        let client = self.client();
        let bucket = self.bucket();
        match setting {
            Setting::DefaultRule { .. } => {
                let lock = self.object_lock().await?;
                Ok(lock.and_then(|lock| lock.rule().and_then(answer::rule)))
            }
            Setting::PublicAccess => {
                let answer = client.get_public_access_block().bucket(bucket).send().await;
                let answer =
                    answer.map_err(|e| classify(Call::reading("GetPublicAccessBlock"), e))?;
                Ok(answer.public_access_block_configuration.map(|found| {
                    if found == blocked() {
                        "blocked".to_owned()
                    } else {
                        format!("{found:?}")
                    }
                }))
            }
            Setting::Ownership => {
                let answer = client
                    .get_bucket_ownership_controls()
                    .bucket(bucket)
                    .send()
                    .await
                    .map_err(|e| classify(Call::reading("GetBucketOwnershipControls"), e))?;
                let rules = answer.ownership_controls.map(|controls| controls.rules);
                let rules = rules.unwrap_or_default();
                Ok(rules
                    .first()
                    .map(|rule| rule.object_ownership().as_str().to_owned()))
            }
            Setting::Encryption { .. } => {
                let answer = client.get_bucket_encryption().bucket(bucket).send().await;
                let answer =
                    answer.map_err(|e| classify(Call::reading("GetBucketEncryption"), e))?;
                let rules = answer
                    .server_side_encryption_configuration
                    .map(|configuration| configuration.rules)
                    .unwrap_or_default();
                let by_default = rules
                    .first()
                    .and_then(ServerSideEncryptionRule::apply_server_side_encryption_by_default);
                Ok(by_default.map(|found| {
                    let algorithm = found.sse_algorithm().as_str();
                    match found.kms_master_key_id() {
                        Some(key) => format!("{algorithm} {key}"),
                        None => algorithm.to_owned(),
                    }
                }))
            }
            Setting::IncompleteUploads { .. } => {
                let answer = client
                    .get_bucket_lifecycle_configuration()
                    .bucket(bucket)
                    .send()
                    .await
                    .map_err(|e| classify(Call::reading("GetBucketLifecycleConfiguration"), e))?;
                Ok(match answer.rules() {
                    [rule] if expires_nothing(rule) => rule
                        .abort_incomplete_multipart_upload()
                        .and_then(AbortIncompleteMultipartUpload::days_after_initiation)
                        .map(|days| format!("cleared away after {days} days")),
                    rules => Some(format!("{rules:?}")),
                })
            }
            Setting::Policy { .. } => {
                let answer = client.get_bucket_policy().bucket(bucket).send().await;
                let answer = answer.map_err(|e| classify(Call::reading("GetBucketPolicy"), e))?;
                Ok(answer.policy)
            }
        }
    }
}

fn days(days: u32) -> i32 {
    i32::try_from(days).unwrap_or(i32::MAX)
}

fn default_rule(retention_days: u32) -> ObjectLockConfiguration {
    let retention = DefaultRetention::builder()
        .mode(ObjectLockRetentionMode::Compliance)
        .days(days(retention_days))
        .build();
    ObjectLockConfiguration::builder()
        .object_lock_enabled(ObjectLockEnabled::Enabled)
        .rule(
            ObjectLockRule::builder()
                .default_retention(retention)
                .build(),
        )
        .build()
}

fn blocked() -> PublicAccessBlockConfiguration {
    PublicAccessBlockConfiguration::builder()
        .block_public_acls(true)
        .block_public_policy(true)
        .ignore_public_acls(true)
        .restrict_public_buckets(true)
        .build()
}

// The builders below fail only when something required is left out, which nothing is; the store
// refuses a request without its body.

fn enforced() -> Option<OwnershipControls> {
    let rule = OwnershipControlsRule::builder()
        .object_ownership(ObjectOwnership::BucketOwnerEnforced)
        .build()
        .ok()?;
    OwnershipControls::builder().rules(rule).build().ok()
}

fn encrypted(kms_key_id: Option<&str>) -> Option<ServerSideEncryptionConfiguration> {
    let algorithm = match kms_key_id {
        Some(_) => ServerSideEncryption::AwsKms,
        None => ServerSideEncryption::Aes256,
    };
    let by_default = ServerSideEncryptionByDefault::builder()
        .sse_algorithm(algorithm)
        .set_kms_master_key_id(kms_key_id.map(ToOwned::to_owned))
        .build()
        .ok()?;
    // One key of the bucket's for many objects: fewer requests to KMS.
    let rule = ServerSideEncryptionRule::builder()
        .apply_server_side_encryption_by_default(by_default)
        .bucket_key_enabled(kms_key_id.is_some())
        .build();
    ServerSideEncryptionConfiguration::builder()
        .rules(rule)
        .build()
        .ok()
}

fn cleared(after_days: u32) -> Option<BucketLifecycleConfiguration> {
    let abort = AbortIncompleteMultipartUpload::builder()
        .days_after_initiation(days(after_days))
        .build();
    let rule = LifecycleRule::builder()
        .id(RULE_ID)
        .status(ExpirationStatus::Enabled)
        .filter(LifecycleRuleFilter::builder().prefix("").build())
        .abort_incomplete_multipart_upload(abort)
        .build()
        .ok()?;
    BucketLifecycleConfiguration::builder()
        .rules(rule)
        .build()
        .ok()
}

/// Only an enabled rule that touches no object is ours.
fn expires_nothing(rule: &LifecycleRule) -> bool {
    rule.status() == &ExpirationStatus::Enabled
        && rule.expiration().is_none()
        && rule.noncurrent_version_expiration().is_none()
        && rule.transitions().is_empty()
        && rule.noncurrent_version_transitions().is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_body_can_be_built() {
        assert!(enforced().is_some());
        assert!(encrypted(None).is_some() && encrypted(Some("alias/evidence")).is_some());
        let cleared = cleared(7).unwrap();
        assert!(expires_nothing(&cleared.rules()[0]));
    }

    #[test]
    fn a_rule_that_is_read_back_is_called_as_the_one_that_is_wanted() {
        let rule = default_rule(2192);
        let found = rule.rule().and_then(answer::rule);
        let wanted = Setting::DefaultRule { days: 2192 }.wanted();
        assert_eq!(found, Some(wanted));
    }
}
