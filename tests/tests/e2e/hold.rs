//! Legal holds and longer retention: changed at the store, read back, and recorded by who wanted it.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use audit::hold::{Change, HoldError, targets};
use destination::conformance::{Adversary as _, Attempt};
use destination::{Destination as _, Lock, S3Destination, S3Options};
use evidence::keys::PrivateKey;
use evidence::record::{Action, Record, Stage};
use jiff::{SignedDuration, Timestamp};
use sandbox::{Sandbox, SandboxOptions};
use tests::clinic::BUCKET;
use tests::kit::{Host, Shelf, Storing};
use tests::servers::{self, Kind, REGION, Server};
use tests::tools::ours;

const PREFIX: &str = "evidence/";

/// A bucket with one bundle that has an artifact; returns the bundle's path.
async fn one_bundle(endpoint: &str, access_key: &str, secret_key: &str) -> String {
    let shelf = Shelf::Bucket {
        client: servers::client(endpoint, access_key, secret_key),
        bucket: BUCKET.to_owned(),
        prefix: PREFIX.to_owned(),
    };
    let key = Arc::new(PrivateKey::generate(b"host").unwrap().0);
    let uri = format!("s3://{BUCKET}/{PREFIX}");
    let mut host = Host::new("clinic-a", "srv-1", key, &uri, Timestamp::now());
    let artifacts = BTreeMap::from([("a.log".to_owned(), "three lines".to_owned())]);
    let made = host.incident("INC-1", &artifacts);
    for (path, bytes) in &made.artifacts {
        shelf.lay(path, bytes, Storing::Locked).await;
    }
    let signature = format!("{}.bundle", made.path);
    shelf
        .lay(&signature, &made.sealed.signature, Storing::Locked)
        .await;
    shelf
        .lay(&made.path, &made.sealed.bytes, Storing::Locked)
        .await;
    made.path
}

async fn connect(endpoint: &str, access_key: &str, secret_key: &str, dir: &Path) -> S3Destination {
    let file = dir.join("credentials");
    let text = format!(
        "[default]\naws_access_key_id = {access_key}\naws_secret_access_key = {secret_key}\n"
    );
    std::fs::write(&file, text).unwrap();
    S3Destination::connect(S3Options {
        endpoint: Some(endpoint.to_owned()),
        path_style: true,
        prefix: PREFIX.to_owned(),
        credentials_file: Some(file),
        connect_timeout: Duration::from_secs(5),
        request_timeout: Duration::from_secs(30),
        ..S3Options::new("main", BUCKET, REGION)
    })
    .await
}

fn change<'a>(
    store: &'a S3Destination,
    key: &'a PrivateKey,
    folder: &'a Path,
    action: Action,
) -> Change<'a> {
    Change {
        store,
        action,
        retain_until: None,
        by: "an engineer",
        reason: "a dispute",
        selection: BTreeMap::from([("host".to_owned(), "srv-1".to_owned())]),
        key,
        record_folder: folder,
        record_retention_days: 2193,
        now: Timestamp::now,
    }
}

async fn stored_record(store: &S3Destination, record: &Record, key: &PrivateKey) -> Record {
    let path = format!("{PREFIX}{}", record.path());
    let mut files = Vec::new();
    for key in [path.clone(), format!("{path}.bundle")] {
        let version = &store.versions(&key).await.unwrap()[0];
        let fetched = store.fetch(&key, &version.version_id, 1 << 20).await;
        files.push(fetched.unwrap().unwrap().bytes);
    }
    Record::verify(&files[0], &files[1], key.public()).unwrap()
}

