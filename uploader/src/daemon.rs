//! The uploader as a whole: one process, one thread for everything that waits, one for delivery.db.

use std::collections::HashMap;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use destination::Destination;
use host::config::{DestinationSettings, Settings};
use host::instance::{InstanceError, InstanceLock};
use jiff::Timestamp;
use notify::{RecursiveMode, Watcher as _};
use tokio::sync::{Notify, mpsc, watch};
use tokio::task::{JoinError, JoinSet};
use tokio::time::Instant;
use tracing::{error, info, warn};

use crate::delivery::{
    DATABASE_NAME, DeliveryError, DestinationState, ErrorNote, Ledger, Reader, WAKE_NAME, Writer,
};
use crate::outbox::{Outbox, Scan, ScanError};
use crate::policy::Policy;
use crate::receipts::Reporter;
use crate::status;
use crate::upload::parcel::{Route, memory};
use crate::upload::verdict::{chain, park_hint};
use crate::worker::{Signals, Worker};

/// Held while an uploader runs.
const LOCK_NAME: &str = "uploader.lock";
/// systemd's status line is renewed at most so often.
const STATUS_EVERY: Duration = Duration::from_secs(2);
/// And at least so often.
const STATUS_AT_LEAST_EVERY: Duration = Duration::from_secs(30);
/// What comes after the drain, such as the last receipts.
const STOP_GRACE: Duration = Duration::from_secs(5);

/// Where the uploader works.
#[derive(Debug, Clone)]
pub struct Places {
    /// Orders, read only.
    pub outbox: PathBuf,
    /// Signed bundles and artifacts, read only.
    pub evidence: PathBuf,
    /// Receipts.
    pub receipts: PathBuf,
    /// `delivery.db`, the lock and the wake file.
    pub delivery: PathBuf,
}

impl Places {
    /// The places that the settings name.
    #[must_use]
    pub fn from_settings(settings: &Settings) -> Self {
        Self {
            outbox: settings.paths.outbox.clone(),
            evidence: settings.paths.evidence.clone(),
            receipts: settings.paths.receipts.clone(),
            delivery: settings.paths.delivery.clone(),
        }
    }
}

/// A configured destination and the store behind it.
pub struct Configured<D> {
    /// Never changes meaning.
    pub destination_id: String,
    /// `s3://bucket/prefix`; what orders must name for this id.
    pub uri: String,
    /// Before every path.
    pub prefix: String,
    /// Added to retain-until, in seconds.
    pub retention_margin_secs: u64,
    /// The store.
    pub store: D,
}

impl<D> Configured<D> {
    /// The destination that the settings describe, over `store`.
    pub fn new(settings: &DestinationSettings, store: D) -> Self {
        Self {
            destination_id: settings.destination_id.clone(),
            uri: settings.uri(),
            prefix: settings.prefix.clone(),
            retention_margin_secs: settings.retention_margin_secs,
            store,
        }
    }
}

/// Why the daemon ended without a fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// It was told to.
    Stopped,
    /// delivery.db was removed or replaced while in use; running again rebuilds it.
    DatabaseReplaced,
}

