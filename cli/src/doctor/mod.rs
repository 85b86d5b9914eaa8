//! `doctor`: everything that can be checked on this host, each with what to do about it.
//!
//! One file per family. What is judged is taken first and judged by a function without I/O where that
//! is possible, so that each finding is seen by a test. Nothing is written but by `--write-probe`.

mod check;
mod clock;
mod credentials;
mod daemons;
mod disk;
mod drop_folder;
mod keys;
mod permissions;
pub(crate) mod probe;
mod retention;
mod screening;
mod store;
mod units;
mod who;

use std::path::Path;

use anyhow::Result;
use destination::S3Destination;
use host::config::{DestinationSettings, Settings};
use host::exit::ExitCode;
use host::instance::{AGENT_LOCK, UPLOADER_LOCK};
use host::secret::{CREDENTIALS_SOURCE, PasswordSources};
use jiff::Timestamp;
use serde::Serialize;
use uploader::delivery::DestinationSummary;

use crate::arguments::DoctorOptions;
use crate::config::Checked;
use crate::credential::{self, SecretFile};
use crate::output::{self, agreed, plain};
use check::{Check, Family, Totals};
use probe::Probe;
use who::Who;

const CONFIGURATION: Family = Family("configuration");

/// The documented form of `doctor --json`.
#[derive(Serialize)]
struct Report<'r> {
    at: Timestamp,
    /// Absent when the configuration is not valid; then nothing else was checked.
    #[serde(skip_serializing_if = "Option::is_none")]
    client_id: Option<&'r str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    host_id: Option<&'r str>,
    totals: Totals,
    checks: &'r [Check],
}

pub(crate) fn run(options: &DoctorOptions, config: &Path) -> Result<ExitCode> {
    let now = Timestamp::now();
    let (settings, checked) = crate::config::look(config);
    let mut checks = configuration(config, &checked);
    let Some(settings) = settings else {
        tell(options, None, now, &checks)?;
        if !options.json {
            println!("nothing else was checked: it all depends on the configuration");
        }
        return Ok(ExitCode::Usage);
    };
    if options.write_probe && !options.yes && !is_agreed(&settings, now)? {
        eprintln!("msp-evidence: not agreed, so nothing was checked or sent");
        return Ok(ExitCode::Usage);
    }
    checks.extend(of_host(&settings, now));
    let delivered = match daemons::deliveries(&settings, now) {
        Ok(delivered) => {
            checks.extend(
                delivered
                    .iter()
                    .filter(|found| found.retired.is_none())
                    .map(daemons::judge_delivery),
            );
            delivered
        }
        Err(check) => {
            checks.push(check);
            Vec::new()
        }
    };
    // That it cannot be used is told with the credentials.
    let handed = credential::of_uploader().ok().flatten();
    let stores = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?
        .block_on(of_stores(
            options,
            &settings,
            &delivered,
            handed.as_ref(),
            now,
        ));
    checks.extend(stores);
    checks.extend(screening::check(&settings));
    tell(options, Some(&settings), now, &checks)?;
    Ok(Totals::of(&checks).exit_code())
}

/// All problems of the configuration, and what it warns about.
fn configuration(config: &Path, checked: &Checked) -> Vec<Check> {
    let mut checks: Vec<Check> = checked
        .problems
        .iter()
        .map(|problem| {
            CONFIGURATION.problem(
                "valid",
                config.display(),
                problem,
                "correct it, then: msp-evidence config check",
            )
        })
        .collect();
    if checks.is_empty() {
        checks.push(CONFIGURATION.ok("valid", config.display(), checked.files.join(", ")));
    }
    checks.extend(checked.warnings.iter().map(|warning| {
        CONFIGURATION.warning(
            "warning",
            config.display(),
            warning,
            "see where each value comes from: msp-evidence config show --effective",
        )
    }));
    checks
}

