//! The store's folder, so that a bucket outlives the process that serves it.
//!
//! ```text
//! store.lock                              held while a store is open
//! tmp/                                    unfinished files, cleared at start
//! buckets/NAME/bucket.json                settings
//! buckets/NAME/bodies/OBJECT_ID           bytes of versions and parts
//! buckets/NAME/versions/OBJECT_ID.json    one version: this file *is* the commit
//! buckets/NAME/uploads/UPLOAD_ID.json     one multipart upload with its parts
//! ```
//!
//! Every file is written under `tmp/` and renamed. The bytes go first and the record that names
//! them second; a deletion goes the other way round. So a process killed anywhere leaves at worst
//! bytes that no record names, and those are removed at start. There is no fsync: this store
//! survives `kill -9`, not a power failure, and nobody's evidence depends on it.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::body::{Body, Reader};

/// Where bodies and records go: a folder, or memory.
#[derive(Debug)]
pub(crate) enum Disk {
    Memory,
    Folder { root: PathBuf, lock: File },
}

impl Disk {
    /// Opens the folder, creating it, and holds it against a second store.
    pub(crate) fn open(root: &Path) -> io::Result<Self> {
        fs::create_dir_all(root.join("buckets"))?;
        let lock = File::create(root.join("store.lock"))?;
        lock.try_lock().map_err(|error| match error {
            fs::TryLockError::WouldBlock => io::Error::new(
                io::ErrorKind::ResourceBusy,
                format!("another sandbox has {} open", root.display()),
            ),
            fs::TryLockError::Error(error) => error,
        })?;
        let tmp = root.join("tmp");
        if tmp.exists() {
            fs::remove_dir_all(&tmp)?;
        }
        fs::create_dir(&tmp)?;
        Ok(Self::Folder {
            root: root.to_owned(),
            lock,
        })
    }

    /// Lets another store open the folder.
    pub(crate) fn release(&self) -> io::Result<()> {
        match self {
            Self::Memory => Ok(()),
            Self::Folder { lock, .. } => lock.unlock(),
        }
    }

    fn bucket(root: &Path, bucket: &str) -> PathBuf {
        root.join("buckets").join(bucket)
    }

    /// The names of the buckets in the folder.
    pub(crate) fn bucket_names(&self) -> io::Result<Vec<String>> {
        let Self::Folder { root, .. } = self else {
            return Ok(Vec::new());
        };
        let mut names = Vec::new();
        for entry in fs::read_dir(root.join("buckets"))? {
            let entry = entry?;
            // A folder without its settings is a creation that was cut short.
            if entry.path().join("bucket.json").exists() {
                names.push(entry.file_name().to_string_lossy().into_owned());
            }
        }
        Ok(names)
    }

    /// Makes a bucket's folders.
    pub(crate) fn make_bucket(&self, bucket: &str) -> io::Result<()> {
        let Self::Folder { root, .. } = self else {
            return Ok(());
        };
        for part in ["bodies", "versions", "uploads"] {
            fs::create_dir_all(Self::bucket(root, bucket).join(part))?;
        }
        Ok(())
    }

    /// Writes a record, replacing it in one step.
    pub(crate) fn write_record<T: Serialize>(
        &self,
        bucket: &str,
        name: &str,
        record: &T,
    ) -> io::Result<()> {
        let Self::Folder { root, .. } = self else {
            return Ok(());
        };
        let json = serde_json::to_vec_pretty(record)?;
        let tmp = root.join("tmp").join(new_id());
        fs::write(&tmp, json)?;
        fs::rename(tmp, Self::bucket(root, bucket).join(name))
    }

    /// Reads a record.
    pub(crate) fn read_record<T: DeserializeOwned>(
        &self,
        bucket: &str,
        name: &str,
    ) -> io::Result<T> {
        let Self::Folder { root, .. } = self else {
            return Err(io::ErrorKind::NotFound.into());
        };
        Ok(serde_json::from_slice(&fs::read(
            Self::bucket(root, bucket).join(name),
        )?)?)
    }

