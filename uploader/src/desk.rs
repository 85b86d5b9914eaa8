//! The desk: what is done once for all destinations. It scans the outbox, heeds the operator's
//! wake-up, tells systemd how things are, and notices when delivery.db is taken away.

use std::collections::HashMap;
use std::future::Future;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use host::instance::InstanceLock;
use jiff::Timestamp;
use notify::{RecursiveMode, Watcher as _};
use tokio::sync::{Notify, mpsc, watch};
use tokio::task::{JoinError, JoinSet};
use tokio::time::Instant;
use tracing::{error, info};

use crate::daemon::{Ended, Places};
use crate::delivery::{
    DATABASE_NAME, DeliveryError, DestinationState, ErrorNote, Reader, WAKE_NAME, Writer,
};
use crate::metrics::Metrics;
use crate::outbox::{Outbox, Scan, ScanError};
use crate::policy::Policy;
use crate::status;
use crate::upload::verdict::{chain, park_hint};

/// systemd's status line is renewed at most so often.
const STATUS_EVERY: Duration = Duration::from_secs(2);
/// And at least so often.
const STATUS_AT_LEAST_EVERY: Duration = Duration::from_secs(30);

/// What is done for all destinations: the outbox, the operator's wake-up, the status line.
pub(crate) struct Desk {
    pub(crate) outbox: Arc<Outbox>,
    pub(crate) places: Places,
    /// Configured ids and their places.
    pub(crate) configured: HashMap<String, String>,
    pub(crate) imported: Vec<Arc<Notify>>,
    /// Ends the worker of a destination, by row id, once that is retired.
    pub(crate) retire: HashMap<i64, watch::Sender<bool>>,
    pub(crate) confirmed: Arc<Notify>,
    pub(crate) wake: watch::Sender<u64>,
    /// The wake file's time of change when it was last looked at.
    pub(crate) wake_seen: Option<std::time::SystemTime>,
    /// No scan has ended well yet.
    pub(crate) first: bool,
    pub(crate) instance: Arc<InstanceLock>,
    pub(crate) metrics: Arc<Metrics>,
}

