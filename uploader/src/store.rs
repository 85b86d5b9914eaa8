//! From the configuration to a reachable store: the same for the daemon and for `bucket check`.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;
use std::time::Duration;

use destination::{CaBundle, S3Options};
use host::config::{ConfigError, DestinationSettings, Settings};

/// No file of certificate authorities is longer; the system's own is a fifth of it.
const CA_FILE_MAX_BYTES: u64 = 1 << 20;

/// How to reach a configured destination. Reads `ca_file`.
///
/// # Errors
/// When `ca_file` cannot be read, or holds no certificate that can be trusted.
pub fn store_options(
    destination: &DestinationSettings,
    settings: &Settings,
) -> Result<S3Options, ConfigError> {
    let ca = match &destination.ca_file {
        None => None,
        Some(file) => Some(ca_bundle(file).map_err(|problem| {
            ConfigError::Value {
                place: settings.source.display().to_string(),
                key: format!("destination.{}.ca_file", destination.destination_id),
                value: file.display().to_string(),
                problem,
                remedy: "name a PEM file with the certificate of the authority that signed the \
                     store's, readable by the uploader's user"
                    .to_owned(),
            }
        })?),
    };
    Ok(S3Options {
        prefix: destination.prefix.clone(),
        endpoint: destination.endpoint.clone(),
        path_style: destination.path_style,
        use_dual_stack: destination.use_dual_stack,
        use_fips: destination.use_fips,
        ca,
        sse_kms_key_id: destination.sse_kms_key_id.clone(),
        profile: destination.profile.clone(),
        credentials_file: destination.credentials_file.clone(),
        request_timeout: Duration::from_secs(settings.uploader.request_timeout_secs),
        ..S3Options::new(
            &destination.destination_id,
            &destination.bucket,
            &destination.region,
        )
    })
}

fn ca_bundle(file: &Path) -> Result<CaBundle, String> {
    let mut pem = Vec::new();
    let read =
        File::open(file).and_then(|open| open.take(CA_FILE_MAX_BYTES + 1).read_to_end(&mut pem));
    read.map_err(|error| format!("it cannot be read ({error})"))?;
    if pem.len() as u64 > CA_FILE_MAX_BYTES {
        return Err(format!("it is longer than {CA_FILE_MAX_BYTES} bytes"));
    }
    CaBundle::from_pem(&pem).map_err(|error| error.to_string())
}
