//! `msp-evidence-agent`: seals incidents that the executor drops. Holds the key, has no network.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use host::config::{self, Settings, environment};

/// Seals incidents that the executor drops into signed evidence bundles.
///
/// Watches the drop folder, turns each incident into a bundle EB-YYYYMMDD-NNNN.json, signs it so
/// that stock `cosign verify-blob` accepts it, keeps it in its spool and hands it to
/// msp-evidence-uploader. It opens no network connection.
///
/// The signing key's password comes from the systemd credential `signing-key-password`, from
/// signing.password_file, or from COSIGN_PASSWORD, in this order.
///
/// Exit codes: 0 stopped on request, 1 the configuration or a key is not usable, 70 internal error.
#[derive(Parser)]
#[command(version, name = "msp-evidence-agent")]
struct Arguments {
    /// The configuration file.
    #[arg(long, value_name = "FILE", env = config::CONFIG_PATH_VARIABLE, default_value = config::DEFAULT_PATH)]
    config: PathBuf,
}

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
