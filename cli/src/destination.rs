//! `destination list | retire | backfill`: where evidence goes, over the years.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context as _, Result};
use evidence::bundle::Ended;
use evidence::handover::Action;
use host::config::Settings;
use host::exit::ExitCode;
use host::owner::as_owner_of;
use jiff::Timestamp;
use serde::Serialize;
use uploader::delivery::{Counts, Reader};

use crate::arguments::{DestinationCommand, RetireOptions, StatusOptions};
use crate::asking::ask;
use crate::output::{self, Misuse, agreed, plain};
use crate::status::spool_reader;

/// The documented form of one entry of `destination list --json`.
#[derive(Serialize)]
struct Destination {
    destination_id: String,
    uri: String,
    /// Whether the configuration has it, at this place.
    configured: bool,
    /// `ok`, `open`, `parked` or `retired`; `new` before the uploader has met it.
    state: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    retired: Option<Ended>,
    counts: Counts,
    #[serde(skip_serializing_if = "Option::is_none")]
    oldest_pending_at: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_probe_at: Option<Timestamp>,
}

pub(crate) fn run(command: &DestinationCommand, config: &Path) -> Result<ExitCode> {
    let settings = output::settings(config)?;
    match command {
        DestinationCommand::List(options) => list(&settings, options),
        DestinationCommand::Retire(options) => retire(&settings, options),
        DestinationCommand::Backfill(options) => {
            let since = options
                .since
                .as_ref()
                .map(|text| {
                    text.parse()
                        .map_err(|_| Misuse(format!("{text:?} is no date such as 2026-11-21")))
                })
                .transpose()?;
            let action = Action::Backfill {
                destination_id: options.destination.clone(),
                since,
            };
            ask(&settings, action, options.json)
        }
    }
}

fn retire(settings: &Settings, options: &RetireOptions) -> Result<ExitCode> {
    let id = &options.destination;
    eprintln!(
        "This retires {} for ever: what is not confirmed there is no longer uploaded or waited \
         for, and the id can never be used again. What is locked there stays locked.",
        plain(id)
    );
    if !options.yes && !agreed()? {
        eprintln!("msp-evidence: not agreed, so nothing was changed");
        return Ok(ExitCode::Usage);
    }
    let action = Action::Retire {
        destination_id: id.clone(),
        reason: options.reason.clone(),
    };
    ask(settings, action, options.json)
}

fn list(settings: &Settings, options: &StatusOptions) -> Result<ExitCode> {
    let destinations = look(settings)?;
    if options.json {
        output::json(&destinations)?;
        return Ok(ExitCode::Ok);
    }
    for d in &destinations {
        let not = if d.configured { "" } else { "  not configured" };
        println!(
            "{}  {}  {}{not}",
            plain(&d.destination_id),
            plain(&d.uri),
            d.state
        );
        if let Some(retired) = &d.retired {
            println!("  retired    {}: {}", retired.at, plain(&retired.reason));
        } else if let Some(reason) = &d.reason {
            println!("  reason     {}", plain(reason));
        }
        let c = &d.counts;
        println!(
            "  objects    {} confirmed, {} pending, {} blocked, {} given up",
            c.confirmed,
            c.pending + c.uploaded,
            c.blocked,
            c.retired
        );
        if let Some(at) = d.oldest_pending_at {
            println!("  oldest     pending since {at}");
        }
        if let Some(at) = d.next_probe_at {
            println!("  next look  {at}");
        }
    }
    Ok(ExitCode::Ok)
}

/// The configuration, what the agent knows, and what the uploader knows, by id and place.
fn look(settings: &Settings) -> Result<Vec<Destination>> {
    let mut found = BTreeMap::new();
    let fresh = |id: &str, uri: &str, configured| Destination {
        destination_id: id.to_owned(),
        uri: uri.to_owned(),
        configured,
        state: "new".to_owned(),
        reason: None,
        retired: None,
        counts: Counts::default(),
        oldest_pending_at: None,
        next_probe_at: None,
    };
    for d in &settings.destinations {
        let uri = d.uri();
        let entry = fresh(&d.destination_id, &uri, true);
        found.insert((d.destination_id.clone(), uri), entry);
    }
    let folder = &settings.paths.spool;
    if folder.exists() {
        let known = as_owner_of(folder, || -> Result<_> {
            Ok(match spool_reader(settings)? {
                Some(reader) => reader.destinations()?,
                None => Vec::new(),
            })
        })?
        .with_context(|| format!("reading {}", folder.display()))?;
        for (id, uri, retired) in known {
            let entry = found
                .entry((id.clone(), uri.clone()))
                .or_insert_with(|| fresh(&id, &uri, false));
            if retired.is_some() {
                entry.state = "retired".to_owned();
            }
            entry.retired = retired;
        }
    }
    let folder = &settings.paths.delivery;
    if folder.exists() {
        let summary = as_owner_of(folder, || -> Result<_> {
            Ok(Reader::open(folder)?
                .map(|reader| reader.summary(Timestamp::now()))
                .transpose()?)
        })?
        .with_context(|| format!("reading {}", folder.display()))?;
        for d in summary.into_iter().flat_map(|s| s.destinations) {
            let entry = found
                .entry((d.destination_id.clone(), d.uri.clone()))
                .or_insert_with(|| fresh(&d.destination_id, &d.uri, false));
            if entry.retired.is_none() {
                entry.state = d.state.to_owned();
                entry.reason = d.reason;
                entry.next_probe_at = d.next_probe_at;
            }
            entry.counts = d.counts;
            entry.oldest_pending_at = d.oldest_pending_at;
        }
    }
    Ok(found.into_values().collect())
}