async fn held_released_and_extended(endpoint: &str, access_key: &str, secret_key: &str) {
    let dir = tempfile::tempdir().unwrap();
    let bundle = one_bundle(endpoint, access_key, secret_key).await;
    let store = connect(endpoint, access_key, secret_key, dir.path()).await;
    let key = PrivateKey::generate(b"operator").unwrap().0;
    let found = targets(&store, &bundle).await.unwrap();
    assert_eq!(found.len(), 3, "the bundle, its signature, its artifact");
    assert!(found.iter().all(|t| t.before.legal_hold == Some(false)));

    let hold = change(&store, &key, dir.path(), Action::Hold);
    let lots = hold.carry_out(&found, |_| {}).await.unwrap();
    let [lot] = lots.as_slice() else {
        panic!("{lots:?}")
    };
    let read = stored_record(&store, &lot.record, &key).await;
    assert_eq!(read, lot.record);
    assert_eq!((read.stage, read.by.as_str()), (Stage::Done, "an engineer"));
    assert!(read.objects.iter().all(|object| object.refused.is_none()));
    let after = |o: &evidence::record::RecordedObject| o.after.clone().unwrap();
    assert!(
        read.objects
            .iter()
            .all(|o| after(o).legal_hold == Some(true))
    );
    // What was intended is there too, signed before anything was changed.
    let listed = store
        .list(&format!("{PREFIX}records/"), None)
        .await
        .unwrap();
    assert_eq!(listed.entries.len(), 4, "two records with their signatures");
    let intended = read.intended.clone().unwrap();
    let key_of = format!("{PREFIX}records/REC-{}.json", intended.record_id);
    let version = &store.versions(&key_of).await.unwrap()[0].version_id.clone();
    let stored = store.inspect(&key_of, version).await.unwrap().unwrap();
    assert!(matches!(stored.lock, Lock::Compliance(_)), "{stored:?}");
    let fetched = store
        .fetch(&key_of, version, 1 << 20)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(
        evidence::digest::Sha256::of(&fetched.bytes),
        intended.sha256
    );
    assert!(dir.path().join(lot.record.file_name()).exists());

    let held = targets(&store, &bundle).await.unwrap();
    assert!(held.iter().all(|t| t.before.legal_hold == Some(true)));
    let release = change(&store, &key, dir.path(), Action::ReleaseHold);
    release.carry_out(&held, |_| {}).await.unwrap();
    let free = targets(&store, &bundle).await.unwrap();
    assert!(free.iter().all(|t| t.before.legal_hold == Some(false)));

    let nine_years = Timestamp::now() + SignedDuration::from_hours(24 * 9 * 366);
    let until = Timestamp::from_second(nine_years.as_second()).unwrap();
    let extend = Change {
        retain_until: Some(until),
        ..change(&store, &key, dir.path(), Action::Extend)
    };
    let lots = extend.carry_out(&free, |_| {}).await.unwrap();
    assert!(lots[0].record.objects.iter().all(|o| o.refused.is_none()));
    for target in targets(&store, &bundle).await.unwrap() {
        assert_eq!(target.before.retain_until, Some(until));
        let key = format!("{PREFIX}{}", target.path);
        let refused = store.delete_version(&key, &target.version_id).await;
        assert!(matches!(refused, Attempt::Refused(_)), "{refused:?}");
    }
    // Shorter than it is kept already: nothing is asked of the store, and nothing got shorter.
    let sooner = Change {
        retain_until: Some(until - SignedDuration::from_hours(24)),
        ..change(&store, &key, dir.path(), Action::Extend)
    };
    let kept = targets(&store, &bundle).await.unwrap();
    sooner.carry_out(&kept, |_| {}).await.unwrap();
    let now = targets(&store, &bundle).await.unwrap();
    assert!(now.iter().all(|t| t.before.retain_until == Some(until)));
}

#[tokio::test]
async fn evidence_is_held_released_and_kept_longer_each_with_a_locked_record() {
    let sandbox = Sandbox::start(SandboxOptions::with_bucket(BUCKET))
        .await
        .unwrap();
    let identity = sandbox.credentials();
    held_released_and_extended(
        &sandbox.endpoint(),
        &identity.access_key,
        &identity.secret_key,
    )
    .await;
}

#[tokio::test]
async fn evidence_on_minio_is_held_released_and_kept_longer_each_with_a_locked_record() {
    let test = "evidence_on_minio_is_held_released_and_kept_longer_each_with_a_locked_record";
    let Some(server) = Server::start(Kind::Minio, test).await else {
        return;
    };
    server.make_bucket(BUCKET).await;
    let (access_key, secret_key) = server.credentials();
    held_released_and_extended(&server.endpoint, access_key, secret_key).await;
}

