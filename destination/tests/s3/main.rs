//! The S3 destination against the embedded endpoint, and against a peer with fixed answers.

mod alone;
mod authority;
mod bucket;
mod calls;
mod conformance;
mod credentials;
mod endpoints;
mod hold;
mod peer;
mod proxy;
mod wire;

use std::time::Duration;

use destination::{S3Destination, S3Options};
use sandbox::{Sandbox, SandboxOptions};

pub(crate) const BUCKET: &str = "evidence";

pub(crate) async fn start() -> (Sandbox, S3Destination) {
    let sandbox = Sandbox::start(SandboxOptions::with_bucket(BUCKET))
        .await
        .unwrap();
    let store = connect(&sandbox).await;
    (sandbox, store)
}

pub(crate) async fn connect(sandbox: &Sandbox) -> S3Destination {
    let identity = sandbox.credentials();
    S3Destination::connect(options_for(
        sandbox.endpoint(),
        &identity.access_key,
        &identity.secret_key,
    ))
    .await
}

/// A credentials file of one profile.
pub(crate) fn credentials(access_key: &str, secret_key: &str) -> String {
    format!("[default]\naws_access_key_id = {access_key}\naws_secret_access_key = {secret_key}\n")
}

/// Options with these credentials in a file of their own, as the environment is shared by all
/// tests of this process.
pub(crate) fn options_for(endpoint: String, access_key: &str, secret_key: &str) -> S3Options {
    let file = tempfile::tempdir().unwrap().keep().join("credentials");
    std::fs::write(&file, credentials(access_key, secret_key)).unwrap();
    S3Options {
        endpoint: Some(endpoint),
        path_style: true,
        credentials_file: Some(file),
        connect_timeout: Duration::from_secs(5),
        request_timeout: Duration::from_secs(5),
        ..S3Options::new("test", BUCKET, "us-east-1")
    }
}
