//! Where credentials come from, and what happens without.

use std::process::Command;
use std::time::{Duration, Instant};

use destination::{Class, Destination as _, S3Destination, S3Options};
use sandbox::{Identity, Sandbox};

use crate::calls::request;
use crate::{credentials, options_for, start};

/// Set in the process that a test starts for itself.
const ALONE: &str = "DESTINATION_TEST_ALONE";

/// The environment belongs to the process, so a test of it starts itself again in a process of its
/// own, once for each environment. In that process this says `false`: do the work.
fn started_alone(test: &str, environments: &[&[(&str, &str)]]) -> bool {
    if std::env::var_os(ALONE).is_some() {
        return false;
    }
    for environment in environments {
        let home = tempfile::tempdir().unwrap();
        let output = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", &format!("credentials::{test}")])
            .env_clear()
            .env("HOME", home.path())
            .env(ALONE, "1")
            .envs(environment.iter().copied())
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{environment:?}: {said}");
        assert!(said.contains("1 passed"), "{environment:?}: {said}");
    }
    true
}

/// Options without any credentials.
fn bare(sandbox: &Sandbox) -> S3Options {
    let mut options = options_for(sandbox.endpoint(), "", "");
    options.credentials_file = None;
    options.request_timeout = Duration::from_secs(60);
    options
}

#[tokio::test]
async fn without_credentials_a_put_parks_within_seconds() {
    // An instance metadata service that takes connections and never answers, or is not there.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let silent_address = format!("http://{}", silent.local_addr().unwrap());
    let gone = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let gone_address = format!("http://{}", gone.local_addr().unwrap());
    drop(gone);
    let at = "AWS_EC2_METADATA_SERVICE_ENDPOINT";
    if started_alone(
        "without_credentials_a_put_parks_within_seconds",
        &[&[(at, &silent_address)], &[(at, &gone_address)]],
    ) {
        return;
    }
    let (sandbox, _) = start().await;
    let store = S3Destination::connect(bare(&sandbox)).await;
    let asked = Instant::now();
    let failure = store.put(&request("k", b"x")).await.unwrap_err();
    assert_eq!(
        (failure.class, failure.code.as_str()),
        (Class::Park, "NoCredentials"),
        "{failure:?}"
    );
    let words = failure.message;
    assert!(words.contains("AWS_ACCESS_KEY_ID"), "{words}");
    let took = asked.elapsed();
    assert!(took < Duration::from_secs(5), "{took:?}");
}

#[tokio::test]
async fn the_environment_is_used_when_nothing_is_configured_and_never_for_a_profile() {
    if started_alone(
        "the_environment_is_used_when_nothing_is_configured_and_never_for_a_profile",
        &[&[
            ("AWS_ACCESS_KEY_ID", "SANDBOXACCESSKEY0000"),
            ("AWS_SECRET_ACCESS_KEY", "sandbox-secret-key-not-for-use"),
        ]],
    ) {
        return;
    }
    let (sandbox, _) = start().await;
    let mut options = bare(&sandbox);
    let store = S3Destination::connect(options.clone()).await;
    store.put(&request("k", b"x")).await.unwrap();
    options.profile = Some("missing".to_owned());
    let store = S3Destination::connect(options).await;
    let failure = store.put(&request("k2", b"x")).await.unwrap_err();
    assert_eq!(
        (failure.class, failure.code.as_str()),
        (Class::Park, "NoCredentials"),
        "{failure:?}"
    );
}

#[tokio::test]
async fn a_credential_process_that_hangs_parks() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("config");
    // Longer than the SDK waits; the SDK does not end it, so it ends by itself soon after.
    let text = "[default]\ncredential_process = /bin/sleep 45\n";
    std::fs::write(&config, text).unwrap();
    if started_alone(
        "a_credential_process_that_hangs_parks",
        &[&[("AWS_CONFIG_FILE", config.to_str().unwrap())]],
    ) {
        return;
    }
    let (sandbox, _) = start().await;
    let store = S3Destination::connect(bare(&sandbox)).await;
    let put = request("k", b"x");
    let failure = tokio::time::timeout(Duration::from_secs(30), store.put(&put));
    let failure = failure.await.expect("it ends").unwrap_err();
    assert_eq!(
        (failure.class, failure.code.as_str()),
        (Class::Park, "NoCredentials"),
        "{failure:?}"
    );
}

#[tokio::test]
async fn rebuild_reads_credentials_that_were_rotated() {
    let (sandbox, _) = start().await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("credentials");
    let mut options = options_for(sandbox.endpoint(), "", "");
    std::fs::write(&file, credentials("old", "old secret")).unwrap();
    options.credentials_file = Some(file.clone());
    let store = S3Destination::connect(options).await;
    let failure = store.put(&request("k", b"x")).await.unwrap_err();
    assert_eq!(
        (failure.class, failure.code.as_str()),
        (Class::Park, "InvalidAccessKeyId")
    );
    sandbox.identities().put(Identity::new("new", "new secret"));
    std::fs::write(&file, credentials("new", "new secret")).unwrap();
    assert_eq!(
        store.put(&request("k", b"x")).await.unwrap_err().code,
        "InvalidAccessKeyId",
        "they are kept until the client is built anew"
    );
    store.rebuild().await.unwrap();
    store.put(&request("k", b"x")).await.unwrap();
    assert!(store.server_now().is_some(), "the store's clock is kept");
}

#[tokio::test]
async fn a_wrong_secret_parks() {
    let (sandbox, _) = start().await;
    let key = &sandbox.credentials().access_key;
    let store = S3Destination::connect(options_for(sandbox.endpoint(), key, "wrong")).await;
    let failure = store.put(&request("k", b"x")).await.unwrap_err();
    assert_eq!(
        (failure.class, failure.code.as_str()),
        (Class::Park, "SignatureDoesNotMatch")
    );
    assert!(
        !format!("{failure:?}").contains("wrong"),
        "a failure never tells a secret"
    );
}

#[tokio::test]
async fn a_named_profile_is_used() {
    let (sandbox, _) = start().await;
    let identity = sandbox.credentials();
    let file = tempfile::NamedTempFile::new().unwrap();
    let text = credentials("nobody", "nothing")
        + &credentials(&identity.access_key, &identity.secret_key).replace("default", "clinic");
    std::fs::write(file.path(), text).unwrap();
    let mut options = options_for(sandbox.endpoint(), "", "");
    options.credentials_file = Some(file.path().to_owned());
    options.profile = Some("clinic".to_owned());
    let store = S3Destination::connect(options.clone()).await;
    store.put(&request("k", b"x")).await.unwrap();
    options.profile = Some("missing".to_owned());
    let store = S3Destination::connect(options).await;
    let failure = store.put(&request("k2", b"x")).await.unwrap_err();
    assert_eq!(
        (failure.class, failure.code.as_str()),
        (Class::Park, "NoCredentials"),
        "{failure:?}"
    );
}
