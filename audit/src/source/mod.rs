//! Where the evidence is read from: a bucket, or a folder copied from one.
//!
//! A bucket is listed by versions, never by objects: a newer version or a delete marker hides an
//! object from whoever lists objects, and removes nothing. A folder has no versions, locks or dates
//! of a store, and nothing here pretends that it has.

mod bucket;
mod copy;
mod folder;
mod patience;

use destination::{Failure, Lock};
use evidence::digest::Sha256;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

pub use bucket::Bucket;
pub use folder::Folder;
pub use patience::Patience;

/// A bucket or a folder.
pub enum Source {
    /// A bucket and prefix.
    Bucket(Box<Bucket>),
    /// A folder that is laid out like a bucket below its prefix.
    Folder(Folder),
}

/// Where a listing goes on; to be kept as it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Marker {
    /// After this path.
    pub path: String,
    /// After this version of it.
    pub version_id: Option<String>,
}

/// One version of one object, as listed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// Below the prefix or folder.
    pub path: String,
    /// The store's; empty in a folder.
    pub version_id: String,
    /// It hides what is below it.
    pub is_delete_marker: bool,
    /// It is what a reader without a version id gets.
    pub is_latest: bool,
    /// Size in bytes.
    pub size_bytes: u64,
    /// When the store got it.
    pub last_modified: Option<Timestamp>,
}

/// Some of a listing, in an order that a marker goes on in.
#[derive(Debug, Default)]
pub struct Page {
    /// The versions.
    pub entries: Vec<Listed>,
    /// Where it goes on.
    pub next: Option<Marker>,
}

/// What a store says of a version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// Size in bytes, as read.
    pub size_bytes: u64,
    /// The lock; `None` in a folder.
    pub lock: Option<Lock>,
    /// When the store got it. `None` in a folder, and for what was stored in parts: of that the
    /// store tells when the upload was begun, which may be long before (Amazon S3 User Guide,
    /// "Object metadata").
    pub last_modified: Option<Timestamp>,
    /// It was stored in parts, going by its ETag.
    pub is_in_parts: bool,
}

/// A small object, whole.
#[derive(Debug, Clone)]
pub struct Fetched {
    /// What the store says.
    pub facts: Facts,
    /// The bytes; `None` when there are more than were asked for.
    pub bytes: Option<Vec<u8>>,
}

/// An object of any size, hashed.
#[derive(Debug, Clone)]
pub struct Digested {
    /// What the store says.
    pub facts: Facts,
    /// SHA-256 of its bytes.
    pub sha256: Sha256,
}

/// Why something could not be listed or read.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// The store did not do it.
    #[error("the store did not answer as it should")]
    Store(#[from] Failure),
    /// The folder could not be read.
    #[error("cannot read {path}")]
    File {
        /// The file or folder.
        path: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}

impl SourceError {
    /// The store or disk itself is away, so the next question would fare no better.
    #[must_use]
    pub fn is_outage(&self) -> bool {
        use destination::Class;
        match self {
            Self::Store(failure) => {
                matches!(failure.class, Class::Transient | Class::Clock)
                    && failure.status != Some(404)
            }
            Self::File { .. } => false,
        }
    }
}

impl Source {
    /// The same for the same place: `s3://bucket/prefix`, or `file:` and the folder.
    #[must_use]
    pub fn uri(&self) -> String {
        match self {
            Self::Bucket(bucket) => bucket.uri(),
            Self::Folder(folder) => format!("file:{}", folder.root().display()),
        }
    }

    /// Whether versions, locks and dates of a store are to be had.
    #[must_use]
    pub const fn has_store_metadata(&self) -> bool {
        matches!(self, Self::Bucket(_))
    }

    /// The store's clock, once it has answered; `None` for a folder.
    #[must_use]
    pub fn now(&self) -> Option<Timestamp> {
        match self {
            Self::Bucket(bucket) => bucket.now(),
            Self::Folder(_) => None,
        }
    }

    /// Every version and delete marker below `below` (empty, or ending in `/`), a page at a time.
    ///
    /// # Errors
    /// When it cannot be listed, after some attempts.
    pub async fn list(&self, below: &str, after: Option<&Marker>) -> Result<Page, SourceError> {
        match self {
            Self::Bucket(bucket) => bucket.list(below, after).await,
            Self::Folder(folder) => folder.list(below, after).await,
        }
    }

    /// Reads a version whole.
    ///
    /// # Errors
    /// When it cannot be read, after some attempts.
    pub async fn fetch(
        &self,
        path: &str,
        version_id: &str,
        max_bytes: u64,
    ) -> Result<Fetched, SourceError> {
        match self {
            Self::Bucket(bucket) => bucket.fetch(path, version_id, max_bytes).await,
            Self::Folder(folder) => folder.fetch(path, max_bytes).await,
        }
    }

    /// Reads a version piece by piece and hashes it; with `trust_checksum`, the store's own SHA-256
    /// of the whole object is believed where it has one.
    ///
    /// # Errors
    /// When it cannot be read, after some attempts.
    pub async fn digest(
        &self,
        path: &str,
        version_id: &str,
        trust_checksum: bool,
    ) -> Result<Digested, SourceError> {
        match self {
            Self::Bucket(bucket) => bucket.digest(path, version_id, trust_checksum).await,
            Self::Folder(folder) => folder.digest(path).await,
        }
    }
}
