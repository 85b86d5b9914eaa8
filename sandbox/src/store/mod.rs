//! What the endpoint keeps, and the rules by which it keeps it; no HTTP in here.
//!
//! One mutex guards the records. Bytes are written before it is taken; the check of a condition,
//! the numbering and the commit happen inside it. That is why of two racing conditional PUTs
//! exactly one wins.

mod body;
mod bucket;
mod checksum;
mod disk;
mod listing;
mod load;
mod lock;
mod multipart;
mod refusal;
mod retain;
mod tamper;
mod upload;
mod version;

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

pub use bucket::{BucketSettings, Versioning};
pub use checksum::{Algorithm, Checksum, Kind, checksum_of, md5_of, sha256_hex};
pub use lock::{DefaultRule, Lock, Mode, Period, Retention};
pub use refusal::Refusal;
pub use upload::{Part, Upload};
pub use version::{Headers, NULL_VERSION, Version};

pub(crate) use body::Body;
pub(crate) use checksum::hex;
pub(crate) use listing::Listing;
pub(crate) use retain::require_object_lock;
pub(crate) use upload::{CompletedPart, Completion};
pub(crate) use version::{Condition, LockRequest, NewObject};

use crate::clock::Clock;
use bucket::Bucket;
use disk::{Disk, new_id};

/// All buckets of one endpoint.
#[derive(Debug)]
pub struct Store {
    disk: Disk,
    clock: Clock,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    buckets: BTreeMap<String, Bucket>,
    last_sequence: u64,
}

impl State {
    fn bucket(&self, name: &str) -> Result<&Bucket, Refusal> {
        self.buckets.get(name).ok_or(Refusal::NoSuchBucket)
    }

    fn bucket_mut(&mut self, name: &str) -> Result<&mut Bucket, Refusal> {
        self.buckets.get_mut(name).ok_or(Refusal::NoSuchBucket)
    }
}

/// What a deletion did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Deleted {
    /// The version removed, or the delete marker made.
    pub(crate) version_id: Option<String>,
    /// Whether that is a delete marker.
    pub(crate) is_delete_marker: bool,
}

impl Store {
    /// A store in memory.
    pub(crate) fn in_memory(clock: Clock) -> Self {
        Self {
            disk: Disk::Memory,
            clock,
            state: Mutex::default(),
        }
    }

    /// A store in a folder, with what an earlier one left there.
    pub(crate) fn open(root: &Path, clock: Clock) -> io::Result<Self> {
        let disk = Disk::open(root)?;
        let mut state = State::default();
        for name in disk.bucket_names()? {
            let bucket = load::bucket(&disk, &name, &mut state.last_sequence)?;
            state.buckets.insert(name, bucket);
        }
        Ok(Self {
            disk,
            clock,
            state: Mutex::new(state),
        })
    }

