//! Orders come in through the outbox, a folder that belongs to the agent.
//!
//! The scan is the truth; inotify only makes it earlier. Order files are not ours to remove: the
//! agent removes one when it has every receipt, and that is how we learn that the order is
//! finished. An order that vanishes before everything is delivered is delivered all the same.
//!
//! Notices lie in the same folder and are looked at first, so that an order that came with one is
//! met by it. They stay there for ever.
//!
//! Memory stays bounded: names are taken from the folder a batch at a time, and only files that
//! are not known yet are read.

mod notices;

use std::collections::HashSet;
use std::fs::ReadDir;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use evidence::digest::Sha256;
use evidence::handover::{
    NoticeError, ORDER_MAX_BYTES, ORDER_SUFFIX, Order, OrderError, RECEIPT_SUFFIX, is_safe_name,
};
use host::config::RETENTION_MAX_DAYS;
use host::files::{FileError, metadata, open_dir, read_capped};
use jiff::{SignedDuration, Timestamp};
use tracing::{debug, error, info, warn};

use crate::delivery::{DeliveryError, Imported, Writer};
use crate::policy::Policy;
use crate::upload::verdict::chain;

/// Names looked up, or orders settled, in one go.
const BATCH: usize = 256;
/// Orders parsed before they are written; each may be up to [`ORDER_MAX_BYTES`].
const READ_BATCH: usize = 4;
/// Finished orders purged in one transaction.
const PURGE_BATCH: usize = 64;

/// The outbox, and the folder where receipts go.
pub(crate) struct Outbox {
    pub(crate) outbox: PathBuf,
    pub(crate) receipts: PathBuf,
    pub(crate) writer: Writer,
    pub(crate) policy: Arc<Policy>,
}

/// What a scan did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Scan {
    /// Orders imported.
    pub(crate) imported: usize,
    /// Orders whose receipts are to be written again.
    pub(crate) reissued: usize,
}

/// Why a scan stopped early; the next one starts again.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ScanError {
    /// The folder cannot be read.
    #[error("the outbox {path} cannot be read", path = path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// delivery.db failed.
    #[error(transparent)]
    Delivery(#[from] DeliveryError),
}

impl ScanError {
    /// What an operator does about it; the scan is made again by itself.
    pub(crate) fn hint(&self) -> &'static str {
        match self {
            Self::Folder { .. } => {
                "check the folder and its permissions (group msp-handover); tried again by itself"
            }
            Self::Delivery(error) => error.hint(),
        }
    }
}

