//! The agent's metrics: a file, since the agent opens no network connection and listens to none.

use std::time::Duration;

use host::config::Settings;
use host::metrics::{Daemon, MetricsError, Page, Textfile, age_secs, number, seconds};
use jiff::Timestamp;

use crate::pass::{Agent, Pass};
use crate::summary::Summary;

/// What passes did since the start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    /// Incidents sealed.
    pub(crate) sealed: u64,
    /// Drops moved to quarantine.
    pub(crate) quarantined: u64,
    /// Confirmations and receipts that were not believed.
    pub(crate) refused_receipts: u64,
    /// Passes that ended with a fault.
    pub(crate) failed_passes: u64,
}

impl Counts {
    pub(crate) const fn add(&mut self, pass: &Pass) {
        self.sealed += pass.sealed as u64;
        self.quarantined += pass.quarantined as u64;
        self.refused_receipts += pass.refused_receipts as u64;
    }
}

/// Writes the metrics, where a folder for them is configured.
pub(crate) struct Metrics {
    file: Option<Textfile>,
    started_at: Timestamp,
}

impl Metrics {
    pub(crate) fn new(settings: &Settings, started_at: Timestamp) -> Self {
        let every = Duration::from_secs(settings.metrics.interval_secs);
        let folder = host::metrics::folder(&settings.metrics);
        Self {
            file: folder.map(|folder| Textfile::new(&folder, "agent", every)),
            started_at,
        }
    }

    /// Completes when they are due again; never without a folder for them.
    pub(crate) async fn due(&self) {
        match &self.file {
            Some(file) => tokio::time::sleep(file.due_in()).await,
            None => std::future::pending().await,
        }
    }

    /// Writes them if they are due.
    pub(crate) fn keep(&mut self, agent: &Agent, counts: &Counts) {
        let started_at = self.started_at;
        if let Some(file) = &mut self.file {
            file.keep(|now| page(agent, counts, started_at, true, now));
        }
    }

    /// Writes that it stopped, as it was asked to.
    pub(crate) fn stopped(&mut self, agent: &Agent, counts: &Counts) {
        let started_at = self.started_at;
        if let Some(file) = &mut self.file {
            file.write(|now| page(agent, counts, started_at, false, now));
        }
    }
}

fn page(
    agent: &Agent,
    counts: &Counts,
    started_at: Timestamp,
    is_running: bool,
    now: Timestamp,
) -> Result<String, MetricsError> {
    let page = Page::default();
    let settings = agent.settings();
    let paths = &settings.paths;
    Daemon {
        name: "agent",
        version: env!("CARGO_PKG_VERSION"),
        started_at,
        is_running,
        alarms: &agent.instance().alarms(),
        folders: &[
            ("drop", &paths.drop),
            ("spool", &paths.spool),
            ("evidence", &paths.evidence),
            ("quarantine", &paths.quarantine),
        ],
    }
    .tell(&page, now)?;
    page.gauge(
        "msp_evidence_disk_min_free_bytes",
        "With fewer free bytes than these nothing is sealed (agent.min_free_bytes).",
        Some(number(settings.agent.min_free_bytes)),
    )?;
    page.gauge(
        "msp_evidence_custody_interval_seconds",
        "A custody bundle is sealed at least this often (agent.custody_interval_secs).",
        Some(number(settings.agent.custody_interval_secs)),
    )?;
    page.counter(
        "msp_evidence_failed_passes_total",
        "Looks at the drop folder that ended with a fault since the agent started: nothing more is \
         sealed in them.",
        counts.failed_passes,
    )?;
    page.counter(
        "msp_evidence_refused_receipts_total",
        "Receipts and confirmations that were not believed since the agent started.",
        counts.refused_receipts,
    )?;
    // Without it, the spool cannot be read just now: that is an alarm, and told above.
    if let Ok(summary) = agent.summary() {
        of_summary(&page, &summary, now)?;
    }
    page.text()
}

fn of_summary(page: &Page, summary: &Summary, now: Timestamp) -> Result<(), MetricsError> {
    let totals = &summary.totals;
    let count = |n: Option<usize>| n.map(|n| number(n as u64));
    page.gauge(
        "msp_evidence_drops_waiting",
        "Drops that wait to be sealed.",
        count(summary.waiting_drops),
    )?;
    page.gauge(
        "msp_evidence_quarantine_drops",
        "Drops that could not be sealed and lie in quarantine.",
        count(summary.in_quarantine),
    )?;
    page.counters(
        "msp_evidence_sealed_total",
        "Bundles sealed, by kind.",
        ["kind"],
        [
            (["incident"], Some(number(totals.incidents))),
            (["custody"], Some(number(totals.custody))),
            (["probe"], Some(number(totals.probes))),
            (["rotation"], Some(number(totals.rotations))),
        ],
    )?;
    page.counter(
        "msp_evidence_quarantined_total",
        "Drops that could not be sealed.",
        totals.quarantined,
    )?;
    page.counter(
        "msp_evidence_duplicates_total",
        "Drops that had been sealed before.",
        totals.duplicates,
    )?;
    page.counter(
        "msp_evidence_believed_confirmations_total",
        "Objects of which the agent has a confirmation, each destination counted.",
        totals.confirmed_objects,
    )?;
    page.gauge(
        "msp_evidence_unconfirmed_objects",
        "Objects sealed of which the agent has no confirmation yet, each destination counted.",
        Some(number(totals.unconfirmed_objects)),
    )?;
    page.gauge(
        "msp_evidence_oldest_unconfirmed_age_seconds",
        "Age of the oldest sealed bundle that waits for a confirmation; 0 when none does.",
        Some(
            summary
                .oldest_unconfirmed_at
                .map_or(0.0, |at| age_secs(at, now)),
        ),
    )?;
    page.gauge(
        "msp_evidence_last_sealed_timestamp_seconds",
        "When the newest bundle was sealed, in seconds since the epoch.",
        summary.last_sealed_at.map(seconds),
    )?;
    page.gauge(
        "msp_evidence_last_custody_timestamp_seconds",
        "When the newest custody bundle was sealed, in seconds since the epoch.",
        summary.custody.last_sealed_at.map(seconds),
    )?;
    page.gauge(
        "msp_evidence_without_custody_seconds",
        "How long there has been no custody; before the first, since the first bundle.",
        summary.without_custody_since.map(|at| age_secs(at, now)),
    )?;
    page.gauge(
        "msp_evidence_unattested_confirmations",
        "Confirmations that custody has still to name.",
        Some(number(summary.custody.unattested_confirmations)),
    )
}
