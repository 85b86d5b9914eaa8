//! `msp-evidence bucket create`, against the sandbox and a real MinIO.

use std::path::Path;
use std::process::{Command, Output, Stdio};

use aws_sdk_s3::Client;
use aws_sdk_s3::types::{ObjectLockEnabled, ObjectLockRetentionMode};
use sandbox::{BucketOptions, Sandbox, SandboxOptions};
use serde_json::Value;
use tests::servers::{Kind, REGION, Server, client};
use tests::tools::{self, Tool, ours};

use crate::workbench::{Workbench, said};

const BUCKET: &str = "example-evidence";

/// The command, as somebody with these credentials; nobody is there to be asked.
struct Operator<'a> {
    config: tempfile::TempDir,
    credentials: (&'a str, &'a str),
}

impl<'a> Operator<'a> {
    fn of(endpoint: &str, credentials: (&'a str, &'a str)) -> Self {
        let config = tempfile::tempdir().unwrap();
        let text = format!(
            "client_id = \"clinic-012\"\nhost_id = \"srv-1\"\n\n[[destination]]\nid = \"primary\"\n\
             bucket = \"{BUCKET}\"\nregion = \"{REGION}\"\nendpoint = \"{endpoint}\"\npath_style = true\n"
        );
        std::fs::write(config.path().join("evidence.toml"), text).unwrap();
        Self {
            config,
            credentials,
        }
    }

    fn run(&self, more: &[&str]) -> Output {
        let config: &Path = &self.config.path().join("evidence.toml");
        Command::new(ours("msp-evidence"))
            .arg("--config")
            .arg(config)
            .args(["bucket", "create"])
            .args(more)
            .env("AWS_ACCESS_KEY_ID", self.credentials.0)
            .env("AWS_SECRET_ACCESS_KEY", self.credentials.1)
            .stdin(Stdio::null())
            .output()
            .unwrap()
    }

    /// Adds to the section of the destination.
    fn append(&self, line: &str) {
        let path = self.config.path().join("evidence.toml");
        let text = std::fs::read_to_string(&path).unwrap();
        std::fs::write(path, text + line).unwrap();
    }

    /// Runs it and wants this exit code; returns the report.
    fn reports(&self, code: i32, more: &[&str]) -> Value {
        let output = self.run(&[more, &["--json"]].concat());
        assert_eq!(output.status.code(), Some(code), "{}", said(&output));
        serde_json::from_slice(&output.stdout).unwrap()
    }
}

/// Each setting's result, by name.
fn results(report: &Value) -> Vec<(&str, &str)> {
    let settings = report["settings"].as_array().unwrap();
    settings
        .iter()
        .map(|s| (s["name"].as_str().unwrap(), s["result"].as_str().unwrap()))
        .collect()
}

async fn exists(client: &Client) -> bool {
    let buckets = client.list_buckets().send().await.unwrap();
    buckets.buckets().iter().any(|b| b.name() == Some(BUCKET))
}

