//! Receipts from the uploader: read as hostile, matched with the spool, then removed.
//!
//! A receipt is not evidence: what it says can be said again, and the order stays in the outbox
//! until every object's confirmation has been applied. So one that cannot be believed is logged
//! and removed, and nothing is lost by it.

use std::ffi::OsString;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;

use evidence::handover::{RECEIPT_MAX_BYTES, RECEIPT_SUFFIX, Receipt};
use host::files::{self, FileError};
use jiff::Timestamp;
use nix::dir::Dir;
use nix::fcntl::OFlag;
use nix::sys::stat::Mode;
use spool::Spool;

use crate::AgentError;
use crate::publish::Publisher;
use crate::token::printable;

/// A flood is read a piece at a time; the rest waits for the next pass.
const FILES_AT_ONCE: usize = 256;

pub(crate) struct Receipts {
    path: PathBuf,
    dir: OwnedFd,
}

/// What one pass over the receipts did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct ReceiptsPass {
    pub(crate) confirmed_objects: usize,
    pub(crate) refused: usize,
    /// Receipts that could not be read just now.
    pub(crate) later: usize,
    pub(crate) files: usize,
}

impl Receipts {
    pub(crate) fn open(path: PathBuf) -> Result<Self, AgentError> {
        let dir = files::open_dir(&path).map_err(AgentError::file(&path))?;
        Ok(Self { path, dir })
    }

    /// Applies the receipts that wait.
    pub(crate) fn apply(
        &self,
        spool: &mut Spool,
        publisher: &mut Publisher,
        now: Timestamp,
    ) -> Result<ReceiptsPass, AgentError> {
        let mut pass = ReceiptsPass::default();
        for name in self.waiting(RECEIPT_SUFFIX, FILES_AT_ONCE)? {
            pass.files += 1;
            self.apply_one(&name, spool, publisher, now, &mut pass)?;
        }
        Ok(pass)
    }

    fn apply_one(
        &self,
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
                pass.refused += 1;
                tracing::error!(
                    state = "receipt_refused",
                    receipt = printable(name, 128),
                    reason,
                    "a receipt is not one; it was removed, and the order stays until a good one comes"
                );
            }
            Ok(receipt) => {
                let applied = spool.confirm(&receipt.confirmations, now)?;
                pass.confirmed_objects += applied.accepted;
                pass.refused += applied.refused.len();
                for refused in &applied.refused {
                    tracing::error!(
                        state = "receipt_refused",
                        receipt = printable(name, 128),
                        entry = refused.index,
                        reason = refused.reason,
                        "a confirmation is not believed"
                    );
                }
                for bundle_rowid in &applied.bundles {
                    publish_locations(spool, publisher, *bundle_rowid)?;
                }
                for order_id in &applied.completed {
                    publisher.remove_order(order_id)?;
                }
            }
        }
        match files::remove(&self.dir, name) {
            Ok(()) | Err(FileError::NotFound { .. }) => Ok(()),
            Err(error) => Err(AgentError::file(&self.path)(error)),
        }
    }

    /// The folder.
    pub(crate) const fn dir(&self) -> &OwnedFd {
        &self.dir
    }

    /// Names that end so, at most `limit` of them.
    pub(crate) fn waiting(&self, suffix: &str, limit: usize) -> Result<Vec<OsString>, AgentError> {
        use std::os::unix::ffi::OsStringExt as _;
        let failed = |errno: nix::errno::Errno| AgentError::Folder {
            path: self.path.clone(),
            source: errno.into(),
        };
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let mut listing = Dir::openat(&self.dir, ".", flags, Mode::empty()).map_err(failed)?;
        let mut names = Vec::new();
        for entry in listing.iter() {
            let name = OsString::from_vec(entry.map_err(failed)?.file_name().to_bytes().to_vec());
            let bytes = name.as_bytes();
            if !bytes.starts_with(b".") && bytes.ends_with(suffix.as_bytes()) {
                names.push(name);
                if names.len() == limit {
                    break;
                }
            }
        }
        names.sort();
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
