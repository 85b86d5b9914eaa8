//! Hostile kits, judged by the real program: on the sandbox, on MinIO, and as folders.
//!
//! `MSP_TEST_KIT=NAME` plays one of them and shows what the audit said.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use jiff::{SignedDuration, Timestamp};
use sandbox::{Action, Fault as Scripted, Identity, Sandbox, SandboxOptions};
use serde_json::Value;
use tests::clinic::BUCKET;
use tests::kit::{self, Expect, Fault, Kit, Moment, Played, Shelf};
use tests::servers::{self, Kind, REGION, Server};
use tests::tools::ours;

/// An answer that takes longer than the auditor waits.
const SILENCE_MILLIS: u64 = 20_000;
/// How long the auditor waits.
const PATIENCE_SECS: u32 = 3;

/// The store that a kit is laid into.
struct Store {
    endpoint: String,
    access_key: String,
    secret_key: String,
    sandbox: Option<Sandbox>,
}

impl Store {
    fn shelf(&self, kit: &str) -> Shelf {
        Shelf::Bucket {
            client: servers::client(&self.endpoint, &self.access_key, &self.secret_key),
            bucket: BUCKET.to_owned(),
            prefix: format!("{kit}/"),
        }
    }

    /// Credentials of an auditor, who suffers from what the kit's header says.
    fn auditor(&self, kit: &Kit, folder: &Path) -> PathBuf {
        let (mut access_key, mut secret_key) = (self.access_key.clone(), self.secret_key.clone());
        if let (Some(fault), Some(sandbox)) = (kit.header.auditor.fault, &self.sandbox) {
            (access_key, secret_key) = (format!("auditor-{}", kit.name), "secret".to_owned());
            let identity = Identity::new(&access_key, &secret_key);
            let prefix = format!("{}/", kit.name);
            let identity = match fault {
                Fault::RetentionDenied => identity.deny("GetObjectRetention"),
                Fault::ListingDenied => identity.deny("ListBucketVersions"),
                Fault::ReadingDenied => identity.deny("GetObjectVersion"),
                Fault::Silence => {
                    let millis = SILENCE_MILLIS;
                    let stall = Action::StallResponse { millis };
                    sandbox
                        .faults()
                        .add(scripted("ListObjectVersions", &prefix, stall));
                    identity
                }
                Fault::CutBody => {
                    let cut = Action::CutBody { after_bytes: 40 };
                    sandbox.faults().add(scripted("GetObject", &prefix, cut));
                    identity
                }
            };
            sandbox.identities().put(identity);
        }
        let file = folder.join("credentials");
        let text = format!(
            "[default]\naws_access_key_id = {access_key}\naws_secret_access_key = {secret_key}\n"
        );
        fs::write(&file, text).unwrap();
        file
    }
}

fn scripted(operation: &str, key: &str, action: Action) -> Scripted {
    Scripted {
        operation: Some(operation.to_owned()),
        key_contains: Some(key.to_owned()),
        skip: 0,
        times: None,
        action,
    }
}

/// The key or keyring as the auditor has it, as arguments.
fn trust(kit: &Kit, played: &mut Played, folder: &Path) -> Vec<String> {
    let auditor = &kit.header.auditor;
    let text = |path: PathBuf| path.to_str().unwrap().to_owned();
    if auditor.keyring.is_empty() {
        let file = folder.join("msp.pub");
        let name = played.first_key.clone();
        fs::write(&file, played.public_pem(&name)).unwrap();
        let mut arguments = vec!["--key".to_owned(), text(file)];
        if auditor.wrong_fingerprint {
            let other = played.key_id("somebody-else");
            arguments.extend(["--fingerprint".to_owned(), other]);
        }
        return arguments;
    }
    let ring = folder.join("keyring");
    fs::create_dir(&ring).unwrap();
    let mut toml = String::new();
    for (n, entry) in auditor.keyring.iter().enumerate() {
        fs::write(ring.join(format!("{n}.pub")), played.public_pem(&entry.key)).unwrap();
        let fingerprint = played.key_id(&entry.key);
        writeln!(
            toml,
            "[[key]]\nfile = \"{n}.pub\"\nfingerprint = \"{fingerprint}\""
        )
        .unwrap();
        if let Some((client, host)) = entry.host.as_ref().and_then(|host| host.split_once('/')) {
            writeln!(toml, "client_id = \"{client}\"\nhost_id = \"{host}\"").unwrap();
        }
        let moment = |moment| match moment {
            Moment::BeforeSealed => played.before_sealed,
            Moment::BeforeStored => played.before_stored,
            Moment::AfterStored => Timestamp::now() + SignedDuration::from_hours(1),
        };
        if let Some(at) = entry.revoked.map(moment) {
            writeln!(toml, "revoked_at = \"{at}\"\nrevoked_reason = \"a kit\"").unwrap();
        }
        if let Some(at) = entry.not_after.map(moment) {
            writeln!(toml, "not_after = \"{at}\"").unwrap();
        }
        if let Some(at) = entry.not_before.map(moment) {
            writeln!(toml, "not_before = \"{at}\"").unwrap();
        }
    }
    fs::write(ring.join("keyring.toml"), toml).unwrap();
    vec!["--keyring".to_owned(), text(ring)]
}