    /// Reads all records of one kind (`versions` or `uploads`).
    pub(crate) fn read_records<T: DeserializeOwned>(
        &self,
        bucket: &str,
        kind: &str,
    ) -> io::Result<Vec<T>> {
        let Self::Folder { root, .. } = self else {
            return Ok(Vec::new());
        };
        let mut records = Vec::new();
        for entry in fs::read_dir(Self::bucket(root, bucket).join(kind))? {
            records.push(serde_json::from_slice(&fs::read(entry?.path())?)?);
        }
        Ok(records)
    }

    /// Removes a record.
    pub(crate) fn remove_record(&self, bucket: &str, name: &str) -> io::Result<()> {
        match self {
            Self::Memory => Ok(()),
            Self::Folder { root, .. } => fs::remove_file(Self::bucket(root, bucket).join(name)),
        }
    }

    /// Stores bytes under a new id.
    pub(crate) fn write_body(&self, bucket: &str, id: &str, bytes: Bytes) -> io::Result<Body> {
        match self {
            Self::Memory => Ok(Body::Memory(bytes)),
            Self::Folder { root, .. } => {
                let tmp = root.join("tmp").join(id);
                fs::write(&tmp, bytes)?;
                self.adopt(bucket, id, &tmp)
            }
        }
    }

    /// Stores the bytes of `parts`, one after another; every piece is shown to `see` on its way.
    pub(crate) fn join_bodies(
        &self,
        bucket: &str,
        id: &str,
        parts: Vec<Reader>,
        mut see: impl FnMut(&[u8]),
    ) -> io::Result<Body> {
        const PIECE_BYTES: usize = 1 << 20;
        let mut memory = Vec::new();
        let mut file = match self {
            Self::Memory => None,
            Self::Folder { root, .. } => {
                let tmp = root.join("tmp").join(id);
                Some((File::create(&tmp)?, tmp))
            }
        };
        for mut part in parts {
            loop {
                let piece = part.piece(PIECE_BYTES)?;
                if piece.is_empty() {
                    break;
                }
                see(&piece);
                match &mut file {
                    None => memory.extend_from_slice(&piece),
                    Some((file, _)) => io::Write::write_all(file, &piece)?,
                }
            }
        }
        match file {
            None => Ok(Body::Memory(memory.into())),
            Some((_, tmp)) => self.adopt(bucket, id, &tmp),
        }
    }

    fn adopt(&self, bucket: &str, id: &str, tmp: &Path) -> io::Result<Body> {
        let Self::Folder { root, .. } = self else {
            return Err(io::ErrorKind::NotFound.into());
        };
        let path = Self::bucket(root, bucket).join("bodies").join(id);
        fs::rename(tmp, &path)?;
        Ok(Body::File(path))
    }

    /// The body stored under `id`, when this is a folder and it is there.
    pub(crate) fn find_body(&self, bucket: &str, id: &str) -> Option<Body> {
        let Self::Folder { root, .. } = self else {
            return None;
        };
        let path = Self::bucket(root, bucket).join("bodies").join(id);
        path.exists().then_some(Body::File(path))
    }

    /// Removes the bodies that no record names.
    pub(crate) fn remove_orphans(
        &self,
        bucket: &str,
        is_named: impl Fn(&str) -> bool,
    ) -> io::Result<()> {
        let Self::Folder { root, .. } = self else {
            return Ok(());
        };
        for entry in fs::read_dir(Self::bucket(root, bucket).join("bodies"))? {
            let entry = entry?;
            if !entry.file_name().to_str().is_some_and(&is_named) {
                fs::remove_file(entry.path())?;
            }
        }
        Ok(())
    }
}

/// A new random identifier: 32 letters and digits, in the manner of S3's version ids.
pub(crate) fn new_id() -> String {
    std::iter::repeat_with(fastrand::alphanumeric)
        .take(32)
        .collect()
}
