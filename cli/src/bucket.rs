//! `bucket check`: the uploader's preflight, printed.

use std::path::Path;

use anyhow::Result;
use destination::{Destination as _, Failure, Preflight, S3Destination, S3Options};
use host::config::{DestinationSettings, Settings};
use host::exit::ExitCode;
use serde_json::{Value, json};

use crate::arguments::{BucketCheckOptions, BucketCommand};
use crate::output::{self, Misuse, plain};
use crate::{conformance, create, credential};

/// A clock so far from the store's makes signatures fail (S3 allows 15 minutes).
const OFFSET_WARNED_MS: i64 = 60_000;

pub(crate) fn run(command: &BucketCommand, config: &Path) -> Result<ExitCode> {
    let options = match command {
        BucketCommand::Check(options) => options,
        BucketCommand::Conformance(options) => return conformance::run(options, config),
        BucketCommand::Create(options) => return create::run(options, config),
    };
    let settings = output::settings(config)?;
    let chosen: Vec<_> = settings
        .destinations
        .iter()
        .filter(|d| {
            options
                .destination
                .as_ref()
                .is_none_or(|id| *id == d.destination_id)
        })
        .collect();
    if chosen.is_empty() {
        let id = options.destination.as_deref().unwrap_or_default();
        return Err(Misuse(format!("no destination {id:?} is configured")).into());
    }
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?
        .block_on(check_all(&settings, &chosen, options))
}

async fn check_all(
    settings: &Settings,
    chosen: &[&DestinationSettings],
    options: &BucketCheckOptions,
) -> Result<ExitCode> {
    let handed = credential::of_uploader()?;
    let mut worst = ExitCode::Ok;
    let mut reports = Vec::new();
    for destination in chosen {
        let mut store = uploader::store_options(destination, settings)?;
        credential::lend(&mut store, handed.as_ref());
        let result = look(store).await;
        let (report, code) = match result {
            Ok(preflight) => judge(destination, &preflight),
            Err(failure) => (
                json!({"destination_id": destination.destination_id, "uri": destination.uri(),
                       "result": "could_not_check", "error": failure.to_string()}),
                ExitCode::CouldNotCheck,
            ),
        };
        if !options.json {
            print(&report);
        }
        reports.push(report);
        if worst == ExitCode::Ok || code == ExitCode::EvidenceBad {
            worst = code;
        }
    }
    if options.json {
        output::json(&reports)?;
    }
    Ok(worst)
}

/// The uploader's preflight.
pub(crate) async fn look(store: S3Options) -> Result<Preflight, Failure> {
    let store = S3Destination::connect(store).await;
    // The SDK learns a skewed clock from the first refusal.
    match store.preflight().await {
        Err(failure) if failure.class == destination::Class::Clock => store.preflight().await,
        other => other,
    }
}

fn judge(destination: &DestinationSettings, found: &Preflight) -> (Value, ExitCode) {
    let objection = found.objection();
    let code = match (&objection, found.unknown.is_empty()) {
        (Some(_), _) => ExitCode::EvidenceBad,
        (None, false) => ExitCode::CouldNotCheck,
        (None, true) => ExitCode::Ok,
    };
    let result = match code {
        ExitCode::Ok => "ok",
        ExitCode::EvidenceBad => "bad",
        _ => "could_not_check",
    };
    let skewed = found.clock_offset_ms.abs() > OFFSET_WARNED_MS;
    let report = json!({
        "destination_id": destination.destination_id,
        "uri": destination.uri(),
        "result": result,
        "versioning": found.versioning,
        "object_lock": found.object_lock,
        "default_rule": found.default_rule,
        "clock_offset_ms": found.clock_offset_ms,
        "clock_is_skewed": skewed,
        "could_not_ask": found.unknown,
        "remedy": objection,
    });
    (report, code)
}

fn print(report: &Value) {
    let text = |name: &str| match &report[name] {
        Value::String(text) => plain(text),
        Value::Null => "unknown".to_owned(),
        other => other.to_string(),
    };
    println!(
        "{}  {}  {}",
        text("destination_id"),
        text("uri"),
        text("result")
    );
    if !report["error"].is_null() {
        println!("  {}", text("error"));
        return;
    }
    println!("  versioning    {}", text("versioning"));
    println!("  object lock   {}", text("object_lock"));
    let rule = if report["default_rule"].is_null() {
        "none".to_owned()
    } else {
        text("default_rule")
    };
    println!("  default rule  {rule}");
    println!("  clock offset  {} ms", text("clock_offset_ms"));
    if report["clock_is_skewed"] == true {
        println!(
            "  remedy        set this host's clock: the store refuses requests that are 15 minutes off"
        );
    }
    for unknown in report["could_not_ask"].as_array().into_iter().flatten() {
        println!(
            "  not allowed   {}",
            plain(unknown.as_str().unwrap_or_default())
        );
    }
    if !report["remedy"].is_null() {
        println!("  remedy        {}", text("remedy"));
    }
}