fn audit(arguments: &[String], kit: &Kit, credentials: Option<&Path>) -> Output {
    let mut command = Command::new(ours("msp-evidence"));
    command
        .arg("audit")
        .args(arguments)
        .args(&kit.header.auditor.arguments)
        .arg("--json")
        .env_remove("AWS_PROFILE")
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .stdin(Stdio::null());
    if let Some(file) = credentials {
        command.env("AWS_SHARED_CREDENTIALS_FILE", file);
    }
    command.output().unwrap()
}

/// Findings of a level, as `check/code`.
fn findings(said: &Value, level: &str) -> BTreeSet<String> {
    let findings = said["findings"].as_array().cloned().unwrap_or_default();
    findings
        .iter()
        .filter(|finding| finding["level"] == level)
        .map(|finding| {
            let word = |name: &str| finding[name].as_str().unwrap_or("?").to_owned();
            format!("{}/{}", word("check"), word("code"))
        })
        .collect()
}

/// What the audit did not say as it should have.
fn compare(kit: &Kit, expect: &Expect, output: &Output) -> Vec<String> {
    let mut wrong = Vec::new();
    if std::env::var_os("MSP_TEST_KIT").is_some() {
        println!("{}", String::from_utf8_lossy(&output.stdout));
        println!("{}", String::from_utf8_lossy(&output.stderr));
    }
    let exit = output.status.code();
    if exit != Some(expect.exit) {
        let words = String::from_utf8_lossy(&output.stderr);
        wrong.push(format!("exit code {exit:?}, not {}: {words}", expect.exit));
    }
    if expect.exit == 1 {
        return wrong;
    }
    let said: Value = match serde_json::from_slice(&output.stdout) {
        Ok(said) => said,
        Err(error) => {
            wrong.push(format!("no JSON: {error}"));
            return wrong;
        }
    };
    let failed = findings(&said, "failed");
    let unchecked = findings(&said, "could_not_check");
    if let Some(because) = &expect.because
        && !failed.contains(because)
        && !unchecked.contains(because)
    {
        wrong.push(format!("{because} is not among the findings"));
    }
    let expected: BTreeSet<String> = expect.failed.iter().cloned().collect();
    if failed != expected {
        wrong.push(format!("failed = {failed:?}, not {expected:?}"));
    }
    if let Some(expected) = &expect.could_not_check {
        let expected: BTreeSet<String> = expected.iter().cloned().collect();
        if unchecked != expected {
            wrong.push(format!("could_not_check = {unchecked:?}, not {expected:?}"));
        }
    }
    wrong.iter().map(|w| format!("{}: {w}", kit.name)).collect()
}

fn kits() -> Vec<Kit> {
    let only = std::env::var("MSP_TEST_KIT").ok();
    let kits: Vec<Kit> = kit::all()
        .into_iter()
        .filter(|kit| only.as_ref().is_none_or(|only| *only == kit.name))
        .collect();
    assert!(!kits.is_empty(), "no kit is called {only:?}");
    kits
}

