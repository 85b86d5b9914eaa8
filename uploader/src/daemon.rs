//! The uploader as a whole: one process, one thread for everything that waits, one for delivery.db.

use std::collections::HashMap;
use std::future::Future;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use destination::Destination;
use host::config::{DestinationSettings, MetricsSettings, Settings};
use host::instance::{InstanceError, InstanceLock, UPLOADER_LOCK};
use jiff::Timestamp;
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;
use tracing::{error, info, warn};

use crate::delivery::{DeliveryError, Ledger, Writer};
use crate::desk::Desk;
use crate::hooks::{Audience, Hooks, Tally};
use crate::metrics::{Meter, Metrics, listener};
use crate::outbox::Outbox;
use crate::policy::Policy;
use crate::receipts::Reporter;
use crate::upload::parcel::{Route, memory};
use crate::upload::plan::Plans;
use crate::upload::verdict::chain;
use crate::worker::{Signals, Worker};

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
    /// What monitoring is told, and where.
    pub metrics: MetricsSettings,
    /// When the process began.
    pub started_at: Timestamp,
    /// Whom to tell when an operator is needed.
    pub audience: Option<Audience>,
}

impl Places {
    /// The places that the settings name.
    #[must_use]
    pub fn from_settings(settings: &Settings, started_at: Timestamp) -> Self {
        Self {
            outbox: settings.paths.outbox.clone(),
            evidence: settings.paths.evidence.clone(),
            receipts: settings.paths.receipts.clone(),
            delivery: settings.paths.delivery.clone(),
            metrics: settings.metrics.clone(),
            started_at,
            audience: Audience::from_settings(settings),
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
    /// The work for a destination ended by a fault of ours; running again takes it up.
    WorkerLost,
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
    let instance = Arc::new(InstanceLock::acquire(&places.delivery.join(UPLOADER_LOCK))?);
    run_under(&instance, places, policy, destinations, stop).await
}

/// The same under a lock that is held already, so that nobody else comes between two runs.
///
/// # Errors
/// When delivery.db cannot be opened.
pub async fn run_under<D: Destination>(
    instance: &Arc<InstanceLock>,
    places: &Places,
    policy: Policy,
    destinations: Vec<Configured<D>>,
    stop: impl Future<Output = ()>,
) -> Result<Ended, DaemonError> {
    let policy = Arc::new(policy);
    let (ledger, aside) = match open(places) {
        Ok(opened) => opened,
        Err(error) => {
            instance.raise("start_failed", &chain(&error));
            if let Some(hooks) = hooks(places, &policy, instance, &Arc::default()) {
                hooks.start_failed().await;
            }
            return Err(error);
        }
    };
    if let Some(aside) = aside {
        error!(path = %aside.display(), "delivery.db was damaged and moved aside; everything is checked again");
    }
    let (writer, thread) = Writer::start(ledger).map_err(DaemonError::Thread)?;
    let ended = supervise(places, policy, destinations, writer, instance, stop)
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

fn hooks(
    places: &Places,
    policy: &Arc<Policy>,
    instance: &Arc<InstanceLock>,
    tally: &Arc<Tally>,
) -> Option<Hooks> {
    let audience = places.audience.as_ref()?;
    let (policy, instance, tally) = (Arc::clone(policy), Arc::clone(instance), Arc::clone(tally));
    Some(Hooks::open(audience, places, policy, instance, tally))
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
    instance: &Arc<InstanceLock>,
    stop: impl Future<Output = ()>,
) -> Result<Ended, DeliveryError> {
    let (stop_send, stop_receive) = watch::channel(false);
    let (wake_send, wake_receive) = watch::channel(0);
    let confirmed = Arc::new(Notify::new());
    let memory = Arc::new(memory(&policy));
    let plans = Arc::new(Plans::default());
    let configured: HashMap<String, String> = destinations
        .iter()
        .map(|d| (d.destination_id.clone(), d.uri.clone()))
        .collect();
    let mut workers = JoinSet::new();
    let mut imported = Vec::new();
    let mut retire = HashMap::new();
    let mut meters = Vec::new();
    for destination in destinations {
        let (id, uri) = (destination.destination_id.clone(), destination.uri);
        let rowid = writer
            .call(move |ledger| ledger.ensure_destination(&id, &uri, Timestamp::now()))
            .await?;
        let meter = Arc::new(Meter::default());
        meters.push((destination.destination_id.clone(), Arc::clone(&meter)));
        let route = Route {
            destination: destination.store,
            destination_id: destination.destination_id,
            destination_rowid: rowid,
            prefix: destination.prefix,
            retention_margin_secs: destination.retention_margin_secs,
            evidence: places.evidence.clone(),
            receipts: places.receipts.clone(),
            policy: Arc::clone(&policy),
            writer: writer.clone(),
            confirmed: Arc::clone(&confirmed),
            memory: Arc::clone(&memory),
            plans: Arc::clone(&plans),
            stop: stop_receive.clone(),
            rng: Mutex::new(fastrand::Rng::new()),
            meter,
        };
        let notify = Arc::new(Notify::new());
        imported.push(Arc::clone(&notify));
        let (retire_send, retired) = watch::channel(false);
        retire.insert(rowid, retire_send);
        let signals = Signals {
            imported: notify,
            wake: wake_receive.clone(),
            stop: stop_receive.clone(),
            retired,
        };
        let worker = Worker::new(Arc::new(route), signals, Arc::clone(instance));
        workers.spawn(worker.run());
    }
    let reporter = Reporter {
        receipts: places.receipts.clone(),
        writer: writer.clone(),
        policy: Arc::clone(&policy),
        confirmed: Arc::clone(&confirmed),
        instance: Arc::clone(instance),
    };
    let (report_stop, report_stopped) = watch::channel(false);
    // A set, so that it ends with this future whatever happens.
    let mut reporting = JoinSet::new();
    reporting.spawn(reporter.run(report_stopped));
    let tally = Arc::new(Tally::default());
    let metrics = Metrics::new(places, Arc::clone(instance), meters, Arc::clone(&tally));
    let metrics = Arc::new(metrics);
    // Who looks on ends with this set; nothing waits for them.
    let mut onlookers = JoinSet::new();
    if let Some(address) = places.metrics.listen {
        onlookers.spawn(listener::serve(address, Arc::clone(&metrics)));
    }
    if let Some(hooks) = hooks(places, &policy, instance, &tally) {
        onlookers.spawn(hooks.run());
    }
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
        retire,
        confirmed,
        wake: wake_send,
        wake_seen: None,
        first: true,
        instance: Arc::clone(instance),
        metrics: Arc::clone(&metrics),
    };
    host::notify::ready();
    info!("ready");
    let ended = tokio::select! {
        ended = desk.run(&policy, &writer, stop) => ended,
        () = lost(&mut workers) => Ok(Ended::WorkerLost),
    };
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
    let reported = tokio::time::timeout(STOP_GRACE, reporting.join_next());
    if reported.await.is_err() {
        warn!("the last receipts were not written in time; they are at the next start");
        reporting.shutdown().await;
    }
    metrics.stopped();
    info!("stopped");
    ended
}

/// Completes when one of the workers ends by a panic. That it ends because its destination is retired is
/// as it should be.
async fn lost(workers: &mut JoinSet<()>) {
    while let Some(ended) = workers.join_next().await {
        if let Err(fault) = ended {
            error!(error = %fault, "the work for a destination ended by a fault; it is begun again");
            return;
        }
    }
    std::future::pending().await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_worker_that_ends_is_lost_only_if_it_ends_by_a_fault() {
        let mut workers = JoinSet::new();
        workers.spawn(async {});
        let soon = tokio::time::timeout(Duration::from_millis(50), lost(&mut workers));
        assert!(soon.await.is_err(), "nothing is lost");
        workers.spawn(async { panic!("a fault of a test") });
        lost(&mut workers).await;
    }
}
