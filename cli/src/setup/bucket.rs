//! The buckets: looked at as the uploader will, with its credentials; made where that was asked for.

use anyhow::{Context as _, Result};
use host::config::{DEFAULT_PATH, DestinationSettings, Settings};
use host::exit::ExitCode;
use host::secret::S3_CREDENTIAL_NAME;
use std::path::Path;

use super::options::SetupOptions;
use super::step::Step;
use crate::arguments::BucketCreateOptions;
use crate::{bucket, create, credential};

const STEP: &str = "bucket";

/// Looks at each, and makes what is not there if it may.
pub(crate) fn look(options: &SetupOptions, settings: &Settings) -> Result<Vec<Step>> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let handed = if settings.source == Path::new(DEFAULT_PATH) {
        credential::stored(S3_CREDENTIAL_NAME)?
            .map(|stored| stored.file())
            .transpose()?
    } else {
        None
    };
    let mut steps = Vec::new();
    for destination in &settings.destinations {
        let check = || -> Result<Step> {
            let mut store = uploader::store_options(destination, settings)?;
            credential::lend(&mut store, handed.as_ref());
            Ok(match runtime.block_on(bucket::look(store)) {
                Ok(found) => judged(destination, &found),
                Err(failure) => Step::failed(STEP, format!("{}: {failure}", destination.uri()))
                    .with_remedy(
                        "make it (docs/buckets.md, or setup --create-bucket), or correct the \
                         credentials or the way to the store: msp-evidence doctor",
                    ),
            })
        };
        let found = check()?;
        if found.is_good() || !options.create_bucket {
            steps.push(found);
            continue;
        }
        let made = made(options, settings, destination)?;
        let is_made = made.is_good();
        steps.push(made);
        if is_made {
            steps.push(check()?);
        }
    }
    Ok(steps)
}

fn judged(destination: &DestinationSettings, found: &destination::Preflight) -> Step {
    let uri = destination.uri();
    if let Some(objection) = found.objection() {
        return Step::failed(STEP, uri).with_remedy(objection);
    }
    let rule = found.default_rule.as_deref().unwrap_or("none");
    let unknown = if found.unknown.is_empty() {
        String::new()
    } else {
        format!("; not allowed to ask: {}", found.unknown.join(", "))
    };
    Step::present(
        STEP,
        format!("{uri} has versions and locks, default rule {rule}{unknown}"),
    )
}

fn made(
    options: &SetupOptions,
    settings: &Settings,
    destination: &DestinationSettings,
) -> Result<Step> {
    let mut store = uploader::store_options(destination, settings)?;
    // Whoever may create buckets is not the uploader.
    store.credentials_file = None;
    let asked = BucketCreateOptions {
        destination: Some(destination.destination_id.clone()),
        admin_roles: options.admin_roles.clone(),
        operations_roles: Vec::new(),
        no_policy: options.no_policy,
        abort_incomplete_upload_days: 7,
        dry_run: false,
        yes: options.yes,
        json: options.json,
    };
    let uri = destination.uri();
    Ok(
        match create::make(&asked, settings, store).context("creating the bucket")? {
            None => Step::remains(STEP, format!("{uri}: it was not agreed to create it")),
            Some((report, ExitCode::Ok)) => Step::done(STEP, format!("{uri} {}", report.outcome)),
            Some((report, _)) => Step::failed(STEP, format!("{uri} {}", report.outcome))
                .with_remedy(
                    "see what is not as it should be: msp-evidence bucket create --dry-run",
                ),
        },
    )
}
