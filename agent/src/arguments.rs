//! The command line of the daemon. In the library, so that its man page is made from it.

use std::path::PathBuf;

use clap::Parser;
use host::config;

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
pub struct Arguments {
    /// The configuration file.
    #[arg(long, value_name = "FILE", env = config::CONFIG_PATH_VARIABLE, default_value = config::DEFAULT_PATH)]
    pub config: PathBuf,
}
