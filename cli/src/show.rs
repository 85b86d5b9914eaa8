//! `show`: one bundle, with its storage locations completed from the receipts.

use std::path::Path;

use anyhow::{Context as _, Result};
use evidence::bundle::{BundleId, LocationState};
use host::config::Settings;
use host::exit::ExitCode;
use host::owner::as_owner_of;
use serde_json::Value;
use uploader::delivery::{Reader, UploadInProgress};

use crate::arguments::ShowOptions;
use crate::output::{self, Misuse, plain};
use crate::status::spool_reader;

pub(crate) fn run(options: &ShowOptions, config: &Path) -> Result<ExitCode> {
    let settings = output::settings(config)?;
    let id: BundleId = options
        .bundle_id
        .parse()
        .map_err(|e| Misuse(format!("{:?} is {e}", options.bundle_id)))?;
    let folder = &settings.paths.spool;
    let found = as_owner_of(folder, || -> Result<_> {
        let reader = spool_reader(&settings)?.context("the agent has not run yet")?;
        let Some((bundle, locations)) = reader.located_bundle(&id.to_string())? else {
            return Ok(None);
        };
        let pruned_at = reader.pruned_at(bundle.bundle_rowid)?;
        Ok(Some((bundle, locations, pruned_at)))
    })?
    .with_context(|| format!("reading {}", folder.display()))?;
    let Some((bundle, locations, pruned_at)) = found else {
        eprintln!("msp-evidence: the spool has no bundle {id}");
        return Ok(ExitCode::CouldNotCheck);
    };
    let mut document: Value = serde_json::from_slice(&bundle.bytes)?;
    document["storage_locations"] = serde_json::to_value(&locations.storage_locations)?;
    if let Some(by) = &locations.resealed_by {
        // Beside the signed fields, like the completed locations.
        document["resealed_by"] = by.clone().into();
    }
    if let Some(at) = pruned_at {
        document["pruned_at"] = at.to_string().into();
    }
    if options.json {
        output::json(&document)?;
        return Ok(ExitCode::Ok);
    }
    let text = |pointer: &str| {
        plain(
            document
                .pointer(pointer)
                .and_then(Value::as_str)
                .unwrap_or("-"),
        )
    };
    println!(
        "bundle     {id}  ({} of chain {})",
        bundle.sequence,
        text("/chain/chain_id")
    );
    let file = settings.paths.evidence.join(&bundle.path);
    match pruned_at {
        None => println!("file       {}", file.display()),
        Some(at) => {
            println!("file       removed from this host on {at}, since it is stored as below")
        }
    }
    println!("sha256     {}", bundle.sha256);
    if text("/kind") == "incident" {
        println!("noticed    {}", text("/incident/detected_at"));
        println!("treated    until {}", text("/execution/timestamp_end"));
    }
    println!(
        "sealed at  {}, clock by {}{}",
        text("/generated_at"),
        text("/time/source"),
        clock_words(&document["time"])
    );
    match text("/kind").as_str() {
        "incident" => {
            println!(
                "incident   {}  {}  {}",
                text("/incident/incident_id"),
                text("/incident/event_type"),
                text("/incident/severity")
            );
            println!("outcome    {}", text("/outputs/resolution_status"));
        }
        "custody" => print_custody(&document["custody"]),
        "rotation" => {
            println!("rotation   from {}", text("/rotation/from_key_id"));
            println!("           to   {}", text("/rotation/to_key_id"));
            println!(
                "           by {}: {}",
                text("/rotation/by"),
                text("/rotation/reason")
            );
        }
        other => println!("kind       {other}"),
    }
    if let Some(earlier) = document
        .pointer("/reseals/bundle_id")
        .and_then(Value::as_str)
    {
        println!("reseals    {}", plain(earlier));
    }
    if let Some(by) = &locations.resealed_by {
        println!("resealed   as {}; both are kept", plain(by));
    }
    for file in document["artifacts"]["files"]
        .as_array()
        .into_iter()
        .flatten()
    {
        println!(
            "artifact   {}  {} bytes  sha256 {}",
            plain(file["name"].as_str().unwrap_or("-")),
            file["size_bytes"],
            plain(file["sha256"].as_str().unwrap_or("-"))
        );
    }
    for finding in document["findings"].as_array().into_iter().flatten() {
        let part = |name: &str| plain(finding[name].as_str().unwrap_or("-"));
        println!(
            "finding    {}  {}  {}",
            part("code"),
            part("path"),
            part("message")
        );
    }
    let uploads = uploads(&settings, &id.to_string());
    for location in &locations.storage_locations {
        println!(
            "location   {}  {}",
            location.destination_id,
            plain(&location.uri)
        );
        match (location.state, location.retain_until) {
            (LocationState::Confirmed, Some(until)) => println!(
                "           confirmed, version {}, {} until {until}",
                plain(location.version_id.as_deref().unwrap_or("-")),
                location.object_lock_mode
            ),
            (LocationState::Retired, _) => println!(
                "           retired; {} of {} objects were confirmed",
                location.objects.len(),
                bundle.object_count
            ),
            _ => println!(
                "           planned, {} for {} days; {} of {} objects confirmed",
                location.object_lock_mode,
                location.retention_days,
                location.objects.len(),
                bundle.object_count
            ),
        }
        for (_, upload) in uploads
            .iter()
            .filter(|(destination_id, _)| *destination_id == location.destination_id)
        {
            println!(
                "           uploading {} of {} bytes of {}",
                upload.sent_bytes,
                upload.size_bytes,
                plain(&upload.path)
            );
        }
        if let Some(at) = location
            .objects
            .iter()
            .map(|object| object.server_date)
            .max()
        {
            println!("           received by {at}, by the store's clock");
        }
        if location.backfilled {
            println!("           added later, and backfilled");
        }
        if let Some(retired) = &location.retired {
            println!(
                "           ended {}: {}",
                retired.at,
                plain(&retired.reason)
            );
        }
    }
    Ok(ExitCode::Ok)
}