/// What this host shows by itself.
fn of_host(settings: &Settings, now: Timestamp) -> Vec<Check> {
    let agent = Who::of_daemon("msp-agent", &settings.paths.spool, AGENT_LOCK);
    let uploader = Who::of_daemon("msp-uploader", &settings.paths.delivery, UPLOADER_LOCK);
    let (agent, uploader) = (agent.as_ref(), uploader.as_ref());
    // What keeps a credential from being read is told with the credentials.
    let passwords = match credential::of_agent() {
        Ok(Some(password)) => PasswordSources {
            variable: Some(password.as_str().into()),
            ..PasswordSources::default()
        },
        _ => PasswordSources::of_process(settings.signing.password_file.as_deref()),
    };
    let runs = daemons::agent_runs(settings);
    let root = Path::new("/");
    let mut checks = permissions::look(settings, agent, uploader);
    checks.extend(keys::look(settings, agent, &passwords, runs));
    checks.extend(keys::out_of_reach(settings, uploader));
    checks.extend(drop_folder::look(settings, agent, now));
    checks.extend(disk::look(settings));
    checks.push(clock::service(root));
    checks.extend(daemons::look(settings, root));
    checks.extend(units::look(root));
    checks.extend(credentials::of_systemd(Path::new(CREDENTIALS_SOURCE)));
    for destination in &settings.destinations {
        checks.push(retention::configured(destination));
        checks.extend(credentials::look(destination, uploader));
    }
    checks
}

async fn of_stores(
    options: &DoctorOptions,
    settings: &Settings,
    delivered: &[DestinationSummary],
    handed: Option<&SecretFile>,
    now: Timestamp,
) -> Vec<Check> {
    let mut checks = Vec::new();
    for destination in &settings.destinations {
        let id = &destination.destination_id;
        // That a ca_file cannot serve was said with the configuration.
        let Ok(mut store_options) = uploader::store_options(destination, settings) else {
            continue;
        };
        credential::lend(&mut store_options, handed);
        let store = S3Destination::connect(store_options).await;
        let known = delivered.iter().find(|d| d.destination_id == *id);
        let mut found = store::look(settings, destination, &store, known).await;
        if options.write_probe && store::is_usable(&found) {
            // It answers what had to stay open.
            found.retain(|c| {
                c.verdict != check::Verdict::CouldNotCheck || c.family != store::POLICY.0
            });
            let probe = Probe::new(settings, destination, now);
            let content_md5 = settings.uploader.content_md5;
            found.extend(probe.send(&store, destination, content_md5).await);
        }
        checks.extend(found);
    }
    checks
}

/// Says what is to be stored, where and until when, and asks.
fn is_agreed(settings: &Settings, now: Timestamp) -> Result<bool> {
    eprintln!(
        "This stores one object of about 100 bytes, which is no evidence, at each destination:"
    );
    for destination in &settings.destinations {
        let probe = Probe::new(settings, destination, now);
        eprintln!(
            "  s3://{}/{}{}\n    locked in COMPLIANCE mode until about {}",
            destination.bucket,
            plain(&probe.key),
            at(destination),
            probe::retain_until(None, destination)
        );
    }
    eprintln!("Nobody can delete it before, not even the account's owner.");
    agreed()
}

fn at(destination: &DestinationSettings) -> String {
    destination
        .endpoint
        .as_ref()
        .map_or_else(String::new, |endpoint| format!(" at {}", plain(endpoint)))
}

fn tell(
    options: &DoctorOptions,
    settings: Option<&Settings>,
    at: Timestamp,
    checks: &[Check],
) -> Result<()> {
    let totals = Totals::of(checks);
    if options.json {
        return output::json(&Report {
            at,
            client_id: settings.map(|s| s.client_id.as_str()),
            host_id: settings.map(|s| s.host_id.as_str()),
            totals,
            checks,
        });
    }
    let mut family = "";
    for check in checks {
        if check.family != family {
            family = check.family;
            println!("{family}");
        }
        println!(
            "  {:<15}  {} {}: {}",
            check.verdict.as_str(),
            check.check,
            plain(&check.subject),
            plain(&check.found)
        );
        if let Some(remedy) = &check.remedy {
            println!("                   -> {}", plain(remedy));
        }
    }
    println!(
        "\n{} problems, {} warnings, {} could not be checked, {} ok",
        totals.problems, totals.warnings, totals.could_not_check, totals.ok
    );
    Ok(())
}