/// Four at a time: a program that waits for a store needs no core.
fn judged(kits: &[Kit], judge: impl Fn(&Kit) -> Vec<String> + Sync) {
    let next = std::sync::atomic::AtomicUsize::new(0);
    let wrong = std::sync::Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while let Some(kit) =
                    kits.get(next.fetch_add(1, std::sync::atomic::Ordering::SeqCst))
                {
                    let said = judge(kit);
                    wrong.lock().unwrap().extend(said);
                }
            });
        }
    });
    let mut wrong = wrong.into_inner().unwrap();
    wrong.sort();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn in_bucket(store: &Store, kit: &Kit, runtime: &tokio::runtime::Runtime) -> Vec<String> {
    let folder = tempfile::tempdir().unwrap();
    let uri = format!("s3://{BUCKET}/{}/", kit.name);
    let mut played = runtime.block_on(kit::play(&kit.header, &store.shelf(&kit.name), &uri));
    let credentials = store.auditor(kit, folder.path());
    let prefix = match kit.header.auditor.other_prefix {
        true => format!("{}-elsewhere/", kit.name),
        false => format!("{}/", kit.name),
    };
    let patience = PATIENCE_SECS.to_string();
    let mut arguments: Vec<String> = [
        "--bucket",
        BUCKET,
        "--region",
        REGION,
        "--endpoint",
        &store.endpoint,
        "--path-style",
        "--prefix",
        &prefix,
        "--timeout-secs",
        &patience,
    ]
    .map(str::to_owned)
    .to_vec();
    arguments.extend(trust(kit, &mut played, folder.path()));
    let output = audit(&arguments, kit, Some(&credentials));
    compare(kit, &kit.header.expect, &output)
}

#[test]
fn every_hostile_kit_in_the_sandbox_is_reported_for_the_right_reason_and_clean_ones_pass() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let sandbox = runtime
        .block_on(Sandbox::start(SandboxOptions::with_bucket(BUCKET)))
        .unwrap();
    let store = Store {
        endpoint: sandbox.endpoint(),
        access_key: sandbox.credentials().access_key.clone(),
        secret_key: sandbox.credentials().secret_key.clone(),
        sandbox: Some(sandbox),
    };
    let kits = kits();
    let hostile = kits.iter().filter(|kit| kit.header.expect.exit != 0);
    if std::env::var_os("MSP_TEST_KIT").is_none() {
        assert!(hostile.count() >= 40);
    }
    judged(&kits, |kit| in_bucket(&store, kit, &runtime));
}

#[test]
fn every_hostile_kit_in_minio_is_reported_for_the_right_reason_and_clean_ones_pass() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let test = "every_hostile_kit_in_minio_is_reported_for_the_right_reason_and_clean_ones_pass";
    let Some(server) = runtime.block_on(Server::start(Kind::Minio, test)) else {
        return;
    };
    runtime.block_on(server.make_bucket(BUCKET));
    let (access_key, secret_key) = server.credentials();
    let store = Store {
        endpoint: server.endpoint.clone(),
        access_key: access_key.to_owned(),
        secret_key: secret_key.to_owned(),
        sandbox: None,
    };
    let kits: Vec<Kit> = kits()
        .into_iter()
        .filter(|kit| kit.header.sandbox_only.is_none())
        .collect();
    judged(&kits, |kit| in_bucket(&store, kit, &runtime));
}

#[test]
fn every_hostile_kit_as_a_folder_is_reported_and_what_only_a_store_knows_is_not_passed() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let kits: Vec<Kit> = kits()
        .into_iter()
        .filter(|kit| kit.header.bucket_only.is_none())
        .collect();
    judged(&kits, |kit| {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("evidence");
        fs::create_dir(&root).unwrap();
        let shelf = Shelf::Folder(root.clone());
        let uri = format!("s3://{BUCKET}/");
        let mut played = runtime.block_on(kit::play(&kit.header, &shelf, &uri));
        let mut arguments = vec!["--folder".to_owned(), root.to_str().unwrap().to_owned()];
        arguments.extend(trust(kit, &mut played, folder.path()));
        let output = audit(&arguments, kit, None);
        let expect = kit.header.folder.as_ref().expect("what the folder says");
        compare(kit, expect, &output)
    });
}
