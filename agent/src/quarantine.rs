//! What cannot be sealed is kept, with the reason beside it; it never blocks others.
//!
//! Order: the row in the spool first (custody names it even if the rest is cut off), the reason
//! file second, the drop itself last. A crash in between leaves the drop under its `.taken-` name
//! and the next pass does the same again under the same names.

use std::os::fd::OwnedFd;
use std::path::PathBuf;

use evidence::digest::Sha256;
use host::files::{self, Durability, FileError, Replace};
use jiff::Timestamp;
use serde::Serialize;

use crate::AgentError;
use crate::folder::{DropFolder, Refusal, Taken};

/// A reason file's name is the drop's name and this.
pub(crate) const REASON_SUFFIX: &str = ".reason.json";

pub(crate) struct Quarantine {
    path: PathBuf,
    dir: OwnedFd,
}

/// A drop on its way into quarantine.
pub(crate) struct Refused {
    pub(crate) taken: Taken,
    pub(crate) refusal: Refusal,
    pub(crate) source_hmac: Option<Sha256>,
    pub(crate) size_bytes: Option<u64>,
    pub(crate) owner_uid: Option<u32>,
    pub(crate) at: Timestamp,
}

#[derive(Serialize)]
struct Reason<'a> {
    name: &'a str,
    drop_name: &'a str,
    reason_code: &'a str,
    path: &'a str,
    message: &'a str,
    at: Timestamp,
    hmac_sha256: Option<Sha256>,
    size_bytes: Option<u64>,
    owner_uid: Option<u32>,
}

impl Refused {
    /// The name in the quarantine folder: the same however often a crash repeats the move.
    pub(crate) fn name(&self) -> String {
        let name = self.taken.shown.trim_start_matches('.');
        format!("{}-{name}", self.taken.token)
    }
}

impl Quarantine {
    pub(crate) fn open(path: PathBuf) -> Result<Self, AgentError> {
        let dir = files::open_dir(&path).map_err(AgentError::file(&path))?;
        Ok(Self { path, dir })
    }

    /// Moves a drop in, with its reason.
    pub(crate) fn admit(&self, from: &DropFolder, refused: &Refused) -> Result<(), AgentError> {
        let name = refused.name();
        let reason = Reason {
            name: &name,
            drop_name: &refused.taken.shown,
            reason_code: &refused.refusal.code,
            path: &refused.refusal.path,
            message: &refused.refusal.message,
            at: refused.at,
            hmac_sha256: refused.source_hmac,
            size_bytes: refused.size_bytes,
            owner_uid: refused.owner_uid,
        };
        let mut text = serde_json::to_vec_pretty(&reason).unwrap_or_default();
        text.push(b'\n');
        let reason_name = format!("{name}{REASON_SUFFIX}");
        let failed = || AgentError::file(&self.path);
        match files::publish(
            &self.dir,
            &reason_name,
            &text,
            0o640,
            Durability::Fsync,
            Replace::Never,
        ) {
            Ok(()) | Err(FileError::Exists { .. }) => {}
            Err(error) => return Err(failed()(error)),
        }
        match files::rename_noreplace(from.dir(), &refused.taken.held_as, &self.dir, &name) {
            Ok(()) | Err(FileError::NotFound { .. }) => {}
            Err(error) => return Err(failed()(error)),
        }
        files::sync_dir(&self.dir).map_err(failed())
    }
}
