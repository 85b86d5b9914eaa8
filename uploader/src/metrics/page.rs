//! The page itself. Destinations are named by their ids, errors by their classes: what a store says
//! in words stays on this host.

use std::collections::BTreeMap;
use std::path::Path;

use host::metrics::{Daemon, MetricsError, Page, age_secs, number, seconds};
use jiff::Timestamp;

use super::Metrics;
use super::meter::Counts;
use crate::delivery::{DestinationSummary, Reader, Summary};
use crate::hooks::HookCounts;

/// What a destination may be; each is told, with 1 for the one that it is.
const STATES: [&str; 4] = ["ok", "open", "parked", "retired"];

pub(super) fn page(
    metrics: &Metrics,
    is_running: bool,
    now: Timestamp,
) -> Result<String, MetricsError> {
    let page = Page::default();
    let folders: Vec<(&str, &Path)> = metrics
        .folders
        .iter()
        .map(|(name, path)| (*name, path.as_path()))
        .collect();
    Daemon {
        name: "uploader",
        version: env!("CARGO_PKG_VERSION"),
        started_at: metrics.started_at,
        is_running,
        alarms: &metrics.instance.alarms(),
        folders: &folders,
    }
    .tell(&page, now)?;
    let counts: Vec<(&str, Counts)> = metrics
        .meters
        .iter()
        .map(|(id, meter)| (id.as_str(), meter.read()))
        .collect();
    since_the_start(&page, &counts)?;
    of_hooks(&page, &metrics.tally.read(), now)?;
    let read = Reader::open(&metrics.delivery).and_then(|r| r.map(|r| r.summary(now)).transpose());
    // Without it, delivery.db cannot be read just now: that is an alarm, and told above.
    if let Ok(Some(summary)) = read {
        of_summary(&page, &summary, now)?;
    }
    page.text()
}

fn since_the_start(page: &Page, counts: &[(&str, Counts)]) -> Result<(), MetricsError> {
    let each = |value: fn(&Counts) -> u64| {
        counts
            .iter()
            .map(move |(id, counts)| ([*id], Some(number(value(counts)))))
    };
    page.counters(
        "msp_evidence_uploads_total",
        "Objects that the store took since the uploader started.",
        ["destination"],
        each(|c| c.uploads),
    )?;
    page.counters(
        "msp_evidence_uploaded_bytes_total",
        "Bytes of the objects that the store took since the uploader started.",
        ["destination"],
        each(|c| c.uploaded_bytes),
    )?;
    page.counters(
        "msp_evidence_retries_total",
        "Attempts that failed and are made again, since the uploader started, by class of error.",
        ["destination", "class"],
        counts.iter().flat_map(|(id, counts)| {
            let classes = counts.retries.iter();
            classes.map(|(class, n)| ([*id, *class], Some(number(*n))))
        }),
    )?;
    page.counters(
        "msp_evidence_failed_probes_total",
        "Looks at the bucket that failed since the uploader started, by class of error.",
        ["destination", "class"],
        counts.iter().flat_map(|(id, counts)| {
            let classes = counts.failed_probes.iter();
            classes.map(|(class, n)| ([*id, *class], Some(number(*n))))
        }),
    )
}

fn of_hooks(
    page: &Page,
    hooks: &BTreeMap<&'static str, HookCounts>,
    now: Timestamp,
) -> Result<(), MetricsError> {
    let each = |value: fn(&HookCounts) -> u64| {
        hooks
            .iter()
            .map(move |(name, counts)| ([*name], Some(number(value(counts)))))
    };
    page.counters(
        "msp_evidence_notifications_sent_total",
        "Notifications that the hook took since the uploader started.",
        ["hook"],
        each(|c| c.sent),
    )?;
    page.counters(
        "msp_evidence_failed_notifications_total",
        "Attempts to tell somebody that failed since the uploader started.",
        ["hook"],
        each(|c| c.failed),
    )?;
    page.gauges(
        "msp_evidence_notifications_waiting",
        "Notifications that the hook has not taken yet.",
        ["hook"],
        each(|c| c.waiting),
    )?;
    page.gauges(
        "msp_evidence_oldest_notification_age_seconds",
        "Age of the oldest notification that the hook has not taken; 0 when none waits.",
        ["hook"],
        hooks.iter().map(|(name, counts)| {
            let age = counts.oldest_at.map_or(0.0, |at| age_secs(at, now));
            ([*name], Some(age))
        }),
    )
}

