//! The one thread that writes delivery.db.
//!
//! Whatever waits when the thread is free goes into one transaction, so thirty-two uploads in
//! flight cost about one fsync, not thirty-two. Each piece of work runs in a savepoint: one that
//! fails takes nothing else with it. Replies are sent only after the commit.

use std::sync::Arc;
use std::sync::mpsc;
use std::thread::JoinHandle;

use tokio::sync::{oneshot, watch};

use super::error::DeliveryError;
use super::ledger::Ledger;

/// Most pieces of work in one transaction.
const GROUP_LIMIT: usize = 256;

type Commit = Result<(), Arc<rusqlite::Error>>;
type Reply = Box<dyn FnOnce(&Commit) + Send>;
/// Gets `None` when there is no transaction to work in; then the commit says why. Also returns what
/// SQLite said when the work failed.
type Work = Box<dyn FnOnce(Option<&Ledger>) -> (Reply, Option<rusqlite::ffi::Error>) + Send>;

/// A handle to the writing thread; clones share it. The thread ends, and the database is closed,
/// when the last one is dropped.
#[derive(Clone)]
pub struct Writer {
    queue: mpsc::Sender<Work>,
    changes: watch::Receiver<u64>,
}

impl Writer {
    /// Starts the thread. Join the handle after dropping every [`Writer`] to know that the
    /// database is closed.
    ///
    /// # Errors
    /// When the operating system gives no thread.
    pub fn start(ledger: Ledger) -> std::io::Result<(Self, JoinHandle<()>)> {
        let (queue, work) = mpsc::channel();
        let (announce, changes) = watch::channel(0);
        let thread = std::thread::Builder::new()
            .name("delivery-db".to_owned())
            .spawn(move || serve(&ledger, &work, &announce))?;
        Ok((Self { queue, changes }, thread))
    }

    /// Runs `work` in the next transaction and waits until that is durable.
    ///
    /// # Errors
    /// What `work` returned, or that the commit failed; nothing of it was changed then.
    pub async fn call<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Ledger) -> Result<T, DeliveryError> + Send + 'static,
    ) -> Result<T, DeliveryError> {
        let (send, receive) = oneshot::channel();
        let work: Work = Box::new(move |ledger| {
            let result = ledger.map(|ledger| in_savepoint(ledger, work));
            let why = match &result {
                Some(Err(DeliveryError::Sql(error))) => error.sqlite_error().copied(),
                _ => None,
            };
            let reply: Reply = Box::new(move |commit| {
                let result = match (commit, result) {
                    // Its own error says more than that of the commit which it spoilt.
                    (Ok(()), Some(result)) | (Err(_), Some(result @ Err(_))) => result,
                    (Ok(()), None) => Err(DeliveryError::WriterGone),
                    (Err(error), _) => Err(DeliveryError::Commit(Arc::clone(error))),
                };
                // The caller may have been cancelled; the work is done all the same.
                drop(send.send(result));
            });
            (reply, why)
        });
        self.queue
            .send(work)
            .map_err(|_| DeliveryError::WriterGone)?;
        receive.await.map_err(|_| DeliveryError::WriterGone)?
    }

    /// Changes after every commit that changed something.
    #[must_use]
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changes.clone()
    }

    /// Completes when the thread has ended although there are handles: nothing will be written any
    /// more, and only a start of the whole process helps.
    pub async fn gone(&self) {
        let mut changes = self.changes.clone();
        while changes.changed().await.is_ok() {}
    }
}

fn in_savepoint<T>(
    ledger: &Ledger,
    work: impl FnOnce(&Ledger) -> Result<T, DeliveryError>,
) -> Result<T, DeliveryError> {
    ledger.db.execute_batch("SAVEPOINT one")?;
    let result = work(ledger);
    if result.is_err() && ledger.db.is_autocommit() {
        // A full disk ended the transaction, and the savepoint with it.
        return result;
    }
    let end = if result.is_ok() {
        "RELEASE one"
    } else {
        "ROLLBACK TO one; RELEASE one"
    };
    ledger.db.execute_batch(end)?;
    result
}

fn serve(ledger: &Ledger, queue: &mpsc::Receiver<Work>, announce: &watch::Sender<u64>) {
    while let Ok(first) = queue.recv() {
        let before = ledger.db.total_changes();
        let begun = ledger.db.execute_batch("BEGIN IMMEDIATE").map_err(Arc::new);
        let mut replies = Vec::new();
        let mut spoilt = None;
        let waiting = std::iter::once(first).chain(std::iter::from_fn(|| queue.try_recv().ok()));
        for work in waiting.take(GROUP_LIMIT) {
            // A full disk ends the transaction under us; a savepoint would then commit by itself.
            let (reply, why) = work((!ledger.db.is_autocommit()).then_some(ledger));
            if ledger.db.is_autocommit() {
                spoilt = spoilt.or(why);
            }
            replies.push(reply);
        }
        let commit: Commit = begun.and_then(|()| {
            if let Some(why) = spoilt {
                return Err(Arc::new(rusqlite::Error::SqliteFailure(why, None)));
            }
            ledger.db.execute_batch("COMMIT").map_err(|error| {
                if !ledger.db.is_autocommit() {
                    // Nothing to be done when this fails too: the next BEGIN will say so.
                    let _ = ledger.db.execute_batch("ROLLBACK");
                }
                Arc::new(error)
            })
        });
        for reply in replies {
            reply(&commit);
        }
        if ledger.db.total_changes() != before {
            announce.send_modify(|n| *n += 1);
        }
    }
}
