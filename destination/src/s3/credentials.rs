//! Where credentials are found.
//!
//! The order is that of AWS's default chain: environment, profile, web identity, container,
//! instance. A configured profile or credentials file is used alone: what is meant for another
//! store is never shown to this one. When nothing answers, the error lists what was tried.
//!
//! Credentials that expire are asked for again before they do, by the SDK's cache. Those that do
//! not are looked at again every [`RECHECK`], so that a rotated key is used soon after it was
//! written, without a restart; see [`super::profile`].

use std::error::Error as StdError;
use std::sync::Arc;
use std::time::Duration;

use aws_config::BehaviorVersion;
use aws_config::ecs::EcsCredentialsProvider;
use aws_config::environment::EnvironmentVariableCredentialsProvider;
use aws_config::imds;
use aws_config::imds::credentials::ImdsCredentialsProvider;
use aws_config::provider_config::ProviderConfig;
use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::web_identity_token::WebIdentityTokenCredentialsProvider;
use aws_credential_types::Credentials;
use aws_credential_types::provider::error::CredentialsError;
use aws_credential_types::provider::future;
use aws_sdk_s3::config::{ProvideCredentials, Region, SharedCredentialsProvider};
use aws_smithy_async::time::TimeSource as _;
use aws_smithy_http_client::proxy::ProxyConfig;

use super::clock::{ServerClock, SigningClock};
use super::connection::S3Options;
use super::profile::ProfileSource;
use super::transport::{self, Trust};

/// Longest wait for a connection to the instance's metadata service, and for its answer: where
/// there is none, nobody answers, and an uploader without credentials must say so at once.
const METADATA_TIMEOUT: Duration = Duration::from_secs(1);
/// Longest wait for one answer of STS.
const STS_TIMEOUT: Duration = Duration::from_secs(10);
/// How long credentials without an end are used before their source is looked at again. The
/// SDK's cache asks up to ten seconds early.
const RECHECK: Duration = Duration::from_secs(60);
/// No reason is longer in an error.
const REASON_CHARS: usize = 200;

/// Every source said no. Its words are for operators; it never holds a secret of ours, but what a
/// `credential_process` printed as its error is quoted.
#[derive(Debug, thiserror::Error)]
#[error("no credentials; tried {0}")]
pub(super) struct NoCredentials(String);

/// Sources of credentials, in the order in which they are asked.
#[derive(Debug)]
pub(super) struct Sources {
    sources: Vec<(String, SharedCredentialsProvider)>,
    clock: SigningClock,
}

impl Sources {
    /// The sources for these options; nothing is asked yet.
    pub(super) fn new(options: &S3Options, clock: &Arc<ServerClock>) -> Self {
        // The SDK's own choice would ask even a metadata service through the proxy.
        let direct = transport::client(Trust::System, ProxyConfig::disabled());
        let near = ProviderConfig::without_region()
            .with_behavior_version(Some(BehaviorVersion::latest()))
            .with_http_client(direct)
            .with_region(Some(Region::new(options.region.clone())));
        let far = far(options, &near);
        let metadata = imds::Client::builder()
            .configure(&near)
            .max_attempts(1)
            .connect_timeout(METADATA_TIMEOUT)
            .read_timeout(METADATA_TIMEOUT)
            .build();
        let instance = ImdsCredentialsProvider::builder()
            .configure(&near)
            .imds_client(metadata)
            .build();
        let instance = SharedCredentialsProvider::new(instance);
        let container = EcsCredentialsProvider::builder().configure(&near).build();
        let container = SharedCredentialsProvider::new(container);
        let profile = ProfileSource::new(
            options,
            far.clone(),
            [
                ("EcsContainer", container.clone()),
                ("Ec2InstanceMetadata", instance.clone()),
            ],
        );
        let profile = (profile.to_string(), SharedCredentialsProvider::new(profile));
        let sources = if options.profile.is_some() || options.credentials_file.is_some() {
            vec![profile]
        } else {
            let environment = EnvironmentVariableCredentialsProvider::new();
            let web_identity = WebIdentityTokenCredentialsProvider::builder()
                .configure(&far)
                .build();
            let named = |name: &str, source| (name.to_owned(), source);
            vec![
                named(
                    "environment (AWS_ACCESS_KEY_ID)",
                    SharedCredentialsProvider::new(environment),
                ),
                profile,
                named(
                    "web identity (AWS_WEB_IDENTITY_TOKEN_FILE)",
                    SharedCredentialsProvider::new(web_identity),
                ),
                named("container (AWS_CONTAINER_CREDENTIALS_*)", container),
                named("instance metadata", instance),
            ]
        };
        Self {
            sources,
            clock: SigningClock::new(Arc::clone(clock)),
        }
    }

    async fn first(&self) -> Result<Credentials, CredentialsError> {
        let mut tried = Vec::new();
        for (name, source) in &self.sources {
            match source.provide_credentials().await {
                Ok(mut credentials) => {
                    // By the clock that the cache goes by.
                    credentials
                        .expiry_mut()
                        .get_or_insert(self.clock.now() + RECHECK);
                    return Ok(credentials);
                }
                Err(error) => {
                    // Like AWS's chain: what is there and does not work is not passed over.
                    let is_absent = matches!(error, CredentialsError::CredentialsNotLoaded(_));
                    tried.push(format!("{name}: {}", reason(&error)));
                    if !is_absent {
                        break;
                    }
                }
            }
        }
        Err(CredentialsError::not_loaded(NoCredentials(
            tried.join("; "),
        )))
    }
}

impl ProvideCredentials for Sources {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        future::ProvideCredentials::new(self.first())
    }
}

/// What speaks to STS: through the proxy, at the endpoints of the kind that the bucket's are.
fn far(options: &S3Options, near: &ProviderConfig) -> ProviderConfig {
    let trust = options.ca.as_ref().map_or(Trust::System, Trust::Both);
    near.clone()
        .with_http_client(transport::client(trust, transport::proxies(None)))
        .with_use_fips(options.use_fips.then_some(true))
        .with_use_dual_stack(options.use_dual_stack.then_some(true))
        .with_retry_config(RetryConfig::standard().with_max_attempts(2))
        .with_timeout_config(
            TimeoutConfig::builder()
                .connect_timeout(options.connect_timeout)
                .operation_attempt_timeout(STS_TIMEOUT)
                .build(),
        )
}

/// The causes without the SDK's own first words, which only say that there is one.
pub(super) fn reason(error: &CredentialsError) -> String {
    let mut words = Vec::new();
    let mut next = error.source();
    while let Some(cause) = next {
        words.push(cause.to_string());
        next = cause.source();
    }
    if words.is_empty() {
        words.push("not configured".to_owned());
    }
    words
        .join(": ")
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .take(REASON_CHARS)
        .collect()
}

/// The words of [`NoCredentials`], if that is why.
pub(super) fn tried(error: &(dyn StdError + 'static)) -> Option<String> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref::<NoCredentials>() {
            return Some(found.to_string());
        }
        next = error.source();
    }
    None
}
