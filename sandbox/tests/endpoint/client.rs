//! A client as the product configures its own: one attempt, explicit checksums.

use aws_sdk_s3::Client;
use aws_sdk_s3::config::retry::RetryConfig;
use aws_sdk_s3::config::{
    BehaviorVersion, Credentials, Region, RequestChecksumCalculation, ResponseChecksumValidation,
};
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_s3::operation::put_object::builders::PutObjectFluentBuilder;
use aws_sdk_s3::primitives::{ByteStream, DateTime};
use aws_sdk_s3::types::{ObjectLockMode, ObjectLockRetention, ObjectLockRetentionMode};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sandbox::{Algorithm, Identity, Sandbox, SandboxOptions};

pub(crate) const BUCKET: &str = "evidence";
pub(crate) const DAY_SECS: i64 = 86_400;

/// A sandbox in memory with one bucket with Object Lock, and a client of it.
pub(crate) async fn start() -> (Sandbox, Client) {
    let sandbox = Sandbox::start(SandboxOptions::with_bucket(BUCKET))
        .await
        .unwrap();
    let client = client(&sandbox);
    (sandbox, client)
}

pub(crate) fn client(sandbox: &Sandbox) -> Client {
    client_as(sandbox, sandbox.credentials())
}

pub(crate) fn client_as(sandbox: &Sandbox, identity: &Identity) -> Client {
    Client::from_conf(config(sandbox, identity).build())
}

pub(crate) fn config(sandbox: &Sandbox, identity: &Identity) -> aws_sdk_s3::config::Builder {
    let credentials = Credentials::new(
        &identity.access_key,
        &identity.secret_key,
        None,
        None,
        "test",
    );
    aws_sdk_s3::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .endpoint_url(sandbox.endpoint())
        .force_path_style(true)
        .region(Region::new("us-east-1"))
        .credentials_provider(credentials)
        .retry_config(RetryConfig::disabled())
        .request_checksum_calculation(RequestChecksumCalculation::WhenRequired)
        .response_checksum_validation(ResponseChecksumValidation::WhenRequired)
}

pub(crate) fn md5(bytes: &[u8]) -> String {
    STANDARD.encode(sandbox::md5_of(bytes))
}

pub(crate) fn sha256(bytes: &[u8]) -> String {
    sandbox::checksum_of(Algorithm::Sha256, bytes)
}

/// A date that many seconds from the machine's now, whole seconds.
pub(crate) fn in_secs(secs: i64) -> DateTime {
    DateTime::from_secs(jiff::Timestamp::now().as_second() + secs)
}

pub(crate) fn timestamp(at: DateTime) -> jiff::Timestamp {
    jiff::Timestamp::from_second(at.secs()).unwrap()
}

/// The product's PUT: SHA-256, Content-MD5, COMPLIANCE, `If-None-Match: *`.
pub(crate) fn put(client: &Client, key: &str, bytes: &'static [u8]) -> PutObjectFluentBuilder {
    put_until(client, key, bytes, in_secs(DAY_SECS))
}

pub(crate) fn put_until(
    client: &Client,
    key: &str,
    bytes: &'static [u8],
    until: DateTime,
) -> PutObjectFluentBuilder {
    plain(client, key, bytes)
        .if_none_match("*")
        .object_lock_mode(ObjectLockMode::Compliance)
        .object_lock_retain_until_date(until)
}

/// A PUT with checksums and without a lock or condition.
pub(crate) fn plain(client: &Client, key: &str, bytes: &'static [u8]) -> PutObjectFluentBuilder {
    client
        .put_object()
        .bucket(BUCKET)
        .key(key)
        .body(ByteStream::from_static(bytes))
        .checksum_sha256(sha256(bytes))
        .content_md5(md5(bytes))
}

pub(crate) fn retention(mode: ObjectLockRetentionMode, until: DateTime) -> ObjectLockRetention {
    ObjectLockRetention::builder()
        .mode(mode)
        .retain_until_date(until)
        .build()
}

/// The S3 error code and HTTP status of a refusal; `None` for success, panics when the request
/// was not answered.
pub(crate) fn refusal<T, E: ProvideErrorMetadata + std::fmt::Debug>(
    result: Result<T, SdkError<E>>,
) -> Option<(String, u16)> {
    let error = result.err()?;
    let status = match &error {
        SdkError::ServiceError(refused) => refused.raw().status().as_u16(),
        other => panic!("not answered: {other:?}"),
    };
    Some((error.code().unwrap_or_default().to_owned(), status))
}

/// Asserts a refusal by code and status.
#[track_caller]
pub(crate) fn assert_refused<T, E: ProvideErrorMetadata + std::fmt::Debug>(
    result: Result<T, SdkError<E>>,
    code: &str,
    status: u16,
) {
    assert_eq!(refusal(result), Some((code.to_owned(), status)));
}