    pub(crate) fn release(&self) -> io::Result<()> {
        self.disk.release()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A panic while holding the guard leaves whole records behind, so go on.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Creates a bucket; with Object Lock it also keeps versions, for ever.
    ///
    /// # Errors
    /// When it exists, or the disk fails.
    pub fn create_bucket(&self, name: &str, object_lock: bool) -> Result<(), Refusal> {
        let mut state = self.state();
        if state.buckets.contains_key(name) {
            return Err(Refusal::BucketAlreadyOwnedByYou);
        }
        let settings = BucketSettings {
            created_at: self.clock.now(),
            object_lock,
            versioning: if object_lock {
                Versioning::Enabled
            } else {
                Versioning::Off
            },
            default_rule: None,
        };
        self.disk.make_bucket(name)?;
        self.disk.write_record(name, "bucket.json", &settings)?;
        state.buckets.insert(name.to_owned(), Bucket::new(settings));
        Ok(())
    }

    /// The buckets by name.
    #[must_use]
    pub fn buckets(&self) -> Vec<(String, BucketSettings)> {
        let state = self.state();
        state
            .buckets
            .iter()
            .map(|(name, b)| (name.clone(), b.settings.clone()))
            .collect()
    }

    /// A bucket's settings.
    ///
    /// # Errors
    /// When there is no such bucket.
    pub fn settings(&self, bucket: &str) -> Result<BucketSettings, Refusal> {
        Ok(self.state().bucket(bucket)?.settings.clone())
    }

    /// Turns versioning on or suspends it; never suspends it under Object Lock.
    pub(crate) fn set_versioning(&self, bucket: &str, to: Versioning) -> Result<(), Refusal> {
        self.change_settings(bucket, |settings| {
            if settings.object_lock && to != Versioning::Enabled {
                return Err(Refusal::InvalidBucketState(
                    "An Object Lock configuration is present on this bucket, so the versioning \
                     state cannot be changed.",
                ));
            }
            settings.versioning = to;
            Ok(())
        })
    }

    /// Sets or removes the default rule, and enables Object Lock on a bucket that keeps versions.
    ///
    /// # Errors
    /// When there is no such bucket, it keeps no versions, or the disk fails.
    pub fn set_default_rule(&self, bucket: &str, rule: Option<DefaultRule>) -> Result<(), Refusal> {
        self.change_settings(bucket, |settings| {
            if settings.versioning != Versioning::Enabled {
                return Err(Refusal::InvalidBucketState(
                    "Versioning must be 'Enabled' on the bucket to apply a Object Lock \
                     configuration",
                ));
            }
            settings.object_lock = true;
            settings.default_rule = rule;
            Ok(())
        })
    }

    fn change_settings(
        &self,
        bucket: &str,
        change: impl FnOnce(&mut BucketSettings) -> Result<(), Refusal>,
    ) -> Result<(), Refusal> {
        let mut state = self.state();
        let current = state.bucket_mut(bucket)?;
        let mut settings = current.settings.clone();
        change(&mut settings)?;
        self.disk.write_record(bucket, "bucket.json", &settings)?;
        current.settings = settings;
        Ok(())
    }

    /// Stores a new version.
    pub(crate) fn put(
        &self,
        bucket: &str,
        object: NewObject,
        condition: &Condition,
    ) -> Result<Version, Refusal> {
        self.settings(bucket)?;
        let object_id = new_id();
        let version = Version {
            key: object.key,
            version_id: String::new(),
            sequence: 0,
            is_delete_marker: false,
            size_bytes: object.bytes.len() as u64,
            sha256: sha256_hex(&object.bytes),
            etag: object.etag,
            checksum: Some(object.checksum),
            parts_count: None,
            headers: object.headers,
            last_modified: self.clock.now(),
            lock: Lock::default(),
            upload_id: None,
            body: Some(self.disk.write_body(bucket, &object_id, object.bytes)?),
            object_id,
        };
        self.commit(bucket, version, object.lock, condition)
    }

    /// Makes a version whose bytes are stored the newest of its key, if the condition holds.
    fn commit(
        &self,
        bucket: &str,
        mut version: Version,
        lock: LockRequest,
        condition: &Condition,
    ) -> Result<Version, Refusal> {
        let body = version.body.clone();
        let committed = (|| {
            let mut state = self.state();
            let sequence = state.last_sequence + 1;
            let target = state.bucket_mut(bucket)?;
            let upload_id = version.upload_id.clone();
            if upload_id
                .as_ref()
                .is_some_and(|id| !target.uploads.contains_key(id))
            {
                return Err(Refusal::NoSuchUpload);
            }
            check_condition(target.top(&version.key), condition)?;
            version.lock = retain::resolve(&target.settings, lock, version.last_modified)?;
            version.sequence = sequence;
            self.push(bucket, target, &mut version)?;
            if let Some(upload_id) = upload_id {
                target.uploads.remove(&upload_id);
            }
            state.last_sequence = sequence;
            Ok(version)
        })();
        if let (Err(_), Some(body)) = (&committed, body) {
            body.remove()?;
        }
        committed
    }

    /// Records a version or delete marker on top of its key. Where no versions are kept it
    /// replaces the one with the null id.
    fn push(&self, name: &str, bucket: &mut Bucket, version: &mut Version) -> Result<(), Refusal> {
        let keeps_versions = bucket.settings.versioning == Versioning::Enabled;
        version.version_id = if keeps_versions {
            new_id()
        } else {
            NULL_VERSION.to_owned()
        };
        self.disk
            .write_record(name, &record_name(version), version)?;
        let replaced = match keeps_versions {
            true => None,
            false => bucket.take(&version.key, NULL_VERSION),
        };
        bucket
            .keys
            .entry(version.key.clone())
            .or_default()
            .push(version.clone());
        if let Some(replaced) = replaced {
            self.erase(name, &replaced)?;
        }
        Ok(())
    }

    /// Removes what a version has on disk: the record first, so that no record names lost bytes.
    fn erase(&self, bucket: &str, version: &Version) -> Result<(), Refusal> {
        self.disk.remove_record(bucket, &record_name(version))?;
        if let Some(body) = &version.body {
            body.remove()?;
        }
        Ok(())
    }

    /// The version that a request means.
    pub(crate) fn get(
        &self,
        bucket: &str,
        key: &str,
        version_id: Option<&str>,
    ) -> Result<Version, Refusal> {
        self.state().bucket(bucket)?.find(key, version_id).cloned()
    }

    /// Deletes a version for good, or lays a delete marker over the key.
    pub(crate) fn delete(
        &self,
        bucket: &str,
        key: &str,
        version_id: Option<&str>,
        bypass: bool,
    ) -> Result<Deleted, Refusal> {
        let now = self.clock.now();
        let mut state = self.state();
        let sequence = state.last_sequence + 1;
        let target = state.bucket_mut(bucket)?;
        if let Some(version_id) = version_id {
            let found = target.keys.get(key).and_then(|versions| {
                versions
                    .iter()
                    .find(|version| version.version_id == version_id)
            });
            // S3 answers the deletion of what is not there with success.
            let Some(found) = found else {
                let version_id = Some(version_id.to_owned());
                return Ok(Deleted {
                    version_id,
                    is_delete_marker: false,
                });
            };
            if !found.lock.allows_delete(bypass, now) {
                return Err(Refusal::Locked);
            }
            let found = found.clone();
            self.erase(bucket, &found)?;
            target.take(key, version_id);
            return Ok(Deleted {
                version_id: Some(found.version_id),
                is_delete_marker: found.is_delete_marker,
            });
        }
        if target.settings.versioning == Versioning::Off {
            if let Some(version) = target.top(key).cloned() {
                self.erase(bucket, &version)?;
                target.take(key, NULL_VERSION);
            }
            return Ok(Deleted {
                version_id: None,
                is_delete_marker: false,
            });
        }
        let mut marker = Version {
            key: key.to_owned(),
            version_id: String::new(),
            sequence,
            is_delete_marker: true,
            size_bytes: 0,
            sha256: String::new(),
            etag: String::new(),
            checksum: None,
            parts_count: None,
            headers: Headers::default(),
            last_modified: now,
            lock: Lock::default(),
            upload_id: None,
            object_id: new_id(),
            body: None,
        };
        self.push(bucket, target, &mut marker)?;
        state.last_sequence = sequence;
        Ok(Deleted {
            version_id: Some(marker.version_id),
            is_delete_marker: true,
        })
    }

    /// Every version and delete marker of a key, oldest first; none for an unknown key or bucket.
    #[must_use]
    pub fn versions(&self, bucket: &str, key: &str) -> Vec<Version> {
        let state = self.state();
        let versions = state.buckets.get(bucket).and_then(|b| b.keys.get(key));
        versions.cloned().unwrap_or_default()
    }

    /// Every version and delete marker of a bucket, by key and then oldest first.
    #[must_use]
    pub fn all_versions(&self, bucket: &str) -> Vec<Version> {
        let state = self.state();
        let bucket = state.buckets.get(bucket);
        bucket
            .into_iter()
            .flat_map(|b| b.keys.values().flatten().cloned())
            .collect()
    }

    /// The multipart uploads that are neither complete nor aborted, oldest first within a key.
    #[must_use]
    pub fn uploads(&self, bucket: &str) -> Vec<Upload> {
        let state = self.state();
        let bucket = state.buckets.get(bucket);
        let mut uploads: Vec<Upload> = bucket
            .into_iter()
            .flat_map(|b| b.uploads.values().cloned())
            .collect();
        uploads.sort_by(|a, b| (&a.key, a.initiated_at).cmp(&(&b.key, b.initiated_at)));
        uploads
    }

    /// The bytes that are really stored at a version.
    ///
    /// # Errors
    /// As for a GET of that version.
    pub fn bytes(&self, bucket: &str, key: &str, version_id: &str) -> Result<Bytes, Refusal> {
        let version = self.get(bucket, key, Some(version_id))?;
        Ok(version.body.ok_or(Refusal::NoSuchVersion)?.read()?)
    }
}

fn record_name(version: &Version) -> String {
    format!("versions/{}.json", version.object_id)
}

fn check_condition(top: Option<&Version>, condition: &Condition) -> Result<(), Refusal> {
    let current = top.filter(|version| !version.is_delete_marker);
    match condition {
        Condition::Always => Ok(()),
        // A delete marker hides the version below it also from this condition.
        Condition::Absent if current.is_some() => Err(Refusal::PreconditionFailed),
        Condition::Absent => Ok(()),
        Condition::Matches(etag) => match current {
            None => Err(Refusal::NoSuchKey {
                delete_marker: None,
            }),
            Some(version) if version.etag == *etag => Ok(()),
            Some(_) => Err(Refusal::PreconditionFailed),
        },
    }
}
