//! Stolen writer credentials against a real MinIO: the shipped policy, as the policy of a session,
//! and a bucket with the default rule of the templates.
//!
//! MinIO knows fewer conditions than S3, and no policy of a bucket that binds its users. So what it
//! cannot refuse (a put that is too short, a newer version laid over) is asserted too: as long as it
//! is so, docs/buckets.md says it.

use std::fs;
use std::time::Duration;

use aws_sdk_s3::Client;
use aws_sdk_s3::config::retry::RetryConfig;
use aws_sdk_s3::config::{BehaviorVersion, Credentials, Region};
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_s3::primitives::{ByteStream, DateTime};
use aws_sdk_s3::types::{
    ChecksumAlgorithm, CompletedMultipartUpload, CompletedPart, DefaultRetention,
    ObjectLockConfiguration, ObjectLockEnabled, ObjectLockLegalHold, ObjectLockLegalHoldStatus,
    ObjectLockMode, ObjectLockRetention, ObjectLockRetentionMode, ObjectLockRule,
};
use destination::{Destination as _, Lock, PutRequest, S3Destination, S3Options};
use evidence::digest::Sha256;
use jiff::{SignedDuration, Timestamp};
use tests::servers::{Kind, REGION, Server};
use tests::sts;

const BUCKET: &str = "example-evidence";
const CLIENT: &str = "clinic-012";
const HOST: &str = "srv-1";
const BUNDLE: &str = "clinic-012/srv-1/01JD0000000000000000000000/2026/11/21/EB-20261121-0001.json";
const ARTIFACT: &str =
    "clinic-012/srv-1/01JD0000000000000000000000/2026/11/21/EB-20261121-0001/artifacts/00/disk.img";
const SIX_YEARS_DAYS: i32 = 2192;

/// A session that may do what the shipped policy allows.
fn session(server: &Server) -> Credentials {
    sts::session(server, &sts::writer_policy(BUCKET, CLIENT, HOST))
}

fn client(server: &Server, credentials: Credentials) -> Client {
    let config = aws_sdk_s3::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new(REGION))
        .endpoint_url(&server.endpoint)
        .credentials_provider(credentials)
        .force_path_style(true)
        .retry_config(RetryConfig::disabled())
        .build();
    Client::from_conf(config)
}

/// Our own uploader's view of the store, with these credentials.
async fn store(
    server: &Server,
    credentials: &Credentials,
    folder: &tempfile::TempDir,
) -> S3Destination {
    let file = folder.path().join("credentials");
    let text = format!(
        "[default]\naws_access_key_id = {}\naws_secret_access_key = {}\naws_session_token = {}\n",
        credentials.access_key_id(),
        credentials.secret_access_key(),
        credentials.session_token().unwrap(),
    );
    fs::write(&file, text).unwrap();
    S3Destination::connect(S3Options {
        endpoint: Some(server.endpoint.clone()),
        path_style: true,
        credentials_file: Some(file),
        connect_timeout: Duration::from_secs(5),
        request_timeout: Duration::from_secs(30),
        ..S3Options::new("main", BUCKET, REGION)
    })
    .await
}

async fn make_bucket(server: &Server) {
    server.make_bucket(BUCKET).await;
    let rule = DefaultRetention::builder()
        .mode(ObjectLockRetentionMode::Compliance)
        .days(SIX_YEARS_DAYS)
        .build();
    let configuration = ObjectLockConfiguration::builder()
        .object_lock_enabled(ObjectLockEnabled::Enabled)
        .rule(ObjectLockRule::builder().default_retention(rule).build())
        .build();
    server
        .client()
        .put_object_lock_configuration()
        .bucket(BUCKET)
        .object_lock_configuration(configuration)
        .send()
        .await
        .unwrap();
}

fn in_days(days: i64) -> Timestamp {
    let then = Timestamp::now() + SignedDuration::from_hours(24 * days);
    Timestamp::from_second(then.as_second()).unwrap()
}

fn date(at: Timestamp) -> DateTime {
    DateTime::from_secs(at.as_second())
}

fn bundle(key: &str, bytes: &'static [u8]) -> PutRequest {
    PutRequest {
        key: key.to_owned(),
        body: bytes.into(),
        sha256: Sha256::of(bytes),
        md5: Some(sandbox::md5_of(bytes)),
        content_type: "application/json",
        retain_until: in_days(2193),
    }
}

/// What the store said: `done`, or its code.
fn code<T, E: ProvideErrorMetadata, R>(result: Result<T, SdkError<E, R>>) -> String {
    match result {
        Ok(_) => "done".to_owned(),
        Err(SdkError::ServiceError(error)) => error
            .err()
            .code()
            .unwrap_or("an error without a code")
            .to_owned(),
        Err(_) => "no answer".to_owned(),
    }
}

