//! What `setup` is told on the command line. No secret is among it: arguments can be read by every user.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

/// How secrets are kept on this host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Keeping {
    /// As systemd credentials, encrypted for this machine (systemd 250 or later).
    Encrypted,
    /// As systemd credentials in files that only root reads (systemd 247 or later).
    Plain,
    /// In files of each service's own user, named in the configuration.
    Files,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct SetupOptions {
    /// The client whose evidence this is; never changes.
    #[arg(long, value_name = "ID")]
    pub(crate) client_id: Option<String>,
    /// This machine; never changes. Its name when absent.
    #[arg(long, value_name = "ID")]
    pub(crate) host_id: Option<String>,
    /// The destination's id, when the configuration is written.
    #[arg(long, value_name = "ID", default_value = "primary")]
    pub(crate) destination: String,
    /// The bucket.
    #[arg(long, value_name = "NAME")]
    pub(crate) bucket: Option<String>,
    /// Its region.
    #[arg(long, value_name = "REGION")]
    pub(crate) region: Option<String>,
    /// Its endpoint, where it is not AWS.
    #[arg(long, value_name = "URL")]
    pub(crate) endpoint: Option<String>,
    /// The bucket in the path instead of the host's name.
    #[arg(long)]
    pub(crate) path_style: bool,
    /// Before every key; ends with `/`.
    #[arg(long, value_name = "PREFIX")]
    pub(crate) prefix: Option<String>,
    /// PEM file of the authorities that are trusted for this store.
    #[arg(long, value_name = "FILE")]
    pub(crate) ca_file: Option<PathBuf>,
    /// Days for which evidence is locked; six years when absent. Less than six years or more than ten
    /// must be acknowledged in the configuration, by hand.
    #[arg(long, value_name = "DAYS")]
    pub(crate) retention_days: Option<u32>,
    /// Where state is kept; /var/lib/msp when absent.
    #[arg(long, value_name = "FOLDER")]
    pub(crate) state_dir: Option<PathBuf>,
    /// A file with the password for the signing key; one is made when there is none.
    #[arg(long, value_name = "FILE")]
    pub(crate) password_file: Option<PathBuf>,
    /// An AWS credentials file for the uploader. Absent where this machine has a role.
    #[arg(long, value_name = "FILE")]
    pub(crate) s3_credentials: Option<PathBuf>,
    /// How secrets are kept; the first of these that this host can when absent.
    #[arg(long, value_name = "HOW")]
    pub(crate) secrets: Option<Keeping>,
    /// Create the bucket if it cannot be found, with credentials from the environment that may (never
    /// the uploader's): see `bucket create`.
    #[arg(long)]
    pub(crate) create_bucket: bool,
    /// ARN of a role that may change the created bucket afterwards; repeat it for several.
    #[arg(long = "admin-role", value_name = "ARN", requires = "create_bucket")]
    pub(crate) admin_roles: Vec<String>,
    /// Attach no policy to the created bucket.
    #[arg(long, conflicts_with = "admin_roles", requires = "create_bucket")]
    pub(crate) no_policy: bool,
    /// Leave the services as they are.
    #[arg(long)]
    pub(crate) no_start: bool,
    /// Send a probe: one bundle that is sealed, stored and LOCKED as evidence is.
    #[arg(long, conflicts_with = "no_probe")]
    pub(crate) probe: bool,
    /// Send none.
    #[arg(long)]
    pub(crate) no_probe: bool,
    /// Longest wait for the probe to be confirmed, in seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 120,
          value_parser = clap::value_parser!(u32).range(1..=3600))]
    pub(crate) wait_secs: u32,
    /// Ask nothing: go by the flags, create the bucket if that was asked for, send a probe.
    #[arg(long)]
    pub(crate) yes: bool,
    /// As JSON; asks nothing.
    #[arg(long)]
    pub(crate) json: bool,
}
