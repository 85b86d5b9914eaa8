//! `msp-evidence-agent`: seals incidents that the executor drops. Holds the key, has no network.

use std::process::ExitCode;

use agent::Arguments;
use clap::Parser as _;
use host::config::{Settings, environment};

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match start(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("msp-evidence-agent: {error:#}");
            tracing::error!(state = "stopped", "{error:#}");
            ExitCode::from(1)
        }
    }
}

fn start(arguments: &Arguments) -> anyhow::Result<()> {
    let settings = Settings::load(&arguments.config, environment())?;
    host::logging::init(&settings.log, "msp-evidence-agent")?;
    for warning in &settings.warnings {
        tracing::warn!("{warning}");
    }
    agent::run(settings)
}