async fn retain(
    client: &Client,
    version: &str,
    mode: ObjectLockRetentionMode,
    until: Timestamp,
) -> String {
    let retention = ObjectLockRetention::builder()
        .mode(mode)
        .retain_until_date(date(until))
        .build();
    let result = client
        .put_object_retention()
        .bucket(BUCKET)
        .key(BUNDLE)
        .version_id(version)
        .bypass_governance_retention(true)
        .checksum_algorithm(ChecksumAlgorithm::Sha256)
        .retention(retention)
        .send()
        .await;
    code(result)
}

/// A put that the uploader would never make.
async fn put(client: &Client, key: &str, lock: Option<(ObjectLockMode, Timestamp)>) -> String {
    let (mode, until) = lock.unzip();
    let result = client
        .put_object()
        .bucket(BUCKET)
        .key(key)
        .set_object_lock_mode(mode)
        .set_object_lock_retain_until_date(until.map(date))
        .body(ByteStream::from_static(b"other"))
        .send()
        .await;
    code(result)
}

#[tokio::test]
async fn the_shipped_policy_lets_the_uploader_do_all_it_does() {
    let test = "the_shipped_policy_lets_the_uploader_do_all_it_does";
    let Some(server) = Server::start(Kind::Minio, test).await else {
        return;
    };
    make_bucket(&server).await;
    let writer = session(&server);
    let folder = tempfile::tempdir().unwrap();
    let store = store(&server, &writer, &folder).await;

    let preflight = store.preflight().await.unwrap();
    assert_eq!((preflight.objection(), preflight.unknown), (None, vec![]));
    let wanted = bundle(BUNDLE, b"evidence");
    let version = store.put(&wanted).await.unwrap().version_id.unwrap();
    let stored = store.inspect(BUNDLE, &version).await.unwrap().unwrap();
    assert_eq!(stored.lock, Lock::Compliance(wanted.retain_until));
    let read = store.read_back(BUNDLE, &version).await.unwrap();
    assert_eq!(read.sha256, wanted.sha256);
    assert_eq!(store.versions(BUNDLE).await.unwrap().len(), 1);
    let page = store.list("clinic-012/srv-1/", None).await.unwrap();
    assert_eq!(page.entries.len(), 1);
    let later = in_days(2200);
    store.lock(BUNDLE, &version, later).await.unwrap();
    let stored = store.inspect(BUNDLE, &version).await.unwrap().unwrap();
    assert_eq!(stored.lock, Lock::Compliance(later));

    // An artifact in parts: begun with a lock, listed, completed under a condition; another given up.
    let client = client(&server, writer);
    let begin = || async {
        client
            .create_multipart_upload()
            .bucket(BUCKET)
            .key(ARTIFACT)
            .checksum_algorithm(ChecksumAlgorithm::Crc32)
            .object_lock_mode(ObjectLockMode::Compliance)
            .object_lock_retain_until_date(date(wanted.retain_until))
            .send()
            .await
            .unwrap()
            .upload_id
            .unwrap()
    };
    let upload = begin().await;
    let part = client
        .upload_part()
        .bucket(BUCKET)
        .key(ARTIFACT)
        .upload_id(&upload)
        .part_number(1)
        .checksum_algorithm(ChecksumAlgorithm::Crc32)
        .body(ByteStream::from_static(b"a part"))
        .send()
        .await
        .unwrap();
    let known = store.uploaded_parts(ARTIFACT, &upload).await.unwrap();
    assert_eq!(known.unwrap().len(), 1);
    let parts = CompletedPart::builder()
        .part_number(1)
        .set_e_tag(part.e_tag)
        .set_checksum_crc32(part.checksum_crc32)
        .build();
    let completed = client
        .complete_multipart_upload()
        .bucket(BUCKET)
        .key(ARTIFACT)
        .upload_id(&upload)
        .multipart_upload(CompletedMultipartUpload::builder().parts(parts).build())
        .if_none_match("*")
        .send()
        .await
        .unwrap();
    let version = completed.version_id.unwrap();
    let stored = store.inspect(ARTIFACT, &version).await.unwrap().unwrap();
    assert_eq!(stored.lock, Lock::Compliance(wanted.retain_until));
    let upload = begin().await;
    store.abort_multipart(ARTIFACT, &upload).await.unwrap();
    assert_eq!(store.uploaded_parts(ARTIFACT, &upload).await.unwrap(), None);
}