impl Desk {
    /// Works until `stop` completes, or the database is gone.
    ///
    /// # Errors
    /// When the thread that writes the database has ended.
    pub(crate) async fn run(
        &mut self,
        policy: &Policy,
        writer: &Writer,
        stop: impl Future<Output = ()>,
    ) -> Result<Ended, DeliveryError> {
        let (hint_send, mut hints) = mpsc::channel(1);
        let watcher = watch_folders(&self.places, hint_send);
        if let Err(error) = &watcher {
            let why = format!(
                "inotify is not to be had ({}); new orders are found by the periodic scan only: \
                 raise fs.inotify.max_user_watches or max_user_instances",
                chain(error)
            );
            error!(state = "not_watching", "{why}");
            self.instance.raise("not_watching", &why);
        }
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
        let mut moved_bytes = destination::bytes_moved();
        let (began, folder) = (Instant::now(), host::failure::own_folder());
        let mut stop = std::pin::pin!(stop);
        let mut gone = std::pin::pin!(writer.gone());
        let mut failures = 0;
        loop {
            tokio::select! {
                biased;
                () = &mut stop => return Ok(Ended::Stopped),
                () = &mut gone => return Err(DeliveryError::WriterGone),
                () = tick(&mut watchdog) => {
                    alive(writer, &mut moved_bytes).await;
                    if let Some(failure) =
                        host::failure::recovered(folder.as_deref(), began.elapsed())
                    {
                        info!(
                            state = "recovered",
                            failures = failure.count,
                            "it works again, after it had failed"
                        );
                    }
                }
                Some(done) = scans.join_next() => {
                    let now = Instant::now();
                    if self.scanned(done, writer).await {
                        failures = 0;
                    } else {
                        failures += 1;
                        scan.reset_at(now + policy.local_backoff(failures, &mut fastrand::Rng::new()));
                    }
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
                        return Ok(Ended::DatabaseReplaced);
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
                () = status.due() => status.show(&self.places.delivery, &self.instance),
                () = self.metrics.due() => self.metrics.keep(),
            }
        }
    }

    /// What comes after a scan; `false` when that failed, and is to be made again soon.
    async fn scanned(
        &mut self,
        done: Result<Result<Scan, ScanError>, JoinError>,
        writer: &Writer,
    ) -> bool {
        let went_well = matches!(done, Ok(Ok(_)));
        match &done {
            Ok(Ok(scan)) => {
                self.first = false;
                if scan.reissued > 0 || scan.imported > 0 {
                    self.confirmed.notify_one();
                }
                if scan.imported > 0 {
                    self.imported.iter().for_each(|worker| worker.notify_one());
                }
            }
            // It may have imported something before: the next scan will not say so again.
            _ => {
                self.confirmed.notify_one();
                self.imported.iter().for_each(|worker| worker.notify_one());
            }
        }
        match done {
            Ok(Ok(_)) => self.instance.clear("outbox"),
            Ok(Err(error)) => {
                let why = chain(&error);
                error!(
                    error = why,
                    hint = error.hint(),
                    "the outbox could not be scanned"
                );
                self.instance
                    .raise("outbox", &format!("the outbox could not be scanned: {why}"));
            }
            Err(error) => {
                error!(error = %error, "the scan of the outbox failed; tried again by itself")
            }
        }
        if let Err(error) = self.end_retired(writer).await {
            error!(error = chain(&error), "delivery.db cannot be used");
        }
        if let Err(error) = self.check_meaning(writer).await {
            error!(error = chain(&error), "delivery.db cannot be used");
        }
        went_well
    }

    /// A retired destination needs no worker: nothing goes there, and it is probed no more.
    async fn end_retired(&mut self, writer: &Writer) -> Result<(), DeliveryError> {
        for rowid in writer.call(|ledger| ledger.retired_destinations()).await? {
            if let Some(retire) = self.retire.remove(&rowid) {
                retire.send_replace(true);
            }
        }
        Ok(())
    }

    /// Orders for an id that is not configured, or means another place now, are kept and alarmed.
    async fn check_meaning(&self, writer: &Writer) -> Result<(), DeliveryError> {
        let retired = writer.call(|ledger| ledger.retired_destinations()).await?;
        for row in writer.call(|ledger| ledger.destinations()).await? {
            if retired.contains(&row.destination_rowid) {
                continue;
            }
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

    fn show(&mut self, delivery: &Path, instance: &InstanceLock) {
        self.not_before = Instant::now() + STATUS_EVERY;
        self.at_latest = Instant::now() + STATUS_AT_LEAST_EVERY;
        let now = Timestamp::now();
        let read =
            Reader::open(delivery).and_then(|reader| reader.map(|r| r.summary(now)).transpose());
        // Without a summary systemd keeps the line before; the scan alarms about the database.
        if let Ok(Some(summary)) = read {
            let line = status::with_alarms(&instance.alarms(), status::line(&summary, now));
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

/// For the watchdog: this loop turns, the thread of delivery.db answers, and what is under way moves on,
/// if only by bytes on some connection.
async fn alive(writer: &Writer, moved_bytes: &mut u64) {
    let now_moved = destination::bytes_moved();
    if std::mem::replace(moved_bytes, now_moved) != now_moved {
        host::heart::all_moved();
    }
    // Without the thread the loop ends by itself; a database that fails is alarmed by others.
    let _ = writer.call(|_| Ok(())).await;
    host::heart::beat();
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
fn watch_folders(
    places: &Places,
    hints: mpsc::Sender<()>,
) -> notify::Result<notify::RecommendedWatcher> {
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
    watcher.and_then(|mut watcher| {
        watcher.watch(&places.outbox, RecursiveMode::NonRecursive)?;
        if made.is_ok() {
            watcher.watch(&wake, RecursiveMode::NonRecursive)?;
        }
        Ok(watcher)
    })
}
