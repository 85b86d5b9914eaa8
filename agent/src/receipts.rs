//! Receipts from the uploader: read as hostile, matched with the spool, then removed.
//!
//! A receipt is not evidence: what it says can be said again, and the order stays in the outbox
//! until every object's confirmation has been applied. So one that cannot be believed is logged
//! and removed, and nothing is lost by it.
//!
//! Whoever can write here must not be able to hold up sealing. So a pass takes a bounded piece of
//! what waits and logs a bounded piece of what it refuses, and what cannot be removed, such as a
//! folder, is passed over.

use std::collections::HashSet;
use std::ffi::OsString;
use std::os::fd::OwnedFd;
use std::path::PathBuf;

use evidence::handover::{RECEIPT_MAX_BYTES, RECEIPT_SUFFIX, Receipt};
use host::files::{self, FileError};
use jiff::Timestamp;
use nix::dir::{Dir, Type};
use nix::fcntl::OFlag;
use nix::sys::stat::Mode;
use spool::Spool;

use crate::AgentError;
use crate::publish::Publisher;
use crate::token::printable;

/// A flood is read a piece at a time; the rest waits for the next pass.
const FILES_AT_ONCE: usize = 256;
/// The same for what is in the files: applying an entry may publish a file.
const ENTRIES_AT_ONCE: usize = 8192;
/// So many refusals of a pass are logged one by one, the rest in one line.
const LOGGED_AT_ONCE: usize = 10;
/// So many names that cannot be removed are remembered.
const STUCK_MAX: usize = 4096;

pub(crate) struct Receipts {
    path: PathBuf,
    dir: OwnedFd,
    /// What could not be removed.
    stuck: HashSet<OsString>,
    /// Folders met by the last pass.
    folders: usize,
}

/// What one pass over the receipts did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct ReceiptsPass {
    pub(crate) confirmed_objects: usize,
    pub(crate) refused: usize,
    /// Of the confirmed objects, how many are bundles of incidents.
    pub(crate) incidents: usize,
    /// Receipts that could not be read just now.
    pub(crate) later: usize,
    /// Files taken from the folder, good or bad.
    pub(crate) files: usize,
    entries: usize,
}

impl ReceiptsPass {
    /// Counts a refusal; whether it is to be logged by itself.
    const fn refuse(&mut self) -> bool {
        self.refused += 1;
        self.refused <= LOGGED_AT_ONCE
    }
}

impl Receipts {
    pub(crate) fn open(path: PathBuf) -> Result<Self, AgentError> {
        let dir = files::open_dir(&path).map_err(AgentError::file(&path))?;
        Ok(Self {
            path,
            dir,
            stuck: HashSet::new(),
            folders: 0,
        })
    }

    /// Applies the receipts that wait.
    pub(crate) fn apply(
        &mut self,
        spool: &mut Spool,
        publisher: &mut Publisher,
        now: Timestamp,
    ) -> Result<ReceiptsPass, AgentError> {
        let mut pass = ReceiptsPass::default();
        for name in self.waiting(RECEIPT_SUFFIX, FILES_AT_ONCE)? {
            host::heart::beat();
            self.apply_one(&name, spool, publisher, now, &mut pass)?;
            if pass.entries >= ENTRIES_AT_ONCE {
                break;
            }
        }
        if pass.refused > LOGGED_AT_ONCE {
            tracing::error!(
                state = "receipt_refused",
                more = pass.refused - LOGGED_AT_ONCE,
                "and more receipts or confirmations are not believed: look at the uploader"
            );
        }
        Ok(pass)
    }

    /// How many entries lie in the folder that cannot be removed.
    pub(crate) fn stuck(&self) -> usize {
        self.stuck.len() + self.folders
    }

    /// Whether the folder is still the one at its path.
    pub(crate) fn is_in_place(&self) -> bool {
        files::is_at(&self.dir, &self.path)
    }

