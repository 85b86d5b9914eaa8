//! A folder outlives the sandbox that served it.

use std::path::Path;

use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{CompletedMultipartUpload, CompletedPart};
use sandbox::{BucketOptions, DefaultRule, Mode, Period, Sandbox, SandboxError, SandboxOptions};

use crate::client::{
    BUCKET, DAY_SECS, assert_refused, client, in_secs, plain, put, put_until, timestamp,
};

fn options(dir: &Path) -> SandboxOptions {
    SandboxOptions {
        dir: Some(dir.to_owned()),
        ..SandboxOptions::with_bucket(BUCKET)
    }
}

fn files(dir: &Path) -> usize {
    std::fs::read_dir(dir).unwrap().count()
}

#[tokio::test]
async fn everything_is_there_again_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let sandbox = Sandbox::start(options(dir.path())).await.unwrap();
    let client_before = client(&sandbox);
    let until = in_secs(DAY_SECS);
    let first = put_until(&client_before, "k", b"one", until)
        .send()
        .await
        .unwrap();
    plain(&client_before, "k", b"two").send().await.unwrap();
    client_before
        .delete_object()
        .bucket(BUCKET)
        .key("k")
        .send()
        .await
        .unwrap();
    let created = client_before
        .create_multipart_upload()
        .bucket(BUCKET)
        .key("m")
        .send()
        .await;
    let upload_id = created.unwrap().upload_id.unwrap();
    let part = client_before
        .upload_part()
        .bucket(BUCKET)
        .key("m")
        .upload_id(&upload_id);
    let part = part
        .part_number(1)
        .body(ByteStream::from_static(b"part"))
        .send()
        .await
        .unwrap();
    let before = format!("{:?}", ids(&sandbox));
    sandbox.shutdown().await.unwrap();

    let mut again = options(dir.path());
    // An existing bucket keeps its own settings.
    again.buckets[0].default_rule = Some(DefaultRule {
        mode: Mode::Governance,
        period: Period::Days(1),
    });
    again.buckets.push(BucketOptions::locked("second-bucket"));
    let sandbox = Sandbox::start(again).await.unwrap();
    assert_eq!(format!("{:?}", ids(&sandbox)), before);
    assert_eq!(sandbox.store().settings(BUCKET).unwrap().default_rule, None);
    let client = client(&sandbox);
    let version = first.version_id().unwrap();
    let get = client
        .get_object()
        .bucket(BUCKET)
        .key("k")
        .version_id(version)
        .send()
        .await
        .unwrap();
    assert_eq!(get.object_lock_retain_until_date(), Some(&until));
    assert_eq!(get.body.collect().await.unwrap().into_bytes(), &b"one"[..]);
    let delete = client
        .delete_object()
        .bucket(BUCKET)
        .key("k")
        .version_id(version)
        .send()
        .await;
    assert_refused(delete, "AccessDenied", 403);

    let only = CompletedPart::builder()
        .part_number(1)
        .e_tag(part.e_tag().unwrap())
        .build();
    let complete = client
        .complete_multipart_upload()
        .bucket(BUCKET)
        .key("m")
        .upload_id(upload_id);
    let complete =
        complete.multipart_upload(CompletedMultipartUpload::builder().parts(only).build());
    complete.send().await.unwrap();
    assert_eq!(
        sandbox.store().versions(BUCKET, "m")[0].sha256,
        sandbox::sha256_hex(b"part")
    );
    let newest = sandbox
        .store()
        .all_versions(BUCKET)
        .iter()
        .map(|v| v.sequence)
        .max();
    assert_eq!(newest, Some(4));
    sandbox.shutdown().await.unwrap();
}

fn ids(sandbox: &Sandbox) -> Vec<(String, String, u64, Option<jiff::Timestamp>)> {
    let versions = sandbox.store().all_versions(BUCKET).into_iter();
    let until = |version: &sandbox::Version| version.lock.retention.map(|lock| lock.until);
    versions
        .map(|v| (v.key.clone(), v.version_id.clone(), v.sequence, until(&v)))
        .collect()
}

#[tokio::test]
async fn what_a_killed_process_left_half_done_is_cleared_at_start() {
    let dir = tempfile::tempdir().unwrap();
    let sandbox = Sandbox::start(options(dir.path())).await.unwrap();
    put(&client(&sandbox), "k", b"one").send().await.unwrap();
    sandbox.shutdown().await.unwrap();
    let bodies = dir.path().join("buckets").join(BUCKET).join("bodies");
    // Bytes whose record was never written, and an unfinished file.
    std::fs::write(bodies.join("orphan"), "bytes without a record").unwrap();
    std::fs::write(dir.path().join("tmp").join("unfinished"), "by").unwrap();
    let sandbox = Sandbox::start(options(dir.path())).await.unwrap();
    assert_eq!(files(&bodies), 1);
    assert_eq!(files(&dir.path().join("tmp")), 0);
    assert_eq!(sandbox.store().all_versions(BUCKET).len(), 1);
}

