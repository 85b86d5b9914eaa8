//! Real S3 servers: what they do with a lock, and what we then say of it.

use std::process::{Command, Output, Stdio};
use std::time::Duration;

use aws_sdk_s3::primitives::DateTime;
use aws_sdk_s3::types::{ObjectLockMode, ObjectLockRetention, ObjectLockRetentionMode};
use destination::conformance::{Check, Difference, KNOWN_STORES, OBJECTS_LEFT, Outcome, Suite};
use destination::{S3Destination, S3Options};
use jiff::{SignedDuration, Timestamp};
use sandbox::{Action, Fault, Sandbox, SandboxOptions};
use serde_json::Value;
use tests::clinic::{BUCKET, Clinic, Place, Role};
use tests::servers::{Kind, REGION, Server};
use tests::tools::{ours, workspace_root};

use crate::incident::document;

async fn store(server: &Server) -> S3Destination {
    S3Destination::connect(S3Options {
        endpoint: Some(server.endpoint.clone()),
        path_style: true,
        credentials_file: Some(server.credentials_file()),
        connect_timeout: Duration::from_secs(5),
        request_timeout: Duration::from_secs(30),
        ..S3Options::new("main", BUCKET, REGION)
    })
    .await
}

/// A server differs exactly as the documents say: no less, so that the table does not rot.
async fn differs_as_known(kind: Kind, test: &str) {
    let Some(server) = Server::start(kind, test).await else {
        return;
    };
    server.make_bucket(BUCKET).await;
    let suite = Suite {
        prefix: "conformance/1/".to_owned(),
        lock_for: SignedDuration::from_mins(10),
    };
    let checks = suite.run(&store(&server).await, |_| {}).await;
    let passed = |check: &&Check| check.outcome == Outcome::Passed;
    let failed: Vec<&Check> = checks.iter().filter(|c| !passed(c)).collect();
    let names: Vec<&str> = failed.iter().map(|check| check.name).collect();
    let known = KNOWN_STORES.iter().find(|s| s.name == kind.name()).unwrap();
    let expected: Vec<&str> = known
        .differences
        .iter()
        .flat_map(|difference| difference.checks().iter().copied())
        .collect();
    assert_eq!(names, expected, "{failed:#?}\n{}", server.log());
    assert!(checks.iter().filter(passed).count() >= 24, "{checks:#?}");
}

#[tokio::test]
async fn minio_differs_from_s3_exactly_as_documented() {
    differs_as_known(Kind::Minio, "minio_differs_from_s3_exactly_as_documented").await;
}

#[tokio::test]
async fn versitygw_differs_from_s3_exactly_as_documented() {
    differs_as_known(
        Kind::Versitygw,
        "versitygw_differs_from_s3_exactly_as_documented",
    )
    .await;
}

#[test]
fn the_documents_name_each_store_and_difference_as_the_code_does() {
    let text = std::fs::read_to_string(workspace_root().join("docs/stores.md")).unwrap();
    for store in KNOWN_STORES {
        let row = text
            .lines()
            .find(|line| line.starts_with(&format!("| {} |", store.name)))
            .unwrap_or_else(|| panic!("{} has no row", store.name));
        let cell = row.trim_end_matches(" |").rsplit(" | ").next().unwrap();
        let names: Vec<String> = store
            .differences
            .iter()
            .map(|d| format!("`{}`", d.as_str()))
            .collect();
        let expected = if names.is_empty() {
            "none".to_owned()
        } else {
            names.join(", ")
        };
        assert_eq!(cell, expected, "{}", store.name);
    }
    for difference in Difference::ALL {
        let item = format!("\n- `{}`: ", difference.as_str());
        assert!(text.contains(&item), "{}", difference.as_str());
    }
}

