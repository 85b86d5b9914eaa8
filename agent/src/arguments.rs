//! The command line of the daemon. In the library, so that its man page is made from it.

use std::path::PathBuf;

use clap::{Parser, Subcommand};
use host::config;

/// Seals incidents that the executor drops into signed evidence bundles.
///
/// Watches the drop folder, turns each incident into a bundle EB-YYYYMMDD-NNNN.json, signs it so
/// that stock `cosign verify-blob` accepts it, keeps it in its spool and hands it to
/// msp-evidence-uploader. It opens no network connection.
///
/// The signing key's password comes from the systemd credential `signing-key-password`, from
/// signing.password_file, or from COSIGN_PASSWORD, in this order. SIGTERM and SIGINT end it cleanly;
/// SIGHUP reads the configuration and the keys again.
///
/// Exit codes: 0 stopped on request, 1 the configuration or a key is not usable, 70 internal error.
#[derive(Parser)]
#[command(version, name = "msp-evidence-agent")]
pub struct Arguments {
    /// The configuration file.
    #[arg(long, global = true, value_name = "FILE", env = config::CONFIG_PATH_VARIABLE, default_value = config::DEFAULT_PATH)]
    pub config: PathBuf,
    /// What to do instead of running.
    #[command(subcommand)]
    pub action: Option<Action>,
}

/// What the program does besides running as the service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Subcommand)]
pub enum Action {
    /// Has the running service read its configuration and keys again.
    ///
    /// Waits until it has, and fails when the service keeps what it had, since the new configuration
    /// cannot serve. Nothing that is being sealed is lost. `systemctl reload msp-evidence-agent` does
    /// this. What is part of every key (client_id, host_id), [paths] and [log] need a restart.
    Reload,
    /// Tells that the service failed: what its unit calls after a failure.
    #[command(hide = true)]
    Failed,
}