#[tokio::test]
async fn stolen_writer_credentials_can_neither_delete_nor_shorten_nor_unlock_nor_look_elsewhere() {
    let test =
        "stolen_writer_credentials_can_neither_delete_nor_shorten_nor_unlock_nor_look_elsewhere";
    let Some(server) = Server::start(Kind::Minio, test).await else {
        return;
    };
    make_bucket(&server).await;
    let writer = session(&server);
    let folder = tempfile::tempdir().unwrap();
    let store = store(&server, &writer, &folder).await;
    let wanted = bundle(BUNDLE, b"evidence");
    let version = store.put(&wanted).await.unwrap().version_id.unwrap();
    let thief = client(&server, writer);

    let mut answers: Vec<(&str, String)> = Vec::new();
    let delete = |version: Option<&str>| {
        thief
            .delete_object()
            .bucket(BUCKET)
            .key(BUNDLE)
            .set_version_id(version.map(ToOwned::to_owned))
            .bypass_governance_retention(true)
            .send()
    };
    answers.push(("lay a delete marker", code(delete(None).await)));
    answers.push(("delete the version", code(delete(Some(&version)).await)));
    let (compliance, governance) = (
        ObjectLockRetentionMode::Compliance,
        ObjectLockRetentionMode::Governance,
    );
    for (what, mode, days) in [
        ("shorten the lock", compliance.clone(), 2185),
        ("lock for a century", compliance.clone(), 36_500),
        ("lock for ten years", compliance, 3650),
        ("change to GOVERNANCE", governance, 2193),
    ] {
        answers.push((what, retain(&thief, &version, mode, in_days(days)).await));
    }
    let hold = ObjectLockLegalHold::builder()
        .status(ObjectLockLegalHoldStatus::On)
        .build();
    let held = thief
        .put_object_legal_hold()
        .bucket(BUCKET)
        .key(BUNDLE)
        .version_id(&version)
        .checksum_algorithm(ChecksumAlgorithm::Sha256)
        .legal_hold(hold)
        .send()
        .await;
    answers.push(("put it under legal hold", code(held)));
    let loose = format!("{BUNDLE}.loose");
    let in_governance = Some((ObjectLockMode::Governance, in_days(2193)));
    answers.push((
        "put in GOVERNANCE mode",
        put(&thief, &loose, in_governance).await,
    ));
    let locked = Some((ObjectLockMode::Compliance, in_days(2193)));
    for (what, key) in [
        ("put below another host", BUNDLE.replace("srv-1", "srv-10")),
        (
            "put below another client",
            BUNDLE.replace("clinic-012", "clinic-044"),
        ),
        ("put at the root", "EB-20261121-0001.json".to_owned()),
    ] {
        answers.push((what, put(&thief, &key, locked.clone()).await));
    }
    let list = |prefix: &str| {
        thief
            .list_object_versions()
            .bucket(BUCKET)
            .prefix(prefix)
            .send()
    };
    answers.push(("list everything", code(list("").await)));
    answers.push(("list its client", code(list("clinic-012/").await)));
    answers.push(("list another host", code(list("clinic-012/srv-10/").await)));
    let objects = thief.list_objects_v2().bucket(BUCKET).send().await;
    answers.push(("list objects", code(objects)));
    let other = BUNDLE.replace("srv-1", "srv-10");
    let get = thief.get_object().bucket(BUCKET).key(other).send().await;
    answers.push(("read another host", code(get)));
    let rule = ObjectLockConfiguration::builder()
        .object_lock_enabled(ObjectLockEnabled::Enabled)
        .build();
    let drop_rule = thief
        .put_object_lock_configuration()
        .bucket(BUCKET)
        .object_lock_configuration(rule)
        .send()
        .await;
    answers.push(("drop the default rule", code(drop_rule)));
    let removed = thief.delete_bucket_policy().bucket(BUCKET).send().await;
    answers.push(("remove the bucket's policy", code(removed)));
    for (what, answer) in &answers {
        println!("{what:30} {answer}");
    }
    // COMPLIANCE itself refuses, before or after the policy does.
    let refused = ["AccessDenied", "InvalidRequest", "ObjectLocked"];
    let open: Vec<_> = answers
        .iter()
        .filter(|(_, answer)| !refused.contains(&answer.as_str()))
        .collect();
    assert!(open.is_empty(), "{open:?}\n{}", server.log());

    // What is put without lock headers is locked by the default rule.
    let bare = format!("{BUNDLE}.bare");
    assert_eq!(put(&thief, &bare, None).await, "done");
    let versions = store.versions(&bare).await.unwrap();
    let stored = store
        .inspect(&bare, &versions[0].version_id)
        .await
        .unwrap()
        .unwrap();
    let Lock::Compliance(until) = stored.lock else {
        panic!("{stored:?}");
    };
    assert!(until >= in_days(i64::from(SIX_YEARS_DAYS) - 1), "{until}");

    // What MinIO cannot be told to refuse: a newer version, and one that is locked too short.
    let short = Some((ObjectLockMode::Compliance, in_days(1)));
    assert_eq!(put(&thief, BUNDLE, short).await, "done");
    let versions = store.versions(BUNDLE).await.unwrap();
    assert_eq!(versions.len(), 2);
    // Nothing of all that touched what was confirmed.
    let stored = store.inspect(BUNDLE, &version).await.unwrap().unwrap();
    assert_eq!(stored.lock, Lock::Compliance(wanted.retain_until));
    let read = store.read_back(BUNDLE, &version).await.unwrap();
    assert_eq!(read.sha256, wanted.sha256);
}