/// What the header says of the clock.
fn clock_words(time: &Value) -> String {
    let synchronised = match time["synchronised"].as_bool() {
        Some(true) => ", synchronised",
        Some(false) => ", NOT SYNCHRONISED",
        None => "",
    };
    match time["estimated_error_ms"].as_f64() {
        Some(ms) => format!("{synchronised}, at most {ms:.0} ms off"),
        None => synchronised.to_owned(),
    }
}

fn print_custody(custody: &Value) {
    let number = |pointer| custody.pointer(pointer).and_then(Value::as_u64);
    let covers = match (
        number("/covers/from_sequence"),
        number("/covers/to_sequence"),
    ) {
        (Some(from), Some(to)) => format!("covers {from} to {to}"),
        _ => "covers nothing, as the first of its chain".to_owned(),
    };
    println!(
        "custody    because {}; {covers}",
        plain(custody["because"].as_str().unwrap_or("-"))
    );
    let count = |list: &str| custody[list].as_array().map_or(0, Vec::len);
    println!(
        "names      {} sealed, {} confirmed objects, {} quarantined, {} duplicates, {} jumps of the \
         clock",
        count("sealed"),
        count("confirmed"),
        count("quarantined"),
        count("duplicates"),
        count("clock_events")
    );
}

/// What is on its way in parts. The uploader's database may be out of this caller's reach, and what
/// the bundle is does not depend on it.
fn uploads(settings: &Settings, bundle_id: &str) -> Vec<(String, UploadInProgress)> {
    let folder = &settings.paths.delivery;
    if !folder.exists() {
        return Vec::new();
    }
    as_owner_of(folder, || -> Result<_> {
        Ok(match Reader::open(folder)? {
            Some(reader) => reader.uploads_of(bundle_id)?,
            None => Vec::new(),
        })
    })
    .ok()
    .and_then(Result::ok)
    .unwrap_or_default()
}