/// Why a file in the outbox is not an order or notice that we act on.
#[derive(Debug, thiserror::Error)]
enum Unreadable {
    #[error(transparent)]
    Order(#[from] OrderError),
    #[error(transparent)]
    Notice(#[from] NoticeError),
    #[error("the file is named otherwise than what is in it, {0:?}")]
    Misnamed(String),
    #[error("a retention of {0} days is more than any store accepts")]
    Retention(u32),
    #[error("one of this id was imported before, with other bytes; they never change")]
    Differs,
    #[error(transparent)]
    File(FileError),
}

impl Outbox {
    /// Imports what is new, finishes what the agent has removed, and has receipts written again
    /// that had no effect. At start (`first`) no receipt is given time to have had one.
    pub(crate) async fn scan(&self, first: bool) -> Result<Scan, ScanError> {
        let imported = self.import().await?;
        self.writer
            .call(|ledger| ledger.first_scan_ended(Timestamp::now()))
            .await?;
        let reissued = self.settle(first).await?;
        self.purge().await?;
        Ok(Scan { imported, reissued })
    }

    async fn import(&self) -> Result<usize, ScanError> {
        let unreadable = self.writer.call(|ledger| ledger.unreadable_names()).await?;
        let mut unreadable: HashSet<String> = unreadable.into_iter().collect();
        self.import_notices(&mut unreadable).await?;
        self.end_noticed().await?;
        let mut names = self.names().await?;
        let mut imported = 0;
        loop {
            let (back, batch) = blocking(move || {
                let batch = next_names(&mut names, ORDER_SUFFIX);
                (names, batch)
            })
            .await
            .map_err(|source| self.folder_error(source))?;
            names = back;
            let batch = batch.map_err(|source| self.folder_error(source.into()))?;
            if batch.is_empty() {
                break;
            }
            let unknown = self
                .writer
                .call(move |ledger| {
                    let mut unknown = Vec::new();
                    for id in batch {
                        if !ledger.is_in_work(&id)? {
                            unknown.push(id);
                        }
                    }
                    Ok(unknown)
                })
                .await?;
            for ids in unknown.chunks(READ_BATCH) {
                imported += self.import_some(ids.to_vec(), &mut unreadable).await?;
            }
        }
        // What is left was noted before and is gone or was imported since.
        self.writer
            .call(move |ledger| {
                unreadable
                    .iter()
                    .try_for_each(|name| ledger.forget_unreadable(name))
            })
            .await?;
        Ok(imported)
    }

    async fn import_some(
        &self,
        ids: Vec<String>,
        noted: &mut HashSet<String>,
    ) -> Result<usize, ScanError> {
        let folder = self.outbox.clone();
        let read = blocking(move || {
            ids.into_iter()
                .map(|id| (read_order(&folder, &id), id))
                .collect::<Vec<_>>()
        })
        .await
        .map_err(|source| self.folder_error(source))?;
        let mut bad = Vec::new();
        let mut orders = Vec::new();
        for (result, id) in read {
            match result {
                Ok(Some(order)) => orders.push(order),
                // The agent removed it in the meantime.
                Ok(None) => {}
                Err(why) => bad.push((format!("{id}{ORDER_SUFFIX}"), chain(&why))),
            }
        }
        let results = self
            .writer
            .call(move |ledger| {
                let now = Timestamp::now();
                let mut results = Vec::with_capacity(orders.len());
                for (order, sha256) in orders {
                    let outcome = ledger.import(&order, sha256, now)?;
                    results.push((order.order_id, order.objects.len(), outcome));
                }
                Ok(results)
            })
            .await?;
        let mut imported = 0;
        for (order, objects, outcome) in results {
            match outcome {
                Imported::New => {
                    imported += 1;
                    info!(order, objects, "order imported");
                }
                Imported::Reopened => {
                    imported += 1;
                    warn!(
                        order,
                        "a finished order is in the outbox again; its receipts are written again"
                    );
                }
                Imported::Known => {}
                Imported::Differs => bad.push((
                    format!("{order}{ORDER_SUFFIX}"),
                    chain(&Unreadable::Differs),
                )),
            }
        }
        for (name, message) in bad {
            self.note_unreadable(name, message, noted).await?;
        }
        Ok(imported)
    }

    async fn note_unreadable(
        &self,
        name: String,
        message: String,
        noted: &mut HashSet<String>,
    ) -> Result<(), ScanError> {
        noted.remove(&name);
        let (written, words) = (name.clone(), message.clone());
        let news = self
            .writer
            .call(move |ledger| ledger.note_unreadable(&written, &words, Timestamp::now()))
            .await?;
        if news {
            error!(
                path = name,
                error = message,
                hint = "left where it is; restart the agent, which publishes again from spool.db",
                "a file in the outbox cannot be acted on"
            );
        }
        Ok(())
    }

    async fn names(&self) -> Result<ReadDir, ScanError> {
        let folder = self.outbox.clone();
        blocking(move || std::fs::read_dir(&folder))
            .await
            .and_then(|result| result.map_err(Into::into))
            .map_err(|source| self.folder_error(source))
    }

    /// Looks at every order that is wholly delivered: removed by the agent means finished; still
    /// there although its receipts were taken means that a receipt was lost.
    async fn settle(&self, first: bool) -> Result<usize, ScanError> {
        let mut after = i64::MIN;
        let mut reissued = 0;
        loop {
            let orders = self
                .writer
                .call(move |ledger| ledger.complete_orders(after, BATCH))
                .await?;
            let Some((last, _)) = orders.last() else {
                return Ok(reissued);
            };
            after = *last;
            let outbox = self.outbox.clone();
            let (gone, there): (Vec<_>, Vec<_>) = blocking(move || {
                let dir = open_dir(&outbox)?;
                let is_gone = |id: &str| {
                    matches!(
                        metadata(&dir, format!("{id}{ORDER_SUFFIX}")),
                        Err(FileError::NotFound { .. })
                    )
                };
                Ok::<_, FileError>(orders.into_iter().partition(|(_, id)| is_gone(id)))
            })
            .await
            .and_then(|result| result.map_err(Into::into))
            .map_err(|source| self.folder_error(source))?;
            let (finished, names): (Vec<i64>, Vec<String>) = gone.into_iter().unzip();
            self.writer
                .call(move |ledger| {
                    let now = Timestamp::now();
                    finished
                        .iter()
                        .try_for_each(|rowid| ledger.finish(*rowid, now))
                })
                .await?;
            for order in names {
                debug!(order, "the agent has every receipt of the order");
            }
            for (rowid, order) in there {
                reissued += usize::from(self.reissue_if_lost(rowid, order, first).await?);
            }
        }
    }

    async fn reissue_if_lost(
        &self,
        rowid: i64,
        order: String,
        first: bool,
    ) -> Result<bool, ScanError> {
        let patience = if first {
            SignedDuration::ZERO
        } else {
            signed(self.policy.reissue_after)
        };
        let before = Timestamp::now()
            .saturating_sub(patience)
            .unwrap_or(Timestamp::MIN);
        let carried_by = self
            .writer
            .call(move |ledger| ledger.receipts_of(rowid, before))
            .await?;
        if carried_by.is_empty() {
            return Ok(false);
        }
        let receipts = self.receipts.clone();
        let lost = blocking(move || {
            // A receipt that is still there was not taken yet; the agent may be down.
            carried_by
                .iter()
                .any(|id| !receipts.join(format!("{id}{RECEIPT_SUFFIX}")).exists())
        })
        .await
        .map_err(|source| self.folder_error(source))?;
        if lost {
            self.writer
                .call(move |ledger| ledger.reissue(rowid))
                .await?;
            info!(
                order,
                "the order is delivered and still in the outbox; its receipts are written again"
            );
        }
        Ok(lost)
    }

    async fn purge(&self) -> Result<(), ScanError> {
        let keep = signed(self.policy.keep_finished);
        loop {
            let before = Timestamp::now()
                .saturating_sub(keep)
                .unwrap_or(Timestamp::MIN);
            let purged = self
                .writer
                .call(move |ledger| ledger.purge(before, PURGE_BATCH))
                .await?;
            if purged > 0 {
                debug!(orders = purged, "rows of finished orders removed");
            }
            if purged < PURGE_BATCH {
                return Ok(());
            }
        }
    }

    fn folder_error(&self, source: Box<dyn std::error::Error + Send + Sync>) -> ScanError {
        ScanError::Folder {
            path: self.outbox.clone(),
            source,
        }
    }
}

/// The next ids of files that end in `suffix`; empty at the folder's end. Other names are not ours
/// to judge.
fn next_names(names: &mut ReadDir, suffix: &str) -> std::io::Result<Vec<String>> {
    let mut ids = Vec::new();
    for entry in names.by_ref() {
        let name = entry?.file_name();
        let id = name.to_str().and_then(|name| name.strip_suffix(suffix));
        if let Some(id) = id.filter(|id| is_safe_name(id)) {
            ids.push(id.to_owned());
            if ids.len() == BATCH {
                break;
            }
        }
    }
    Ok(ids)
}

fn read_order(folder: &Path, id: &str) -> Result<Option<(Order, Sha256)>, Unreadable> {
    let read = open_dir(folder)
        .and_then(|dir| read_capped(dir, format!("{id}{ORDER_SUFFIX}"), ORDER_MAX_BYTES));
    let bytes = match read {
        Ok(contents) => contents.bytes,
        Err(FileError::NotFound { .. }) => return Ok(None),
        Err(error) => return Err(Unreadable::File(error)),
    };
    let order = Order::parse(&bytes)?;
    if order.order_id != id {
        return Err(Unreadable::Misnamed(order.order_id));
    }
    if let Some(d) = order
        .destinations
        .iter()
        .find(|d| d.retention_days > RETENTION_MAX_DAYS)
    {
        return Err(Unreadable::Retention(d.retention_days));
    }
    Ok(Some((order, Sha256::of(&bytes))))
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Box<dyn std::error::Error + Send + Sync>> {
    tokio::task::spawn_blocking(work).await.map_err(Into::into)
}

fn signed(duration: std::time::Duration) -> SignedDuration {
    SignedDuration::try_from(duration).unwrap_or(SignedDuration::MAX)
}
