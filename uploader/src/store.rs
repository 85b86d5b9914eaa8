//! From the configuration to a reachable store: the same for the daemon and for `bucket check`.

use std::time::Duration;

use destination::S3Options;
use host::config::{DestinationSettings, UploaderSettings};

/// No connection takes longer on a network that works.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// How to reach a configured destination.
#[must_use]
pub fn store_options(destination: &DestinationSettings, settings: &UploaderSettings) -> S3Options {
    S3Options {
        destination_id: destination.destination_id.clone(),
        bucket: destination.bucket.clone(),
        prefix: destination.prefix.clone(),
        region: destination.region.clone(),
        endpoint: destination.endpoint.clone(),
        path_style: destination.path_style,
        profile: destination.profile.clone(),
        credentials_file: None,
        connect_timeout: CONNECT_TIMEOUT,
        request_timeout: Duration::from_secs(settings.request_timeout_secs),
    }
}
