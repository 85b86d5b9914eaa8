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
