//! `blocked list`, `blocked release`.

use std::path::Path;

use anyhow::{Context as _, Result};
use evidence::bundle::BundleId;
use host::exit::ExitCode;
use host::owner::as_owner_of;
use jiff::Timestamp;
use uploader::delivery::Reader;

use crate::arguments::{BlockedCommand, ReleaseOptions, StatusOptions};
use crate::output::{self, Misuse, plain};

pub(crate) fn run(command: &BlockedCommand, config: &Path) -> Result<ExitCode> {
    let folder = output::settings(config)?.paths.delivery;
    match command {
        BlockedCommand::List(options) => list(&folder, options),
        BlockedCommand::Release(options) => release(&folder, options),
    }
}

fn list(folder: &Path, options: &StatusOptions) -> Result<ExitCode> {
    let items = if folder.exists() {
        as_owner_of(folder, || -> Result<_> {
            Ok(match Reader::open(folder)? {
                Some(reader) => reader.blocked(usize::MAX)?,
                None => Vec::new(),
            })
        })?
        .with_context(|| format!("reading {}", folder.display()))?
    } else {
        Vec::new()
    };
    if options.json {
        output::json(&items)?;
        return Ok(ExitCode::Ok);
    }
    if items.is_empty() {
        println!("nothing is blocked");
    }
    for item in &items {
        println!(
            "{}  at {}  {}",
            item.bundle_id, item.destination_id, item.reason
        );
        println!("  object  {}", plain(&item.path));
        if let Some(error) = &item.error {
            println!(
                "  error   {} {}: {}",
                error.at,
                error.code,
                plain(&error.message)
            );
        }
        println!("  remedy  {}", item.hint);
    }
    Ok(ExitCode::Ok)
}

fn release(folder: &Path, options: &ReleaseOptions) -> Result<ExitCode> {
    let id: BundleId = options
        .bundle_id
        .parse()
        .map_err(|e| Misuse(format!("{:?} is {e}", options.bundle_id)))?;
    let now = Timestamp::now();
    let released = as_owner_of(folder, || -> Result<usize> {
        let released = uploader::delivery::release(
            folder,
            &id.to_string(),
            options.destination.as_deref(),
            now,
        )?;
        if released > 0 {
            uploader::delivery::wake(folder, now)?;
        }
        Ok(released)
    })?
    .with_context(|| format!("in {}", folder.display()))?;
    if released == 0 {
        eprintln!("msp-evidence: nothing of {id} is blocked");
        return Ok(ExitCode::CouldNotCheck);
    }
    println!("released {released} deliveries of {id}");
    Ok(ExitCode::Ok)
}
