//! How a bucket is reached: what an operator chooses, and the client made from it.
//!
//! Nothing here comes from the environment or a profile but proxies and credentials. An endpoint
//! that a variable could replace would send evidence to a place that the signed plan does not
//! name.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use aws_config::BehaviorVersion;
use aws_sdk_s3::Client;
use aws_sdk_s3::config::retry::RetryConfig;
use aws_sdk_s3::config::timeout::TimeoutConfig;
use aws_sdk_s3::config::{
    Builder, IdentityCache, Region, RequestChecksumCalculation, ResponseChecksumValidation,
    StalledStreamProtectionConfig,
};

use super::clock::{DateKeeper, ServerClock, SigningClock};
use super::credentials::Sources;
use super::transport::{self, Trust};
use super::trust::CaBundle;

/// What looking for credentials may take besides a `credential_process`.
const SOURCES_TIMEOUT: Duration = Duration::from_secs(25);

/// How to reach one bucket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct S3Options {
    /// The configured id.
    pub destination_id: String,
    /// Bucket name.
    pub bucket: String,
    /// Empty, or ends with `/`; keys given to [`Destination`](crate::Destination) contain it
    /// already.
    pub prefix: String,
    /// AWS region.
    pub region: String,
    /// For stores that are not AWS.
    pub endpoint: Option<String>,
    /// The bucket in the path instead of the host name.
    pub path_style: bool,
    /// AWS's endpoints that have IPv6 addresses too; not with an endpoint of one's own.
    pub use_dual_stack: bool,
    /// AWS's endpoints with validated cryptography; not with an endpoint of one's own.
    pub use_fips: bool,
    /// Whom the store's certificate must come from, instead of the system's authorities.
    pub ca: Option<CaBundle>,
    /// Objects are encrypted with this KMS key (id, alias or ARN).
    pub sse_kms_key_id: Option<String>,
    /// A profile in the AWS config files; then nothing else is asked.
    pub profile: Option<String>,
    /// An AWS credentials file instead of the usual ones; then nothing else is asked.
    pub credentials_file: Option<PathBuf>,
    /// Longest run of a `credential_process`; it is ended then.
    pub credential_process_timeout: Duration,
    /// Longest wait for a connection.
    pub connect_timeout: Duration,
    /// Longest wait for the answer to a request, besides the time that its body takes, and for
    /// the next bytes of a body in either direction.
    pub request_timeout: Duration,
}

impl S3Options {
    /// A bucket of AWS, reached with what is usual.
    pub fn new(
        destination_id: impl Into<String>,
        bucket: impl Into<String>,
        region: impl Into<String>,
    ) -> Self {
        Self {
            destination_id: destination_id.into(),
            bucket: bucket.into(),
            prefix: String::new(),
            region: region.into(),
            endpoint: None,
            path_style: false,
            use_dual_stack: false,
            use_fips: false,
            ca: None,
            sse_kms_key_id: None,
            profile: None,
            credentials_file: None,
            credential_process_timeout: Duration::from_secs(30),
            connect_timeout: Duration::from_secs(10),
            request_timeout: Duration::from_secs(60),
        }
    }
}

/// Makes a client, with credentials read when it first needs them.
pub(super) fn make_client(options: &S3Options, clock: &Arc<ServerClock>) -> Client {
    let timeouts = TimeoutConfig::builder()
        .connect_timeout(options.connect_timeout)
        .operation_timeout(options.request_timeout)
        .build();
    // The timeouts end with the answer's head; a body that stops coming is ended by this, and so
    // is one that the store does not take any more.
    let stalled = StalledStreamProtectionConfig::enabled()
        .grace_period(options.request_timeout)
        .build();
    let cache = IdentityCache::lazy()
        .load_timeout(options.credential_process_timeout + SOURCES_TIMEOUT)
        .build();
    let trust = options.ca.as_ref().map_or(Trust::System, Trust::Only);
    let proxies = transport::proxies(options.endpoint.as_deref());
    let mut config = Builder::new()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new(options.region.clone()))
        .credentials_provider(Sources::new(options, clock))
        .identity_cache(cache)
        .http_client(transport::client(trust, proxies))
        .retry_config(RetryConfig::disabled())
        .timeout_config(timeouts)
        .stalled_stream_protection(stalled)
        .force_path_style(options.path_style)
        .use_dual_stack(options.use_dual_stack)
        .use_fips(options.use_fips)
        .request_checksum_calculation(RequestChecksumCalculation::WhenRequired)
        .response_checksum_validation(ResponseChecksumValidation::WhenRequired)
        .time_source(SigningClock::new(Arc::clone(clock)))
        .disable_clock_skew_correction(true)
        .interceptor(DateKeeper::new(Arc::clone(clock)));
    if let Some(endpoint) = &options.endpoint {
        config = config.endpoint_url(endpoint);
    }
    Client::from_conf(config.build())
}
