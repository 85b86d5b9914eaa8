//! How a bucket is reached: timeouts, and where credentials are found.
//!
//! Credentials come from the configured profile; without one from the environment, the default
//! profile, or the instance's role. The instance's metadata service is asked once and given up
//! after [`METADATA_TIMEOUT`]: where there is none, nobody answers, and an uploader without
//! credentials must say so at once.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use aws_config::BehaviorVersion;
use aws_config::environment::EnvironmentVariableCredentialsProvider;
use aws_config::imds;
use aws_config::imds::credentials::ImdsCredentialsProvider;
use aws_config::meta::credentials::CredentialsProviderChain;
use aws_config::profile::ProfileFileCredentialsProvider;
use aws_config::provider_config::ProviderConfig;
use aws_config::stalled_stream_protection::StalledStreamProtectionConfig;
use aws_config::timeout::TimeoutConfig;
use aws_runtime::env_config::file::{EnvConfigFileKind, EnvConfigFiles};
use aws_sdk_s3::Client;
use aws_sdk_s3::config::retry::RetryConfig;
use aws_sdk_s3::config::{Region, RequestChecksumCalculation, ResponseChecksumValidation};

use super::clock::{DateKeeper, ServerClock, SigningClock};

/// Longest wait for a connection to the instance's metadata service, and for its answer.
const METADATA_TIMEOUT: Duration = Duration::from_secs(1);

/// How to reach one bucket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct S3Options {
    /// The configured id.
    pub destination_id: String,
    /// Bucket name.
    pub bucket: String,
    /// Empty, or ends with `/`; keys given to [`Destination`] contain it already.
    pub prefix: String,
    /// AWS region.
    pub region: String,
    /// For stores that are not AWS.
    pub endpoint: Option<String>,
    /// The bucket in the path instead of the host name.
    pub path_style: bool,
    /// A profile in the AWS config files; then nothing else is asked.
    pub profile: Option<String>,
    /// An AWS credentials file instead of the usual one; then nothing else is asked.
    pub credentials_file: Option<PathBuf>,
    /// Longest wait for a connection.
    pub connect_timeout: Duration,
    /// Longest wait for the answer to a request, and then for the next bytes of its body.
    pub request_timeout: Duration,
}

/// Makes a client, with credentials read when it first needs them.
pub(super) async fn make_client(options: &S3Options, clock: &Arc<ServerClock>) -> Client {
    let timeouts = TimeoutConfig::builder()
        .connect_timeout(options.connect_timeout)
        .operation_timeout(options.request_timeout)
        .build();
    // The timeouts end with the answer's head; a body that stops coming is ended by this.
    let stalled = StalledStreamProtectionConfig::enabled()
        .grace_period(options.request_timeout)
        .build();
    let mut loader = aws_config::defaults(BehaviorVersion::latest())
        .region(Region::new(options.region.clone()))
        .credentials_provider(credentials(options))
        .retry_config(RetryConfig::disabled())
        .timeout_config(timeouts)
        .stalled_stream_protection(stalled);
    if let Some(files) = profile_files(options) {
        loader = loader.profile_files(files);
    }
    if let Some(profile) = &options.profile {
        loader = loader.profile_name(profile);
    }
    let shared = loader.load().await;
    let mut config = aws_sdk_s3::config::Builder::from(&shared)
        .force_path_style(options.path_style)
        .request_checksum_calculation(RequestChecksumCalculation::WhenRequired)
        .response_checksum_validation(ResponseChecksumValidation::WhenRequired)
        .time_source(SigningClock::new(Arc::clone(clock)))
        .interceptor(DateKeeper::new(Arc::clone(clock)));
    if let Some(endpoint) = &options.endpoint {
        config = config.endpoint_url(endpoint);
    }
    Client::from_conf(config.build())
}

/// What was configured, and only else what is found: credentials that are meant for another store
/// are never shown to this one.
fn credentials(options: &S3Options) -> CredentialsProviderChain {
    let provider = ProviderConfig::without_region()
        .with_behavior_version(Some(BehaviorVersion::latest()))
        .with_region(Some(Region::new(options.region.clone())));
    let mut profile = ProfileFileCredentialsProvider::builder().configure(&provider);
    if let Some(name) = &options.profile {
        profile = profile.profile_name(name);
    }
    if let Some(files) = profile_files(options) {
        profile = profile.profile_files(files);
    }
    let profile = profile.build();
    if options.profile.is_some() || options.credentials_file.is_some() {
        return CredentialsProviderChain::first_try("Profile", profile);
    }
    let metadata = imds::Client::builder()
        .configure(&provider)
        .max_attempts(1)
        .connect_timeout(METADATA_TIMEOUT)
        .read_timeout(METADATA_TIMEOUT)
        .build();
    let instance = ImdsCredentialsProvider::builder()
        .configure(&provider)
        .imds_client(metadata)
        .build();
    CredentialsProviderChain::first_try(
        "Environment",
        EnvironmentVariableCredentialsProvider::new(),
    )
    .or_else("Profile", profile)
    .or_else("Ec2InstanceMetadata", instance)
}

fn profile_files(options: &S3Options) -> Option<EnvConfigFiles> {
    let file = options.credentials_file.as_ref()?;
    Some(
        EnvConfigFiles::builder()
            .with_file(EnvConfigFileKind::Credentials, file)
            .build(),
    )
}