#[tokio::test]
async fn nothing_is_changed_without_a_record_and_what_is_refused_is_recorded() {
    let sandbox = Sandbox::start(SandboxOptions::with_bucket(BUCKET))
        .await
        .unwrap();
    let identity = sandbox.credentials().clone();
    let (access_key, secret_key) = (identity.access_key.clone(), identity.secret_key.clone());
    let dir = tempfile::tempdir().unwrap();
    let endpoint = sandbox.endpoint();
    let bundle = one_bundle(&endpoint, &access_key, &secret_key).await;
    let store = connect(&endpoint, &access_key, &secret_key, dir.path()).await;
    let key = PrivateKey::generate(b"operator").unwrap().0;
    let found = targets(&store, &bundle).await.unwrap();
    let hold = change(&store, &key, dir.path(), Action::Hold);

    sandbox.identities().put(identity.clone().deny("PutObject"));
    assert!(hold.carry_out(&found, |_| {}).await.is_err());
    sandbox.identities().put(identity.clone());
    let untouched = targets(&store, &bundle).await.unwrap();
    assert!(untouched.iter().all(|t| t.before.legal_hold == Some(false)));

    sandbox
        .identities()
        .put(identity.clone().deny("PutObjectLegalHold"));
    let lots = hold.carry_out(&found, |_| {}).await.unwrap();
    let refused = |o: &evidence::record::RecordedObject| o.refused.clone();
    let said: Vec<_> = lots[0].record.objects.iter().map(refused).collect();
    assert_eq!(said, vec![Some("AccessDenied".to_owned()); 3]);

    sandbox.identities().put(identity);
    let none = targets(&store, "clinic-a/srv-1/x/2026/11/21/EB-20261121-0099.json").await;
    assert!(matches!(none, Err(HoldError::NoBundle(_))));
}

/// The program, with these credentials, on what `one_bundle` made.
fn command(endpoint: &str, dir: &Path, words: &[&str]) -> std::process::Output {
    let public = dir.join("host.pub");
    std::process::Command::new(ours("msp-evidence"))
        .args(words)
        .args(["--bucket", BUCKET, "--region", REGION, "--path-style"])
        .args(["--endpoint", endpoint, "--prefix", PREFIX])
        .args(["--key".as_ref(), public.as_os_str()])
        .env("AWS_SHARED_CREDENTIALS_FILE", dir.join("credentials"))
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .env("COSIGN_PASSWORD", "operator")
        .stdin(std::process::Stdio::null())
        .output()
        .unwrap()
}

fn json(output: &std::process::Output) -> serde_json::Value {
    serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&output.stderr)))
}

