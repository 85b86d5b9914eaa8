//! `bucket conformance`: the suite that every store must pass, run on an operator's own.
//!
//! It locks what it stores, so nothing is sent before it was said and agreed to.

use std::path::Path;

use anyhow::Result;
use destination::conformance::{BYTES_LEFT, Check, OBJECTS_LEFT, Outcome, Suite, Verdict};
use destination::{S3Destination, S3Options};
use host::config::{DestinationSettings, Settings};
use host::exit::ExitCode;
use jiff::{SignedDuration, Timestamp, Unit};
use serde::Serialize;

use crate::arguments::ConformanceOptions;
use crate::output::{self, Misuse, agreed, plain};

/// The documented form of `bucket conformance --json`.
#[derive(Serialize)]
struct Report {
    uri: String,
    verdict: &'static str,
    /// Named differences from Amazon S3, with what each means.
    differences: Vec<Named>,
    checks: Vec<Checked>,
    /// Nothing below `uri` can be deleted before.
    locked_until: Timestamp,
}

#[derive(Serialize)]
struct Named {
    name: &'static str,
    meaning: &'static str,
}

#[derive(Serialize)]
struct Checked {
    name: &'static str,
    result: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    found: Option<String>,
}

pub(crate) fn run(options: &ConformanceOptions, config: &Path) -> Result<ExitCode> {
    let store = store_options(options, config)?;
    let now = Timestamp::now();
    let lock_for = SignedDuration::from_secs(options.lock_secs.into());
    // The lengthened lock is a minute longer.
    let locked_until = (now + lock_for + SignedDuration::from_mins(2)).round(Unit::Second)?;
    let prefix = format!(
        "{}msp-evidence-conformance/{}-{}/",
        store.prefix,
        now.as_second(),
        std::process::id()
    );
    let uri = format!("s3://{}/{prefix}", store.bucket);
    eprintln!(
        "This stores up to {OBJECTS_LEFT} objects, {} MiB in all, in\n  {}{}\nand locks them in \
         COMPLIANCE mode until about {locked_until}. Nobody can delete them before, not even the \
         account's owner; afterwards they can be deleted, each version.",
        BYTES_LEFT >> 20,
        plain(&uri),
        store
            .endpoint
            .as_ref()
            .map_or_else(String::new, |e| format!("  at {}", plain(e)))
    );
    if !options.yes && !agreed()? {
        eprintln!("msp-evidence: not agreed, so nothing was sent");
        return Ok(ExitCode::Usage);
    }
    let suite = Suite { prefix, lock_for };
    let checks = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?
        .block_on(async {
            let store = S3Destination::connect(store).await;
            suite
                .run(&store, |check| {
                    if !options.json {
                        print(check);
                    }
                })
                .await
        });
    let verdict = Verdict::of(&checks);
    if options.json {
        output::json(&report(uri, &verdict, &checks, locked_until))?;
    } else {
        conclude(&verdict, &uri, locked_until);
    }
    Ok(match verdict {
        Verdict::Qualified | Verdict::UsableWith(_) => ExitCode::Ok,
        Verdict::NotUsable(_) => ExitCode::EvidenceBad,
        Verdict::CouldNotCheck(_) => ExitCode::CouldNotCheck,
    })
}

fn store_options(options: &ConformanceOptions, config: &Path) -> Result<S3Options> {
    if let Some(bucket) = &options.bucket {
        return Ok(S3Options {
            endpoint: options.endpoint.clone(),
            path_style: options.path_style,
            ..S3Options::new("conformance", bucket, &options.region)
        });
    }
    let settings = output::settings(config)?;
    let chosen = chosen(options.destination.as_deref(), &settings)?;
    Ok(uploader::store_options(chosen, &settings)?)
}

/// The destination of this id, or the only one.
pub(crate) fn chosen<'a>(
    id: Option<&str>,
    settings: &'a Settings,
) -> Result<&'a DestinationSettings> {
    let chosen = match id {
        Some(id) => settings
            .destinations
            .iter()
            .find(|d| d.destination_id == id),
        None if settings.destinations.len() == 1 => settings.destinations.first(),
        None => None,
    };
    let ids = || -> String {
        let ids = settings
            .destinations
            .iter()
            .map(|d| d.destination_id.as_str());
        ids.collect::<Vec<_>>().join(", ")
    };
    Ok(chosen.ok_or_else(|| Misuse(format!("name one of the destinations: {}", ids())))?)
}

const fn result_of(check: &Check) -> (&'static str, Option<&String>) {
    match &check.outcome {
        Outcome::Passed => ("passed", None),
        Outcome::Failed(found) => ("failed", Some(found)),
        Outcome::CouldNotCheck(why) => ("could_not_check", Some(why)),
    }
}

fn print(check: &Check) {
    match result_of(check) {
        (result, None) => println!("{result:<16} {}", check.name),
        (result, Some(found)) => {
            let result = result.replace('_', " ");
            println!("{result:<16} {}: {}", check.name, plain(found));
        }
    }
}

fn report(uri: String, verdict: &Verdict, checks: &[Check], locked_until: Timestamp) -> Report {
    let differences: &[_] = match verdict {
        Verdict::UsableWith(differences) => differences,
        _ => &[],
    };
    Report {
        uri,
        verdict: match verdict {
            Verdict::Qualified => "qualified",
            Verdict::UsableWith(_) => "usable_with_differences",
            Verdict::NotUsable(_) => "not_usable",
            Verdict::CouldNotCheck(_) => "could_not_check",
        },
        differences: differences
            .iter()
            .map(|difference| Named {
                name: difference.as_str(),
                meaning: difference.meaning(),
            })
            .collect(),
        checks: checks
            .iter()
            .map(|check| {
                let (result, found) = result_of(check);
                Checked {
                    name: check.name,
                    result,
                    found: found.cloned(),
                }
            })
            .collect(),
        locked_until,
    }
}

fn conclude(verdict: &Verdict, uri: &str, locked_until: Timestamp) {
    println!();
    match verdict {
        Verdict::Qualified => println!("qualified: this store keeps all that evidence relies on"),
        Verdict::UsableWith(differences) => {
            println!("usable for evidence, with these differences from Amazon S3:");
            for difference in differences {
                println!("  {}: {}", difference.as_str(), difference.meaning());
            }
        }
        Verdict::NotUsable(failed) => {
            println!("NOT usable for evidence:");
            failed
                .iter()
                .for_each(|name| println!("  not true: {name}"));
        }
        Verdict::CouldNotCheck(unknown) => {
            println!("could not be checked:");
            unknown.iter().for_each(|name| println!("  {name}"));
        }
    }
    println!(
        "left behind: {}, deletable version by version after {locked_until}",
        plain(uri)
    );
}
