//! What the store said of each object when it was pulled: the puller's record, and no proof.
//!
//! It is also how a pull that was interrupted knows what it has: each object is written down once its
//! file is whole and durable, and believed again only if the file still has those bytes.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::path::Path;

use destination::Lock;
use evidence::digest::{Sha256, Sha256Stream};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::source::Facts;

/// Says whose word it is, in the file itself.
const WHOSE_WORD: &str =
    "what the store said when this was pulled; the word of whoever pulled, and no proof";

/// One object, as it was pulled.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Object {
    /// Below the prefix.
    pub(super) path: String,
    pub(super) size_bytes: u64,
    pub(super) sha256: Sha256,
    /// Null of a folder.
    pub(super) version_id: Option<String>,
    /// `COMPLIANCE`, `GOVERNANCE`, `none`, or null where nothing was said.
    pub(super) lock_mode: Option<String>,
    pub(super) retain_until: Option<Timestamp>,
    pub(super) last_modified: Option<Timestamp>,
}

impl Object {
    pub(super) fn new(
        path: &str,
        version_id: &str,
        facts: &Facts,
        size_bytes: u64,
        sha256: Sha256,
    ) -> Self {
        let (lock_mode, retain_until) = match facts.lock {
            Some(Lock::Compliance(until)) => (Some("COMPLIANCE"), Some(until)),
            Some(Lock::Governance(until)) => (Some("GOVERNANCE"), Some(until)),
            Some(Lock::Unlocked) => (Some("none"), None),
            Some(Lock::Unknown) | None => (None, None),
        };
        Self {
            path: path.to_owned(),
            size_bytes,
            sha256,
            version_id: (!version_id.is_empty()).then(|| version_id.to_owned()),
            lock_mode: lock_mode.map(str::to_owned),
            retain_until,
            last_modified: facts.last_modified,
        }
    }

    /// Whether the file below `folder` still is what was pulled.
    pub(super) fn is_in(&self, folder: &Path) -> bool {
        digest(&folder.join(&self.path)).is_ok_and(|found| found == (self.size_bytes, self.sha256))
    }
}

/// Size and SHA-256 of a regular file.
pub(super) fn digest(path: &Path) -> io::Result<(u64, Sha256)> {
    if !std::fs::symlink_metadata(path)?.is_file() {
        return Err(io::Error::other("not a regular file"));
    }
    let mut hash = Hashing(Sha256Stream::default());
    let size_bytes = io::copy(&mut File::open(path)?, &mut hash)?;
    Ok((size_bytes, hash.0.finish()))
}

struct Hashing(Sha256Stream);

impl io::Write for Hashing {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[derive(Serialize, Deserialize)]
struct Whole {
    recorded: String,
    objects: Vec<Object>,
}

/// Everything that was pulled so far, by path.
pub(super) struct Record {
    pub(super) objects: BTreeMap<String, Object>,
    journal: File,
}

impl Record {
    /// What an earlier pull into the same folder wrote down, and a journal to go on with.
    pub(super) fn open(journal: &Path, whole: &Path) -> io::Result<Self> {
        let mut objects = BTreeMap::new();
        if let Ok(bytes) = std::fs::read(whole)
            && let Ok(whole) = serde_json::from_slice::<Whole>(&bytes)
        {
            objects.extend(whole.objects.into_iter().map(|o| (o.path.clone(), o)));
        }
        if let Ok(text) = std::fs::read_to_string(journal) {
            // The last line may be torn: what it names is pulled again.
            let lines = text
                .lines()
                .filter_map(|line| serde_json::from_str(line).ok());
            objects.extend(lines.map(|object: Object| (object.path.clone(), object)));
        }
        let mut journal = OpenOptions::new().create(true).append(true).open(journal)?;
        // After a torn line.
        journal.write_all(b"\n")?;
        Ok(Self { objects, journal })
    }

    /// Writes down objects whose files are whole.
    pub(super) fn add(&mut self, objects: Vec<Object>) -> io::Result<()> {
        for object in objects {
            let mut line = serde_json::to_vec(&object)?;
            line.push(b'\n');
            self.journal.write_all(&line)?;
            self.objects.insert(object.path.clone(), object);
        }
        Ok(())
    }

    /// The objects of these, as a file: sorted, and the same for the same.
    pub(super) fn to_json<'a>(
        &self,
        paths: impl Iterator<Item = &'a String>,
    ) -> io::Result<Vec<u8>> {
        let objects = paths.filter_map(|path| self.objects.get(path)).cloned();
        super::file::json(&Whole {
            recorded: WHOSE_WORD.to_owned(),
            objects: objects.collect(),
        })
    }
}
