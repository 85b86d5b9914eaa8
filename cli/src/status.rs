//! `status`: both databases read beside the daemons or without them, each as its owner, so that
//! nothing of ours is left behind that a daemon could not use.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Result;
use host::config::Settings;
use host::exit::ExitCode;
use host::instance::{AGENT_LOCK, UPLOADER_LOCK};
use host::owner::as_owner_of;
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use spool::reader::Counts as SpoolCounts;
use spool::{CustodyState, SpoolError};
use uploader::delivery::{BlockedItem, Summary};

use crate::arguments::WatchOptions;
use crate::output::{self, plain};

mod watch;

/// So many blocked items are listed; `blocked list` has them all.
const BLOCKED_LISTED: usize = 100;
/// The code of the alarm that something could not be read; the rest is shown all the same.
const UNREADABLE: &str = "unreadable";

/// The documented form of `status --json`.
#[derive(Serialize)]
struct Status {
    at: Timestamp,
    /// What the agent has; absent before its first start.
    spool: Option<SpoolCounts>,
    /// Incidents that were sealed with a finding, by its code; absent before the agent's first start.
    findings: Option<BTreeMap<String, u64>>,
    /// The signed statements of custody; absent before the agent's first start.
    custody: Option<CustodyStatus>,
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
    /// What a daemon cannot do just now, and what is seen of the disks.
    alarms: Vec<Told>,
    /// What an operator should know of the configuration.
    warnings: Vec<String>,
}

/// What custody has come to.
#[derive(Serialize)]
struct CustodyStatus {
    #[serde(flatten)]
    state: CustodyState,
    /// When the next one is due at the latest; absent on a host that has sealed nothing yet.
    next_due_at: Option<Timestamp>,
}

/// An alarm, and whose it is.
#[derive(Serialize)]
struct Told {
    /// `agent` or `uploader`, as that daemon last said; `status` when this command sees it.
    by: &'static str,
    /// Since when; absent when `status` sees it.
    #[serde(skip_serializing_if = "Option::is_none")]
    since: Option<Timestamp>,
    /// `stalled`, `left`, `custody`, `not_watching`, `start_failed`, `reload_refused`, `failing` (agent); `database`, `outbox`,
    /// `receipts`, `not_watching`, `start_failed`, `reload_refused`, `failing` (uploader); `no_room`, `read_only`, `unreadable`
    /// (status).
    code: String,
    /// In words.
    message: String,
}

impl Told {
    fn seen(code: &str, message: String) -> Self {
        Self {
            by: "status",
            since: None,
            code: code.to_owned(),
            message,
        }
    }
}

pub(crate) fn run(options: &WatchOptions, config: &Path) -> Result<ExitCode> {
    let settings = output::settings(config)?;
    if options.watch {
        return watch::run(&settings, options.json);
    }
    let status = look(&settings)?;
    if options.json {
        output::json(&status)?;
    } else {
        print(&status);
    }
    if status.alarms.iter().any(|a| a.code == UNREADABLE) {
        return Ok(ExitCode::CouldNotCheck);
    }
    Ok(ExitCode::Ok)
}

/// The spool's counts; `None` before the agent's first start.
pub(crate) fn spool_reader(settings: &Settings) -> Result<Option<spool::reader::Reader>> {
    let path = settings.paths.spool.join("spool.db");
    if !path.exists() {
        return Ok(None);
    }
    match spool::reader::Reader::open(&path) {
        // The agent is about to make it, for the first time.
        Err(SpoolError::Older { found: 0, .. }) => Ok(None),
        opened => Ok(Some(opened?)),
    }
}

fn look(settings: &Settings) -> Result<Status> {
    let at = Timestamp::now();
    let paths = &settings.paths;
    let mut alarms = told("agent", &paths.spool.join(AGENT_LOCK));
    alarms.extend(told("uploader", &paths.delivery.join(UPLOADER_LOCK)));
    alarms.extend(["agent", "uploader"].into_iter().filter_map(failing));
    alarms.extend(disks(settings));
    let interval = settings.agent.custody_interval_secs;
    let interval = SignedDuration::from_secs(i64::try_from(interval).unwrap_or(i64::MAX));
    let seen = read(&paths.spool, &mut alarms, || -> Result<_> {
        let Some(reader) = spool_reader(settings)? else {
            return Ok(None);
        };
        let without_since = reader.without_custody_since()?;
        let custody = CustodyStatus {
            state: reader.custody_state()?,
            next_due_at: without_since.and_then(|since| since.checked_add(interval).ok()),
        };
        Ok(Some((reader.counts()?, custody, reader.findings()?)))
    });
    let (spool, custody, findings) = match seen {
        Some((spool, custody, findings)) => (Some(spool), Some(custody), Some(findings)),
        None => (None, None, None),
    };
    let delivered = read(&paths.delivery, &mut alarms, || -> Result<_> {
        Ok(match uploader::delivery::Reader::open(&paths.delivery)? {
            Some(reader) => Some((reader.summary(at)?, reader.blocked(BLOCKED_LISTED)?)),
            None => None,
        })
    });
    let (delivery, blocked) = delivered.unzip();
    let pending = delivery.as_ref().map_or(0, |d| {
        d.destinations
            .iter()
            .map(|d| d.counts.pending + d.counts.uploaded)
            .sum()
    });
    Ok(Status {
        at,
        spool,
        findings,
        custody,
        waiting_drops: host::waiting::drops(&settings.paths.drop),
        in_quarantine: host::waiting::in_quarantine(&settings.paths.quarantine),
        pending,
        delivery,
        blocked: blocked.unwrap_or_default(),
        alarms,
        warnings: settings.warnings.clone(),
    })
}

