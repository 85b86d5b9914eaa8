//! Receipts: confirmations on their way to the agent, as files renamed into a folder.
//!
//! The file is durable before delivery.db says that the confirmations were reported. A crash in
//! between writes them once more under another name; the agent takes both.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use evidence::handover::{
    Confirmation, RECEIPT_MAX_BYTES, RECEIPT_MAX_CONFIRMATIONS, RECEIPT_SUFFIX, Receipt,
};
use host::files::{Durability, FileError, Replace, open_dir, publish};
use host::instance::InstanceLock;
use jiff::Timestamp;
use tokio::sync::{Notify, watch};
use tracing::{debug, error};

use crate::delivery::{DeliveryError, Writer};
use crate::policy::Policy;
use crate::upload::verdict::chain;

/// The group `msp-handover` reads; only the uploader writes.
const RECEIPT_MODE: u32 = 0o640;

/// Writes receipts for what was confirmed.
pub(crate) struct Reporter {
    pub(crate) receipts: PathBuf,
    pub(crate) writer: Writer,
    pub(crate) policy: Arc<Policy>,
    pub(crate) confirmed: Arc<Notify>,
    pub(crate) instance: Arc<InstanceLock>,
}

/// Why no receipt was written; tried again later, since delivery.db remembers.
#[derive(Debug, thiserror::Error)]
enum ReportError {
    #[error("the receipt cannot be written to the receipts folder")]
    File(#[from] FileError),
    #[error("the writing task failed")]
    Task(#[from] tokio::task::JoinError),
    #[error(transparent)]
    Delivery(#[from] DeliveryError),
}

impl Reporter {
    /// Reports whatever is confirmed, until told to stop; then once more.
    pub(crate) async fn run(self, mut stop: watch::Receiver<bool>) {
        let mut failures = 0;
        loop {
            let stopping = *stop.borrow_and_update();
            match self.flush().await {
                Ok(()) => {
                    failures = 0;
                    self.instance.clear("receipts");
                }
                Err(error) => {
                    failures += 1;
                    let why = format!("receipts cannot be written: {}", chain(&error));
                    self.instance.raise("receipts", &why);
                    error!(
                        error = chain(&error),
                        hint = "check the receipts folder and the room on its disk; tried again by itself",
                        "receipts cannot be written; what is confirmed stays confirmed"
                    );
                }
            }
            if stopping {
                return;
            }
            if failures > 0 {
                let delay = self
                    .policy
                    .local_backoff(failures, &mut fastrand::Rng::new());
                tokio::select! {
                    _ = stop.changed() => {}
                    () = tokio::time::sleep(delay) => {}
                }
                continue;
            }
            tokio::select! {
                _ = stop.changed() => {}
                () = self.confirmed.notified() => {
                    // Others are likely to follow at once and to share the receipt.
                    tokio::select! {
                        _ = stop.changed() => {}
                        () = tokio::time::sleep(self.policy.receipt_linger) => {}
                    }
                }
            }
        }
    }

    async fn flush(&self) -> Result<(), ReportError> {
        loop {
            let waiting = self
                .writer
                .call(|l| l.unreported(RECEIPT_MAX_CONFIRMATIONS))
                .await?;
            if waiting.is_empty() {
                return Ok(());
            }
            let (rows, confirmations): (Vec<i64>, Vec<Confirmation>) = waiting.into_iter().unzip();
            let now = Timestamp::now();
            let (receipt, bytes) = fitting(confirmations, now);
            let count = receipt.confirmations.len();
            let folder = self.receipts.clone();
            let name = format!("{}{RECEIPT_SUFFIX}", receipt.receipt_id);
            tokio::task::spawn_blocking(move || write(&folder, &name, &bytes)).await??;
            let reported: Vec<i64> = rows.into_iter().take(count).collect();
            let id = receipt.receipt_id.clone();
            self.writer
                .call(move |ledger| ledger.reported(&reported, &id, now))
                .await?;
            debug!(
                receipt = receipt.receipt_id,
                confirmations = count,
                "receipt written"
            );
        }
    }
}

/// As many of the confirmations, from the first, as a receipt may carry in bytes.
fn fitting(mut confirmations: Vec<Confirmation>, now: Timestamp) -> (Receipt, Vec<u8>) {
    loop {
        let receipt = Receipt {
            receipt_version: 1,
            receipt_id: ulid::Ulid::generate().to_string(),
            reported_at: now,
            confirmations,
        };
        let bytes = receipt.to_bytes();
        // One confirmation is a few KB at most: paths, ids and URIs have limits of their own.
        if bytes.len() as u64 <= RECEIPT_MAX_BYTES || receipt.confirmations.len() == 1 {
            return (receipt, bytes);
        }
        confirmations = receipt.confirmations;
        confirmations.truncate(confirmations.len() / 2);
    }
}

fn write(folder: &Path, name: &str, bytes: &[u8]) -> Result<(), FileError> {
    publish(
        open_dir(folder)?,
        name,
        bytes,
        RECEIPT_MODE,
        Durability::Fsync,
        Replace::Never,
    )
}

#[cfg(test)]
mod tests {
    use evidence::digest::Sha256;
    use evidence::handover::Proof;

    use super::*;

    fn confirmation(path: String) -> Confirmation {
        let now = Timestamp::UNIX_EPOCH;
        Confirmation {
            order_id: "o".to_owned(),
            bundle_id: "EB-20261121-0001".to_owned(),
            uri: format!("s3://b/{path}"),
            path,
            sha256: Sha256::of(b"x"),
            size_bytes: 1,
            destination_id: "d".to_owned(),
            version_id: "v".to_owned(),
            etag: None,
            proof: Proof::ServerSha256,
            object_lock_mode: "COMPLIANCE".to_owned(),
            retain_until: now,
            server_date: now,
            confirmed_at: now,
        }
    }

    #[test]
    fn a_receipt_never_exceeds_the_limit_in_bytes_and_the_rest_follows() {
        let long = |n: usize| confirmation(format!("{n}/{}", "p".repeat(1500)));
        let (receipt, bytes) = fitting((0..512).map(long).collect(), Timestamp::UNIX_EPOCH);
        assert!(bytes.len() as u64 <= RECEIPT_MAX_BYTES);
        assert_eq!(receipt.confirmations.len(), 256);
        assert_eq!(
            receipt.confirmations[0].path,
            long(0).path,
            "from the first"
        );
        assert_eq!(Receipt::parse(&bytes).unwrap(), receipt);
        let (receipt, _) = fitting(
            (0..512).map(|n| confirmation(n.to_string())).collect(),
            Timestamp::UNIX_EPOCH,
        );
        assert_eq!(receipt.confirmations.len(), 512);
    }
}