#[tokio::test]
async fn an_upload_completed_before_the_kill_is_not_there_twice() {
    let dir = tempfile::tempdir().unwrap();
    let sandbox = Sandbox::start(options(dir.path())).await.unwrap();
    let client = client(&sandbox);
    let created = client
        .create_multipart_upload()
        .bucket(BUCKET)
        .key("m")
        .send()
        .await
        .unwrap();
    let id = created.upload_id().unwrap();
    let part = client
        .upload_part()
        .bucket(BUCKET)
        .key("m")
        .upload_id(id)
        .part_number(1);
    let part = part
        .body(ByteStream::from_static(b"part"))
        .send()
        .await
        .unwrap();
    let record = dir
        .path()
        .join(format!("buckets/{BUCKET}/uploads/{id}.json"));
    let left_behind = std::fs::read(&record).unwrap();
    let only = CompletedPart::builder()
        .part_number(1)
        .e_tag(part.e_tag().unwrap())
        .build();
    let parts = CompletedMultipartUpload::builder().parts(only).build();
    let complete = client
        .complete_multipart_upload()
        .bucket(BUCKET)
        .key("m")
        .upload_id(id);
    complete.multipart_upload(parts).send().await.unwrap();
    sandbox.shutdown().await.unwrap();
    // Killed after the commit and before the upload's record was removed.
    std::fs::write(&record, left_behind).unwrap();
    let sandbox = Sandbox::start(options(dir.path())).await.unwrap();
    assert!(sandbox.store().uploads(BUCKET).is_empty());
    assert!(!record.exists());
    assert_eq!(sandbox.store().versions(BUCKET, "m").len(), 1);
}

#[tokio::test]
async fn of_two_null_versions_that_a_kill_left_the_newer_stays() {
    let dir = tempfile::tempdir().unwrap();
    let sandbox = Sandbox::start(options(dir.path())).await.unwrap();
    let client = client(&sandbox);
    client
        .create_bucket()
        .bucket("plain-bucket")
        .send()
        .await
        .unwrap();
    let put = |bytes: &'static [u8]| {
        let put = client.put_object().bucket("plain-bucket").key("k");
        put.body(ByteStream::from_static(bytes)).send()
    };
    put(b"one").await.unwrap();
    let folder = dir.path().join("buckets").join("plain-bucket");
    let mut left_behind = Vec::new();
    for part in ["bodies", "versions"] {
        let file = std::fs::read_dir(folder.join(part))
            .unwrap()
            .next()
            .unwrap()
            .unwrap()
            .path();
        left_behind.push((file.clone(), std::fs::read(file).unwrap()));
    }
    put(b"two").await.unwrap();
    sandbox.shutdown().await.unwrap();
    for (file, bytes) in left_behind {
        std::fs::write(file, bytes).unwrap();
    }
    let sandbox = Sandbox::start(options(dir.path())).await.unwrap();
    let kept = sandbox.store().versions("plain-bucket", "k");
    assert_eq!(kept.len(), 1);
    assert_eq!(kept[0].sha256, sandbox::sha256_hex(b"two"));
    assert_eq!(files(&folder.join("bodies")), 1);
    assert_eq!(files(&folder.join("versions")), 1);
}

#[tokio::test]
async fn a_deleted_version_leaves_no_file() {
    let dir = tempfile::tempdir().unwrap();
    let sandbox = Sandbox::start(options(dir.path())).await.unwrap();
    let client = client(&sandbox);
    let put = plain(&client, "k", b"one").send().await.unwrap();
    let version = put.version_id().unwrap();
    client
        .delete_object()
        .bucket(BUCKET)
        .key("k")
        .version_id(version)
        .send()
        .await
        .unwrap();
    // A refused write leaves none either.
    plain(&client, "k2", b"one").send().await.unwrap();
    let second = plain(&client, "k2", b"two").if_none_match("*").send().await;
    assert_refused(second, "PreconditionFailed", 412);
    let bucket = dir.path().join("buckets").join(BUCKET);
    assert_eq!(files(&bucket.join("bodies")), 1);
    assert_eq!(files(&bucket.join("versions")), 1);
}

#[tokio::test]
async fn a_second_sandbox_may_not_open_the_same_folder() {
    let dir = tempfile::tempdir().unwrap();
    let first = Sandbox::start(options(dir.path())).await.unwrap();
    let second = Sandbox::start(options(dir.path())).await;
    assert!(
        matches!(second, Err(SandboxError::Folder { .. })),
        "{second:?}"
    );
    let port = first.port();
    first.shutdown().await.unwrap();
    // The port and the folder are free at once.
    let again = Sandbox::start(SandboxOptions {
        port,
        ..options(dir.path())
    })
    .await
    .unwrap();
    assert_eq!(again.port(), port);
    let taken = Sandbox::start(SandboxOptions {
        port,
        ..SandboxOptions::default()
    })
    .await;
    assert!(
        matches!(taken, Err(SandboxError::Listen { .. })),
        "{taken:?}"
    );
}

#[tokio::test]
async fn damage_behind_the_api_shows_in_the_bytes_and_in_no_header() {
    let dir = tempfile::tempdir().unwrap();
    let sandbox = Sandbox::start(options(dir.path())).await.unwrap();
    let client = client(&sandbox);
    let until = in_secs(DAY_SECS);
    let put = put_until(&client, "k", b"one", until).send().await.unwrap();
    let version = put.version_id().unwrap();
    let store = sandbox.store();
    store
        .tamper_bytes(BUCKET, "k", version, bytes::Bytes::from_static(b"eno"))
        .unwrap();
    let get = client
        .get_object()
        .bucket(BUCKET)
        .key("k")
        .send()
        .await
        .unwrap();
    assert_eq!(get.e_tag(), put.e_tag());
    assert_eq!(get.body.collect().await.unwrap().into_bytes(), &b"eno"[..]);
    assert_eq!(
        store.versions(BUCKET, "k")[0].lock.retention.unwrap().until,
        timestamp(until)
    );
    store
        .tamper_lock(BUCKET, "k", version, sandbox::Lock::default())
        .unwrap();
    let head = client
        .head_object()
        .bucket(BUCKET)
        .key("k")
        .send()
        .await
        .unwrap();
    assert_eq!(head.object_lock_mode(), None);
    store.tamper_remove(BUCKET, "k", version).unwrap();
    assert!(store.versions(BUCKET, "k").is_empty());
    drop(sandbox);
}