    fn apply_one(
        &mut self,
        name: &OsString,
        spool: &mut Spool,
        publisher: &mut Publisher,
        now: Timestamp,
        pass: &mut ReceiptsPass,
    ) -> Result<(), AgentError> {
        let read = files::read_capped(&self.dir, name, RECEIPT_MAX_BYTES);
        if let Err(error @ FileError::Io { .. }) = read {
            // That says nothing about the receipt: no descriptor left, a disk that fails.
            pass.later += 1;
            tracing::error!(
                state = "receipt_deferred",
                receipt = printable(name, 128),
                "a receipt cannot be read just now and waits: {:#}",
                anyhow::Error::from(error)
            );
            return Ok(());
        }
        let receipt = read
            .map_err(|e| e.to_string())
            .and_then(|c| Receipt::parse(&c.bytes).map_err(|e| e.to_string()));
        match receipt {
            Err(reason) => {
                if pass.refuse() {
                    tracing::error!(
                        state = "receipt_refused",
                        receipt = printable(name, 128),
                        reason,
                        "a receipt is not one; it was removed, and the order stays until a good one comes"
                    );
                }
            }
            Ok(receipt) => {
                pass.entries += receipt.confirmations.len();
                let applied = spool.confirm(&receipt.confirmations, now)?;
                pass.confirmed_objects += applied.accepted;
                pass.incidents += applied.incidents;
                for refused in &applied.refused {
                    if pass.refuse() {
                        tracing::error!(
                            state = "receipt_refused",
                            receipt = printable(name, 128),
                            entry = refused.index,
                            reason = refused.reason,
                            "a confirmation is not believed"
                        );
                    }
                }
                for bundle_rowid in &applied.bundles {
                    publish_locations(spool, publisher, *bundle_rowid)?;
                }
                for order_id in &applied.completed {
                    publisher.remove_order(order_id)?;
                }
            }
        }
        if self.remove(name) {
            pass.files += 1;
        }
        Ok(())
    }

    /// Removes what was read; what cannot be removed is passed over from now on, and false returned.
    pub(crate) fn remove(&mut self, name: &OsString) -> bool {
        match files::remove(&self.dir, name) {
            Ok(()) | Err(FileError::NotFound { .. }) => true,
            Err(error) => {
                tracing::error!(
                    state = "receipt_stays",
                    receipt = printable(name, 128),
                    "a receipt cannot be removed and is passed over from now on: {:#}",
                    anyhow::Error::from(error)
                );
                if self.stuck.len() < STUCK_MAX {
                    self.stuck.insert(name.clone());
                }
                false
            }
        }
    }

    /// The folder.
    pub(crate) const fn dir(&self) -> &OwnedFd {
        &self.dir
    }

    /// Names that end so, at most `limit` of them, but for what cannot be removed.
    pub(crate) fn waiting(
        &mut self,
        suffix: &str,
        limit: usize,
    ) -> Result<Vec<OsString>, AgentError> {
        use std::os::unix::ffi::OsStringExt as _;
        let failed = |errno: nix::errno::Errno| AgentError::Folder {
            path: self.path.clone(),
            source: errno.into(),
        };
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let mut listing = Dir::openat(&self.dir, ".", flags, Mode::empty()).map_err(failed)?;
        let mut names = Vec::new();
        let mut folders = 0;
        for entry in listing.iter() {
            let entry = entry.map_err(failed)?;
            let bytes = entry.file_name().to_bytes();
            if bytes.starts_with(b".") {
                continue;
            }
            if entry.file_type() == Some(Type::Directory) {
                folders += 1;
                continue;
            }
            let name = OsString::from_vec(bytes.to_vec());
            if bytes.ends_with(suffix.as_bytes()) && !self.stuck.contains(&name) {
                names.push(name);
                if names.len() == limit {
                    break;
                }
            }
        }
        names.sort();
        if folders > self.folders {
            tracing::error!(
                state = "receipt_refused",
                folders,
                "folders lie in receipts/, where only files belong; they are passed over: remove \
                 them, and look at the uploader"
            );
        }
        if names.len() < limit {
            self.folders = folders;
        }
        Ok(names)
    }
}

fn publish_locations(
    spool: &Spool,
    publisher: &mut Publisher,
    bundle_rowid: i64,
) -> Result<(), AgentError> {
    let Some(bundle) = spool.bundle(bundle_rowid)? else {
        return Ok(());
    };
    let locations = spool.locations(&bundle)?;
    publisher.locations(&bundle.path, bundle.bundle_id, &locations)?;
    for location in &locations.storage_locations {
        if let Some(retain_until) = location.retain_until {
            tracing::info!(
                bundle = %bundle.bundle_id,
                destination = location.destination_id,
                state = "confirmed",
                %retain_until,
                "confirmed"
            );
        }
    }
    Ok(())
}
