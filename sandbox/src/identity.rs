//! Who may call, and what they may do.
//!
//! Permissions are IAM's action names without `s3:` (Service Authorization Reference, "Actions
//! defined by Amazon S3"). An identity may do everything that it is not denied.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use serde::{Deserialize, Serialize};

/// An access key and what it may do.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Identity {
    /// The access key id.
    pub access_key: String,
    /// The secret access key.
    pub secret_key: String,
    /// What a request must carry besides, of an identity that STS made for a while.
    #[serde(default)]
    pub session_token: Option<String>,
    /// IAM actions that are denied, such as `GetObjectRetention` (HEAD then hides the lock without
    /// an error, as S3 does), `PutObjectRetention`, `BypassGovernanceRetention`, `ListBucket`.
    #[serde(default)]
    pub denied: BTreeSet<String>,
    /// Object keys must begin so; requests for others are denied.
    #[serde(default)]
    pub key_prefix: String,
}

impl Identity {
    /// An identity that may do everything.
    pub fn new(access_key: impl Into<String>, secret_key: impl Into<String>) -> Self {
        Self {
            access_key: access_key.into(),
            secret_key: secret_key.into(),
            session_token: None,
            denied: BTreeSet::new(),
            key_prefix: String::new(),
        }
    }

    /// The same, as one of a role's session.
    #[must_use]
    pub fn with_session(mut self, token: impl Into<String>) -> Self {
        self.session_token = Some(token.into());
        self
    }

    /// The same, denied this IAM action.
    #[must_use]
    pub fn deny(mut self, action: &str) -> Self {
        self.denied.insert(action.to_owned());
        self
    }

    /// The same, limited to keys that begin so.
    #[must_use]
    pub fn below(mut self, key_prefix: &str) -> Self {
        key_prefix.clone_into(&mut self.key_prefix);
        self
    }

    /// Whether this IAM action is permitted.
    #[must_use]
    pub fn may(&self, action: &str) -> bool {
        !self.denied.contains(action)
    }
}

impl std::fmt::Debug for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Identity")
            .field("access_key", &self.access_key)
            .field("denied", &self.denied)
            .field("key_prefix", &self.key_prefix)
            .finish_non_exhaustive()
    }
}

/// The identities that the endpoint knows; may be changed while it runs.
#[derive(Debug, Clone, Default)]
pub struct Identities(Arc<Mutex<BTreeMap<String, Arc<Identity>>>>);

impl Identities {
    pub(crate) fn new(identities: impl IntoIterator<Item = Identity>) -> Self {
        let this = Self::default();
        for identity in identities {
            this.put(identity);
        }
        this
    }

    /// Adds an identity, or replaces the one with that access key.
    pub fn put(&self, identity: Identity) {
        let mut map = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        map.insert(identity.access_key.clone(), Arc::new(identity));
    }

    /// Forgets an access key: its requests are refused with `InvalidAccessKeyId` from now on.
    pub fn remove(&self, access_key: &str) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(access_key);
    }

    /// The identity of an access key.
    #[must_use]
    pub fn get(&self, access_key: &str) -> Option<Arc<Identity>> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(access_key)
            .cloned()
    }
}

/// The IAM action that an S3 operation needs.
pub(crate) fn action_of(operation: &str, names_version: bool) -> &str {
    match (operation, names_version) {
        ("HeadObject" | "GetObject", false) => "GetObject",
        ("HeadObject" | "GetObject", true) => "GetObjectVersion",
        ("DeleteObject", true) => "DeleteObjectVersion",
        ("DeleteObjects", _) => "DeleteObject",
        ("HeadBucket" | "ListObjects" | "ListObjectsV2", _) => "ListBucket",
        ("ListObjectVersions", _) => "ListBucketVersions",
        ("ListBuckets", _) => "ListAllMyBuckets",
        ("ListParts", _) => "ListMultipartUploadParts",
        ("ListMultipartUploads", _) => "ListBucketMultipartUploads",
        ("CreateMultipartUpload" | "UploadPart" | "CompleteMultipartUpload", _) => "PutObject",
        ("GetObjectLockConfiguration", _) => "GetBucketObjectLockConfiguration",
        ("PutObjectLockConfiguration", _) => "PutBucketObjectLockConfiguration",
        (other, _) => other,
    }
}
