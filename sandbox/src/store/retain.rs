//! Which lock a new version gets, and changes to the lock of one that is stored.

use jiff::Timestamp;

use super::bucket::BucketSettings;
use super::lock::{Lock, Retention};
use super::refusal::Refusal;
use super::version::LockRequest;
use super::{Store, record_name};

impl Store {
    /// Replaces a version's retention, if its lock allows that; `None` removes it.
    pub(crate) fn set_retention(
        &self,
        bucket: &str,
        key: &str,
        version_id: Option<&str>,
        wanted: Option<Retention>,
        bypass: bool,
    ) -> Result<(), Refusal> {
        let now = self.clock.now();
        self.change_lock(bucket, key, version_id, |lock| {
            if !lock.allows_change(wanted, bypass, now) {
                return Err(Refusal::Locked);
            }
            lock.retention = wanted;
            Ok(())
        })
    }

    /// Turns a version's legal hold on or off.
    pub(crate) fn set_legal_hold(
        &self,
        bucket: &str,
        key: &str,
        version_id: Option<&str>,
        on: bool,
    ) -> Result<(), Refusal> {
        self.change_lock(bucket, key, version_id, |lock| {
            lock.legal_hold = Some(on);
            Ok(())
        })
    }

    fn change_lock(
        &self,
        bucket: &str,
        key: &str,
        version_id: Option<&str>,
        change: impl FnOnce(&mut Lock) -> Result<(), Refusal>,
    ) -> Result<(), Refusal> {
        let mut state = self.state();
        let target = state.bucket_mut(bucket)?;
        require_object_lock(&target.settings)?;
        let version = target.find_mut(key, version_id)?;
        let mut changed = version.clone();
        change(&mut changed.lock)?;
        self.disk
            .write_record(bucket, &record_name(&changed), &changed)?;
        version.lock = changed.lock;
        Ok(())
    }
}

/// Refuses what needs Object Lock in a bucket that has none.
pub(crate) fn require_object_lock(settings: &BucketSettings) -> Result<(), Refusal> {
    if settings.object_lock {
        return Ok(());
    }
    Err(Refusal::InvalidRequest(
        "Bucket is missing Object Lock Configuration".to_owned(),
    ))
}

/// The lock of a version created at that time: what was asked, else the bucket's default rule.
pub(super) fn resolve(
    settings: &BucketSettings,
    request: LockRequest,
    created_at: Timestamp,
) -> Result<Lock, Refusal> {
    let LockRequest::Asked(mut lock) = request else {
        return Ok(Lock::default());
    };
    if lock.retention.is_some() || lock.legal_hold.is_some() {
        require_object_lock(settings)?;
    }
    if lock.retention.is_none() {
        lock.retention = settings.default_rule.map(|rule| rule.retention(created_at));
    }
    Ok(lock)
}
