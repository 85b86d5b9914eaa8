//! `fsck`: one look at a host, and what the services would put right, put right.

use std::io::{IsTerminal as _, Write as _};
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, Result, anyhow};
use destination::S3Destination;
use evidence::keys::HostKeys;
use fsck::{Level, Look, Part, Rebuilt, Report};
use host::config::Settings;
use host::exit::ExitCode;
use host::instance::is_running;
use host::owner::as_owner_of;
use jiff::Timestamp;
use serde::Serialize;

use crate::arguments::FsckOptions;
use crate::credential;
use crate::output::{self, Misuse, plain};

/// The documented form of `fsck --json`.
#[derive(Serialize)]
struct Output<'a> {
    at: Timestamp,
    /// `consistent`, `repairable`, `could_not_check` or `damaged`: the worst of what was found.
    result: &'static str,
    /// Files that --repair wrote or removed.
    repaired_files: usize,
    /// What --rebuild did.
    #[serde(skip_serializing_if = "Option::is_none")]
    rebuilt: Option<&'a Rebuilt>,
    damaged: usize,
    could_not_check: usize,
    repairable: usize,
    notes: usize,
    #[serde(flatten)]
    report: &'a Report,
}

pub(crate) fn run(options: &FsckOptions, config: &Path) -> Result<ExitCode> {
    let settings = output::settings(config)?;
    let keys = host::signing_keys::public_keys(&settings.signing)?;
    let rebuilt = if options.rebuild {
        match rebuild(&settings, &keys, options)? {
            Some(rebuilt) => Some(rebuilt),
            None => return Ok(ExitCode::Usage),
        }
    } else {
        None
    };
    // After a rebuild its orders are still to be published.
    let repaired = if options.repair || options.rebuild {
        repair(&settings, &keys)?
    } else {
        0
    };
    let now = Timestamp::now();
    let mut look = Look::open(&settings, &keys, now)?;
    let mut report = look.check();
    if options.bucket {
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?
            .block_on(ask_buckets(&settings, &look, &mut report))?;
    }
    if options.json {
        output::json(&Output {
            at: now,
            result: result(&report),
            repaired_files: repaired,
            rebuilt: rebuilt.as_ref(),
            damaged: report.count(Level::Damaged),
            could_not_check: report.count(Level::CouldNotCheck),
            repairable: report.count(Level::Repairable),
            notes: report.count(Level::Note),
            report: &report,
        })?;
    } else {
        if let Some(rebuilt) = &rebuilt {
            print_rebuilt(rebuilt);
        }
        print(&report, repaired, options);
    }
    Ok(code(&report))
}

async fn ask_buckets(settings: &Settings, look: &Look<'_>, report: &mut Report) -> Result<()> {
    let shows_progress = std::io::stderr().is_terminal();
    let handed = credential::of_uploader()?;
    for destination in &settings.destinations {
        let mut options = uploader::store_options(destination, settings)?;
        credential::lend(&mut options, handed.as_ref());
        let store = S3Destination::connect(options).await;
        fsck::check_bucket(
            look,
            &destination.destination_id,
            &destination.prefix,
            Arc::new(store),
            report,
            |objects| {
                if shows_progress {
                    eprint!(
                        "\rasked {} about {objects} objects",
                        destination.destination_id
                    );
                    // Progress that cannot be shown is no fault.
                    let _ = std::io::stderr().flush();
                }
            },
        )
        .await;
        if shows_progress {
            eprintln!();
        }
    }
    Ok(())
}

/// Only while both services are stopped, so that nobody else writes.
fn repair(settings: &Settings, keys: &HostKeys) -> Result<usize> {
    let paths = &settings.paths;
    refuse_while_running(settings)?;
    let mut repaired = 0;
    if paths.spool.join("spool.db").exists() {
        repaired += as_owner_of(&paths.spool, || agent::repair(settings, keys))?
            .map_err(|error| anyhow!(error))
            .context("repairing from the spool")?;
    }
    let mut look = Look::open(settings, keys, Timestamp::now())?;
    let is_damaged = look
        .check()
        .findings
        .iter()
        .any(|f| f.part == Part::Delivery && f.level >= Level::Repairable);
    drop(look);
    if is_damaged {
        let aside = as_owner_of(&paths.delivery, || {
            uploader::delivery::set_aside(&paths.delivery, Timestamp::now())
        })?
        .context("setting delivery.db aside")?;
        eprintln!(
            "delivery.db is now {}; the uploader makes a new one and looks at everything again",
            aside.display()
        );
        repaired += 1;
    }
    Ok(repaired)
}

