//! The uploader's metrics: what delivery.db says, and what was done since the start, as a file and
//! where Prometheus asks.

pub(crate) mod listener;
mod meter;
mod page;

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use host::instance::InstanceLock;
use host::metrics::{MetricsError, Textfile};
use jiff::Timestamp;

use crate::daemon::Places;
use crate::hooks::Tally;

pub(crate) use meter::Meter;

/// Where the metrics of this process come from, and their file if one is wanted.
pub(crate) struct Metrics {
    folders: [(&'static str, PathBuf); 3],
    delivery: PathBuf,
    started_at: Timestamp,
    instance: Arc<InstanceLock>,
    /// By destination's id.
    meters: Vec<(String, Arc<Meter>)>,
    tally: Arc<Tally>,
    file: Option<Mutex<Textfile>>,
}

impl Metrics {
    pub(crate) fn new(
        places: &Places,
        instance: Arc<InstanceLock>,
        meters: Vec<(String, Arc<Meter>)>,
        tally: Arc<Tally>,
    ) -> Self {
        let every = Duration::from_secs(places.metrics.interval_secs);
        let folder = host::metrics::folder(&places.metrics);
        Self {
            folders: [
                ("delivery", places.delivery.clone()),
                ("outbox", places.outbox.clone()),
                ("receipts", places.receipts.clone()),
            ],
            delivery: places.delivery.clone(),
            started_at: places.started_at,
            instance,
            meters,
            tally,
            file: folder.map(|folder| Mutex::new(Textfile::new(&folder, "uploader", every))),
        }
    }

    /// Completes when the file is due again; never without a folder for it.
    pub(crate) async fn due(&self) {
        match self.with_file(|file| file.due_in()) {
            Some(wait) => tokio::time::sleep(wait).await,
            None => std::future::pending().await,
        }
    }

    /// Writes the file if it is due.
    pub(crate) fn keep(&self) {
        self.with_file(|file| file.keep(|now| self.page(true, now)));
    }

    /// Writes that it stopped, as it was asked to.
    pub(crate) fn stopped(&self) {
        self.with_file(|file| file.write(|now| self.page(false, now)));
    }

    /// The page as it is now.
    ///
    /// # Errors
    /// When it cannot be written down.
    pub(crate) fn page(&self, is_running: bool, now: Timestamp) -> Result<String, MetricsError> {
        page::page(self, is_running, now)
    }

    fn with_file<T>(&self, work: impl FnOnce(&mut Textfile) -> T) -> Option<T> {
        let file = self.file.as_ref()?;
        Some(work(
            &mut file.lock().unwrap_or_else(PoisonError::into_inner),
        ))
    }
}