/// What the store itself says of the new bucket.
async fn locks_for_six_years(client: &Client) {
    let lock = client
        .get_object_lock_configuration()
        .bucket(BUCKET)
        .send()
        .await
        .unwrap()
        .object_lock_configuration
        .unwrap();
    assert_eq!(
        lock.object_lock_enabled(),
        Some(&ObjectLockEnabled::Enabled)
    );
    let rule = lock
        .rule()
        .and_then(|rule| rule.default_retention())
        .unwrap();
    assert_eq!(rule.mode(), Some(&ObjectLockRetentionMode::Compliance));
    assert_eq!(rule.days(), Some(2192));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bucket_is_created_when_agreed_to_completed_when_empty_and_never_touched_when_in_use() {
    let sandbox = Sandbox::start(SandboxOptions::default()).await.unwrap();
    let identity = sandbox.credentials().clone();
    let operator = Operator::of(
        &sandbox.endpoint(),
        (&identity.access_key, &identity.secret_key),
    );
    let client = client(
        &sandbox.endpoint(),
        &identity.access_key,
        &identity.secret_key,
    );

    let asked = operator.run(&[]);
    assert_eq!(asked.status.code(), Some(1), "{}", said(&asked));
    for wanted in [
        "COMPLIANCE 2192 days",
        "nobody can delete it before",
        "--yes",
    ] {
        assert!(said(&asked).contains(wanted), "{}", said(&asked));
    }
    let report = operator.reports(0, &["--dry-run"]);
    assert_eq!(report["outcome"], "would_create");
    assert!(!exists(&client).await, "nothing was agreed to");

    let report = operator.reports(0, &["--yes"]);
    assert_eq!(report["outcome"], "created", "{report:#}");
    // The sandbox offers nothing but what the uploader needs.
    assert_eq!(
        results(&report),
        [
            ("public_access", "not_offered"),
            ("ownership", "not_offered"),
            ("encryption", "not_offered"),
            ("incomplete_uploads", "not_offered"),
            ("default_rule", "as_wanted"),
        ]
    );
    locks_for_six_years(&client).await;

    let report = operator.reports(0, &["--yes"]);
    assert_eq!(report["outcome"], "completed");

    let body = aws_sdk_s3::primitives::ByteStream::from_static(b"x");
    let put = client.put_object().bucket(BUCKET).key("k").body(body);
    put.send().await.unwrap();
    sandbox.log().clear();
    let report = operator.reports(1, &["--yes"]);
    assert_eq!(report["outcome"], "in_use");
    let changing =
        |operation: &str| operation.starts_with("Put") || operation.starts_with("Create");
    let requests = sandbox.log().requests();
    assert!(!requests.is_empty());
    assert!(
        !requests.iter().any(|request| changing(&request.operation)),
        "{requests:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bucket_without_object_lock_is_not_touched() {
    let plain = BucketOptions {
        object_lock: false,
        ..BucketOptions::locked(BUCKET)
    };
    let sandbox = Sandbox::start(SandboxOptions {
        buckets: vec![plain],
        ..SandboxOptions::default()
    })
    .await
    .unwrap();
    let identity = sandbox.credentials().clone();
    let operator = Operator::of(
        &sandbox.endpoint(),
        (&identity.access_key, &identity.secret_key),
    );
    let report = operator.reports(2, &["--yes"]);
    assert_eq!(report["outcome"], "unlockable");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_setting_that_does_not_hold_is_not_called_done() {
    let sandbox = Sandbox::start(SandboxOptions::default()).await.unwrap();
    let identity = sandbox
        .credentials()
        .clone()
        .deny("PutBucketObjectLockConfiguration");
    sandbox.identities().put(identity.clone());
    let operator = Operator::of(
        &sandbox.endpoint(),
        (&identity.access_key, &identity.secret_key),
    );
    let output = operator.run(&["--yes"]);
    assert_eq!(output.status.code(), Some(3), "{}", said(&output));
    assert!(said(&output).contains("default_rule could not be set"));
    assert!(said(&output).contains("AccessDenied"), "{}", said(&output));
}

#[tokio::test(flavor = "multi_thread")]
async fn minio_gets_a_bucket_that_locks() {
    let Some(server) = Server::start(Kind::Minio, "minio_gets_a_bucket_that_locks").await else {
        return;
    };
    let operator = Operator::of(&server.endpoint, server.credentials());
    let report = operator.reports(0, &["--yes"]);
    assert_eq!(report["outcome"], "created", "{report:#}\n{}", server.log());
    let results = results(&report);
    println!("{results:?}");
    assert!(
        results.contains(&("default_rule", "as_wanted")),
        "{report:#}"
    );
    assert!(
        results
            .iter()
            .all(|(_, result)| ["as_wanted", "not_offered"].contains(result)),
        "{report:#}"
    );
    locks_for_six_years(&server.client()).await;
    let checked = Command::new(ours("msp-evidence"))
        .arg("--config")
        .arg(operator.config.path().join("evidence.toml"))
        .args(["bucket", "check"])
        .env("AWS_ACCESS_KEY_ID", operator.credentials.0)
        .env("AWS_SECRET_ACCESS_KEY", operator.credentials.1)
        .output()
        .unwrap();
    assert!(checked.status.success(), "{}", said(&checked));
}

/// The one server here that has all of AWS's calls. Its locks hold nothing, so this is about the calls.
#[tokio::test(flavor = "multi_thread")]
async fn where_the_store_has_every_setting_each_is_set_and_read_back() {
    let test = "where_the_store_has_every_setting_each_is_set_and_read_back";
    let Some(server) = Server::start(Kind::Moto, test).await else {
        return;
    };
    let operator = Operator::of(&server.endpoint, server.credentials());
    operator.append("sse_kms_key_id = \"arn:aws:kms:us-east-1:111122223333:key/11111111-2222-3333-4444-555555555555\"\n");
    let roles = [
        "--admin-role",
        "arn:aws:iam::111122223333:role/evidence-admin",
    ];
    let report = operator.reports(0, &[&roles[..], &["--yes"]].concat());
    assert_eq!(report["outcome"], "created", "{report:#}");
    let all = [
        "public_access",
        "ownership",
        "encryption",
        "incomplete_uploads",
        "default_rule",
        "policy",
    ];
    assert_eq!(results(&report), all.map(|name| (name, "as_wanted")));

    let client = server.client();
    let access = client.get_public_access_block().bucket(BUCKET).send().await;
    let access = access.unwrap().public_access_block_configuration.unwrap();
    assert_eq!(access.restrict_public_buckets(), Some(true));
    let policy = client.get_bucket_policy().bucket(BUCKET).send().await;
    let policy: Value = serde_json::from_str(policy.unwrap().policy().unwrap()).unwrap();
    assert_eq!(policy, report["policy"]);
    locks_for_six_years(&client).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_policy_of_the_command_is_that_of_the_templates() {
    let test = "the_policy_of_the_command_is_that_of_the_templates";
    let Some(tofu) = tools::find(Tool::Tofu, test) else {
        return;
    };
    let sandbox = Sandbox::start(SandboxOptions::default()).await.unwrap();
    let identity = sandbox.credentials().clone();
    let operator = Operator::of(
        &sandbox.endpoint(),
        (&identity.access_key, &identity.secret_key),
    );
    let roles = [
        "--admin-role",
        "arn:aws:iam::111122223333:role/evidence-admin",
        "--operations-role",
        "arn:aws:iam::111122223333:role/msp-evidence-operations",
        "--dry-run",
    ];
    let rendered = crate::policies::rendered(&tofu, &Workbench::new());
    let report = operator.reports(0, &roles);
    assert_eq!(report["policy"], rendered["plain"]["bucket"]);

    let key = rendered["kms"]["kms_key_arn"].as_str().unwrap();
    operator.append(&format!("sse_kms_key_id = \"{key}\"\n"));
    let report = operator.reports(0, &roles);
    assert_eq!(report["policy"], rendered["kms"]["bucket"]);

    let everybody = operator.run(&[
        "--admin-role",
        "arn:aws:iam::111122223333:role/*",
        "--dry-run",
    ]);
    assert_eq!(everybody.status.code(), Some(1), "{}", said(&everybody));
}
