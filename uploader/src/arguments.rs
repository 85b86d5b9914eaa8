//! The command line of the daemon. In the library, so that its man page is made from it.

use std::path::PathBuf;

use clap::Parser;
use host::config;

/// Stores sealed evidence at every destination, locked, and proves by version that it is.
///
/// SIGTERM and SIGINT end it cleanly; SIGHUP reads the configuration and the credentials again.
#[derive(Debug, Parser)]
#[command(name = "msp-evidence-uploader", version)]
pub struct Arguments {
    /// Configuration file.
    #[arg(long, value_name = "FILE", env = config::CONFIG_PATH_VARIABLE, default_value = config::DEFAULT_PATH)]
    pub config: PathBuf,
}
