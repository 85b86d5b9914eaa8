//! `status`: both databases read beside the daemons or without them, each as its owner, so that
//! nothing of ours is left behind that a daemon could not use.

use std::fs;
use std::io;
use std::path::Path;

use anyhow::{Context as _, Result};
use host::config::Settings;
use host::exit::ExitCode;
use host::owner::as_owner_of;
use jiff::Timestamp;
use serde::Serialize;
use spool::reader::Counts as SpoolCounts;
use uploader::delivery::{BlockedItem, Summary};

use crate::arguments::StatusOptions;
use crate::output::{self, plain};

/// So many blocked items are listed; `blocked list` has them all.
const BLOCKED_LISTED: usize = 100;

/// The documented form of `status --json`.
#[derive(Serialize)]
struct Status {
    at: Timestamp,
    /// What the agent has; absent before its first start.
    spool: Option<SpoolCounts>,
    /// Drops that wait in the folder; null when this user may not list it.
    waiting_drops: Option<usize>,
    /// Drops in quarantine now; null when this user may not list them.
    in_quarantine: Option<usize>,
    /// Objects that are not confirmed yet, over all destinations.
    pending: u64,
    /// What the uploader has; absent before its first start.
    delivery: Option<Summary>,
    /// What waits for an operator, at most 100.
    blocked: Vec<BlockedItem>,
    /// What an operator should know of the configuration.
    warnings: Vec<String>,
}

pub(crate) fn run(options: &StatusOptions, config: &Path) -> Result<ExitCode> {
    let settings = output::settings(config)?;
    let status = look(&settings)?;
    if options.json {
        output::json(&status)?;
    } else {
        print(&status);
    }
    Ok(ExitCode::Ok)
}

/// The spool's counts; `None` before the agent's first start.
pub(crate) fn spool_reader(settings: &Settings) -> Result<Option<spool::reader::Reader>> {
    let path = settings.paths.spool.join("spool.db");
    if !path.exists() {
        return Ok(None);
    }
    Ok(Some(spool::reader::Reader::open(&path)?))
}

fn look(settings: &Settings) -> Result<Status> {
    let at = Timestamp::now();
    let spool = if settings.paths.spool.exists() {
        as_owner_of(&settings.paths.spool, || -> Result<Option<SpoolCounts>> {
            Ok(spool_reader(settings)?
                .map(|reader| reader.counts())
                .transpose()?)
        })?
        .with_context(|| format!("reading {}", settings.paths.spool.display()))?
    } else {
        None
    };
    let (delivery, blocked) = if settings.paths.delivery.exists() {
        as_owner_of(&settings.paths.delivery, || -> Result<_> {
            Ok(
                match uploader::delivery::Reader::open(&settings.paths.delivery)? {
                    Some(reader) => (Some(reader.summary(at)?), reader.blocked(BLOCKED_LISTED)?),
                    None => (None, Vec::new()),
                },
            )
        })?
        .with_context(|| format!("reading {}", settings.paths.delivery.display()))?
    } else {
        (None, Vec::new())
    };
    let pending = delivery.as_ref().map_or(0, |d| {
        d.destinations
            .iter()
            .map(|d| d.counts.pending + d.counts.uploaded)
            .sum()
    });
    Ok(Status {
        at,
        spool,
        waiting_drops: count(&settings.paths.drop, |name| {
            !name.starts_with('.') || name.starts_with(".taken-")
        }),
        in_quarantine: count(&settings.paths.quarantine, |name| {
            name.ends_with(".reason.json")
        }),
        pending,
        delivery,
        blocked,
        warnings: settings.warnings.clone(),
    })
}

/// `None` when the folder cannot be listed: a folder that is hidden is not an empty one.
fn count(folder: &Path, is_counted: impl Fn(&str) -> bool) -> Option<usize> {
    match fs::read_dir(folder) {
        Ok(entries) => Some(
            entries
                .flatten()
                .filter(|e| is_counted(&e.file_name().to_string_lossy()))
                .count(),
        ),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Some(0),
        Err(_) => None,
    }
}

fn print(status: &Status) {
    match &status.spool {
        None => println!("agent      has not run yet"),
        Some(spool) => {
            println!(
                "sealed     {} bundles ({} incidents), the newest at {}",
                spool.sealed_bundles,
                spool.sealed_incidents,
                spool.last_sealed_at.as_deref().unwrap_or("never")
            );
            println!(
                "confirmed  {} bundles, receipts applied{}",
                spool.confirmed_bundles,
                spool
                    .oldest_unconfirmed_at
                    .as_ref()
                    .map(|at| format!("; the oldest unconfirmed was sealed at {at}"))
                    .unwrap_or_default()
            );
            println!(
                "duplicates {}   quarantined so far {}",
                spool.duplicates, spool.quarantined
            );
        }
    }
    let known = |count: Option<usize>| {
        count.map_or_else(|| "(not allowed to look)".to_owned(), |n| n.to_string())
    };
    println!(
        "waiting    {} drops; {} in quarantine now",
        known(status.waiting_drops),
        known(status.in_quarantine)
    );
    match &status.delivery {
        None => println!("uploader   has not run yet"),
        Some(delivery) => {
            println!(
                "uploader   {}",
                plain(&uploader::status::line(delivery, status.at))
            );
            for destination in &delivery.destinations {
                println!(
                    "  {} at {}",
                    destination.destination_id,
                    plain(&destination.uri)
                );
                if let Some(at) = destination.last_confirmed_at {
                    println!("    last confirmed {at}");
                }
                for upload in &destination.uploads {
                    println!(
                        "    uploading      {} of {} bytes of {}",
                        upload.sent_bytes,
                        upload.size_bytes,
                        plain(&upload.path)
                    );
                }
                if let Some(error) = &destination.last_error {
                    println!(
                        "    last error     {} {}: {}",
                        error.at,
                        error.code,
                        plain(&error.message)
                    );
                }
            }
        }
    }
    for item in &status.blocked {
        println!(
            "BLOCKED    {} at {}: {} ({})",
            item.bundle_id, item.destination_id, item.reason, item.hint
        );
    }
    for warning in &status.warnings {
        println!("warning    {warning}");
    }
}
