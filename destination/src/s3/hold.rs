//! Legal holds: a version under one is kept until it is taken off, whatever its retention.
//!
//! Amazon S3 User Guide, "Locking objects with Object Lock": a legal hold has no date, and anybody with
//! `s3:PutObjectLegalHold` may take it off. So it adds to a COMPLIANCE lock and never stands in for one.
//! The uploader sets none; operators do, by `msp-evidence hold`.

use aws_sdk_s3::types::{ChecksumAlgorithm, ObjectLockLegalHold, ObjectLockLegalHoldStatus};

use super::S3Destination;
use super::classify::{Call, classify};
use crate::{Failure, LegalHold};

impl S3Destination {
    /// Whether a version is under a legal hold (GetObjectLegalHold).
    ///
    /// # Errors
    /// When the store does not answer, or does not know the version.
    pub async fn legal_hold(&self, key: &str, version_id: &str) -> Result<LegalHold, Failure> {
        let answer = self
            .client()
            .get_object_legal_hold()
            .bucket(self.bucket())
            .key(key)
            .version_id(version_id)
            .send()
            .await;
        let failure = match answer {
            Ok(answer) => {
                let status = answer.legal_hold().and_then(|hold| hold.status());
                return Ok(match status {
                    Some(ObjectLockLegalHoldStatus::On) => LegalHold::On,
                    _ => LegalHold::Off,
                });
            }
            Err(error) => classify(Call::reading("GetObjectLegalHold"), error),
        };
        match failure.code.as_str() {
            // What was never set is told apart from what is off, by an error.
            "NoSuchObjectLockConfiguration" | "ObjectLockConfigurationNotFoundError" => {
                Ok(LegalHold::Off)
            }
            "AccessDenied" => Ok(LegalHold::Unknown),
            _ => Err(failure),
        }
    }

    /// Puts a legal hold on a version, or takes it off (PutObjectLegalHold).
    ///
    /// # Errors
    /// When the store refuses or does not answer: then read back what holds.
    pub async fn set_legal_hold(
        &self,
        key: &str,
        version_id: &str,
        on: bool,
    ) -> Result<(), Failure> {
        let status = if on {
            ObjectLockLegalHoldStatus::On
        } else {
            ObjectLockLegalHoldStatus::Off
        };
        self.client()
            .put_object_legal_hold()
            .bucket(self.bucket())
            .key(key)
            .version_id(version_id)
            // S3 wants a digest of this body; the SDK's own choice would be CRC32.
            .checksum_algorithm(ChecksumAlgorithm::Sha256)
            .legal_hold(ObjectLockLegalHold::builder().status(status).build())
            .send()
            .await
            .map_err(|error| classify(Call::changing("PutObjectLegalHold"), error))?;
        Ok(())
    }
}