/// Why the daemon could not run.
#[derive(Debug, thiserror::Error)]
pub enum DaemonError {
    /// Another one runs, or the lock cannot be taken.
    #[error(transparent)]
    Instance(#[from] InstanceError),
    /// delivery.db cannot be used.
    #[error("delivery.db in {folder} cannot be used", folder = folder.display())]
    Delivery {
        /// Its folder.
        folder: PathBuf,
        /// Why.
        #[source]
        source: DeliveryError,
    },
    /// No thread for delivery.db.
    #[error("the thread for delivery.db could not be started")]
    Thread(#[source] std::io::Error),
}

/// Runs the uploader until `stop` completes: then nothing new is begun, what is in flight is
/// waited for within the policy's limit, and the last receipts are written.
///
/// # Errors
/// When it cannot start: another instance runs, or delivery.db cannot be opened.
pub async fn run<D: Destination>(
    places: &Places,
    policy: Policy,
    destinations: Vec<Configured<D>>,
    stop: impl Future<Output = ()>,
) -> Result<Ended, DaemonError> {
    let _lock = InstanceLock::acquire(&places.delivery.join(LOCK_NAME))?;
    let (ledger, aside) = open(places)?;
    if let Some(aside) = aside {
        error!(path = %aside.display(), "delivery.db was damaged and moved aside; everything is checked again");
    }
    let (writer, thread) = Writer::start(ledger).map_err(DaemonError::Thread)?;
    let ended = supervise(places, Arc::new(policy), destinations, writer, stop)
        .await
        .map_err(|source| delivery_error(places, source))?;
    // Every handle is gone by now; the join waits for the close, which checkpoints the log.
    if !matches!(
        tokio::task::spawn_blocking(move || thread.join()).await,
        Ok(Ok(()))
    ) {
        warn!("the thread of delivery.db did not end cleanly");
    }
    Ok(ended)
}

fn open(places: &Places) -> Result<(Ledger, Option<PathBuf>), DaemonError> {
    Ledger::open_or_rebuild(&places.delivery, Timestamp::now())
        .map_err(|source| delivery_error(places, source))
}

fn delivery_error(places: &Places, source: DeliveryError) -> DaemonError {
    DaemonError::Delivery {
        folder: places.delivery.clone(),
        source,
    }
}

async fn supervise<D: Destination>(
    places: &Places,
    policy: Arc<Policy>,
    destinations: Vec<Configured<D>>,
    writer: Writer,
    stop: impl Future<Output = ()>,
) -> Result<Ended, DeliveryError> {
    let (stop_send, stop_receive) = watch::channel(false);
    let (wake_send, wake_receive) = watch::channel(0);
    let confirmed = Arc::new(Notify::new());
    let memory = Arc::new(memory(&policy));
    let configured: HashMap<String, String> = destinations
        .iter()
        .map(|d| (d.destination_id.clone(), d.uri.clone()))
        .collect();
    let mut workers = JoinSet::new();
    let mut imported = Vec::new();
    for destination in destinations {
        let (id, uri) = (destination.destination_id.clone(), destination.uri);
        let rowid = writer
            .call(move |ledger| ledger.ensure_destination(&id, &uri, Timestamp::now()))
            .await?;
        let route = Route {
            destination: destination.store,
            destination_id: destination.destination_id,
            prefix: destination.prefix,
            retention_margin_secs: destination.retention_margin_secs,
            evidence: places.evidence.clone(),
            policy: Arc::clone(&policy),
            writer: writer.clone(),
            confirmed: Arc::clone(&confirmed),
            memory: Arc::clone(&memory),
            rng: Mutex::new(fastrand::Rng::new()),
        };
        let notify = Arc::new(Notify::new());
        imported.push(Arc::clone(&notify));
        let signals = Signals {
            imported: notify,
            wake: wake_receive.clone(),
            stop: stop_receive.clone(),
        };
        workers.spawn(Worker::new(Arc::new(route), rowid, signals).run());
    }
    let reporter = Reporter {
        receipts: places.receipts.clone(),
        writer: writer.clone(),
        policy: Arc::clone(&policy),
        confirmed: Arc::clone(&confirmed),
    };
    let (report_stop, report_stopped) = watch::channel(false);
    let mut reporter = tokio::spawn(reporter.run(report_stopped));
    let mut desk = Desk {
        outbox: Arc::new(Outbox {
            outbox: places.outbox.clone(),
            receipts: places.receipts.clone(),
            writer: writer.clone(),
            policy: Arc::clone(&policy),
        }),
        places: places.clone(),
        configured,
        imported,
        confirmed,
        wake: wake_send,
        wake_seen: None,
        first: true,
    };
    host::notify::ready();
    info!("ready");
    let ended = desk.run(&policy, &writer, stop).await;
    host::notify::stopping();
    // Before the handles go, so that the writer's thread ends with the last of them.
    drop(desk);
    stop_send.send_replace(true);
    let patience = policy.drain + STOP_GRACE;
    let drained = tokio::time::timeout(patience, async {
        while workers.join_next().await.is_some() {}
    });
    if drained.await.is_err() {
        warn!("a worker did not end in time; its requests are looked at again at the next start");
        workers.shutdown().await;
    }
    report_stop.send_replace(true);
    if tokio::time::timeout(STOP_GRACE, &mut reporter)
        .await
        .is_err()
    {
        warn!("the last receipts were not written in time; they are at the next start");
        reporter.abort();
        // Cancelled, which is what was asked for; it must be gone before the database closes.
        let _ = reporter.await;
    }
    info!("stopped");
    Ok(ended)
}

/// What is done for all destinations: the outbox, the operator's wake-up, the status line.
struct Desk {
    outbox: Arc<Outbox>,
    places: Places,
    /// Configured ids and their places.
    configured: HashMap<String, String>,
    imported: Vec<Arc<Notify>>,
    confirmed: Arc<Notify>,
    wake: watch::Sender<u64>,
    /// The wake file's time of change when it was last looked at.
    wake_seen: Option<std::time::SystemTime>,
    /// No scan has ended well yet.
    first: bool,
}

impl Desk {
    async fn run(
        &mut self,
        policy: &Policy,
        writer: &Writer,
        stop: impl Future<Output = ()>,
    ) -> Ended {
        let (hint_send, mut hints) = mpsc::channel(1);
        let _watcher = watch_folders(&self.places, hint_send);
        self.wake_seen = wake_time(&self.places.delivery);
        let mut scan = tokio::time::interval(policy.rescan_every);
        scan.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        // A task of its own, at most one: a long scan holds up neither the stop nor the watchdog.
        let mut scans = JoinSet::new();
        let mut scan_began = Instant::now();
        let mut heed_hints_at = scan_began;
        let mut hinted_while_scanning = false;
        let mut status = StatusLine::new(writer);
        let mut watchdog = host::notify::watchdog_interval().map(tokio::time::interval);
        let mut stop = std::pin::pin!(stop);
        loop {
            tokio::select! {
                biased;
                () = &mut stop => return Ended::Stopped,
                () = tick(&mut watchdog) => host::notify::watchdog(),
                Some(done) = scans.join_next() => {
                    self.scanned(done, writer).await;
                    // A busy agent renames many orders; scans take at most a fifth of the time.
                    heed_hints_at = Instant::now() + scan_began.elapsed() * 4;
                    if std::mem::take(&mut hinted_while_scanning) {
                        scan.reset_at(heed_hints_at.min(Instant::now() + policy.rescan_every));
                    }
                }
                _ = scan.tick() => {
                    if !is_in_place(writer).await {
                        error!(
                            path = DATABASE_NAME,
                            "delivery.db was removed or replaced while in use; it is rebuilt from the outbox"
                        );
                        return Ended::DatabaseReplaced;
                    }
                    self.heed_wake();
                    if scans.is_empty() {
                        scan_began = Instant::now();
                        let (outbox, first) = (Arc::clone(&self.outbox), self.first);
                        scans.spawn(async move { outbox.scan(first).await });
                    }
                }
                Some(()) = hint(&mut hints, heed_hints_at) => {
                    self.heed_wake();
                    if scans.is_empty() {
                        scan.reset_immediately();
                    } else {
                        hinted_while_scanning = true;
                    }
                }
                () = status.due() => status.show(&self.places.delivery),
            }
        }
    }

    async fn scanned(&mut self, done: Result<Result<Scan, ScanError>, JoinError>, writer: &Writer) {
        match done {
            Ok(Ok(scan)) => {
                self.first = false;
                if scan.reissued > 0 || scan.imported > 0 {
                    self.confirmed.notify_one();
                }
                if scan.imported > 0 {
                    self.imported.iter().for_each(|worker| worker.notify_one());
                }
            }
            Ok(Err(error)) => error!(
                error = chain(&error),
                hint = "check the folder and its permissions (group msp-handover); tried again by itself",
                "the outbox could not be scanned"
            ),
            Err(error) => {
                error!(error = %error, "the scan of the outbox failed; tried again by itself")
            }
        }
        if let Err(error) = self.check_meaning(writer).await {
            error!(error = chain(&error), "delivery.db cannot be used");
        }
    }

    /// Orders for an id that is not configured, or means another place now, are kept and alarmed.
    async fn check_meaning(&self, writer: &Writer) -> Result<(), DeliveryError> {
        for row in writer.call(|ledger| ledger.destinations()).await? {
            let reason = match self.configured.get(&row.destination_id) {
                Some(uri) if *uri == row.uri => continue,
                Some(_) => "destination_changed_meaning",
                None => "destination_not_configured",
            };
            let configured = self.configured.get(&row.destination_id).cloned();
            let rowid = row.destination_rowid;
            let ordered = row.uri.clone();
            let news = writer
                .call(move |ledger| {
                    let now = Timestamp::now();
                    if ledger.open_deliveries(rowid)? == 0 {
                        // Nothing waits for it, so nothing is wrong.
                        ledger.set_health(rowid, DestinationState::Ok, None, None, now)?;
                        return Ok(false);
                    }
                    let news = ledger.set_health(
                        rowid,
                        DestinationState::Parked,
                        Some(reason),
                        None,
                        now,
                    )?;
                    if news {
                        let message = match configured {
                            Some(uri) => format!("ordered for {ordered}, configured as {uri}"),
                            None => format!("ordered for {ordered}, not in the configuration"),
                        };
                        let error = ErrorNote {
                            class: "local",
                            code: reason.to_owned(),
                            message,
                        };
                        ledger.set_destination_error(rowid, &error, now)?;
                    }
                    Ok(news)
                })
                .await?;
            if news {
                error!(
                    destination = row.destination_id,
                    state = "parked",
                    code = reason,
                    uri = row.uri,
                    hint = park_hint(reason),
                    "orders for this destination wait; everything is kept"
                );
            }
        }
        Ok(())
    }

    /// Passes an operator's word on to the workers.
    fn heed_wake(&mut self) {
        let seen = wake_time(&self.places.delivery);
        if seen != self.wake_seen {
            self.wake_seen = seen;
            info!("woken by an operator; looking again at everything now");
            self.wake.send_modify(|n| *n += 1);
        }
    }
}

/// systemd's status line: renewed soon after something changed, and now and then since it tells
/// ages.
struct StatusLine {
    changes: watch::Receiver<u64>,
    not_before: Instant,
    at_latest: Instant,
    shown: String,
}

impl StatusLine {
    fn new(writer: &Writer) -> Self {
        let now = Instant::now();
        Self {
            changes: writer.changes(),
            not_before: now,
            at_latest: now,
            shown: String::new(),
        }
    }

    async fn due(&mut self) {
        tokio::time::sleep_until(self.not_before).await;
        tokio::select! {
            _ = self.changes.changed() => {}
            () = tokio::time::sleep_until(self.at_latest) => {}
        }
    }

    fn show(&mut self, delivery: &Path) {
        self.not_before = Instant::now() + STATUS_EVERY;
        self.at_latest = Instant::now() + STATUS_AT_LEAST_EVERY;
        let now = Timestamp::now();
        let read =
            Reader::open(delivery).and_then(|reader| reader.map(|r| r.summary(now)).transpose());
        // Without a summary systemd keeps the line before; the scan alarms about the database.
        if let Ok(Some(summary)) = read {
            let line = status::line(&summary, now);
            if line != self.shown {
                host::notify::status(&line);
                self.shown = line;
            }
        }
    }
}

/// A hint that comes before `not_before` waits.
async fn hint(hints: &mut mpsc::Receiver<()>, not_before: Instant) -> Option<()> {
    tokio::time::sleep_until(not_before).await;
    hints.recv().await
}

async fn is_in_place(writer: &Writer) -> bool {
    // A database that cannot be asked is another matter, alarmed by the scan that follows.
    writer
        .call(|ledger| Ok(ledger.is_still_in_place()))
        .await
        .unwrap_or(true)
}

async fn tick(interval: &mut Option<tokio::time::Interval>) {
    match interval {
        Some(interval) => {
            interval.tick().await;
        }
        None => std::future::pending().await,
    }
}

fn wake_time(delivery: &Path) -> Option<std::time::SystemTime> {
    std::fs::metadata(delivery.join(WAKE_NAME))
        .and_then(|meta| meta.modified())
        .ok()
}

/// Hints only: without inotify the periodic scan finds everything, later.
fn watch_folders(places: &Places, hints: mpsc::Sender<()>) -> Option<notify::RecommendedWatcher> {
    let wake = places.delivery.join(WAKE_NAME);
    let made = std::fs::OpenOptions::new()
        .create(true)
        .append(true)
        .open(&wake);
    let watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        // Reading the folder is itself an event; only what was written, renamed or removed counts.
        if !matches!(event, Ok(ref e) if e.kind.is_access()) {
            // Full means that a hint is already waiting.
            let _ = hints.try_send(());
        }
    });
    let watched = watcher.and_then(|mut watcher| {
        watcher.watch(&places.outbox, RecursiveMode::NonRecursive)?;
        if made.is_ok() {
            watcher.watch(&wake, RecursiveMode::NonRecursive)?;
        }
        Ok(watcher)
    });
    match watched {
        Ok(watcher) => Some(watcher),
        Err(error) => {
            warn!(
                error = chain(&error),
                "no inotify: new orders are found by the periodic scan only"
            );
            None
        }
    }
}
