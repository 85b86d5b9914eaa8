//! The command line of the daemon. In the library, so that its man page is made from it.

use std::path::PathBuf;

use clap::{Parser, Subcommand};
use host::config;

/// Stores sealed evidence at every destination, locked, and proves by version that it is.
///
/// SIGTERM and SIGINT end it cleanly; SIGHUP reads the configuration and the credentials again.
///
/// A destination without credentials_file is given the systemd credential `s3-credentials`, an AWS
/// credentials file; without either, credentials are found as AWS's tools find them.
#[derive(Debug, Parser)]
#[command(name = "msp-evidence-uploader", version)]
pub struct Arguments {
    /// Configuration file.
    #[arg(long, global = true, value_name = "FILE", env = config::CONFIG_PATH_VARIABLE, default_value = config::DEFAULT_PATH)]
    pub config: PathBuf,
    /// What to do instead of running.
    #[command(subcommand)]
    pub action: Option<Action>,
}

/// What the program does besides running as the service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Subcommand)]
pub enum Action {
    /// Has the running service read its configuration and credentials again.
    ///
    /// Waits until it has, and fails when the service keeps what it had, since the new configuration
    /// cannot serve. What is in flight is finished first. `systemctl reload msp-evidence-uploader` does
    /// this. What is part of every key (client_id, host_id), [paths] and [log] need a restart, and so do
    /// credentials that systemd hands over (LoadCredential=).
    Reload,
    /// Tells that the service failed: what its unit calls after a failure.
    #[command(hide = true)]
    Failed,
}