/// What a daemon keeps in `folder`, read as its owner; when it cannot be read, that is an alarm.
fn read<T>(
    folder: &Path,
    alarms: &mut Vec<Told>,
    work: impl FnOnce() -> Result<Option<T>>,
) -> Option<T> {
    if !folder.exists() {
        return None;
    }
    let result = as_owner_of(folder, work)
        .map_err(anyhow::Error::from)
        .and_then(|result| result);
    result.unwrap_or_else(|error| {
        let message = format!("{} cannot be read: {error:#}", folder.display());
        alarms.push(Told::seen(UNREADABLE, message));
        None
    })
}

/// What the daemon with this lock file said last.
fn told(by: &'static str, lock: &Path) -> Vec<Told> {
    match host::alarm::alarms(lock) {
        Ok(alarms) => alarms
            .into_iter()
            .map(|alarm| Told {
                by,
                since: Some(alarm.since),
                code: alarm.code,
                message: alarm.message,
            })
            .collect(),
        Err(error) => vec![Told::seen(
            UNREADABLE,
            format!("{} cannot be read: {error}", lock.display()),
        )],
    }
}

/// The row of failures that a service is in, as its unit's alarm noted it.
fn failing(by: &'static str) -> Option<Told> {
    let unit = format!("msp-evidence-{by}");
    match host::failure::standing(&host::failure::folder_of(&unit)) {
        Ok(failure) => failure.map(|failure| Told {
            by,
            since: Some(failure.first_at),
            code: "failing".to_owned(),
            message: failure.words(&unit),
        }),
        Err(error) => Some(Told::seen(
            UNREADABLE,
            format!("whether {unit} failed cannot be read: {error}"),
        )),
    }
}

/// Disks without room, or read only. A daemon cannot tell of the latter.
fn disks(settings: &Settings) -> Vec<Told> {
    let paths = &settings.paths;
    let least_bytes = settings.agent.min_free_bytes;
    let mut alarms = Vec::new();
    for folder in [
        &paths.drop,
        &paths.spool,
        &paths.evidence,
        &paths.outbox,
        &paths.receipts,
        &paths.delivery,
        &paths.quarantine,
    ] {
        let Ok(disk) = host::disk::space(folder) else {
            continue;
        };
        if disk.is_read_only {
            let message = format!("{} is on a file system that is read only", folder.display());
            alarms.push(Told::seen("read_only", message));
        }
        let free_bytes = disk.free_bytes;
        if free_bytes < least_bytes {
            let message = format!(
                "{free_bytes} bytes are free below {}, less than agent.min_free_bytes = \
                 {least_bytes}",
                folder.display()
            );
            alarms.push(Told::seen("no_room", message));
        }
    }
    alarms
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
    for (code, incidents) in status.findings.iter().flatten() {
        println!(
            "finding    {incidents} incidents sealed with {}: {}",
            plain(code),
            evidence::findings::code::meaning(code)
        );
    }
    if let Some(custody) = &status.custody {
        let at = |time: Option<Timestamp>| time.map_or_else(|| "-".to_owned(), |t| t.to_string());
        println!(
            "custody    {} at {}; the next is due at {}; {} confirmations wait to be named",
            custody
                .state
                .last_bundle_id
                .as_deref()
                .unwrap_or("none yet"),
            at(custody.state.last_sealed_at),
            at(custody.next_due_at),
            custody.state.unattested_confirmations
        );
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
    for alarm in &status.alarms {
        let since = alarm.since.map(|at| format!(" since {at}"));
        println!(
            "ALARM      {}{}: {}: {}",
            alarm.by,
            since.unwrap_or_default(),
            plain(&alarm.code),
            plain(&alarm.message)
        );
    }
    for warning in &status.warnings {
        println!("warning    {warning}");
    }
}
