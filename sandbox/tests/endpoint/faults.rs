//! Every scripted fault, as a client meets it.

use std::time::Duration;

use aws_sdk_s3::Client;
use aws_sdk_s3::config::timeout::TimeoutConfig;
use aws_sdk_s3::error::SdkError;
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{
    BucketVersioningStatus, ChecksumMode, CompletedMultipartUpload, CompletedPart, ObjectLockMode,
};
use sandbox::{Action, Fault, Mode, Sandbox, Script};
use tokio::time::Instant;

use crate::client::{
    BUCKET, DAY_SECS, assert_refused, config, in_secs, plain, put, put_until, refusal, start,
    timestamp,
};

/// A client that gives up long before a stalled server goes on, but after it has begun.
fn hasty(sandbox: &Sandbox) -> Client {
    let timeout = Duration::from_secs(2);
    let timeouts = TimeoutConfig::builder().operation_timeout(timeout).build();
    let config = config(sandbox, sandbox.credentials()).timeout_config(timeouts);
    Client::from_conf(config.build())
}

#[tokio::test]
async fn any_status_and_code_can_be_answered_without_effect() {
    let answers = [
        (503, "SlowDown"),
        (500, "InternalError"),
        (429, "TooManyRequests"),
        (403, "AccessDenied"),
        (403, "InvalidAccessKeyId"),
        (403, "SignatureDoesNotMatch"),
        (400, "ExpiredToken"),
        (404, "NoSuchBucket"),
        (400, "RequestTimeout"),
        (400, "InvalidRequest"),
        (400, "EntityTooLarge"),
        (400, "BadDigest"),
        (409, "ConditionalRequestConflict"),
        (409, "OperationAborted"),
        (403, "RequestTimeTooSkewed"),
        (400, "KMS.DisabledException"),
    ];
    let (sandbox, client) = start().await;
    for (status, code) in answers {
        let id = sandbox
            .faults()
            .add(Fault::on("PutObject", Action::answer(status, code)).nth(1));
        assert_refused(put(&client, "k", b"x").send().await, code, status);
        assert_eq!(sandbox.faults().struck(id), 1);
    }
    assert!(sandbox.store().all_versions(BUCKET).is_empty());
    put(&client, "k", b"x").send().await.unwrap();
    assert_eq!(sandbox.hits("PutObject"), answers.len() as u64 + 1);
}

#[tokio::test]
async fn a_large_upload_gets_its_error_answer_too() {
    let (sandbox, client) = start().await;
    sandbox
        .faults()
        .add(Fault::on("PutObject", Action::answer(503, "SlowDown")).times(2));
    for _ in 0..2 {
        let large = ByteStream::from(vec![1_u8; 8 << 20]);
        let put = client
            .put_object()
            .bucket(BUCKET)
            .key("large")
            .body(large)
            .send()
            .await;
        assert_refused(put, "SlowDown", 503);
    }
}

#[tokio::test]
async fn a_drop_before_the_commit_stores_nothing() {
    let (sandbox, client) = start().await;
    sandbox
        .faults()
        .add(Fault::on("PutObject", Action::DropBeforeCommit).nth(1));
    let lost = put(&client, "k", b"x").send().await.unwrap_err();
    assert!(matches!(lost, SdkError::DispatchFailure(_)), "{lost:?}");
    assert!(sandbox.store().all_versions(BUCKET).is_empty());
    assert_eq!(sandbox.log().count("PutObject").dropped, 1);
    put(&client, "k", b"x").send().await.unwrap();
}

#[tokio::test]
async fn a_drop_after_the_commit_stores_and_loses_the_answer() {
    let (sandbox, client) = start().await;
    sandbox
        .faults()
        .add(Fault::on("PutObject", Action::DropAfterCommit).nth(2));
    put(&client, "first", b"x").send().await.unwrap();
    let lost = put(&client, "k", b"x").send().await.unwrap_err();
    assert!(matches!(lost, SdkError::DispatchFailure(_)), "{lost:?}");
    assert_eq!(sandbox.store().versions(BUCKET, "k").len(), 1);
    assert_refused(
        put(&client, "k", b"x").send().await,
        "PreconditionFailed",
        412,
    );
}

#[tokio::test]
async fn an_error_after_the_commit_stores_all_the_same() {
    let (sandbox, client) = start().await;
    let action = Action::AnswerAfterCommit {
        status: 500,
        code: "InternalError".to_owned(),
        message: String::new(),
    };
    sandbox.faults().add(Fault::on("PutObject", action).nth(1));
    assert_refused(put(&client, "k", b"x").send().await, "InternalError", 500);
    assert_eq!(sandbox.store().versions(BUCKET, "k").len(), 1);
}

