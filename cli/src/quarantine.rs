//! `quarantine list`, `quarantine retry`.

use std::fs;
use std::os::fd::OwnedFd;
use std::path::Path;

use anyhow::{Context as _, Result};
use evidence::handover::is_safe_name;
use host::config::Settings;
use host::exit::ExitCode;
use host::files;
use host::owner::as_owner_of;
use serde::{Deserialize, Serialize};

use crate::arguments::{QuarantineCommand, RetryOptions, StatusOptions};
use crate::output::{self, Misuse, plain};

const REASON_SUFFIX: &str = ".reason.json";
/// No reason file of the agent's is larger.
const REASON_MAX_BYTES: u64 = 64 << 10;

/// A reason file, as the agent writes it.
#[derive(Serialize, Deserialize)]
struct Reason {
    name: String,
    drop_name: String,
    reason_code: String,
    path: String,
    message: String,
    at: String,
    size_bytes: Option<u64>,
    owner_uid: Option<u32>,
}

pub(crate) fn run(command: &QuarantineCommand, config: &Path) -> Result<ExitCode> {
    let settings = output::settings(config)?;
    match command {
        QuarantineCommand::List(options) => list(&settings, options),
        QuarantineCommand::Retry(options) => retry(&settings, options),
    }
}

fn reasons(folder: &Path) -> Result<Vec<Reason>> {
    let dir = files::open_dir(folder).with_context(|| format!("in {}", folder.display()))?;
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let name = entry?.file_name();
        if name.to_string_lossy().ends_with(REASON_SUFFIX) {
            let contents = files::read_capped(&dir, &name, REASON_MAX_BYTES)?;
            found.push(
                serde_json::from_slice(&contents.bytes)
                    .with_context(|| format!("{} is damaged", folder.join(&name).display()))?,
            );
        }
    }
    found.sort_by(|a: &Reason, b| (&a.at, &a.name).cmp(&(&b.at, &b.name)));
    Ok(found)
}

fn list(settings: &Settings, options: &StatusOptions) -> Result<ExitCode> {
    let reasons = reasons(&settings.paths.quarantine)?;
    if options.json {
        output::json(&reasons)?;
        return Ok(ExitCode::Ok);
    }
    if reasons.is_empty() {
        println!("the quarantine is empty");
    }
    for reason in &reasons {
        println!("{}  {}", plain(&reason.name), plain(&reason.reason_code));
        println!("  at      {}", plain(&reason.at));
        println!(
            "  reason  {} {}",
            plain(&reason.message),
            plain(&reason.path)
        );
    }
    Ok(ExitCode::Ok)
}

fn retry(settings: &Settings, options: &RetryOptions) -> Result<ExitCode> {
    let quarantine = &settings.paths.quarantine;
    let names: Vec<String> = match &options.name {
        Some(name) => {
            let name = name.strip_suffix(REASON_SUFFIX).unwrap_or(name);
            if !is_safe_name(name) && name.len() > 255 || name.contains('/') {
                return Err(Misuse(format!("{name:?} is not a name in the quarantine")).into());
            }
            vec![name.to_owned()]
        }
        None => reasons(quarantine)?.into_iter().map(|r| r.name).collect(),
    };
    let failed = as_owner_of(quarantine, || -> Result<usize> {
        let from = files::open_dir(quarantine)?;
        let to = files::open_dir(&settings.paths.drop)?;
        let mut failed = 0;
        for name in &names {
            // One that cannot be moved keeps no other here.
            match put_back(&from, &to, name) {
                Ok(back) => println!("dropped again  {back}"),
                Err(error) => {
                    failed += 1;
                    eprintln!("msp-evidence: {error:#}");
                }
            }
        }
        files::sync_dir(&to)?;
        files::sync_dir(&from)?;
        Ok(failed)
    })?
    .with_context(|| format!("in {}", quarantine.display()))?;
    if failed > 0 {
        eprintln!(
            "msp-evidence: {failed} of {} stay in quarantine",
            names.len()
        );
        return Ok(ExitCode::CouldNotCheck);
    }
    Ok(ExitCode::Ok)
}

fn put_back(from: &OwnedFd, to: &OwnedFd, name: &str) -> Result<String> {
    let moving = || format!("moving {name} back");
    let is_file = files::metadata(from, name).with_context(moving)?.is_some();
    let back = if is_file {
        // A document's name ends with .json, or it would come straight back.
        format!("retry-{}.json", name.strip_suffix(".json").unwrap_or(name))
    } else {
        format!("retry-{name}")
    };
    files::rename_noreplace(from, name, to, &back).with_context(moving)?;
    // Only once the drop is back: the reason must not be lost before.
    files::remove(from, format!("{name}{REASON_SUFFIX}"))
        .with_context(|| format!("removing the reason of {name}"))?;
    Ok(back)
}