/// `bucket conformance` without any configuration.
fn conformance(endpoint: &str, access_key: &str, secret_key: &str, more: &[&str]) -> Output {
    Command::new("setsid")
        .args(["--wait", ours("msp-evidence").to_str().unwrap()])
        .args(["bucket", "conformance", "--path-style", "--bucket", BUCKET])
        .args(["--endpoint", endpoint])
        .args(more)
        .env("AWS_ACCESS_KEY_ID", access_key)
        .env("AWS_SECRET_ACCESS_KEY", secret_key)
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_qualifies_a_store_with_one_command() {
    let test = "an_operator_qualifies_a_store_with_one_command";
    for (kind, verdict) in [
        (Kind::Minio, "qualified"),
        (Kind::Versitygw, "usable_with_differences"),
    ] {
        let Some(server) = Server::start(kind, test).await else {
            return;
        };
        server.make_bucket(BUCKET).await;
        let (access_key, secret_key) = server.credentials();
        let run = |more: &[&str]| conformance(&server.endpoint, access_key, secret_key, more);
        let asked = run(&[]);
        assert_eq!(asked.status.code(), Some(1), "{asked:?}");
        let said = String::from_utf8(asked.stderr).unwrap();
        assert!(
            said.contains("COMPLIANCE") && said.contains("--yes"),
            "{said}"
        );
        let listed = server.client().list_object_versions().bucket(BUCKET);
        assert_eq!(
            listed.send().await.unwrap().versions().len(),
            0,
            "nothing was sent before it was agreed to"
        );
        let output = run(&["--yes", "--json"]);
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        let report: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(report["verdict"], verdict, "{report:#}");
        let left = server.client().list_object_versions().bucket(BUCKET);
        let left = left.send().await.unwrap().versions().len();
        assert!(
            (4..=OBJECTS_LEFT as usize).contains(&left),
            "{left} are left"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_loses_locks_is_said_to_be_unusable() {
    let sandbox = Sandbox::start(SandboxOptions::with_bucket(BUCKET))
        .await
        .unwrap();
    sandbox
        .faults()
        .add(Fault::on("PutObject", Action::LoseLock));
    let identity = sandbox.credentials();
    let output = conformance(
        &sandbox.endpoint(),
        &identity.access_key,
        &identity.secret_key,
        &["--yes"],
    );
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(said.contains("NOT usable"), "{said}");
    let output = conformance("http://127.0.0.1:9", "a", "b", &["--yes"]);
    assert_eq!(output.status.code(), Some(3), "{output:?}");
}

/// What the store itself says of every object of every bundle, and what it lets its own
/// administrator do about it.
async fn is_kept(server: &Server, locations: &[Value]) {
    let client = server.client();
    let mut objects = 0;
    for location in locations {
        assert_eq!(location["state"], "confirmed", "{location:#}");
        for object in location["objects"].as_array().unwrap() {
            objects += 1;
            let text = |name: &str| object[name].as_str().unwrap();
            let key = text("uri").strip_prefix("s3://evidence/").unwrap();
            let version = text("version_id");
            let head = client
                .head_object()
                .bucket(BUCKET)
                .key(key)
                .version_id(version)
                .send()
                .await
                .unwrap();
            assert_eq!(head.object_lock_mode(), Some(&ObjectLockMode::Compliance));
            let locked = head.object_lock_retain_until_date().unwrap().secs();
            let told: Timestamp = text("retain_until").parse().unwrap();
            assert_eq!(locked, told.as_second(), "{key}");
            let six_years = Timestamp::now() + SignedDuration::from_hours(24 * 2191);
            assert!(
                locked > six_years.as_second(),
                "{key} is locked until {told}"
            );
            let deleted = client
                .delete_object()
                .bucket(BUCKET)
                .key(key)
                .version_id(version)
                .bypass_governance_retention(true)
                .send()
                .await;
            assert!(deleted.is_err(), "{key} was deleted");
            let shorter = ObjectLockRetention::builder()
                .mode(ObjectLockRetentionMode::Compliance)
                .retain_until_date(DateTime::from_secs(locked - 86_400))
                .build();
            let shortened = client
                .put_object_retention()
                .bucket(BUCKET)
                .key(key)
                .version_id(version)
                .bypass_governance_retention(true)
                .retention(shorter)
                .send()
                .await;
            assert!(shortened.is_err(), "the lock of {key} was shortened");
        }
    }
    let versions = client
        .list_object_versions()
        .bucket(BUCKET)
        .send()
        .await
        .unwrap();
    assert_eq!(
        versions.versions().len(),
        objects,
        "each object is stored once"
    );
}

fn keeps_bundles_and_artifacts(kind: Kind, test: &str) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let Some(server) = runtime.block_on(Server::start(kind, test)) else {
        return;
    };
    runtime.block_on(server.make_bucket(BUCKET));
    let mut clinic = Clinic::at(&[Place::server("main", &server)]);
    clinic.start(Role::Agent);
    clinic.start(Role::Uploader);
    clinic.drop_document("one.json", &document("INC-1"));
    let log = vec![b'l'; 100_000];
    clinic.drop_folder(
        "two",
        &document("INC-2"),
        &[("backup.log", &log), ("empty", b"")],
    );
    clinic.wait_until("both bundles confirmed", |c| {
        c.bundles().len() == 2 && c.is_settled()
    });
    let mut locations = Vec::new();
    for (_, bundle) in clinic.bundles() {
        let shown = clinic.cli_json(&["show", &bundle.header().bundle_id, "--json"]);
        locations.extend(shown["storage_locations"].as_array().unwrap().clone());
    }
    let objects: usize = locations
        .iter()
        .map(|l| l["objects"].as_array().unwrap().len())
        .sum();
    assert_eq!(objects, 6);
    runtime.block_on(is_kept(&server, &locations));
    let status = clinic.cli_json(&["status", "--json"]);
    assert_eq!(status["blocked"], Value::Array(Vec::new()), "{status:#}");
    clinic.stop(Role::Uploader);
    clinic.stop(Role::Agent);
}

#[test]
fn minio_keeps_bundle_signature_and_artifacts_and_lets_nobody_undo_that() {
    keeps_bundles_and_artifacts(
        Kind::Minio,
        "minio_keeps_bundle_signature_and_artifacts_and_lets_nobody_undo_that",
    );
}

#[test]
fn versitygw_keeps_bundle_signature_and_artifacts_and_lets_nobody_undo_that() {
    keeps_bundles_and_artifacts(
        Kind::Versitygw,
        "versitygw_keeps_bundle_signature_and_artifacts_and_lets_nobody_undo_that",
    );
}