#[tokio::test]
async fn a_stalled_request_is_not_read_and_a_client_that_gives_up_has_stored_nothing() {
    let (sandbox, client) = start().await;
    let stall = Action::StallRequest { millis: 60_000 };
    sandbox.faults().add(Fault::on("PutObject", stall).nth(1));
    let given_up = put(&hasty(&sandbox), "k", b"x").send().await.unwrap_err();
    assert!(
        matches!(given_up, SdkError::TimeoutError(_)),
        "{given_up:?}"
    );
    assert_eq!(sandbox.hits("PutObject"), 1);
    assert!(sandbox.store().all_versions(BUCKET).is_empty());
    put(&client, "k", b"x").send().await.unwrap();
}

#[tokio::test]
async fn a_stalled_response_comes_after_the_commit() {
    let (sandbox, _) = start().await;
    let stall = Action::StallResponse { millis: 60_000 };
    sandbox.faults().add(Fault::on("PutObject", stall).nth(1));
    let client = hasty(&sandbox);
    let given_up = put(&client, "k", b"x").send().await.unwrap_err();
    assert!(
        matches!(given_up, SdkError::TimeoutError(_)),
        "{given_up:?}"
    );
    assert_eq!(sandbox.store().versions(BUCKET, "k").len(), 1);
}

#[tokio::test]
async fn a_slow_body_dribbles_in_whole() {
    let (sandbox, client) = start().await;
    put(&client, "k", b"0123456789").send().await.unwrap();
    let slow = Action::SlowBody {
        piece_bytes: 2,
        pause_millis: 30,
    };
    sandbox.faults().add(Fault::on("GetObject", slow));
    let started = Instant::now();
    let get = client
        .get_object()
        .bucket(BUCKET)
        .key("k")
        .send()
        .await
        .unwrap();
    assert_eq!(get.content_length(), Some(10));
    assert_eq!(
        get.body.collect().await.unwrap().into_bytes(),
        &b"0123456789"[..]
    );
    assert!(
        started.elapsed() >= Duration::from_millis(150),
        "{:?}",
        started.elapsed()
    );
}

#[tokio::test]
async fn a_cut_body_is_an_error_and_not_a_short_object() {
    let (sandbox, client) = start().await;
    put(&client, "k", b"0123456789").send().await.unwrap();
    sandbox
        .faults()
        .add(Fault::on("GetObject", Action::CutBody { after_bytes: 4 }));
    let get = client
        .get_object()
        .bucket(BUCKET)
        .key("k")
        .send()
        .await
        .unwrap();
    get.body.collect().await.unwrap_err();
}

#[tokio::test]
async fn a_lock_can_be_lost_silently() {
    let (sandbox, client) = start().await;
    sandbox
        .faults()
        .add(Fault::on("PutObject", Action::LoseLock).key("lost"));
    put(&client, "lost", b"x").send().await.unwrap();
    put(&client, "kept", b"x").send().await.unwrap();
    let head = client
        .head_object()
        .bucket(BUCKET)
        .key("lost")
        .send()
        .await
        .unwrap();
    assert_eq!(head.object_lock_mode(), None);
    let get = client
        .get_object_retention()
        .bucket(BUCKET)
        .key("lost")
        .send()
        .await;
    assert_refused(get, "NoSuchObjectLockConfiguration", 404);
    let head = client
        .head_object()
        .bucket(BUCKET)
        .key("kept")
        .send()
        .await
        .unwrap();
    assert_eq!(head.object_lock_mode(), Some(&ObjectLockMode::Compliance));
}

#[tokio::test]
async fn a_multipart_lock_can_be_lost_at_either_end() {
    for operation in ["CreateMultipartUpload", "CompleteMultipartUpload"] {
        let (sandbox, client) = start().await;
        sandbox.faults().add(Fault::on(operation, Action::LoseLock));
        let create = client.create_multipart_upload().bucket(BUCKET).key("k");
        let create = create.object_lock_mode(ObjectLockMode::Compliance);
        let created = create
            .object_lock_retain_until_date(in_secs(DAY_SECS))
            .send()
            .await
            .unwrap();
        let id = created.upload_id().unwrap();
        let part = client
            .upload_part()
            .bucket(BUCKET)
            .key("k")
            .upload_id(id)
            .part_number(1);
        let part = part
            .content_md5(crate::client::md5(b"x"))
            .body(ByteStream::from_static(b"x"));
        let part = part.send().await.unwrap();
        let only = CompletedPart::builder()
            .part_number(1)
            .e_tag(part.e_tag().unwrap())
            .build();
        let parts = CompletedMultipartUpload::builder().parts(only).build();
        let complete = client
            .complete_multipart_upload()
            .bucket(BUCKET)
            .key("k")
            .upload_id(id);
        complete.multipart_upload(parts).send().await.unwrap();
        let kept = sandbox.store().versions(BUCKET, "k").remove(0);
        assert_eq!(kept.lock.retention, None, "{operation}");
    }
}

