//! Where an auditor's commands read from, and whom they trust: the same arguments for all of them.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result};
use audit::{Bucket, Folder, Keyring, Patience, Source};
use clap::Args;
use destination::{CaBundle, S3Options};

use crate::output::{self, Misuse};

/// No file of authorities is longer.
const CA_FILE_MAX_BYTES: u64 = 4 << 20;

/// A bucket or a folder.
#[derive(Args)]
#[group(skip)]
pub(crate) struct SourceOptions {
    /// A folder that was copied from a bucket, laid out as below the bucket's prefix; or a pulled one.
    #[arg(long, value_name = "DIR", required_unless_present_any = ["bucket", "destination"],
          conflicts_with_all = ["bucket", "destination"])]
    pub(crate) folder: Option<PathBuf>,
    /// A bucket. Credentials come from where the AWS tools look for them; read-only ones will do.
    #[arg(long, value_name = "NAME", conflicts_with = "destination")]
    pub(crate) bucket: Option<String>,
    /// A destination of this host's configuration.
    #[arg(long, value_name = "ID")]
    pub(crate) destination: Option<String>,
    /// The bucket's region.
    #[arg(
        long,
        value_name = "REGION",
        requires = "bucket",
        default_value = "us-east-1"
    )]
    pub(crate) region: String,
    /// The bucket's endpoint, where it is not AWS.
    #[arg(long, value_name = "URL", requires = "bucket")]
    pub(crate) endpoint: Option<String>,
    /// The bucket in the path instead of the host's name.
    #[arg(long, requires = "bucket")]
    pub(crate) path_style: bool,
    /// Where in the bucket the evidence begins: the folders of the clients lie below it.
    #[arg(
        long,
        value_name = "PREFIX",
        requires = "bucket",
        default_value = "",
        hide_default_value = true
    )]
    pub(crate) prefix: String,
    /// A PEM file of the authorities that may vouch for the store, instead of the system's.
    #[arg(long, value_name = "FILE", requires = "bucket")]
    pub(crate) ca_file: Option<PathBuf>,
    /// A profile of the AWS configuration files.
    #[arg(long, value_name = "NAME", requires = "bucket")]
    pub(crate) profile: Option<String>,
    /// The longest wait for an answer of the store, in seconds.
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub(crate) timeout_secs: Option<u64>,
}

/// The keys that are trusted.
#[derive(Args)]
#[group(skip)]
pub(crate) struct TrustOptions {
    /// The public key that you trust, got by another way than the evidence.
    #[arg(
        long,
        value_name = "PUB",
        required_unless_present = "keyring",
        conflicts_with = "keyring"
    )]
    pub(crate) key: Option<PathBuf>,
    /// The fingerprint that the key must have, such as one that was read to you: sha256:…
    #[arg(long, value_name = "SHA256", requires = "key")]
    pub(crate) fingerprint: Option<String>,
    /// A folder with keyring.toml and the keys that it names, each bound to its client and host.
    #[arg(long, value_name = "DIR")]
    pub(crate) keyring: Option<PathBuf>,
}

impl SourceOptions {
    /// How the bucket is reached; `None` for a folder.
    pub(crate) fn bucket_options(&self, config: &Path) -> Result<Option<S3Options>> {
        let mut options = if let Some(bucket) = &self.bucket {
            S3Options {
                prefix: with_slash(&self.prefix),
                endpoint: self.endpoint.clone(),
                path_style: self.path_style,
                ca: self.ca_file.as_deref().map(ca_bundle).transpose()?,
                profile: self.profile.clone(),
                ..S3Options::new("audit", bucket, &self.region)
            }
        } else if let Some(id) = &self.destination {
            let settings = output::settings(config)?;
            let chosen = settings
                .destinations
                .iter()
                .find(|d| d.destination_id == *id)
                .ok_or_else(|| Misuse(format!("no destination {id:?} is configured")))?;
            uploader::store_options(chosen, &settings)?
        } else {
            return Ok(None);
        };
        if let Some(secs) = self.timeout_secs {
            options.request_timeout = Duration::from_secs(secs);
            options.connect_timeout = options.connect_timeout.min(options.request_timeout);
        }
        Ok(Some(options))
    }

    /// Reaches the bucket, or opens the folder.
    pub(crate) async fn open(&self, config: &Path) -> Result<Source> {
        if let Some(options) = self.bucket_options(config)? {
            let bucket = Bucket::connect(options, Patience::default()).await;
            return Ok(Source::Bucket(Box::new(bucket)));
        }
        // One of the three is given: the arguments ask for that.
        let folder = self.folder.as_deref().unwrap_or(Path::new("."));
        let pulled = folder.join(audit::pull::EVIDENCE_FOLDER);
        let is_pulled = folder.join(audit::pull::MANIFEST_FILE).is_file() && pulled.is_dir();
        let folder = if is_pulled { &pulled } else { folder };
        let open = Folder::open(folder).map_err(|error| Misuse(evidence::causes(&error)))?;
        Ok(Source::Folder(open))
    }
}

impl TrustOptions {
    /// The keyring. One that cannot be read is wrong usage: nothing is trusted by half.
    pub(crate) fn keyring(&self) -> Result<Keyring> {
        let read = match (&self.key, &self.keyring) {
            (Some(key), _) => Keyring::one(key, self.fingerprint.as_deref()),
            (None, Some(folder)) => Keyring::folder(folder),
            // The arguments ask for one of them.
            (None, None) => return Err(Misuse("name --key or --keyring".to_owned()).into()),
        };
        Ok(read.map_err(|error| Misuse(evidence::causes(&error)))?)
    }
}

fn with_slash(prefix: &str) -> String {
    if prefix.is_empty() || prefix.ends_with('/') {
        prefix.to_owned()
    } else {
        format!("{prefix}/")
    }
}

fn ca_bundle(file: &Path) -> Result<CaBundle> {
    let mut pem = Vec::new();
    File::open(file)
        .and_then(|open| open.take(CA_FILE_MAX_BYTES).read_to_end(&mut pem))
        .with_context(|| format!("cannot read {}", file.display()))?;
    CaBundle::from_pem(&pem).map_err(|error| {
        let words = format!("--ca-file {}: {}", file.display(), evidence::causes(&error));
        Misuse(words).into()
    })
}