/// `None` when the operator does not agree.
fn rebuild(settings: &Settings, keys: &HostKeys, options: &FsckOptions) -> Result<Option<Rebuilt>> {
    refuse_while_running(settings)?;
    if !options.yes {
        eprintln!(
            "A new {} is made from the signed bundles in {}{}. The old one is kept beside it.",
            settings.paths.spool.join("spool.db").display(),
            settings.paths.evidence.display(),
            if options.without_buckets {
                " alone: what only the buckets have will count as lost"
            } else {
                " and the buckets"
            }
        );
        if !output::agreed()? {
            return Ok(None);
        }
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let handed = credential::of_uploader()?;
    let rebuilt = runtime.block_on(async {
        let mut places = Vec::new();
        for destination in &settings.destinations {
            if !options.without_buckets {
                let mut options = uploader::store_options(destination, settings)?;
                credential::lend(&mut options, handed.as_ref());
                let store = Arc::new(S3Destination::connect(options).await);
                places.push((destination.prefix.clone(), store));
            }
        }
        anyhow::Ok(fsck::rebuild(settings, keys, &places, Timestamp::now()).await?)
    })?;
    Ok(Some(rebuilt))
}

fn print_rebuilt(rebuilt: &Rebuilt) {
    println!(
        "rebuilt    {} bundles in {} chains; {} bundles and {} artifacts came from a bucket",
        rebuilt.bundles, rebuilt.chains, rebuilt.fetched_bundles, rebuilt.fetched_artifacts
    );
    for range in &rebuilt.missing {
        println!(
            "LOST       {} to {} of chain {}: found nowhere; the next bundle says so",
            range.from_sequence, range.to_sequence, range.chain_id
        );
    }
    for artifact in &rebuilt.missing_artifacts {
        println!("LOST       artifact {}", plain(artifact));
    }
    for bundle in &rebuilt.left_out {
        println!(
            "note       {} stays in the folder only: its name or place is taken",
            plain(bundle)
        );
    }
    for path in &rebuilt.set_aside {
        println!("kept       {}", path.display());
    }
}

/// Wrong usage while a service runs.
pub(crate) fn refuse_while_running(settings: &Settings) -> Result<()> {
    let paths = &settings.paths;
    for (lock, service) in [
        (
            paths.spool.join(host::instance::AGENT_LOCK),
            "msp-evidence-agent",
        ),
        (
            paths.delivery.join(host::instance::UPLOADER_LOCK),
            "msp-evidence-uploader",
        ),
    ] {
        if is_running(&lock) {
            return Err(Misuse(format!(
                "{service} runs: stop it first (it repairs the same by itself when it starts)"
            ))
            .into());
        }
    }
    Ok(())
}

fn result(report: &Report) -> &'static str {
    match report.worst() {
        None | Some(Level::Note) => "consistent",
        Some(Level::Repairable) => "repairable",
        Some(Level::CouldNotCheck) => "could_not_check",
        Some(Level::Damaged) => "damaged",
    }
}

fn code(report: &Report) -> ExitCode {
    match report.worst() {
        None | Some(Level::Note) => ExitCode::Ok,
        Some(Level::CouldNotCheck) => ExitCode::CouldNotCheck,
        Some(Level::Repairable | Level::Damaged) => ExitCode::EvidenceBad,
    }
}

fn print(report: &Report, repaired: usize, options: &FsckOptions) {
    if options.repair {
        println!("repaired   {repaired} files");
    }
    println!(
        "looked at  {} bundles in {} chains, {} open orders, {} confirmations, {} deliveries",
        report.bundles, report.chains, report.open_orders, report.confirmations, report.deliveries
    );
    if options.bucket {
        println!("asked for  {} stored objects", report.stored_objects);
    }
    let mut findings: Vec<_> = report.findings.iter().collect();
    findings.sort_by_key(|f| std::cmp::Reverse(f.level));
    for finding in findings {
        let level = match finding.level {
            Level::Note => "note       ",
            Level::Repairable => "repairable ",
            Level::CouldNotCheck => "unknown    ",
            Level::Damaged => "DAMAGED    ",
        };
        println!(
            "{level}{} {}: {}: {}",
            finding.part.as_str(),
            finding.code,
            plain(&finding.item),
            plain(&finding.message)
        );
        if finding.level > Level::Note {
            println!("           {}", finding.remedy);
        }
    }
    println!(
        "{}: {} damaged, {} could not be checked, {} repairable, {} notes",
        result(report),
        report.count(Level::Damaged),
        report.count(Level::CouldNotCheck),
        report.count(Level::Repairable),
        report.count(Level::Note)
    );
}