#[tokio::test]
async fn a_lock_can_be_weakened_silently() {
    let (sandbox, client) = start().await;
    let until = in_secs(DAY_SECS);
    let weaken = Action::WeakenLock {
        to_governance: true,
        shorter_by_secs: 0,
    };
    sandbox.faults().add(Fault::on("PutObject", weaken).nth(1));
    put_until(&client, "governance", b"x", until)
        .send()
        .await
        .unwrap();
    let lock = sandbox.store().versions(BUCKET, "governance")[0]
        .lock
        .retention
        .unwrap();
    assert_eq!(
        (lock.mode, lock.until),
        (Mode::Governance, timestamp(until))
    );
    let weaken = Action::WeakenLock {
        to_governance: false,
        shorter_by_secs: 3600,
    };
    sandbox.faults().add(Fault::on("PutObject", weaken).nth(1));
    put_until(&client, "short", b"x", until)
        .send()
        .await
        .unwrap();
    let lock = sandbox.store().versions(BUCKET, "short")[0]
        .lock
        .retention
        .unwrap();
    assert_eq!(lock.mode, Mode::Compliance);
    assert_eq!(timestamp(until).duration_since(lock.until).as_secs(), 3600);
}

#[tokio::test]
async fn if_none_match_can_be_ignored() {
    let (sandbox, client) = start().await;
    put(&client, "k", b"one").send().await.unwrap();
    sandbox
        .faults()
        .add(Fault::on("PutObject", Action::IgnoreIfNoneMatch));
    put(&client, "k", b"two").send().await.unwrap();
    assert_eq!(sandbox.store().versions(BUCKET, "k").len(), 2);
}

#[tokio::test]
async fn checksums_and_locks_can_be_hidden() {
    let (sandbox, client) = start().await;
    sandbox.faults().add(Fault::always(Action::HideChecksum));
    let put = put(&client, "k", b"one").send().await.unwrap();
    assert_eq!(put.checksum_sha256(), None);
    let head = || {
        let head = client.head_object().bucket(BUCKET).key("k");
        head.checksum_mode(ChecksumMode::Enabled).send()
    };
    assert_eq!(head().await.unwrap().checksum_sha256(), None);
    assert!(head().await.unwrap().object_lock_mode().is_some());
    sandbox.faults().clear();
    assert!(head().await.unwrap().checksum_sha256().is_some());
    sandbox
        .faults()
        .add(Fault::on("HeadObject", Action::HideLock));
    assert_eq!(head().await.unwrap().object_lock_mode(), None);
}

#[tokio::test]
async fn stored_bytes_can_be_corrupted_behind_a_true_checksum() {
    let (sandbox, client) = start().await;
    sandbox
        .faults()
        .add(Fault::on("PutObject", Action::CorruptBytes));
    let put = put(&client, "k", b"one").send().await.unwrap();
    assert_eq!(
        put.checksum_sha256(),
        Some(crate::client::sha256(b"one").as_str())
    );
    let get = client
        .get_object()
        .bucket(BUCKET)
        .key("k")
        .send()
        .await
        .unwrap();
    assert_eq!(get.object_lock_mode(), Some(&ObjectLockMode::Compliance));
    assert_eq!(get.body.collect().await.unwrap().into_bytes(), &b"nne"[..]);
}

#[tokio::test]
async fn versioning_can_be_reported_suspended() {
    let (sandbox, client) = start().await;
    let id = sandbox
        .faults()
        .add(Fault::on("GetBucketVersioning", Action::ReportSuspended));
    let get = || client.get_bucket_versioning().bucket(BUCKET).send();
    assert_eq!(
        get().await.unwrap().status(),
        Some(&BucketVersioningStatus::Suspended)
    );
    sandbox.faults().remove(id);
    assert_eq!(
        get().await.unwrap().status(),
        Some(&BucketVersioningStatus::Enabled)
    );
}

#[tokio::test]
async fn an_outage_and_its_end_come_by_script() {
    let (sandbox, client) = start().await;
    let script =
        r#"{"clock_offset_secs": 120, "faults": [{"action": {"do": "drop_before_commit"}}]}"#;
    sandbox
        .faults()
        .load(serde_json::from_str::<Script>(script).unwrap());
    assert_eq!(sandbox.clock().offset_secs(), 120);
    for _ in 0..3 {
        let lost = plain(&client, "k", b"x").send().await.unwrap_err();
        assert!(matches!(lost, SdkError::DispatchFailure(_)), "{lost:?}");
    }
    sandbox.faults().load(Script::default());
    plain(&client, "k", b"x").send().await.unwrap();
    assert_eq!(sandbox.store().versions(BUCKET, "k").len(), 1);
}

#[tokio::test]
async fn a_listing_matches_a_fault_by_its_prefix() {
    let (sandbox, client) = start().await;
    let fault = Fault::on("ListObjectVersions", Action::answer(503, "SlowDown")).key("a/b");
    sandbox.faults().add(fault);
    let list = |prefix: &'static str| {
        client
            .list_object_versions()
            .bucket(BUCKET)
            .prefix(prefix)
            .send()
    };
    assert_eq!(
        refusal(list("a/b/c").await),
        Some(("SlowDown".to_owned(), 503))
    );
    list("a/c").await.unwrap();
}
