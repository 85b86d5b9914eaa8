//! `setup`: from an installed package to a probe that is locked in the bucket.
//!
//! Each step looks first whether it was done, so whatever cuts this off, the same command goes on where it
//! was. The order: what can be corrected by hand comes first. The services start only after the bucket was
//! seen to be fit, since from their first start on a destination's id means that bucket for ever. Nothing
//! that is there is overwritten.

mod bucket;
mod config_file;
mod ground;
mod options;
mod probe;
mod questions;
mod secrets;
mod services;
mod step;

use std::io::{IsTerminal as _, stdin};
use std::path::Path;

use anyhow::Result;
use host::exit::ExitCode;
use serde::Serialize;

use crate::output::{self, Misuse};
pub(crate) use options::SetupOptions;
use questions::{Person, Typed};
use step::{Outcome, Step};

/// Every step, in its order.
const STEPS: [&str; 8] = [
    "configuration",
    "password",
    "folders",
    "keys",
    "credentials",
    "bucket",
    "services",
    probe::STEP,
];

/// The documented form of `setup --json`.
#[derive(Serialize)]
struct Report {
    /// Nothing that was asked for remains.
    is_complete: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    host_id: Option<String>,
    /// The fingerprint of the signing key, for auditors.
    #[serde(skip_serializing_if = "Option::is_none")]
    key_id: Option<String>,
    steps: Vec<Step>,
    #[serde(skip_serializing_if = "Option::is_none")]
    probe: Option<probe::Seen>,
}

/// What was done so far.
struct Walk<'a> {
    options: &'a SetupOptions,
    report: Report,
}

pub(crate) fn run(options: &SetupOptions, config: &Path) -> Result<ExitCode> {
    let config = &std::path::absolute(config)?;
    let is_person = !options.yes && !options.json && stdin().is_terminal();
    let mut options = options.clone();
    let mut typed = Typed::default();
    if config.symlink_metadata().is_err() {
        if is_person {
            let mut person = at_terminal();
            person.complete(&mut options)?;
            typed = person.secrets(&options)?;
        }
        let missing = config_file::missing(&options);
        if !missing.is_empty() {
            return Err(Misuse(format!(
                "{} is not there, and to write it these are needed: {}",
                config.display(),
                missing.join(", ")
            ))
            .into());
        }
    }
    let mut walk = Walk {
        options: &options,
        report: Report {
            is_complete: false,
            client_id: None,
            host_id: None,
            key_id: None,
            steps: Vec::new(),
            probe: None,
        },
    };
    let ended = walk.go(config, typed, is_person);
    if let Err(error) = ended {
        if walk.report.steps.is_empty() {
            // Nothing was done at all: a flag or the configuration is wrong.
            return Err(error);
        }
        let name = STEPS[walk.come_to()];
        walk.add(Step::failed(name, format!("{error:#}")));
    }
    walk.end()
}

fn at_terminal() -> Person<std::io::StdinLock<'static>, std::io::Stderr> {
    Person {
        says: stdin().lock(),
        reads: std::io::stderr(),
        secret: |question, twice| Ok(host::secret::prompt(question, twice)?),
    }
}

impl Walk<'_> {
    fn go(&mut self, config: &Path, typed: Typed, is_person: bool) -> Result<()> {
        let options = self.options;
        let keeping = secrets::keeping(options, config)?;
        let more = secrets::settings_for(keeping, options, &typed, config)?;
        let (mut settings, step) = config_file::write(options, config, &more)?;
        self.report.client_id = Some(settings.client_id.clone());
        self.report.host_id = Some(settings.host_id.clone());
        self.add(step);
        let (password, step) =
            secrets::password(options, typed.password, keeping, config, &mut settings)?;
        self.add(step);
        self.add(ground::folders(&settings)?);
        let (public, step) = ground::keys(&settings, &password)?;
        drop(password);
        self.report.key_id = Some(public.key_id());
        self.add(step);
        let step =
            secrets::s3_credentials(options, typed.s3_credentials, keeping, config, &settings)?;
        if !self.add(step) {
            return Ok(());
        }
        for step in bucket::look(options, &settings)? {
            self.add(step);
        }
        if !self.report.steps.iter().all(Step::is_good) {
            return Ok(());
        }
        let is_changed = self.report.steps.iter().any(|s| {
            s.outcome == Outcome::Done
                && matches!(s.step, "configuration" | "password" | "credentials")
        });
        let step = services::start(options, &settings, is_changed)?;
        if !self.add(step) {
            return Ok(());
        }
        let step = self.probe(&settings, is_person)?;
        self.add(step);
        Ok(())
    }

    fn probe(&mut self, settings: &host::config::Settings, is_person: bool) -> Result<Step> {
        let options = self.options;
        if options.no_probe {
            return Ok(Step::left_out(probe::STEP, "none was sent (--no-probe)"));
        }
        if !services::run(settings) {
            return Ok(
                Step::remains(probe::STEP, "the services do not run, so none was sent")
                    .with_remedy("start them, then run setup again"),
            );
        }
        if probe::newest(settings)?.is_none() {
            probe::explain(settings);
            let is_agreed = options.probe
                || options.yes
                || is_person && at_terminal().agrees("Send a probe")?;
            if !is_agreed {
                return Ok(
                    Step::remains(probe::STEP, "it was not agreed, so none was sent")
                        .with_remedy("msp-evidence setup --probe, or --no-probe to leave it out"),
                );
            }
        }
        let (seen, step) = probe::follow(options, settings)?;
        self.report.probe = seen;
        Ok(step)
    }

    /// Keeps and shows it; whether to go on.
    fn add(&mut self, step: Step) -> bool {
        if !self.options.json {
            step.print();
        }
        let is_good = step.is_good();
        self.report.steps.push(step);
        is_good
    }

    /// The first step of which nothing was said yet.
    fn come_to(&self) -> usize {
        let said = |name: &&str| self.report.steps.iter().any(|step| step.step == *name);
        let last = STEPS.iter().rposition(said);
        last.map_or(0, |last| (last + 1).min(STEPS.len() - 1))
    }

    fn end(mut self) -> Result<ExitCode> {
        let last = self.report.steps.last();
        if last.is_some_and(|step| step.step != probe::STEP) {
            for name in &STEPS[self.come_to()..] {
                self.add(Step::remains(name, "not come to"));
            }
        }
        // Whatever was not come to is among them.
        let is_complete = self.report.steps.iter().all(Step::is_good);
        self.report.is_complete = is_complete;
        if self.options.json {
            output::json(&self.report)?;
        } else if is_complete {
            println!(
                "\nThis host is set up. Look at it with msp-evidence doctor, and give auditors its public \
                 key and fingerprint by a way of their own: msp-evidence keys show"
            );
        } else {
            println!("\nNot complete. What was done stays: the same command goes on from there.");
        }
        Ok(if is_complete {
            ExitCode::Ok
        } else {
            ExitCode::CouldNotCheck
        })
    }
}
