//! Damage that no client could do, for tests that must find it: what a broken or hostile store
//! operator would do behind the API.

use bytes::Bytes;

use super::bucket::Versioning;
use super::disk::new_id;
use super::lock::Lock;
use super::refusal::Refusal;
use super::{Store, record_name, sha256_hex};

impl Store {
    /// Replaces the bytes of a version behind the API; ETag and checksum stay as they were.
    ///
    /// # Errors
    /// When there is no such version, or the disk fails.
    pub fn tamper_bytes(
        &self,
        bucket: &str,
        key: &str,
        version_id: &str,
        bytes: Bytes,
    ) -> Result<(), Refusal> {
        let mut state = self.state();
        let version = state.bucket_mut(bucket)?.find_mut(key, Some(version_id))?;
        let mut changed = version.clone();
        changed.object_id = new_id();
        changed.sha256 = sha256_hex(&bytes);
        changed.size_bytes = bytes.len() as u64;
        changed.body = Some(self.disk.write_body(bucket, &changed.object_id, bytes)?);
        self.disk
            .write_record(bucket, &record_name(&changed), &changed)?;
        self.erase(bucket, version)?;
        *version = changed;
        Ok(())
    }

    /// Replaces the lock of a version behind the API, against every rule.
    ///
    /// # Errors
    /// When there is no such version, or the disk fails.
    pub fn tamper_lock(
        &self,
        bucket: &str,
        key: &str,
        version_id: &str,
        lock: Lock,
    ) -> Result<(), Refusal> {
        let mut state = self.state();
        let version = state.bucket_mut(bucket)?.find_mut(key, Some(version_id))?;
        let mut changed = version.clone();
        changed.lock = lock;
        self.disk
            .write_record(bucket, &record_name(&changed), &changed)?;
        *version = changed;
        Ok(())
    }

    /// Makes a version vanish behind the API, whatever its lock.
    ///
    /// # Errors
    /// When there is no such version, or the disk fails.
    pub fn tamper_remove(&self, bucket: &str, key: &str, version_id: &str) -> Result<(), Refusal> {
        let mut state = self.state();
        let target = state.bucket_mut(bucket)?;
        let version = target.take(key, version_id).ok_or(Refusal::NoSuchVersion)?;
        self.erase(bucket, &version)
    }

    /// Turns a bucket's versioning on or off behind the API, also under Object Lock, where S3
    /// refuses it.
    ///
    /// # Errors
    /// When there is no such bucket, or the disk fails.
    pub fn tamper_versioning(&self, bucket: &str, to: Versioning) -> Result<(), Refusal> {
        self.change_settings(bucket, |settings| {
            settings.versioning = to;
            Ok(())
        })
    }
}
