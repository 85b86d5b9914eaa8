//! Notices in the outbox: recorded before the orders are looked at, then acted on a few orders at a
//! time, so that the thread that writes delivery.db is never held up for long. What a stop cuts
//! short is gone on with by the next scan, since delivery.db knows which notices are not done.

use std::collections::HashSet;
use std::path::Path;

use evidence::digest::Sha256;
use evidence::handover::{NOTICE_MAX_BYTES, NOTICE_SUFFIX, Notice};
use host::files::{FileError, open_dir, read_capped};
use jiff::Timestamp;
use tracing::info;

use super::{Outbox, ScanError, Unreadable, blocking, next_names};
use crate::delivery::Noted;
use crate::upload::verdict::chain;

/// Open orders looked through for a notice in one transaction.
const ORDERS_AT_ONCE: usize = 32;

impl Outbox {
    /// Records the notices that are new. They are few, so one by one.
    pub(super) async fn import_notices(
        &self,
        noted: &mut HashSet<String>,
    ) -> Result<(), ScanError> {
        let mut names = self.names().await?;
        loop {
            let (back, batch) = blocking(move || {
                let batch = next_names(&mut names, NOTICE_SUFFIX);
                (names, batch)
            })
            .await
            .map_err(|source| self.folder_error(source))?;
            names = back;
            let batch = batch.map_err(|source| self.folder_error(source.into()))?;
            if batch.is_empty() {
                return Ok(());
            }
            for id in batch {
                let known_id = id.clone();
                let known = self
                    .writer
                    .call(move |ledger| ledger.knows_notice(&known_id));
                if !known.await? {
                    self.import_notice(id, noted).await?;
                }
            }
        }
    }

    async fn import_notice(
        &self,
        id: String,
        noted: &mut HashSet<String>,
    ) -> Result<(), ScanError> {
        let (folder, named) = (self.outbox.clone(), id.clone());
        let read = blocking(move || read_notice(&folder, &named))
            .await
            .map_err(|source| self.folder_error(source))?;
        let name = format!("{id}{NOTICE_SUFFIX}");
        let (notice, sha256) = match read {
            Ok(Some(found)) => found,
            Ok(None) => return Ok(()),
            Err(why) => return self.note_unreadable(name, chain(&why), noted).await,
        };
        let written = notice.clone();
        let outcome = self
            .writer
            .call(move |ledger| ledger.note_notice(&written, sha256, Timestamp::now()))
            .await?;
        match outcome {
            Noted::New => info!(
                notice = notice.notice_id,
                destination = notice.destination_id,
                bundle = notice.bundle.as_ref().map(|b| b.bundle_id.as_str()),
                reason = notice.reason,
                state = "retired",
                "the agent ends deliveries"
            ),
            Noted::Known => {}
            Noted::Differs => {
                self.note_unreadable(name, chain(&Unreadable::Differs), noted)
                    .await?;
            }
        }
        Ok(())
    }

    /// Ends what recorded notices end, a few orders at a time; a stop on the way is gone on with.
    pub(super) async fn end_noticed(&self) -> Result<(), ScanError> {
        let waiting = self
            .writer
            .call(|ledger| ledger.unapplied_notices())
            .await?;
        for (rowid, notice) in waiting {
            let (mut after, mut ended) = (0, 0);
            loop {
                let step = self
                    .writer
                    .call(move |ledger| {
                        ledger.end_noticed(rowid, after, ORDERS_AT_ONCE, Timestamp::now())
                    })
                    .await?;
                ended += step.ended;
                match step.last_order {
                    Some(last) => after = last,
                    None => break,
                }
            }
            info!(
                notice,
                deliveries = ended,
                state = "retired",
                "deliveries that were not confirmed have ended"
            );
        }
        Ok(())
    }
}

fn read_notice(folder: &Path, id: &str) -> Result<Option<(Notice, Sha256)>, Unreadable> {
    let read = open_dir(folder)
        .and_then(|dir| read_capped(dir, format!("{id}{NOTICE_SUFFIX}"), NOTICE_MAX_BYTES));
    let bytes = match read {
        Ok(contents) => contents.bytes,
        Err(FileError::NotFound { .. }) => return Ok(None),
        Err(error) => return Err(Unreadable::File(error)),
    };
    let notice = Notice::parse(&bytes)?;
    if notice.notice_id != id {
        return Err(Unreadable::Misnamed(notice.notice_id));
    }
    Ok(Some((notice, Sha256::of(&bytes))))
}
