//! What somebody with the uploader's credentials can try, by the client that attackers use.

use anyhow::Result;
use aws_sdk_s3::Client;
use aws_sdk_s3::config::{BehaviorVersion, Credentials, Region};
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_s3::primitives::{ByteStream, DateTime};
use aws_sdk_s3::types::{ObjectLockRetention, ObjectLockRetentionMode};
use sandbox::Sandbox;

/// One attempt and how the store answered.
pub(crate) struct Attempt {
    pub(crate) what: &'static str,
    /// The store's error code, or `None` when it let it happen.
    pub(crate) refused_with: Option<String>,
}

/// Tries to delete, shorten, downgrade and overwrite one locked version.
pub(crate) async fn all(
    sandbox: &Sandbox,
    bucket: &str,
    key: &str,
    version_id: &str,
) -> Result<Vec<Attempt>> {
    let client = client(sandbox);
    let tomorrow = DateTime::from_secs(jiff::Timestamp::now().as_second() + 86_400);
    let retention = |mode, until| {
        ObjectLockRetention::builder()
            .mode(mode)
            .retain_until_date(until)
            .build()
    };
    let shorten = |mode| {
        client
            .put_object_retention()
            .bucket(bucket)
            .key(key)
            .version_id(version_id)
            .bypass_governance_retention(true)
            .retention(retention(mode, tomorrow))
            .send()
    };
    let delete = client
        .delete_object()
        .bucket(bucket)
        .key(key)
        .version_id(version_id)
        .send()
        .await;
    let overwrite = client
        .put_object()
        .bucket(bucket)
        .key(key)
        .if_none_match("*")
        .body(ByteStream::from_static(b"forged"))
        .send()
        .await;
    Ok(vec![
        Attempt {
            what: "delete the version",
            refused_with: code(delete),
        },
        Attempt {
            what: "shorten the lock to a day",
            refused_with: code(shorten(ObjectLockRetentionMode::Compliance).await),
        },
        Attempt {
            what: "downgrade it to GOVERNANCE",
            refused_with: code(shorten(ObjectLockRetentionMode::Governance).await),
        },
        Attempt {
            what: "overwrite the object",
            refused_with: code(overwrite),
        },
    ])
}

fn client(sandbox: &Sandbox) -> Client {
    let identity = sandbox.credentials();
    let credentials = Credentials::new(
        &identity.access_key,
        &identity.secret_key,
        None,
        None,
        "sandbox",
    );
    Client::from_conf(
        aws_sdk_s3::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .endpoint_url(sandbox.endpoint())
            .force_path_style(true)
            .region(Region::new("us-east-1"))
            .credentials_provider(credentials)
            .build(),
    )
}

/// A refusal is an answer of the store; a failure to reach it proves nothing and has no code.
fn code<T, E: ProvideErrorMetadata, R>(result: Result<T, SdkError<E, R>>) -> Option<String> {
    match result {
        Err(SdkError::ServiceError(error)) => {
            Some(error.err().code().unwrap_or("refused").to_owned())
        }
        _ => None,
    }
}
