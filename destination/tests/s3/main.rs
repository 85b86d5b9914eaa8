//! The S3 destination against the embedded endpoint.

mod calls;
mod conformance;

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
    // One identity for every sandbox of this process, so the environment is the same for all.
    let identity = sandbox.credentials();
    let folder = tempfile::tempdir().unwrap().keep();
    let profile = folder.join("credentials");
    std::fs::write(
        &profile,
        format!(
            "[default]\naws_access_key_id = {}\naws_secret_access_key = {}\n",
            identity.access_key, identity.secret_key
        ),
    )
    .unwrap();
    S3Destination::connect(S3Options {
        destination_id: "test".to_owned(),
        bucket: BUCKET.to_owned(),
        prefix: String::new(),
        region: "us-east-1".to_owned(),
        endpoint: Some(sandbox.endpoint()),
        path_style: true,
        profile: None,
        credentials_file: Some(profile),
        connect_timeout: Duration::from_secs(5),
        request_timeout: Duration::from_secs(5),
    })
    .await
}