#[test]
fn the_commands_hold_what_is_selected_and_an_audit_tells_whose_records_lie_there() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let sandbox = runtime
        .block_on(Sandbox::start(SandboxOptions::with_bucket(BUCKET)))
        .unwrap();
    let identity = sandbox.credentials().clone();
    let endpoint = sandbox.endpoint();
    let dir = tempfile::tempdir().unwrap();
    let key = Arc::new(PrivateKey::generate(b"host").unwrap().0);
    std::fs::write(dir.path().join("host.pub"), key.public().to_pem()).unwrap();
    let (operator, pem) = PrivateKey::generate(b"operator").unwrap();
    let operator_key = dir.path().join("operator.key");
    std::fs::write(&operator_key, pem.as_bytes()).unwrap();
    let (access_key, secret_key) = (&identity.access_key, &identity.secret_key);
    let shelf = Shelf::Bucket {
        client: servers::client(&endpoint, access_key, secret_key),
        bucket: BUCKET.to_owned(),
        prefix: PREFIX.to_owned(),
    };
    let uri = format!("s3://{BUCKET}/{PREFIX}");
    let mut host = Host::new(
        "clinic-a",
        "srv-1",
        Arc::clone(&key),
        &uri,
        Timestamp::now(),
    );
    let store = runtime.block_on(connect(&endpoint, access_key, secret_key, dir.path()));
    let mut paths = Vec::new();
    for made in [
        host.incident("INC-1", &BTreeMap::new()),
        host.incident("INC-2", &BTreeMap::new()),
        host.custody(None),
    ] {
        let signature = format!("{}.bundle", made.path);
        runtime.block_on(shelf.lay(&signature, &made.sealed.signature, Storing::Locked));
        runtime.block_on(shelf.lay(&made.path, &made.sealed.bytes, Storing::Locked));
        paths.push(made.path);
    }
    let records = dir.path().join("records");
    let recorded = [
        "--reason",
        "a dispute",
        "--on-behalf-of",
        "counsel",
        "--yes",
        "--json",
        "--sign-with",
        operator_key.to_str().unwrap(),
        "--records",
        records.to_str().unwrap(),
    ];

    let hold = command(&endpoint, dir.path(), &[&["hold"], &recorded[..]].concat());
    let said = json(&hold);
    assert_eq!(hold.status.code(), Some(0), "{said:#}");
    assert_eq!(
        (said["bundles"].as_u64(), said["done"].as_u64()),
        (Some(2), Some(4))
    );
    let held = |path: &str| {
        let found = runtime.block_on(targets(&store, path)).unwrap();
        found.iter().all(|t| t.before.legal_hold == Some(true))
    };
    assert!(held(&paths[0]) && held(&paths[1]));
    assert!(!held(&paths[2]), "custody was not asked for");

    let extend = [&["extend", "--until", "2040-12"], &recorded[..]].concat();
    let extend = command(&endpoint, dir.path(), &extend);
    assert_eq!(extend.status.code(), Some(0), "{:#}", json(&extend));
    let found = runtime.block_on(targets(&store, &paths[0])).unwrap();
    let until: Timestamp = "2041-01-01T00:00:00Z".parse().unwrap();
    assert!(found.iter().all(|t| t.before.retain_until == Some(until)));

    let release = command(
        &endpoint,
        dir.path(),
        &[&["release-hold"], &recorded[..]].concat(),
    );
    assert_eq!(release.status.code(), Some(0), "{:#}", json(&release));
    assert!(!held(&paths[0]));

    // Whoever does not have the operator's key cannot tell these records from a forger's.
    let codes = |said: &serde_json::Value, level: &str| -> Vec<String> {
        let findings = said["findings"].as_array().unwrap().iter();
        let of = findings.filter(|f| f["check"] == "record" && f["level"] == level);
        of.map(|f| f["code"].as_str().unwrap().to_owned()).collect()
    };
    let audit = ["audit", "--json"];
    let said = json(&command(&endpoint, dir.path(), &audit));
    let unknown = codes(&said, "could_not_check");
    assert_eq!(unknown, vec!["unknown_key"; 6], "{said:#}");
    let ring = dir.path().join("ring");
    std::fs::create_dir(&ring).unwrap();
    std::fs::write(ring.join("host.pub"), key.public().to_pem()).unwrap();
    std::fs::write(ring.join("operator.pub"), operator.public().to_pem()).unwrap();
    std::fs::write(
        ring.join("keyring.toml"),
        "[[key]]\nfile = \"host.pub\"\nclient_id = \"clinic-a\"\nhost_id = \"srv-1\"\n[[key]]\nfile = \"operator.pub\"\n",
    )
    .unwrap();
    let output = std::process::Command::new(ours("msp-evidence"))
        .args(audit)
        .args(["--bucket", BUCKET, "--region", REGION, "--path-style"])
        .args(["--endpoint", &endpoint, "--prefix", PREFIX])
        .args(["--keyring".as_ref(), ring.as_os_str()])
        .env(
            "AWS_SHARED_CREDENTIALS_FILE",
            dir.path().join("credentials"),
        )
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .output()
        .unwrap();
    let said = json(&output);
    assert_eq!(codes(&said, "failed"), Vec::<String>::new(), "{said:#}");
    assert_eq!(codes(&said, "could_not_check"), Vec::<String>::new());
    assert_eq!(codes(&said, "note"), vec!["recorded"; 3], "{said:#}");
    assert_eq!(output.status.code(), Some(0));
    let words = said["findings"].to_string();
    assert!(
        words.contains("a dispute") && words.contains("counsel"),
        "{words}"
    );
}

#[test]
fn a_folder_has_no_locks_to_change() {
    let dir = tempfile::tempdir().unwrap();
    let (operator, pem) = PrivateKey::generate(b"operator").unwrap();
    let key = dir.path().join("operator.key");
    std::fs::write(&key, pem.as_bytes()).unwrap();
    let public = dir.path().join("host.pub");
    std::fs::write(&public, operator.public().to_pem()).unwrap();
    let output = std::process::Command::new(ours("msp-evidence"))
        .args(["hold", "--reason", "r", "--on-behalf-of", "w", "--yes"])
        .args(["--folder".as_ref(), dir.path().as_os_str()])
        .args(["--key".as_ref(), public.as_os_str()])
        .args(["--sign-with".as_ref(), key.as_os_str()])
        .args(["--records".as_ref(), dir.path().as_os_str()])
        .env("COSIGN_PASSWORD", "operator")
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("a folder has no locks"), "{said}");
}
