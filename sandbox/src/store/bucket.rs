//! A bucket: its settings, its versions, its unfinished uploads.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::lock::DefaultRule;
use super::refusal::Refusal;
use super::upload::Upload;
use super::version::Version;

/// Whether a bucket keeps versions.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Versioning {
    /// It never did.
    #[default]
    Off,
    /// It does.
    Enabled,
    /// It did; new objects replace each other again.
    Suspended,
}

/// A bucket's settings.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BucketSettings {
    /// When it was created, by the endpoint's clock.
    pub created_at: Timestamp,
    /// Whether Object Lock is enabled; it never goes back to false.
    pub object_lock: bool,
    /// Whether it keeps versions.
    pub versioning: Versioning,
    /// The default retention rule.
    pub default_rule: Option<DefaultRule>,
}

#[derive(Debug)]
pub(crate) struct Bucket {
    pub(crate) settings: BucketSettings,
    /// By key, oldest version first.
    pub(crate) keys: BTreeMap<String, Vec<Version>>,
    pub(crate) uploads: BTreeMap<String, Upload>,
}

impl Bucket {
    pub(crate) fn new(settings: BucketSettings) -> Self {
        Self {
            settings,
            keys: BTreeMap::new(),
            uploads: BTreeMap::new(),
        }
    }

    /// The version on top of a key, be it a delete marker.
    pub(crate) fn top(&self, key: &str) -> Option<&Version> {
        self.keys.get(key).and_then(|versions| versions.last())
    }

    /// The version that a request means: by id, or else the current one.
    pub(crate) fn find(&self, key: &str, version_id: Option<&str>) -> Result<&Version, Refusal> {
        let Some(version_id) = version_id else {
            return match self.top(key) {
                Some(version) if !version.is_delete_marker => Ok(version),
                Some(marker) => Err(Refusal::NoSuchKey {
                    delete_marker: Some(marker.version_id.clone()),
                }),
                None => Err(Refusal::NoSuchKey {
                    delete_marker: None,
                }),
            };
        };
        let version = self.keys.get(key).and_then(|versions| {
            versions
                .iter()
                .find(|version| version.version_id == version_id)
        });
        match version {
            Some(version) if version.is_delete_marker => Err(Refusal::IsDeleteMarker {
                version_id: version.version_id.clone(),
            }),
            Some(version) => Ok(version),
            None => Err(Refusal::NoSuchVersion),
        }
    }

    /// As [`Bucket::find`], to change its lock.
    pub(crate) fn find_mut(
        &mut self,
        key: &str,
        version_id: Option<&str>,
    ) -> Result<&mut Version, Refusal> {
        let sequence = self.find(key, version_id)?.sequence;
        self.keys
            .get_mut(key)
            .and_then(|versions| versions.iter_mut().find(|v| v.sequence == sequence))
            .ok_or(Refusal::NoSuchVersion)
    }

    /// Takes a version or delete marker out.
    pub(crate) fn take(&mut self, key: &str, version_id: &str) -> Option<Version> {
        let versions = self.keys.get_mut(key)?;
        let index = versions
            .iter()
            .position(|version| version.version_id == version_id)?;
        let taken = versions.remove(index);
        if versions.is_empty() {
            self.keys.remove(key);
        }
        Some(taken)
    }
}