fn of_summary(page: &Page, summary: &Summary, now: Timestamp) -> Result<(), MetricsError> {
    page.gauge(
        "msp_evidence_open_orders",
        "Orders of the agent that are not wholly delivered.",
        Some(number(summary.open_orders)),
    )?;
    page.gauge(
        "msp_evidence_unreadable_orders",
        "Files in the outbox that are no orders that this version can read; 100 at most.",
        Some(number(summary.unreadable_orders.len() as u64)),
    )?;
    page.gauge(
        "msp_evidence_unreported_confirmations",
        "Confirmations that the agent has not been told yet.",
        Some(number(summary.unreported)),
    )?;
    let destinations = of_one_place_each(&summary.destinations);
    of_counts(page, &destinations)?;
    of_times(page, &destinations, now)?;
    page.gauges(
        "msp_evidence_destination_state",
        "1 for the state that the destination is in: ok, open (failing, retried by itself), parked \
         (an operator is needed) or retired.",
        ["destination", "state"],
        destinations.iter().flat_map(|d| {
            STATES.into_iter().map(|state| {
                let is = if d.state == state { 1.0 } else { 0.0 };
                ([d.destination_id.as_str(), state], Some(is))
            })
        }),
    )?;
    page.gauges(
        "msp_evidence_clock_offset_seconds",
        "The store's clock less this host's, at the last look at the bucket.",
        ["destination"],
        destinations.iter().map(|d| {
            let offset = d.clock_offset_ms.map(|ms| ms as f64 / 1000.0);
            ([d.destination_id.as_str()], offset)
        }),
    )
}

/// An id that an order names with another place than the one configured is a second row of it; the
/// first one that is not well counts.
fn of_one_place_each(destinations: &[DestinationSummary]) -> Vec<&DestinationSummary> {
    let mut found: Vec<&DestinationSummary> = Vec::new();
    for destination in destinations {
        let same = |d: &&mut &DestinationSummary| d.destination_id == destination.destination_id;
        match found.iter_mut().find(same) {
            None => found.push(destination),
            Some(other) if matches!(other.state, "ok" | "retired") => *other = destination,
            Some(_) => {}
        }
    }
    found
}

fn of_counts(page: &Page, destinations: &[&DestinationSummary]) -> Result<(), MetricsError> {
    let each = |value: fn(&DestinationSummary) -> u64| {
        destinations
            .iter()
            .map(move |d| ([d.destination_id.as_str()], Some(number(value(d)))))
    };
    page.gauges(
        "msp_evidence_pending_objects",
        "Objects that are not known to be stored yet.",
        ["destination"],
        each(|d| d.counts.pending),
    )?;
    page.gauges(
        "msp_evidence_unproven_objects",
        "Objects that are stored and whose lock is not proven yet.",
        ["destination"],
        each(|d| d.counts.uploaded),
    )?;
    page.gauges(
        "msp_evidence_deferred_objects",
        "Of those pending or unproven, the ones that failed and wait for their next attempt.",
        ["destination"],
        each(|d| d.deferred),
    )?;
    page.gauges(
        "msp_evidence_blocked_objects",
        "Objects that wait for an operator.",
        ["destination"],
        each(|d| d.counts.blocked),
    )?;
    page.counters(
        "msp_evidence_confirmed_total",
        "Objects whose lock is proven.",
        ["destination"],
        each(|d| d.counts.confirmed),
    )?;
    page.counters(
        "msp_evidence_given_up_total",
        "Objects that an operator's decision about a destination ended.",
        ["destination"],
        each(|d| d.counts.retired),
    )
}

fn of_times(
    page: &Page,
    destinations: &[&DestinationSummary],
    now: Timestamp,
) -> Result<(), MetricsError> {
    page.gauges(
        "msp_evidence_oldest_pending_age_seconds",
        "Age of the oldest order that is not wholly delivered; 0 when none waits.",
        ["destination"],
        destinations.iter().map(|d| {
            let age = d.oldest_pending_at.map_or(0.0, |at| age_secs(at, now));
            ([d.destination_id.as_str()], Some(age))
        }),
    )?;
    page.gauges(
        "msp_evidence_next_retry_seconds",
        "How long until the next attempt of what failed; 0 when it is due, or nothing failed.",
        ["destination"],
        destinations.iter().map(|d| {
            let wait = d.next_retry_at.or(d.next_probe_at);
            let wait = wait.map_or(0.0, |at| age_secs(now, at));
            ([d.destination_id.as_str()], Some(wait))
        }),
    )?;
    let each = |value: fn(&DestinationSummary) -> Option<Timestamp>| {
        destinations
            .iter()
            .map(move |d| ([d.destination_id.as_str()], value(d).map(seconds)))
    };
    page.gauges(
        "msp_evidence_destination_since_timestamp_seconds",
        "Since when the destination is in its state, in seconds since the epoch.",
        ["destination"],
        each(|d| Some(d.since)),
    )?;
    page.gauges(
        "msp_evidence_last_confirmed_timestamp_seconds",
        "When something was last confirmed, in seconds since the epoch.",
        ["destination"],
        each(|d| d.last_confirmed_at),
    )?;
    page.gauges(
        "msp_evidence_last_preflight_timestamp_seconds",
        "When the bucket was last looked at, in seconds since the epoch.",
        ["destination"],
        each(|d| d.last_preflight_at),
    )?;
    page.gauges(
        "msp_evidence_last_ok_timestamp_seconds",
        "When the store last answered well, in seconds since the epoch.",
        ["destination"],
        each(|d| d.last_ok_at),
    )
}
